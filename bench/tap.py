"""What it costs the packet process to tell of questions and answers: judging with nobody listening and with somebody.

    python -m bench.tap

One process, no kernel; microseconds for a question with its answer of two addresses, which are open already. The best
of several rounds: what else the machine does only adds.
"""

import time
from ipaddress import ip_address

import dnslib

from dnsagent.desk import SIGHTINGS, shown
from dnsagent.learn import Learner, Packet
from dnsagent.link import frame
from dnsagent.plan import make_plan
from dnsagent.snapshot import Snapshot, SnapshotEndpoint, SnapshotRule, TrustedServer
from reconcile.instant import Instant

PAIRS = 4_000
ROUNDS = 7
CLIENT, SERVER = ip_address("10.0.1.2"), ip_address("10.0.53.53")


def learner() -> Learner:
    rule = SnapshotRule(
        id="r", patterns=("*.test",), set4="d4", set6="d6", ttl_floor_seconds=10, ttl_ceiling_seconds=86400,
        extra_ttl_seconds=0,
    )  # fmt: skip
    endpoint = SnapshotEndpoint(id="ep", interface_name="cali0", addresses=(CLIENT,), rules=("r",))
    servers = (TrustedServer(address=SERVER),)
    return Learner(
        make_plan(
            Snapshot(generation=1, table="t", trusted_servers=servers, endpoints={"ep": endpoint}, rules={"r": rule})
        )
    )


def messages() -> list[tuple[Packet, Packet]]:
    found = []
    for number in range(PAIRS):
        question = dnslib.DNSRecord.question(f"n{number % 50}.shop.test")
        question.header.id = number
        reply = question.reply()
        for last in (1, 2):
            reply.add_answer(dnslib.RR(question.q.qname, ttl=60, rdata=dnslib.A(f"198.51.100.{last}")))
        found.append(
            (
                Packet(CLIENT.packed, 40_000, SERVER.packed, 53, bytes(question.pack())),
                Packet(CLIENT.packed, 40_000, SERVER.packed, 53, bytes(reply.pack())),
            )
        )
    return found


def judged(subject: Learner, pairs: list[tuple[Packet, Packet]]) -> float:
    """Microseconds for each pair."""
    now = Instant(1000.0)
    begin = time.perf_counter()
    for asked, told in pairs:
        subject.note_query(asked, now)
        subject.commit(subject.judge(told, now))
    return (time.perf_counter() - begin) / len(pairs) * 1e6


def fetched(subject: Learner) -> float:
    """Microseconds for each question or answer, written as the control process gets it."""
    tap, after, count = subject.tap, 0, 0
    begin = time.perf_counter()
    while True:
        found, after = tap.fetch(after, SIGHTINGS, Instant(1000.0))
        if not found:
            return (time.perf_counter() - begin) / count * 1e6
        frame({"sightings": [shown(each) for each in found]})
        count += len(found)


def main() -> None:
    pairs = messages()
    off, on, fetch = [], [], []
    for _ in range(ROUNDS):
        off.append(judged(learner(), pairs))
        listening = learner()
        listening.tap.fetch(0, 1, Instant(1000.0))
        on.append(judged(listening, pairs))
        fetch.append(fetched(listening))
    print(f"a question and its answer: {min(off):.2f} us unheard, {min(on):.2f} us heard (+{min(on) - min(off):.2f})")
    print(f"to hand one of them over: {min(fetch):.2f} us")


if __name__ == "__main__":
    main()
