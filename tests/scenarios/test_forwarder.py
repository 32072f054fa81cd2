"""Scenarios D61 and D62, and what else the forwarder does: mode `Proxy` on real packets."""

import socket
import struct
import time

import dnslib
import pytest

from tests.lab.scripted import Step, ask, ask_stream, udp_client
from tests.scenarios.conftest import Stage, policy

pytestmark = pytest.mark.kernel

PROXY = {"dnsPolicyMode": "Proxy"}
BY_ANNOTATION = {"dns.tidegate.io/mode": "proxy"}


@pytest.fixture
def forwarding(stage: Stage):
    """Runs the stage's agent with the node's forwarder for every workload with names, configured so."""

    def run(**config) -> Stage:
        stage.run_agent(**PROXY, **config)
        return stage

    return run


@pytest.fixture
def proxied(forwarding) -> Stage:
    return forwarding()


def upstream(stage: Stage, name: str, qtype: str = "A") -> int:
    return stage.server.asked[name, qtype]


@pytest.mark.parametrize("version", [4, 6])
def test_a_forwarded_answer_is_learned_before_it_is_told(proxied: Stage, version: int):
    fresh, qtype, server = (
        (proxied.fresh4, "A", "10.0.53.53") if version == 4 else (proxied.fresh6, "AAAA", "fd00:53::53")
    )
    name, address = f"fwd{version}.test", fresh()
    proxied.server.address(name, address)
    proxied.permit("ep1", name)
    with proxied.counting("proxy-queries", "proxy-sent"):
        assert proxied.resolve("ep1", name, qtype, server=server) == [address]
    proxied.assert_passes("ep1", address)


def test_a_kept_reply_is_learned_by_whoever_gets_it(proxied: Stage):
    name, address = "kept.test", proxied.fresh4()
    proxied.server.address(name, address)
    proxied.permit("ep1", name)
    proxied.permit("ep2", name)
    with proxied.counting("proxy-kept"):
        for pod in ("ep1", "ep2"):
            assert proxied.resolve(pod, name) == [address]
    assert upstream(proxied, name) == 1
    proxied.assert_passes("ep1", address)
    proxied.assert_passes("ep2", address)


def test_a_truncated_reply_is_fetched_over_tcp_and_told_as_it_fits(proxied: Stage):
    name, addresses = "fwdtc.test", [proxied.fresh4() for _ in range(40)]
    lines = [f"{name} 60 A {address}" for address in addresses]
    proxied.server.script(name, "A", Step(truncated=True, only_over="UDP"), Step(answer=lines, only_over="TCP"))
    proxied.permit("ep1", name)
    assert proxied.ask("ep1", name).header.tc
    [reply] = ask_stream(proxied.lab.pod("ep1").namespace, name)
    assert len(reply.rr) == 40
    proxied.assert_passes("ep1", addresses[39])


def test_d47_a_slow_name_holds_up_no_other(proxied: Stage):
    proxied.server.script(
        "slow.test", "A", Step(truncated=True, only_over="UDP"), Step(delay_seconds=2, only_over="TCP")
    )
    proxied.permit("ep1", "*.quick.test")
    namespace = proxied.lab.pod("ep1").namespace
    with udp_client(namespace, "10.0.53.53") as slow:
        slow.send(dnslib.DNSRecord.question("slow.test").pack())
        for number in range(20):
            name, address = f"n{number}.quick.test", "198.51.100.249"
            proxied.server.address(name, address)
            began = time.perf_counter()
            assert proxied.resolve("ep1", name) == [address]
            assert time.perf_counter() - began < 0.25


@pytest.mark.parametrize(("said", "rcode"), [("NXDOMAIN", "NXDOMAIN"), ("REFUSED", "REFUSED")])
def test_d61_what_policy_does_not_name_is_not_asked(forwarding, said: str, rcode: str):
    stage = forwarding(dnsProxyNames="Policy", dnsProxyDeniedReply=said, dnsProxyDeniedTypes=["NULL", "TXT"])
    good, bad, address = f"d61{said.lower()}.test", f"evil{said.lower()}.test", stage.fresh4()
    for name in (good, bad):
        stage.server.address(name, address)
    stage.permit("ep1", good)
    with stage.counting("proxy-refused-not-admitted"):
        reply = stage.ask("ep1", bad)
    assert dnslib.RCODE[reply.header.rcode] == rcode
    assert bool(reply.auth) == (rcode == "NXDOMAIN")  # an SOA record says how long to remember it
    assert upstream(stage, bad) == 0
    assert stage.resolve("ep1", good) == [address]
    stage.assert_passes("ep1", address)
    with stage.counting("proxy-refused-type"):
        assert stage.ask("ep1", good, "TXT").rr == []
    assert upstream(stage, good, "TXT") == 0


def test_d61_a_tunnel_is_scored_and_ends_in_quarantine(forwarding):
    stage = forwarding(dnsProxyQuarantineScore=60)
    stage.permit("ep1", "*.test")
    data = [
        f"{number:03}{'mfrggzdfmztwq2lknnwg23tpobyxe43u'[number % 20 :]}q7x5k3.{'ab' * 20}{number:x}"
        for number in range(80)
    ]
    with udp_client(stage.lab.pod("ep1").namespace, "10.0.53.53") as client:
        client.settimeout(3)
        for label in data:
            client.send(dnslib.DNSRecord.question(f"{label}.tunnel.test", "TXT").pack())
            client.recv(4096)
    [found] = [each for each in stage.agent.get("status")["packets"]["tunnels"] if each["domain"] == "tunnel.test"]
    assert found["endpoint"].endswith("ep1-eth0") or "ep1" in found["endpoint"]
    assert found["score"] >= 60
    assert found["is_quarantined"]
    before = sum(count for (name, _), count in stage.server.asked.items() if name.endswith("tunnel.test"))
    assert stage.ask("ep1", "one.more.tunnel.test").header.rcode == dnslib.RCODE.NXDOMAIN
    assert sum(count for (name, _), count in stage.server.asked.items() if name.endswith("tunnel.test")) == before
    address = stage.fresh4()
    stage.server.address("honest.other.test", address)
    assert stage.resolve("ep1", "honest.other.test") == [address]


def test_d62_canary_names_do_not_exist(proxied: Stage):
    proxied.permit("ep1", "*.test")
    with proxied.counting("proxy-refused-canary", by=2):
        assert proxied.ask("ep1", "use-application-dns.net").header.rcode == dnslib.RCODE.NXDOMAIN
        reply = proxied.ask("ep1", "_dns.resolver.arpa")
    assert (reply.header.rcode, reply.rr) == (dnslib.RCODE.NOERROR, [])


def test_d62_another_resolver_opens_nothing(proxied: Stage):
    """DNS over TLS and HTTPS elsewhere: not allowed by P(x), and what is resolved there is not learned."""
    proxied.permit("ep1", "d62.test")
    for port in (853, 443):
        proxied.assert_denied("ep1", "203.0.113.99", port)


def test_deny_lists_and_local_zones(forwarding, tmp_path):
    lists, zone = tmp_path / "deny.rpz", tmp_path / "local.zone"
    lists.write_text(
        "0.0.0.0 ads.deny.test\n*.evil.deny.test CNAME .\nnodata.deny.test CNAME *.\ngood.evil.deny.test CNAME rpz-passthru.\n"
    )
    local = "198.51.100.248"
    zone.write_text(
        f"$ORIGIN corp.test.\n@ 300 IN SOA ns.corp.test. root.corp.test. 1 2 3 4 60\nwww 60 IN A {local}\nalias 60 IN CNAME www\n"
    )
    stage = forwarding(dnsProxyDenyFiles=[str(lists)], dnsProxyZoneFiles=[str(zone)])
    address = stage.fresh4()
    for name in ("ads.deny.test", "x.evil.deny.test", "nodata.deny.test", "good.evil.deny.test"):
        stage.server.address(name, address)
    stage.permit("ep1", "*.test")
    with stage.counting("proxy-refused-listed", by=3):
        assert stage.ask("ep1", "ads.deny.test").header.rcode == dnslib.RCODE.NXDOMAIN
        assert stage.ask("ep1", "x.evil.deny.test").header.rcode == dnslib.RCODE.NXDOMAIN
        reply = stage.ask("ep1", "nodata.deny.test")
    assert (reply.header.rcode, reply.rr) == (dnslib.RCODE.NOERROR, [])
    assert stage.resolve("ep1", "good.evil.deny.test") == [address]
    with stage.counting("proxy-local", by=2):
        assert [str(each.rdata) for each in stage.ask("ep1", "alias.corp.test").rr] == ["www.corp.test.", local]
        assert stage.ask("ep1", "no.corp.test").header.rcode == dnslib.RCODE.NXDOMAIN
    stage.assert_passes("ep1", local)


def test_ech_is_taken_out_of_service_records(forwarding):
    stage = forwarding(dnsProxyStripECH=True)
    name, address = "ech.test", stage.fresh4()
    parameters = (
        struct.pack("!HH2s", 1, 2, b"h3")
        + struct.pack("!HH4s", 4, 4, socket.inet_aton(address))
        + struct.pack("!HH4s", 5, 4, b"\xfe\x0d\0\0")
    )

    def service(good: bytes) -> bytes:
        data = b"\0\1\0" + parameters
        counts = struct.pack("!HHHH", 1, 1, 0, 0)
        return good[:4] + counts + good[12:] + b"\xc0\x0c" + struct.pack("!HHIH", 65, 1, 60, len(data)) + data

    stage.server.script(name, "HTTPS", Step(mangle=service))
    stage.permit("ep1", name)
    with udp_client(stage.lab.pod("ep1").namespace, "10.0.53.53") as client, stage.counting("proxy-ech-stripped"):
        client.settimeout(3)
        client.send(dnslib.DNSRecord(q=dnslib.DNSQuestion(name, 65)).pack())
        reply = client.recv(4096)
    assert b"\xfe\x0d" not in reply
    assert socket.inet_aton(address) in reply
    stage.assert_passes("ep1", address)


def test_one_policy_may_ask_for_the_forwarder(stage: Stage):
    one, two = stage.fresh4(), stage.fresh4()
    stage.server.address("own.test", one)
    stage.server.address("others.test", two)
    stage.put("policy-ep1", policy("proxied", "ep1", ["own.test"], annotations=BY_ANNOTATION))
    stage.permit("ep2", "others.test")
    with stage.counting("proxy-queries"):
        assert stage.resolve("ep1", "own.test") == [one]
        assert stage.resolve("ep2", "others.test") == [two]
    stage.assert_passes("ep1", one)
    stage.assert_passes("ep2", two)


def test_policy_is_asked_before_the_forwarder(proxied: Stage):
    document = policy("no-udp", "ep1", ["no-udp.test"])
    document["spec"]["egress"] = document["spec"]["egress"][1:]
    proxied.put("policy-ep1", document)
    with proxied.counting("proxy-queries", by=0), pytest.raises(TimeoutError):
        proxied.ask("ep1", "no-udp.test", timeout_seconds=0.5)


def test_stale_replies_bridge_an_outage(forwarding):
    stage = forwarding(dnsProxyServeStale="1h")
    name, address = "stale.test", stage.fresh4()
    stage.server.script(name, "A", Step(answer=[f"{name} 1 A {address}"]), Step(mangle=lambda _: []))
    stage.permit("ep1", name)
    assert stage.resolve("ep1", name) == [address]
    time.sleep(1.2)  # the reply's own time has to pass
    with stage.counting("proxy-stale"):
        reply = ask(stage.lab.pod("ep1").namespace, name, timeout_seconds=5)
    assert [str(each.rdata) for each in reply.rr] == [address]
    assert reply.rr[0].ttl == 30


def _is_bound(taker: socket.socket, address: tuple[str, int]) -> bool:
    try:
        taker.bind(address)
    except OSError:
        return False
    return True


def test_a_server_that_cannot_be_stood_in_for_is_asked_directly_and_its_answers_are_held(stage: Stage):
    """Somebody on the node has the server's address for himself: status says so, and the other mode's way is gone."""
    name, address = "taken.test", stage.fresh4()
    stage.server.address(name, address)
    with stage.lab.node.entered():
        taker = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    with taker:
        taker.setsockopt(socket.IPPROTO_IP, 15, 1)  # IP_FREEBIND
        # A forwarder of an earlier scenario may still be giving the address up.
        stage.until(lambda: _is_bound(taker, ("10.0.53.53", 53)), 15, "the address is free")
        stage.run_agent(**PROXY, logPrefix="taken")
        stage.permit("ep1", name)

        def trouble() -> bool:
            conditions = stage.agent.get("status")["conditions"]
            return any("cannot take over questions" in each["message"] for each in conditions)

        stage.until(trouble, 10, "status says what is wrong")
        with stage.counting("proxy-queries", by=0):
            assert stage.resolve("ep1", name) == [address]
        stage.assert_passes("ep1", address)
    stage.until(lambda: not trouble(), 10, "the forwarder has taken over")
    with stage.counting("proxy-queries"):
        assert stage.resolve("ep1", name) == [address]
