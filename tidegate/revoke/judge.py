"""Whether the rules of the moment would let a connection be opened that is open already. Pure.

The rules are those in the kernel, run by `nft.simulate` as for a first packet. Left out are the chains that ask every
packet whatever is established (source check) and those about DNS messages, which are nobody's connection.
"""

from collections.abc import Collection, Mapping
from dataclasses import replace
from ipaddress import ip_address

from nft import matching, simulate
from nft.expr import MidStream
from nft.model import Key, Table
from tidegate.render import RenderSettings
from tidegate.revoke.classes import Classes, statements
from tidegate.revoke.way import LOOPBACK, Way

_BEFORE_NAT = ("host-raw-prerouting", "host-prerouting")
_BEFORE_CONNTRACK = ("host-raw-output",)
_BEHIND = (
    "filter-forward", "filter-delivery", "filter-input", "filter-host", "filter-output",
    "host-input", "host-forward", "host-delivery", "host-output", "host-postrouting",
)  # fmt: skip
_OF_HOSTS = (*_BEFORE_NAT, *_BEFORE_CONNTRACK, *(name for name in _BEHIND if name.startswith("host-")))
_TCP = 6
_NO_REASON = frozenset(("denied", "denied silently", "invalid"))
Server = tuple[bytes, int]
"""Packed address and port."""
MAX_ANSWERS = 65_536
"""Answers kept, by what rules can tell apart. At the bound all are forgotten, and asked for again."""


class Judge:
    """Asks one table. Remembers its answers: to the rules, many connections are the same."""

    def __init__(
        self,
        table: Table,
        settings: RenderSettings,
        learned: Mapping[str, Collection[Key]],
        servers: Collection[Server] = (),
    ) -> None:
        """Makes the table ready.

        Args:
            table: the rules.
            settings: those that it was rendered with.
            learned: the elements of learned sets, by set.
            servers: whom the packet process speaks to, by sockets whose packets have a mark.
        """
        self._servers = frozenset(servers)
        self._simulator = simulate.Simulator(table, learned)
        self._settings = settings
        self._answers: dict[object, str] = {}
        self._classes = Classes(table, learned)
        self._asks_mid_stream = any(isinstance(item, MidStream) for item in statements(table))
        self._has_hosts = any(table.chains[name].rules for name in _OF_HOSTS if name in table.chains)

    def denial(self, way: Way) -> str:
        """Why it would be denied: the comment of the rule that says so; "" where it would be let through."""
        key = self._key(way)
        known = self._answers.get(key)
        if known is None:
            if len(self._answers) >= MAX_ANSWERS:
                self._answers.clear()
            known = self._answers[key] = self._ask(way)
        return known

    def _key(self, way: Way) -> object:
        of_address, of_port = self._classes.of_address, self._classes.of_port
        return (
            len(way.source),
            of_address(way.source),
            of_address(way.destination),
            of_address(way.asked) if self._has_hosts else None,
            way.is_translated,
            way.protocol,
            of_port(way.source_port),
            of_port(way.destination_port),
            of_port(way.asked_port),
            way.icmp,
            way.iif,
            way.oif,
            self._may_be_ours(way),
        )

    def _ask(self, way: Way) -> str:
        """Of a TCP entry nobody knows whether it began with its connection or in the middle: either may be allowed.

        Nor can be told whether the host's own question to a server is the packet process's.
        """
        first = self._settings.repeated_mark
        marks = (first, first | self._settings.agent_mark) if self._may_be_ours(way) else (first,)
        syns = (True, False) if way.protocol == _TCP and self._asks_mid_stream else (True,)
        reasons = (self._run(way, mark, is_syn=is_syn) for mark in marks for is_syn in syns)
        first_reason = next(reasons)
        return first_reason if first_reason and all(reasons) else ""

    def _may_be_ours(self, way: Way) -> bool:
        return not way.iif and (way.destination, way.destination_port) in self._servers

    def _run(self, way: Way, mark: int, *, is_syn: bool) -> str:
        if self._has_hosts:
            before = self._before(way, _packet(way, mark, is_asked=True, is_syn=is_syn))
            if isinstance(before, str):
                return before
            mark = before
        outcome = self._simulator.run(_packet(way, mark, is_syn=is_syn), _hooks(way), only=_BEHIND)
        if outcome.end is simulate.End.ACCEPT and self._has_hosts and (way.iif, way.oif) == ("", LOOPBACK):
            arrived = replace(_packet(way, outcome.mark, is_syn=is_syn), iif=LOOPBACK, oif="")
            outcome = self._simulator.run(arrived, ("input",), only=_BEHIND)
        return _reason(outcome)

    def _before(self, way: Way, packet: matching.Packet) -> str | int:
        """What host endpoints say before conntrack and destination NAT: a denial, or the mark the packet goes on with.

        What they leave untracked has no entry that could be ended; one that is left from before only fades away, so
        it is let be like everything else that is allowed.
        """
        if way.iif:
            outcome = self._simulator.run(packet, ("prerouting",), only=_BEFORE_NAT)
        else:
            outcome = self._simulator.run(packet, ("output",), only=_BEFORE_CONNTRACK)
        return outcome.mark if outcome.end is simulate.End.ACCEPT else _reason(outcome)


def _packet(way: Way, mark: int, *, is_asked: bool = False, is_syn: bool = True) -> matching.Packet:
    """The packet as rules see it, `is_asked` before destination NAT.

    The mark says that it was held once, so that a denial is final and waits for no name.
    """
    kind, code = way.icmp or (None, None)
    return matching.Packet(
        source=ip_address(way.source),
        destination=ip_address(way.asked if is_asked else way.destination),
        protocol=way.protocol,
        source_port=way.source_port,
        destination_port=way.asked_port if is_asked else way.destination_port,
        icmp_type=kind,
        icmp_code=code,
        iif=way.iif,
        oif=way.oif,
        is_translated=way.is_translated,
        is_syn=is_syn,
        mark=mark,
    )


def _hooks(way: Way) -> tuple[str, ...]:
    if not way.iif:
        return ("output", "postrouting")
    return ("forward",) if way.oif else ("input",)


def _reason(outcome: simulate.Outcome) -> str:
    if outcome.end is simulate.End.ACCEPT:
        return ""
    said = [step.comment for step in outcome.trace if step.comment and step.comment not in _NO_REASON]
    return said[-1] if said else "denied"
