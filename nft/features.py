"""What this kernel can do, found out by trying.

Kernels differ by version and by configuration, and distributions change both, so nobody here looks at version numbers:
a throw-away network namespace gets a table, and each expression is tried in it. Takes some 0.1 s, at most one.

    features = features.probe()
    TableSync(..., features=features)
"""

import ctypes
import os
import struct
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields

from netlink import message
from netlink.transport import NetlinkSocket
from nft import batch, compat, wire
from nft.elements import Change, ElementWriter, Operation
from nft.errors import NftError
from nft.expr import Queue
from nft.transport import KernelTransport

_CLONE_NEWNET = 0x40000000
_TABLE = "probe"
_LIMIT_SECONDS = 10.0
"""A probe takes 0.1 s; one that takes this long hangs in the kernel, and starting without it would be guessing."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Features:
    """What the kernel of this host understands. The names are those that tests ask for by `needs`."""

    kernel_release: str
    native_queue: bool
    """The expression `queue` (CONFIG_NFT_QUEUE)."""
    compat_queue: bool
    """The NFQUEUE target of iptables through the expression `target` (CONFIG_NFT_COMPAT, xt_NFQUEUE)."""
    nfnetlink_queue: bool
    """User space may bind to queues. Without it packets cannot be held, whatever the rules say."""
    nfnetlink_log: bool
    """User space may bind to log groups."""
    log_group: bool
    """The statement `log group`."""
    conntrack: bool
    """The expression `ct`."""
    notrack: bool
    fib: bool
    """Reverse path checks in the `inet` family."""
    dynamic_sets: bool
    """Rules may add to sets, with a rate limit in each element."""
    limit: bool
    reject: bool
    socket_transparent: bool
    """The expression `socket` knows transparent sockets."""
    tproxy: bool
    """The statement `tproxy`: connections to others can be handed to a socket here."""
    element_timeouts: bool
    element_expiration: bool
    """A new element may be given less time than its timeout."""
    readd_refreshes: bool
    """Adding an element that is there, with an expiration, sets the time left to it (since 6.12)."""
    destroy_element: bool
    """A deletion that does not mind if the element is absent (since 6.3)."""
    concatenated_intervals: bool
    """Sets of several fields with ranges in them (pipapo)."""

    @property
    def interception(self) -> bool:
        """Connections of workloads to others can be taken over, with the addresses they have."""
        return self.tproxy and self.socket_transparent

    @property
    def queue(self) -> bool:
        """Packets can be held: rules can hand them over, in one encoding or the other, and somebody can take them."""
        return self.nfnetlink_queue and (self.native_queue or self.compat_queue)

    def has(self, name: str) -> bool:
        """Whether the feature of that name is there.

        Raises:
            LookupError: there is no such feature.
        """
        value = getattr(self, name, None)
        if value is not True and value is not False:
            raise LookupError(f"cannot tell about {name!r}: no such kernel feature is probed")
        return value is True

    @property
    def absent(self) -> tuple[str, ...]:
        """The names of what this kernel lacks, sorted."""
        return tuple(sorted(each.name for each in fields(self) if getattr(self, each.name) is False))


_RULES: Mapping[str, str] = {
    "log_group": "log group 3 queue-threshold 1",
    "conntrack": "ct state established accept",
    "fib": "fib saddr . mark . iif oif missing drop",
    "limit": "limit rate 5/second accept",
    "reject": "reject with tcp reset",
    "dynamic_sets": "update @rates { ip saddr limit rate 5/second } accept",
    "notrack": "notrack",
    "socket_transparent": "socket transparent 1 accept",
    "tproxy": "meta l4proto tcp tproxy ip to 127.0.0.1:53",
}
_IN_PREROUTING = frozenset({"notrack", "socket_transparent", "tproxy"})
"""Loads only into a chain that hangs there."""
_SETS: Mapping[str, str] = {
    "element_timeouts": "add set inet probe times { type ipv4_addr; flags timeout; }",
    "concatenated_intervals": "add set inet probe ranges { type ifname . ipv4_addr; flags interval; }",
}
_PREPARE = """
add table inet probe
add chain inet probe tries
add chain inet probe raw { type filter hook prerouting priority -300; }
"""


def probe() -> Features:
    """Tries everything in a network namespace of its own, which is gone afterwards.

    Raises:
        NftError: no namespace can be made (not root), or it has no nf_tables.
    """
    outcome: list[Features | NftError] = []
    thread = threading.Thread(target=lambda: outcome.append(_in_namespace()), name="feature probe", daemon=True)
    thread.start()
    thread.join(_LIMIT_SECONDS)
    if not outcome:
        raise NftError(0, "probe", "the kernel", f"no result after {_LIMIT_SECONDS:.0f} s")
    if isinstance(outcome[0], NftError):
        raise outcome[0]
    return outcome[0]


def _in_namespace() -> Features | NftError:
    """Runs in a thread of its own, because a namespace is a property of a thread."""
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.unshare(_CLONE_NEWNET):
        errno = ctypes.get_errno()
        return NftError(errno, "make", "a network namespace for the probe", os.strerror(errno))
    try:
        return _probe()
    except NftError as error:
        return error
    except OSError as error:
        return NftError(error.errno or 0, "probe", "the kernel", str(error))


def _probe() -> Features:
    transport, link, elements = KernelTransport(), NetlinkSocket(), ElementWriter(_TABLE)
    try:
        transport.run(_PREPARE)
        found = {name: _accepts(transport, script) for name, script in _SETS.items()}
        _accepts(transport, "add set inet probe rates { type ipv4_addr; flags dynamic,timeout; timeout 1m; size 16; }")
        for name, rule in _RULES.items():
            chain = "raw" if name in _IN_PREROUTING else "tries"
            found[name] = _accepts(transport, f"add rule inet probe {chain} {rule}")
        found |= _queues(link)
        found |= _timeouts(elements, found["element_timeouts"])
        found["destroy_element"] = _works(lambda: _destroy(link))
        return Features(kernel_release=os.uname().release, **found)
    finally:
        elements.close()
        link.close()


def _works(attempt: Callable[[], None]) -> bool:
    try:
        attempt()
    except (NftError, OSError):
        return False
    return True


def _accepts(transport: KernelTransport, script: str) -> bool:
    return _works(lambda: transport.run(script))


def _queues(link: NetlinkSocket) -> dict[str, bool]:
    def write(*, native: bool) -> None:
        compat.write_queue_rule(link, _TABLE, "tries", Queue(1, bypass=True), native=native)

    return {
        "native_queue": _works(lambda: write(native=True)),
        "compat_queue": _works(lambda: write(native=False)),
        "nfnetlink_queue": _works(lambda: _bind(message.NFNL_SUBSYS_QUEUE, _QUEUE_BIND)),
        "nfnetlink_log": _works(lambda: _bind(message.NFNL_SUBSYS_ULOG, _LOG_BIND)),
    }


_CONFIG = {message.NFNL_SUBSYS_QUEUE: 2, message.NFNL_SUBSYS_ULOG: 1}
"""NFQNL_MSG_CONFIG and NFULNL_MSG_CONFIG."""
_QUEUE_BIND = message.attribute(1, struct.pack("!BxH", 1, 2))
"""NFQA_CFG_CMD: struct nfqnl_msg_config_cmd {bind, family IPv4}."""
_LOG_BIND = message.attribute(1, b"\1")
"""NFULA_CFG_CMD: struct nfulnl_msg_config_cmd {bind}."""


def _bind(subsystem: int, command: bytes) -> None:
    """Binds number 1 on a socket of its own, whose end gives it back."""
    link = NetlinkSocket()
    try:
        sequence = link.next_sequence()
        flags = message.NLM_F_REQUEST | message.NLM_F_ACK
        link.request(message.nf_message(subsystem, _CONFIG[subsystem], flags, sequence, 0, command, 1), sequence)
    finally:
        link.close()


def _timeouts(elements: ElementWriter, has_timeouts: bool) -> dict[str, bool]:  # noqa: FBT001
    """Whether a new element, and one that is added again, take the time left that they are given."""
    if not has_timeouts:
        return {"element_expiration": False, "readd_refreshes": False}
    key, minute, second = b"\x0a\0\0\1", 60_000, 1_000
    expiration = _works(lambda: elements.write([Change(Operation.ADD, "times", key, minute, second)]))
    expiration = expiration and 0 < elements.read("times")[0].remaining_ms <= second
    again = _works(lambda: elements.write([Change(Operation.ADD, "times", key, minute, minute)]))
    refreshed = again and elements.read("times")[0].remaining_ms > second
    return {"element_expiration": expiration, "readd_refreshes": expiration and refreshed}


def _destroy(link: NetlinkSocket) -> None:
    key = message.nested(wire.NFTA_SET_ELEM_KEY, message.attribute(wire.NFTA_DATA_VALUE, b"\x0a\0\0\2"))
    payload = (
        message.text(wire.NFTA_ELEM_LIST_TABLE, _TABLE)
        + message.text(wire.NFTA_ELEM_LIST_SET, "times")
        + message.nested(wire.NFTA_ELEM_LIST_ELEMENTS, message.nested(wire.NFTA_LIST_ELEM, key))
    )
    batch.commit(link, [batch.Command(wire.DESTROYSETELEM, 0, payload)], "destroy", "an element")
