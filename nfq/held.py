"""Packets held by the kernel, each of which gets exactly one verdict whatever happens.

A queue hands out a `HeldBatch`. Leaving its `with` block, by whichever way, gives the default verdict to every packet
that nobody decided:

    with queue.receive(64) as batch:
        for packet in batch:
            if is_bad(packet.payload):
                packet.drop()
            elif must_wait(packet.payload):
                holder.keep(packet, now + 1.0)    # nfq.holder: the holder owes the verdict from here on

Undecided packets cost nothing of their own: one batch verdict covers them all. It also covers every other packet with
a lower id (kernel: nfqnl_recv_verdict_batch), so differing verdicts go first, and while any packet is kept beyond its
batch, all verdicts go singly. Nothing here does I/O: a `VerdictSink` carries the verdicts.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import IntEnum
from types import TracebackType
from typing import Final, Protocol, Self, final

from nfq.counters import QueueCounters
from nfq.errors import AlreadyDecidedError

_PAYLOAD_BYTES: Final = 0xFFFF - 4
"""A netlink attribute holds 65535 bytes with its head."""


class Action(IntEnum):
    """What the kernel does with the packet (linux/netfilter.h: NF_DROP, NF_ACCEPT, NF_REPEAT)."""

    DROP = 0
    ACCEPT = 1
    """Goes on behind the base chain that queued it: the chain's remaining rules are skipped."""
    REPEAT = 4
    """Runs the same base chain from its first rule. Without a mark that the rules heed it is queued again for ever."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """An action, and how the packet is changed before it."""

    action: Action
    mark: int | None = None
    """The packet mark that later rules see; `None` leaves it as it is, 0 clears it."""
    payload: bytes | None = None
    """A whole IP packet that replaces the held one; its checksums are the caller's business."""

    def __post_init__(self) -> None:
        """Checked here and not when it is sent: there nobody could be told, and the packet would get no verdict.

        Raises:
            ValueError: a mark of more than 32 bits, or a payload that fits no netlink attribute.
        """
        if self.mark is not None and not 0 <= self.mark <= 0xFFFFFFFF:
            raise ValueError(f"cannot give a packet the mark {self.mark}: it has 32 bits")
        if self.payload is not None and len(self.payload) > _PAYLOAD_BYTES:
            raise ValueError(f"cannot give a packet {len(self.payload)} bytes: at most {_PAYLOAD_BYTES}")


ACCEPT: Final = Verdict(Action.ACCEPT)
DROP: Final = Verdict(Action.DROP)


class VerdictSink(Protocol):
    """Carries verdicts to the kernel."""

    def give(self, single: Sequence[tuple[int, Verdict]], rest: tuple[int, Verdict] | None) -> bool:
        """Sends the verdicts on single ids, in order, then one for all ids up to and including `rest`'s.

        False if they could not be sent; then the binding is dead, and the kernel drops the packets as it closes.
        Never raises: it is called while exceptions are under way.
        """


@final
class Ledger:
    """What one binding of a queue owes the kernel; shared by its batches and by the holders of its packets.

    A packet id means something on one binding only, so packets hold on to the ledger of theirs: a verdict that comes
    after a rebind ends at the dead sink and is counted, and never hits another packet.
    """

    __slots__ = ("counters", "default", "kept", "sink")

    def __init__(self, sink: VerdictSink, default: Verdict, counters: QueueCounters) -> None:
        """Opens the account of one binding.

        Raises:
            ValueError: the default rewrites packets, which a batch verdict cannot do.
        """
        if default.payload is not None:
            raise ValueError("cannot give every packet of a queue the same payload")
        self.sink = sink
        self.default = default
        """The verdict of packets that nobody decides."""
        self.counters = counters
        self.kept = 0
        """Packets now kept beyond their batch. While there are any, a batch verdict could hit them."""

    def settle(self, single: Sequence[tuple[int, Verdict]], rest: tuple[int, Verdict] | None, rest_count: int) -> None:
        """Gives verdicts and counts them; `rest_count` packets are covered by `rest`."""
        counters = self.counters
        if not self.sink.give(single, rest):
            counters.lost_verdicts += len(single) + rest_count
            return
        for _, verdict in single:
            _count(counters, verdict, 1)
        if rest is not None:
            _count(counters, rest[1], rest_count)


def _count(counters: QueueCounters, verdict: Verdict, packets: int) -> None:
    if verdict.action is Action.ACCEPT:
        counters.accepted += packets
    elif verdict.action is Action.DROP:
        counters.dropped += packets
    else:
        counters.repeated += packets
    if verdict.payload is not None:
        counters.rewritten += packets


class Owner(Protocol):
    """Whoever owes the packet's verdict: its batch, later perhaps a holder."""

    def decided(self, packet: "HeldPacket", verdict: Verdict) -> None:
        """Takes note of the packet's one verdict."""

    def yielded(self, packet: "HeldPacket") -> Ledger:
        """Lets go of an undecided packet that another owner takes over."""


@dataclass(frozen=True, slots=True)
class Arrival:
    """How a packet came to the queue; packets of one path share one value."""

    hook: int = 0
    """The netfilter hook: 0 prerouting, 1 input, 2 forward, 3 output, 4 postrouting."""
    mark: int = 0
    in_index: int | None = None
    """Index of the interface it came in by; absent for local output."""
    out_index: int | None = None
    """Index of the interface it goes out by; absent before routing."""


@final
class HeldPacket:
    """One packet in the kernel's hands; decided at most once by its methods, and exactly once in the end."""

    __slots__ = ("_owner", "_verdict", "_whole_bytes", "arrival", "id", "payload")

    def __init__(
        self, owner: Owner, packet_id: int, payload: memoryview, arrival: Arrival, whole_bytes: int | None = None
    ) -> None:
        self._owner = owner
        self._verdict: Verdict | None = None
        self._whole_bytes = whole_bytes
        self.id = packet_id
        """Counts up from 1 on each binding."""
        self.payload = payload
        """The packet from its IP header on, cut to the queue's copy range. Its own memory: it may be kept."""
        self.arrival = arrival

    @property
    def length(self) -> int:
        """Length of the whole packet in bytes, also where `payload` is cut."""
        return len(self.payload) if self._whole_bytes is None else self._whole_bytes

    @property
    def verdict(self) -> Verdict | None:
        """The verdict somebody chose; `None` also where the batch's default was given."""
        return self._verdict

    def decide(self, verdict: Verdict) -> None:
        """Chooses the packet's verdict. In a batch it is sent when the batch ends, else at once.

        Raises:
            AlreadyDecidedError: it has one already.
        """
        if self._verdict is not None:
            raise AlreadyDecidedError(f"cannot decide packet {self.id} again: it has {self._verdict.action.name}")
        self._owner.decided(self, verdict)
        self._verdict = verdict

    def accept(self, *, mark: int | None = None, payload: bytes | None = None) -> None:
        """Lets it go on, with another mark or contents if given. Raises as `decide` does."""
        self.decide(ACCEPT if mark is None and payload is None else Verdict(Action.ACCEPT, mark, payload))

    def drop(self) -> None:
        """Drops it. Raises as `decide` does."""
        self.decide(DROP)

    def repeat(self, mark: int) -> None:
        """Sends it through its base chain once more, with this mark, which must keep the rules from queueing it again.

        Raises as `decide` does.
        """
        self.decide(Verdict(Action.REPEAT, mark))

    def move(self, owner: Owner) -> Ledger:
        """Hands the duty to give a verdict to another owner; the ledger to give it through.

        Raises:
            AlreadyDecidedError: it has a verdict already.
        """
        if self._verdict is not None:
            raise AlreadyDecidedError(f"cannot keep packet {self.id}: it has {self._verdict.action.name}")
        ledger = self._owner.yielded(self)
        self._owner = owner
        return ledger

    def is_owned_by(self, owner: Owner) -> bool:
        """Whether this owner owes the verdict."""
        return self._owner is owner


@final
class HeldBatch:
    """Packets received together; the end of the `with` block decides all that are undecided then, and empties it."""

    __slots__ = ("_closed", "_ledger", "_other", "_packets", "_yielded")

    def __init__(self, packets: list[HeldPacket], ledger: Ledger) -> None:
        """`packets` is filled by the queue, in the order of their ids, before the batch is handed out."""
        self._packets = packets
        self._ledger = ledger
        self._other: list[HeldPacket] = []
        """Packets with a verdict other than the default: they go singly, and first."""
        self._yielded = 0
        self._closed = False

    def __len__(self) -> int:
        return len(self._packets)

    def __iter__(self) -> Iterator[HeldPacket]:
        return iter(self._packets)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Gives every packet its verdict; later calls do nothing. The queue does it too before it reads on."""
        if self._closed:
            return
        self._closed = True
        ledger, packets = self._ledger, self._packets
        default = ledger.default
        single = [(packet.id, packet.verdict or default) for packet in self._other]
        rest_count = len(packets) - len(single) - self._yielded
        if ledger.kept:
            other = {packet_id for packet_id, _ in single}
            single += [(p.id, default) for p in packets if p.is_owned_by(self) and p.id not in other]
            ledger.settle(single, None, 0)
        elif packets:
            ledger.settle(single, (packets[-1].id, default) if rest_count else None, rest_count)
        # Packets know their batch. Without this they and it would keep each other, and the collector, which could
        # tell, is off where packets are handled.
        self._packets, self._other = [], []

    def decided(self, packet: HeldPacket, verdict: Verdict) -> None:
        """Notes a verdict, for `HeldPacket` alone to call.

        Raises:
            AlreadyDecidedError: the batch has ended, so the packet got the default.
        """
        if self._closed:
            raise AlreadyDecidedError(f"cannot decide packet {packet.id}: its batch has ended")
        if verdict is not self._ledger.default:
            self._other.append(packet)

    def yielded(self, packet: HeldPacket) -> Ledger:
        """Lets a packet go to another owner, for `HeldPacket` alone to call.

        Raises:
            AlreadyDecidedError: the batch has ended, so the packet got the default.
        """
        if self._closed:
            raise AlreadyDecidedError(f"cannot keep packet {packet.id}: its batch has ended")
        self._yielded += 1
        self._ledger.kept += 1
        self._ledger.counters.kept += 1
        return self._ledger
