"""Connections that are open when policy stops allowing them, with streams that talk all the while."""

import json
import socket
import struct
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from ipaddress import ip_address
from typing import Any

import pytest

from nfq.connection import Connection
from nfq.conntrack import Conntrack
from tests.lab.streams import PORT, Datagrams, Stream, talking_server
from tests.scenarios.conftest import Stage, endpoint

pytestmark = pytest.mark.kernel

ANYTHING = {"action": "Allow"}
Open = Callable[..., Any]


def rules(pod: str, *egress: dict[str, Any], name: str, ingress: tuple[dict[str, Any], ...] = (ANYTHING,)) -> Any:
    """A policy of the pod, under which anybody may come in, unless it says otherwise."""
    return {
        "apiVersion": "projectcalico.org/v3",
        "kind": "NetworkPolicy",
        "metadata": {"name": name, "namespace": "test"},
        "spec": {
            "selector": f"ep == '{pod}'",
            "types": ["Ingress", "Egress"],
            "egress": list(egress),
            "ingress": list(ingress),
        },
    }


def to(*addresses: str, protocol: str = "TCP", port: int = PORT) -> dict[str, Any]:
    nets = [f"{address}/{ip_address(address).max_prefixlen}" for address in addresses]
    return {"action": "Allow", "protocol": protocol, "destination": {"nets": nets, "ports": [port]}}


@pytest.fixture(scope="module")
def _talker(_stage: Stage) -> Iterator[None]:
    with talking_server(_stage.lab.world):
        yield


@pytest.fixture
def opened(_talker: None, _stage: Stage) -> Iterator[Open]:
    """Opens streams, and closes them in the end."""
    with ExitStack() as stack:

        def open_one(pod: str, address: str, port: int = PORT, kind: type = Stream) -> Any:
            stream = kind(_stage.lab.pod(pod).namespace, address, port)
            stack.callback(stream.close)
            return stream

        yield open_one


@pytest.fixture
def anew(_stage: Stage) -> Iterator[Stage]:
    """The stage without policy, and without the usual configuration: the test says which."""
    yield _stage
    for file in list(_stage.policies):
        (_stage.resources / f"{file}.yaml").unlink()
        del _stage.policies[file]


@pytest.fixture
def ending(anew: Stage) -> Stage:
    """The stage under `Terminate`."""
    anew.run_agent(connectionsOnPolicyChange="Terminate")
    return anew


def entries(stage: Stage, address: str) -> list[Connection]:
    """What conntrack knows that has to do with the address, whoever began it."""
    packed = ip_address(address).packed
    with stage.lab.node.entered(), Conntrack() as table:
        return [one.whole() for one in table.scan(lambda *known: packed in known)]


def fresh(stage: Stage, version: int) -> str:
    return stage.fresh4() if version == 4 else stage.fresh6()


@pytest.mark.parametrize("version", [4, 6])
def test_denied_streams_end_and_others_lose_not_one_packet(ending: Stage, opened: Open, version: int):
    stage, kept, lost = ending, fresh(ending, version), fresh(ending, version)
    stage.put("one", rules("ep1", to(kept, lost), name=f"one{version}"))
    stage.put("two", rules("ep2", to(kept, lost), name=f"two{version}"))
    good, bad, others = opened("ep1", kept), opened("ep1", lost), opened("ep2", lost)
    assert good.goes_on()
    assert bad.goes_on()
    assert others.goes_on()
    before = stage.agent.get("status")["connections"]["ended"]
    stage.put("one", rules("ep1", to(kept), name=f"one{version}b"))
    assert bad.falls_silent(), stage.agent.log.read_text()[-2000:]
    assert stage.agent.get("status")["connections"]["ended"] == before + 1
    assert good.goes_on()
    assert others.goes_on()
    assert (good.retransmits(), others.retransmits()) == (0, 0)
    assert bad.is_silent(50), "what the far end says must not open it again, although anybody may come in"
    left = [one for one in entries(stage, lost) if one.original.destination_port == PORT]
    assert [one.original.source_port for one in left] == [others.port]


@pytest.mark.parametrize("version", [4, 6])
def test_denied_datagrams_end_and_others_go_on(ending: Stage, opened: Open, version: int):
    stage, kept, lost = ending, fresh(ending, version), fresh(ending, version)
    both = [to(address, protocol="UDP", port=9000) for address in (kept, lost)]
    stage.put("one", rules("ep1", *both, name=f"udp{version}"))
    good, bad = opened("ep1", kept, 9000, Datagrams), opened("ep1", lost, 9000, Datagrams)
    assert (good.talk(), bad.talk()) == (10, 10)
    stage.put("one", rules("ep1", both[0], name=f"udp{version}b"))
    assert bad.falls_silent()
    assert good.talk() == 10
    assert not entries(stage, lost)


def test_what_the_far_end_sends_by_itself_does_not_begin_an_ended_conversation_again(ending: Stage, opened: Open):
    """Anybody may come in, and datagrams have no beginning that could be seen."""
    stage, lost, port = ending, ending.fresh4(), 9001
    stage.put("one", rules("ep1", to(lost, protocol="UDP", port=port), name="far"))
    with stage.lab.world.entered():
        far = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    with far:
        far.bind((lost, port))
        far.settimeout(1)
        near = opened("ep1", lost, port, Datagrams).socket
        near.send(b"question")
        pod = far.recvfrom(64)[1]
        far.sendto(b"answer", pod)
        assert near.recv(64) == b"answer"
        stage.put("one", rules("ep1", name="far2"))
        for _ in range(5):
            far.sendto(b"more", pod)
            near.send(b"even more")
        with pytest.raises(TimeoutError):
            near.recv(64)
        with pytest.raises(TimeoutError):
            far.recv(64)
        assert not entries(stage, lost)
        far.sendto(b"hello", (pod[0], pod[1] + 1))
        stage.until(lambda: bool(entries(stage, lost)), 5, "another conversation may begin: policy lets it in")


def test_pings_end(ending: Stage):
    stage, address = ending, ending.fresh4()
    allow = {"action": "Allow", "protocol": "ICMP", "icmp": {"type": 8}}
    stage.put("one", rules("ep1", allow, name="ping"))
    with stage.lab.pod("ep1").namespace.entered():
        pings = socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_ICMP)
    with pings:
        pings.settimeout(0.5)

        def answered() -> bool:
            head = struct.pack("!BBHHH", 8, 0, 0, 77, 1)
            total = sum(struct.unpack("!4H", head))
            checksum = ~(total + (total >> 16)) & 0xFFFF
            pings.sendto(struct.pack("!BBHHH", 8, 0, checksum, 77, 1), (address, 0))
            try:
                return bool(pings.recv(256))
            except TimeoutError:
                return False

        assert answered()
        (known,) = entries(stage, address)
        assert known.icmp == (8, 0)
        stage.put("one", rules("ep1", {**allow, "icmp": {"type": 8, "code": 0}}, name="ping2"))
        assert [one.id for one in entries(stage, address)] == [known.id], "it is allowed still"
        stage.put("one", rules("ep1", {**allow, "icmp": {"type": 13}}, name="ping3"))
        assert not entries(stage, address)
        assert not answered()


def test_the_receivers_policy_ends_what_a_neighbour_has_opened(ending: Stage, opened: Open):
    stage, server = ending, ending.lab.pod("ep2")
    address = str(server.address4)
    stage.put("one", rules("ep1", ANYTHING, name="sender"))
    stage.put("two", rules("ep2", ANYTHING, name="receiver"))
    with talking_server(server.namespace):
        stream = opened("ep1", address)
        assert stream.goes_on()
        stage.put("two", rules("ep2", ANYTHING, name="receiver2", ingress=()))
        assert stream.falls_silent()
        assert stream.is_silent(50)
        assert not [one for one in entries(stage, address) if one.original.protocol == socket.IPPROTO_TCP]


@pytest.mark.parametrize("version", [4, 6])
def test_policy_judges_the_address_behind_a_service(ending: Stage, opened: Open, version: int):
    stage, kept, lost = ending, fresh(ending, version), fresh(ending, version)
    services = {4: ("10.96.7.1", "10.96.7.2"), 6: ("fd00:96::71", "fd00:96::72")}[version]
    stage.put("one", rules("ep1", to(kept, lost), name=f"nat{version}"))
    with translating(stage, dict(zip(services, (kept, lost), strict=True))):
        good, bad = opened("ep1", services[0], 80), opened("ep1", services[1], 80)
        assert good.goes_on()
        assert bad.goes_on()
        stage.put("one", rules("ep1", to(kept, *services, port=80), to(kept), name=f"nat{version}b"))
        assert bad.falls_silent()
        assert bad.is_silent(30)
        assert good.goes_on()
        assert good.retransmits() == 0


@contextmanager
def translating(stage: Stage, targets: dict[str, str]) -> Iterator[None]:
    """Services on port 80, as kube-proxy makes them, whose endpoints talk."""
    lines = ["add table inet services", "add chain inet services d { type nat hook prerouting priority -100; }"]
    for address, target in targets.items():
        family, place = ("ip", f"{target}:{PORT}") if ":" not in target else ("ip6", f"[{target}]:{PORT}")
        lines.append(f"add rule inet services d {family} daddr {address} tcp dport 80 dnat {family} to {place}")
    try:
        for line in lines:
            stage.lab.node.command("nft", line)
        yield
    finally:
        stage.lab.node.command("nft", "delete table inet services")


@pytest.mark.parametrize("choice", ["Keep", "Terminate"])
def test_d71_a_name_that_leaves_policy_closes_at_once_and_its_open_connections_follow_the_choice(
    anew: Stage, opened: Open, choice: str
):
    stage, address, name = anew, anew.fresh4(), f"d71{choice.lower()}.test"
    stage.run_agent(connectionsOnPolicyChange=choice)
    stage.server.address(name, address, ttl=300)
    stage.permit("ep1", name, port=PORT)
    stage.resolve("ep1", name)
    talk = opened("ep1", address)
    assert talk.goes_on()
    stage.permit("ep1", "other.test", port=PORT)
    stage.assert_denied("ep1", address, PORT)
    if choice == "Keep":
        assert talk.goes_on()
    else:
        assert talk.falls_silent()


def test_a_name_that_leaves_policy_closes_and_one_that_expires_does_not(ending: Stage, opened: Open):
    stage, kept, lost, expired = ending, ending.fresh4(), ending.fresh4(), ending.fresh4()
    names = {"kept.rev.test": kept, "lost.rev.test": lost, "expired.rev.test": expired}
    for name, address in names.items():
        stage.server.address(name, address, ttl=1 if name.startswith("expired") else 300)
    stage.permit("ep1", *names, port=PORT)
    for name in names:
        stage.resolve("ep1", name)
    good, bad, old = opened("ep1", kept), opened("ep1", lost), opened("ep1", expired)
    assert good.goes_on()
    assert bad.goes_on()
    assert old.goes_on()
    stage.until(lambda: "expired" in stage.reasons("ep1", expired, PORT), 10, "the name's time is over")
    stage.permit("ep1", "kept.rev.test", "expired.rev.test", port=PORT)
    assert bad.falls_silent()
    assert good.goes_on()
    assert old.goes_on(), "expiry is no change of policy"
    assert (good.retransmits(), old.retransmits()) == (0, 0)
    stage.permit("ep1", "kept.rev.test", port=PORT)
    assert old.falls_silent(), "its name has left"
    assert good.goes_on()


def test_a_name_that_leaves_a_network_set_closes(ending: Stage, opened: Open):
    stage, kept, lost = ending, ending.fresh4(), ending.fresh4()
    stage.server.address("kept.set.test", kept, ttl=300)
    stage.server.address("lost.set.test", lost, ttl=300)
    by_set = {"action": "Allow", "protocol": "TCP", "destination": {"selector": "names == 'rev'", "ports": [PORT]}}
    dns = {"action": "Allow", "protocol": "UDP", "destination": {"ports": [53]}}
    try:
        stage.put("names", network_set("kept.set.test", "lost.set.test"), wait=False)
        stage.put("one", rules("ep1", dns, by_set, name="byset"))
        for name in ("kept.set.test", "lost.set.test"):
            stage.resolve("ep1", name)
        good, bad = opened("ep1", kept), opened("ep1", lost)
        assert good.goes_on()
        assert bad.goes_on()
        stage.put("names", network_set("kept.set.test"))
        assert bad.falls_silent()
        stage.assert_denied("ep1", lost, PORT)
        assert good.goes_on()
        assert good.retransmits() == 0
        stage.assert_passes("ep1", kept, PORT, within_seconds=1.0)
    finally:
        (stage.resources / "names.yaml").unlink()


def network_set(*domains: str) -> dict[str, Any]:
    return {
        "apiVersion": "projectcalico.org/v3",
        "kind": "NetworkSet",
        "metadata": {"name": "names", "namespace": "test", "labels": {"names": "rev"}},
        "spec": {"allowedEgressDomains": list(domains)},
    }


def test_a_connection_that_nobody_has_answered_yet_is_ended(ending: Stage):
    stage, lost = ending, ending.fresh4()
    stage.put("one", rules("ep1", to(lost, port=7), name="half"))
    hole = "add table inet hole; add chain inet hole in { type filter hook input priority 0; }"
    stage.lab.world.command("nft", f"{hole}; add rule inet hole in ip daddr {lost} drop")
    try:
        with stage.lab.pod("ep1").namespace.entered():
            half = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        with half:
            half.setblocking(False)
            half.connect_ex((lost, 7))
            stage.until(lambda: len(entries(stage, lost)) == 1, 5, "the connection is half open")
            stage.put("one", rules("ep1", name="half2"))
            assert not entries(stage, lost)
    finally:
        stage.lab.world.command("nft", "delete table inet hole")


def test_what_was_open_before_enforcement_is_judged_when_it_begins(anew: Stage, opened: Open):
    stage = anew
    stage.run_agent()
    kept, lost = stage.fresh4(), stage.fresh4()
    stage.put("one", rules("ep1", to(kept, lost), name="early"))
    good, bad = opened("ep1", kept), opened("ep1", lost)
    stage.put("one", rules("ep1", to(kept), name="early2"))
    assert bad.goes_on(), "under Keep a change of policy ends nothing"
    assert stage.agent.get("status")["connections"]["on_policy_change"] == "Keep"
    assert "ended" not in stage.lab.node.command("nft", "list", "table", "inet", "tidegate")
    stage.run_agent(connectionsOnPolicyChange="Terminate")
    stage.wait_in_force()
    assert bad.falls_silent()
    assert good.goes_on()
    assert good.retransmits() == 0


def test_a_new_endpoints_connections_are_judged(anew: Stage, opened: Open):
    """On an interface that no prefix claims, nothing is enforced before its endpoint is known."""
    stage = anew
    stage.run_agent(connectionsOnPolicyChange="Terminate", interfacePrefix="veth")
    kept, lost = stage.fresh4(), stage.fresh4()
    stage.remove("ep1")
    stage.until(lambda: len(stage.agent.get("endpoints")) == 1, 10, "the endpoint is gone")
    stage.wait_in_force()
    try:
        good, bad = opened("ep1", kept), opened("ep1", lost)
        assert good.goes_on()
        assert bad.goes_on()
        stage.put("one", rules("ep1", to(kept), name="new"), wait=False)
    finally:
        stage.put("ep1", endpoint(stage.lab.pod("ep1")))
    assert bad.falls_silent()
    assert good.goes_on()
    assert good.retransmits() == 0


def test_ended_connections_are_told(ending: Stage, opened: Open):
    stage, lost = ending, ending.fresh4()
    stage.put("one", rules("ep1", to(lost), name="told"))
    stream = opened("ep1", lost)
    assert stream.goes_on()
    stage.put("one", rules("ep1", name="told2"))
    assert stream.falls_silent()
    where = ("explain", "--from", "test/ep1", "--to", f"{lost}:{PORT}/TCP")
    (path,) = json.loads(stage.agent.call(*where, "-o", "json", check=False).stdout)["paths"]
    assert [one["reason"] for one in path["ended"]] == ["default/np:test/told2/egress/-1"]
    assert "open connection ended at" in stage.agent.call(*where, check=False).stdout
    assert f"-> {lost}:{PORT}" in stage.agent.log.read_text()
    assert "Terminate: " in stage.agent.call("status", check=False).stdout
