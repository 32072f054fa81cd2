"""A node's links, rules and routes, as a tunnel needs them: reads what is there, changes what differs. Blocks.

    host = Host()
    host.create_link("wireguard.cali")      False: this kernel has no WireGuard, a program must make the device
    host.apply(routing)                     device up, address, routes; the rule last, when all that it needs is there
    host.remove(routing)                    the rule first; then the routes

It acts in the network namespace in which its socket was opened. The table is the tunnel's own: what else is found
there is taken out.
"""

import errno
from collections.abc import Iterator
from dataclasses import replace
from types import TracebackType
from typing import Self, final

from netlink import message
from netlink.transport import NetlinkSocket
from wg import rtnetlink as words
from wg.errors import WireGuardError
from wg.routing import Route, RouteKind, Routing, differences

_NETLINK_ROUTE = 0
_NEW = message.NLM_F_CREATE | message.NLM_F_EXCL
_NO_SUCH_KIND = frozenset((errno.EOPNOTSUPP, errno.ENODEV))


@final
class Host:
    """Owns one netlink socket."""

    def __init__(self) -> None:
        """Opens it.

        Raises:
            WireGuardError: not allowed.
        """
        try:
            self._netlink = NetlinkSocket(_NETLINK_ROUTE, receive_buffer_bytes=1 << 20)
        except OSError as error:
            raise WireGuardError("open", "the routing tables", error.errno or 0) from error

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Closes the socket. Safe to call twice."""
        self._netlink.close()

    def create_link(self, name: str) -> bool:
        """Makes a device of the kernel's own WireGuard, if there is none of that name; False where it has none.

        Raises:
            WireGuardError: the kernel refused for another reason.
        """
        code = self._request(words.NEW_LINK, words.create_link(name), _NEW)
        if code in _NO_SUCH_KIND:
            return False
        if code not in (0, errno.EEXIST):
            raise WireGuardError("make", name, code)
        return True

    def delete_link(self, name: str) -> None:
        """Deletes the device, and with it its routes and addresses; nothing happens where there is none.

        Raises:
            WireGuardError: the kernel refused.
        """
        self._change("delete", name, words.DELETE_LINK, words.named_link(name), tolerated=(errno.ENODEV,))

    def link(self, name: str) -> words.Link | None:
        """The device; None where there is none.

        Raises:
            WireGuardError: the kernel refused.
        """
        try:
            for payload in self._ask(words.GET_LINK, words.named_link(name), words.NEW_LINK, message.NLM_F_ACK):
                return words.read_link(payload)
        except OSError as error:
            if error.errno != errno.ENODEV:
                raise WireGuardError("read", name, error.errno or 0) from error
        return None

    def raise_link(self, routing: Routing) -> int:
        """Has the device up, with its MTU; whether that took a change, as a number.

        Raises:
            WireGuardError: ENODEV, the device is not there; otherwise what the kernel refused with.
        """
        link = self._link(routing)
        if link.is_up and link.mtu == routing.mtu:
            return 0
        self._change("raise", routing.interface, words.NEW_LINK, words.raise_link(link.index, routing.mtu))
        return 1

    def apply(self, routing: Routing, known: frozenset[Route] | None = None) -> int:
        """Brings device, address, routes and rule to what is wanted; how many changes that took.

        `known` are the table's routes as the last call left them; None has them read, which takes 10 us each.

        Raises:
            WireGuardError: ENODEV, the device is not there; otherwise what the kernel refused with.
        """
        changes = self.raise_link(routing)
        link = self._link(routing)
        # Before the routes: with its last IPv4 address a device loses those as well (kernel: fib_disable_ip).
        changes += self._addresses(routing, link.index)
        changes += self._routes(routing, link.index, None if changes else known)
        return changes + self._rule(routing, is_wanted=True)

    def close_ways(self, routing: Routing) -> None:
        """Routes and rule as far as they need no device: what is unreachable without a tunnel is so from now on.

        Raises:
            WireGuardError: the kernel refused.
        """
        without = frozenset(route for route in routing.routes if route.kind is not RouteKind.TUNNEL)
        self._routes(replace(routing, routes=without), 0)
        self._rule(routing, is_wanted=True)

    def remove(self, routing: Routing) -> None:
        """Takes out rule and routes; the device stays, and nothing goes through it.

        Raises:
            WireGuardError: the kernel refused.
        """
        self._rule(routing, is_wanted=False)
        for route in self.routes(routing):
            self._delete_route(route, routing)

    def routes(self, routing: Routing) -> frozenset[Route]:
        """What is in the tunnel's table.

        Raises:
            WireGuardError: the kernel refused.
        """
        link = self.link(routing.interface)
        index = link.index if link is not None else 0
        found = self._listing("routes", words.GET_ROUTE, words.all_routes(routing.version), words.NEW_ROUTE)
        return frozenset(
            item for payload in found if (item := words.read_route(payload, routing.table, index)) is not None
        )

    def _link(self, routing: Routing) -> words.Link:
        link = self.link(routing.interface)
        if link is None:
            raise WireGuardError("route into", routing.interface, errno.ENODEV)
        return link

    def _addresses(self, routing: Routing, index: int) -> int:
        found = self._listing("addresses", words.GET_ADDRESS, words.all_addresses(routing.version), words.NEW_ADDRESS)
        mine = {own for owner, _, own in map(words.read_address, found) if owner == index and not own.is_link_local}
        wanted = {routing.address} if routing.address is not None else set()
        for own in wanted - mine:
            request = words.address(index, own)
            self._change("address", routing.interface, words.NEW_ADDRESS, request, _NEW, (errno.EEXIST,))
        for own in mine - wanted:
            request = words.address(index, own)
            self._change("address", routing.interface, words.DELETE_ADDRESS, request, 0, (errno.EADDRNOTAVAIL,))
        return len(wanted ^ mine)

    def _routes(self, routing: Routing, index: int, known: frozenset[Route] | None = None) -> int:
        added, removed = differences(routing.routes, self.routes(routing) if known is None else known)
        for route in added:
            request = words.route(route, routing.table, index)
            subject = f"{route.network} into {routing.interface}"
            self._change("route", subject, words.NEW_ROUTE, request, _NEW, (errno.EEXIST,))
        for route in removed:
            self._delete_route(route, routing)
        return len(added) + len(removed)

    def _delete_route(self, route: Route, routing: Routing) -> None:
        link = self.link(routing.interface)
        if link is None and route.kind is RouteKind.TUNNEL:
            return  # it went with its device
        request = words.route(route, routing.table, link.index if link is not None else 0)
        subject = f"the route of {route.network} in table {routing.table}"
        self._change("delete", subject, words.DELETE_ROUTE, request, 0, (errno.ESRCH,))

    def _rule(self, routing: Routing, *, is_wanted: bool) -> int:
        found = self._listing("rules", words.GET_RULE, words.all_rules(routing.version), words.NEW_RULE)
        mine = {item for item in map(words.read_rule, found) if item.table == routing.table}
        wanted = {words.wanted_rule(routing)} if is_wanted else set()
        subject = f"the rule for table {routing.table}"
        for item in wanted - mine:
            request = words.rule(item, routing.version)
            self._change("set", subject, words.NEW_RULE, request, _NEW, (errno.EEXIST,))
        for item in mine - wanted:
            request = words.rule(item, routing.version)
            self._change("delete", subject, words.DELETE_RULE, request, 0, (errno.ENOENT,))
        return len(wanted ^ mine)

    def _listing(self, what: str, kind: int, request: bytes, answer: int) -> list[memoryview]:
        try:
            return list(self._ask(kind, request, answer, message.NLM_F_DUMP))
        except OSError as error:
            if error.errno == errno.EAFNOSUPPORT:
                return []  # a kernel without that version of IP
            raise WireGuardError("read", f"the {what}", error.errno or 0) from error

    def _ask(self, kind: int, request: bytes, answer: int, flags: int) -> Iterator[memoryview]:
        sequence = self._netlink.next_sequence()
        data = message.message(kind, message.NLM_F_REQUEST | flags, sequence, request)
        # Read to the end before the first is used: the next question would meet the rest of this answer.
        return iter([_kept(reply) for reply in self._netlink.dump(data, sequence) if reply.type == answer])

    def _change(
        self, operation: str, subject: str, kind: int, request: bytes, flags: int = 0, tolerated: tuple[int, ...] = ()
    ) -> None:
        code = self._request(kind, request, flags)
        if code and code not in tolerated:
            raise WireGuardError(operation, subject, code)

    def _request(self, kind: int, request: bytes, flags: int) -> int:
        sequence = self._netlink.next_sequence()
        wanted = message.NLM_F_REQUEST | message.NLM_F_ACK | flags
        try:
            self._netlink.request(message.message(kind, wanted, sequence, request), sequence)
        except OSError as error:
            return error.errno or errno.EIO
        return 0


def _kept(reply: message.Message) -> memoryview:
    """A payload that outlives the buffer it came in."""
    return memoryview(bytes(reply.payload))
