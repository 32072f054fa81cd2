"""Scenarios D49 to D59: answers that must not be believed, and addresses that must not be learned."""

import json
import random
import socket
import struct
import time

import dnslib
import pytest

from tests.lab.scripted import Step, udp_client
from tests.scenarios.conftest import ANSWERS, DENIED_WITHIN_SECONDS, Stage
from tidegate.demo import servers

pytestmark = pytest.mark.kernel


def _udp_packet(source: str, destination: str, sport: int, dport: int, payload: bytes) -> bytes:
    """A whole IPv4 packet, for a raw socket that lets its owner lie about the source."""
    udp = struct.pack("!HHHH", sport, dport, 8 + len(payload), 0) + payload
    total = 20 + len(udp)
    header = struct.pack("!BBHHHBBH", 0x45, 0, total, 0, 0, 64, 17, 0)
    return header + socket.inet_aton(source) + socket.inet_aton(destination) + udp


def _raw_send(stage: Stage, pod: str, packet: bytes, destination: str) -> None:
    with stage.lab.pod(pod).namespace.entered():
        sender = socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_RAW)
    with sender:
        sender.sendto(packet, (destination, 0))


def _query(name: str, identifier: int = 77) -> dnslib.DNSRecord:
    query = dnslib.DNSRecord(q=dnslib.DNSQuestion(name, dnslib.QTYPE.A))
    query.header.id = identifier
    return query


def test_d49_a_forged_answer_from_another_endpoint_is_dropped(stage: Stage):
    address = stage.fresh4()
    stage.permit("ep1", "d49.test")
    reply = _query("d49.test").reply()
    reply.add_answer(dnslib.RR("d49.test", dnslib.QTYPE.A, ttl=60, rdata=dnslib.A(address)))
    with udp_client(stage.lab.pod("ep1").namespace, "10.0.53.53") as client:
        # The query is lost on its way, the answer is the neighbour's.
        stage.server.script("d49.test", "A", Step(mangle=lambda _: b""))
        client.send(_query("d49.test").pack())
        port = client.getsockname()[1]
        forged = _udp_packet("10.0.53.53", "10.0.1.2", 53, port, bytes(reply.pack()))
        _raw_send(stage, "ep2", forged, "10.0.1.2")
        client.settimeout(0.5)
        data = b""
        try:
            while not data:
                data = client.recv(4096)
                data = b"" if len(data) < 12 else data
        except TimeoutError:
            pass
        assert data == b""
    stage.assert_denied("ep1", address)


def test_d49_an_answer_that_an_endpoint_forges_for_itself_is_dropped(stage: Stage):
    address = stage.fresh4()
    stage.permit("ep1", "d49s.test")
    stage.server.script("d49s.test", "A", Step(mangle=lambda _: b""))
    reply = _query("d49s.test").reply()
    reply.add_answer(dnslib.RR("d49s.test", dnslib.QTYPE.A, ttl=60, rdata=dnslib.A(address)))
    namespace = stage.lab.pod("ep1").namespace
    with udp_client(namespace, "10.0.53.53") as client:
        client.settimeout(2)
        client.send(_query("d49s.test").pack())
        assert client.recv(4096) == b""
        forged = _udp_packet("10.0.53.53", "10.0.1.2", 53, client.getsockname()[1], bytes(reply.pack()))
        gateway = namespace.command("ip", "neigh", "show", "169.254.1.1").split("lladdr ")[1].split()[0]
        # By way of the node: sent to its own address by a raw IP socket it would not leave the namespace.
        with namespace.entered():
            sender = socket.socket(socket.AF_PACKET, socket.SOCK_DGRAM)
        with sender, stage.counting("answers", by=0):
            sender.sendto(forged, ("eth0", 0x0800, 0, 0, bytes.fromhex(gateway.replace(":", ""))))
            client.settimeout(0.2)
            with pytest.raises(TimeoutError):
                client.recv(4096)
    stage.assert_denied("ep1", address)
    assert stage.reasons("ep1", address) == ["never-resolved"]


def test_d50_an_untrusted_server_teaches_nothing(stage: Stage):
    address = stage.fresh4()
    stage.server.address("d50.test", address)
    stage.permit("ep1", "d50.test")
    assert stage.resolve("ep1", "d50.test", server="10.0.53.66") == [address]
    stage.assert_denied("ep1", address)
    assert stage.reasons("ep1", address)[0] == "untrusted-server"
    by_name = stage.agent.call("explain", "--from", "test/ep1", "--to", "d50.test:443", "-o", "json", check=False)
    assert [(item["code"], item["ip"]) for item in json.loads(by_name.stdout)["reasons"]] == [
        ("untrusted-server", address)
    ]


def _with_identifier(packed: bytes) -> bytes:
    return bytes([packed[0] ^ 0xFF, packed[1]]) + packed[2:]


def test_d51_an_answer_with_another_id_teaches_nothing(stage: Stage):
    address = stage.fresh4()
    step = Step(answer=[f"d51a.test 60 A {address}"], mangle=_with_identifier)
    stage.server.script("d51a.test", "A", step)
    stage.permit("ep1", "d51a.test")
    with stage.counting("unsolicited"):
        stage.ask("ep1", "d51a.test")
    stage.assert_denied("ep1", address)
    assert stage.reasons("ep1", address)[0] == "unsolicited"


def test_d51_an_answer_to_another_question_teaches_nothing(stage: Stage):
    address = stage.fresh4()

    def other_name(packed: bytes) -> bytes:
        reply = dnslib.DNSRecord.parse(packed)
        reply.questions[0].qname = dnslib.DNSLabel("d51c.test")
        return bytes(reply.pack())

    stage.server.script("d51b.test", "A", Step(answer=[f"d51c.test 60 A {address}"], mangle=other_name))
    stage.permit("ep1", "d51b.test", "d51c.test")
    with stage.counting("wrong-name"):
        stage.ask("ep1", "d51b.test")
    stage.assert_denied("ep1", address)
    assert stage.reasons("ep1", address)[0] == "wrong-name"


def test_d51_a_second_answer_to_one_question_teaches_nothing(stage: Stage):
    first, second = stage.fresh4(), stage.fresh4()

    def twice(packed: bytes) -> list[bytes]:
        reply = dnslib.DNSRecord.parse(packed)
        reply.rr[0].rdata = dnslib.A(second)
        return [packed, bytes(reply.pack())]

    stage.server.script("d51d.test", "A", Step(answer=[f"d51d.test 60 A {first}"], mangle=twice))
    stage.permit("ep1", "d51d.test")
    with stage.counting("replay"):
        stage.resolve("ep1", "d51d.test")
        time.sleep(0.1)
    stage.assert_passes("ep1", first)
    stage.assert_denied("ep1", second)
    assert stage.reasons("ep1", second)[0] == "replay"


def test_d51_an_answer_nobody_asked_for_teaches_nothing(stage: Stage):
    address = stage.fresh4()
    stage.permit("ep1", "d51e.test")
    reply = _query("d51e.test", 99).reply()
    reply.add_answer(dnslib.RR("d51e.test", dnslib.QTYPE.A, ttl=60, rdata=dnslib.A(address)))
    # The connection is there, so conntrack calls it a reply; the question was another one.
    stage.server.script("d51f.test", "A", Step(mangle=lambda packed: [bytes(reply.pack()), packed]))
    with stage.counting("unsolicited"):
        stage.ask("ep1", "d51f.test")
    stage.assert_denied("ep1", address)


def test_d51_an_answer_replayed_late_teaches_nothing(stage: Stage):
    address = stage.fresh4()
    step = Step(answer=[f"d51g.test 60 A {address}"], delay_seconds=11)
    stage.server.script("d51g.test", "A", step)
    stage.permit("ep1", "d51g.test")
    with stage.counting("late"):
        stage.ask("ep1", "d51g.test", timeout_seconds=15)
    stage.assert_denied("ep1", address)
    assert stage.reasons("ep1", address)[0] == "late"


GUARDED = {
    "loopback": "127.0.0.1",
    "metadata": "169.254.169.254",
    "private": "10.0.1.3",
    "mapped": "::ffff:10.0.1.3",
    "nat64": "64:ff9b::a00:103",
}
COUNTED_AS = {
    "loopback": "guard-forbidden",
    "metadata": "guard-forbidden",
    "private": "guard-private",
    "mapped": "guard-embedded",
    "nat64": "guard-embedded",
}


@pytest.mark.parametrize("kind", GUARDED)
def test_d52_guarded_addresses_are_never_learned(stage: Stage, kind: str):
    address, name = GUARDED[kind], f"d52{kind}.test"
    qtype = "AAAA" if ":" in address else "A"
    stage.server.script(name, qtype, Step(answer=[f"{name} 60 {qtype} {address}"]))
    stage.permit("ep1", name)
    with stage.counting(COUNTED_AS[kind]), stage.counting("elements-written", by=0):
        assert stage.ask("ep1", name, qtype).rr
    assert name not in {entry["name"] for entry in stage.agent.get("names")}
    assert stage.reasons("ep1", address)[0] == COUNTED_AS[kind]
    if kind == "private":
        # The neighbour's own address: the only one of them that a packet of ours could reach.
        with servers.tcp_acceptors(stage.lab.pod("ep2").namespace, (443,), keep=False):
            assert not stage.connect("ep1", address, 443, DENIED_WITHIN_SECONDS).is_connected


@pytest.mark.parametrize("kind", GUARDED)
def test_d52_allowing_private_addresses_allows_only_those(stage: Stage, kind: str):
    address, name = GUARDED[kind], f"d52p{kind}.test"
    qtype = "AAAA" if ":" in address else "A"
    stage.server.script(name, qtype, Step(answer=[f"{name} 60 {qtype} {address}"]))
    stage.permit("ep1", name, annotations={"dns.tidegate.io/allow-private": "true"})
    stage.ask("ep1", name, qtype)
    learned = name in {entry["name"] for entry in stage.agent.get("names")}
    assert learned == (kind == "private")


def _many_jumps(end: bytes, a_record: bytes) -> bytes:
    """The first record's data are 300 pointers, each to the one before it; the second one's owner is the last of them."""
    start = len(end) + 2 + 10
    pointers = b"".join(struct.pack("!H", 0xC000 | at) for at in (12, *range(start, start + 2 * 299, 2)))
    first = b"\xc0\x0c" + struct.pack("!HHIH", 16, 1, 60, len(pointers)) + pointers
    return end + first + struct.pack("!H", 0xC000 | (start + 2 * 299)) + a_record


def _malformed(good: bytes) -> dict[str, bytes]:
    header, question = good[:12], good[12:]
    counts = struct.pack("!HHHH", 1, 1, 0, 0)
    flags = header[:2] + b"\x81\x80"
    end = flags + counts + question[: question.index(b"\0", 0) + 5]
    a_record = struct.pack("!HHIH", 1, 1, 60, 4) + socket.inet_aton("198.51.100.250")
    return {
        "pointer-to-self": end + struct.pack("!H", 0xC000 | len(end)) + a_record,
        "many-jumps": _many_jumps(end, a_record),
        "pointer-forward": end + struct.pack("!H", 0xC000 | (len(end) + 2)) + a_record,
        "long-label": end + b"\x40" + b"a" * 64 + b"\0" + a_record,
        "short-rdata": end + b"\xc0\x0c" + struct.pack("!HHIH", 1, 1, 60, 3) + b"\x01\x02\x03",
        "many-records": flags + struct.pack("!HHHH", 1, 65535, 0, 0) + question[: question.index(b"\0") + 5],
        "header-only": flags + struct.pack("!HHHH", 1, 1, 0, 0),
        "no-question": flags + struct.pack("!HHHH", 0, 1, 0, 0) + b"\0" + a_record,
        "two-questions": flags
        + struct.pack("!HHHH", 2, 1, 0, 0)
        + question[: question.index(b"\0") + 5] * 2
        + a_record,
        "trailing": good + b"garbage" * 20,
        "opcode": good[:2] + b"\xa9\x80" + good[4:],
        "class": end + b"\xc0\x0c" + struct.pack("!HHIH", 1, 3, 60, 4) + socket.inet_aton("198.51.100.250"),
    }


def test_d53_malformed_answers_hurt_nobody(stage: Stage):
    stage.permit("ep1", "*.d53.test")
    kinds = list(_malformed(b"\0" * 12 + b"\1a\0\0\1\0\1"))
    for kind in kinds:
        name = f"{kind}.d53.test"
        step = Step(answer=[f"{name} 60 A 198.51.100.250"], mangle=lambda good, kind=kind: _malformed(good)[kind])
        stage.server.script(name, "A", step)
        with udp_client(stage.lab.pod("ep1").namespace, "10.0.53.53") as client:
            client.settimeout(2)
            client.send(_query(name).pack())
            assert client.recv(65535)
    learned = {entry["name"] for entry in stage.agent.get("names")}
    assert learned.isdisjoint({f"{kind}.d53.test" for kind in kinds if kind != "trailing"})
    assert stage.waiting(ANSWERS) == 0


def test_d53_mutated_answers_hurt_nobody(stage: Stage):
    stage.permit("ep1", "*.d53m.test")
    dice = random.Random(53)

    def mutate(good: bytes) -> list[bytes]:
        packets = []
        for _ in range(100):
            data = bytearray(good)
            for _ in range(dice.randint(1, 8)):
                data[dice.randrange(2, len(data))] = dice.randrange(256)
            packets.append(bytes(data[: dice.randint(12, len(data))]))
        return packets

    answer = ["m.d53m.test 60 CNAME n.d53m.test.", "n.d53m.test 60 A 198.51.100.251"]
    stage.server.script("m.d53m.test", "A", Step(answer=answer, mangle=mutate))
    for _ in range(100):
        with udp_client(stage.lab.pod("ep1").namespace, "10.0.53.53") as client:
            client.settimeout(2)
            client.send(_query("m.d53m.test").pack())
            assert client.recv(65535)
    address = stage.fresh4()
    stage.server.address("after.d53m.test", address)
    stage.resolve("ep1", "after.d53m.test")
    stage.assert_passes("ep1", address)
    assert stage.agent.get("status")["ready"]
    assert stage.waiting(ANSWERS) == 0


@pytest.mark.parametrize("scope", ["endpoint", "node"])
def test_d58_another_endpoints_lookup_opens_nothing(stage: Stage, scope: str):
    address, name = stage.fresh4(), f"d58{scope}.test"
    stage.server.address(name, address)
    annotations = {"dns.tidegate.io/scope": scope}
    stage.permit("ep1", "d58a.test", annotations=annotations)
    stage.permit("ep2", "*.test", annotations=annotations)
    stage.resolve("ep2", name)
    stage.assert_passes("ep2", address)
    stage.assert_denied("ep1", address)
    assert stage.reasons("ep1", address) == ["other-endpoint", "never-resolved"]


@pytest.mark.parametrize("scope", ["endpoint", "node"])
def test_d59_a_shared_name_is_shared_only_where_policy_says_so(stage: Stage, scope: str):
    address, name = stage.fresh4(), f"d59{scope}.test"
    stage.server.address(name, address)
    annotations = {"dns.tidegate.io/scope": scope}
    stage.permit("ep1", name, annotations=annotations)
    stage.permit("ep2", name, annotations=annotations)
    stage.resolve("ep2", name)
    if scope == "node":
        stage.assert_passes("ep1", address)
    else:
        stage.assert_denied("ep1", address)
