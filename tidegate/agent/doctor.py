"""What stands between this machine and a working agent: one finding for each thing that matters, with its mend.

Nothing is changed. The kernel's features are tried in a network namespace of their own, which vanishes afterwards.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any

from nfq.queue_table import KernelQueue
from nft.errors import NftError
from nft.features import probe
from nft.transport import KernelTransport
from tidegate.agent import machine, stored_servers
from tidegate.agent.machine import Machine
from tidegate.config.settings import Settings
from tidegate.sync.mode import choose_mode, encodings, without
from tidegate.sync.resolvers import RESOLV_CONF, look_up


class Verdict(StrEnum):
    """How bad it is."""

    GOOD = "good"
    WARNING = "warning"
    """It works, but not as well, or only while somebody else behaves."""
    BAD = "bad"
    """The agent cannot do its job."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was looked at."""

    name: str
    verdict: Verdict
    finding: str
    mend: str = ""
    """What to do about it."""


TABLE = "tidegate"

Check = Callable[[], Iterable[Finding]]


def checks(here: Machine, settings: Settings) -> Mapping[str, Check]:
    """Everything, by what it looks at."""
    return {
        "privileges": lambda: [privileges(here)],
        "kernel": lambda: kernel(settings),
        "tables": tables,
        "queues": lambda: queues(here, settings),
        "query log": lambda: [query_log(here, settings)],
        "connection tracking": lambda: [connection_tracking(here)],
        "forwarding": lambda: forwarding(here),
        "legacy iptables": lambda: legacy_tables(here),
        "bridges": lambda: bridges(here),
        "trusted servers": lambda: trusted_servers(settings, here.root / RESOLV_CONF.relative_to("/")),
        "directories": lambda: directories(settings),
    }


def privileges(here: Machine) -> Finding:
    """Tables and queues need CAP_NET_ADMIN, the spare namespace of the probe CAP_SYS_ADMIN."""
    have = here.capabilities()
    wanted = (machine.CAP_NET_ADMIN, machine.CAP_NET_RAW, machine.CAP_SYS_ADMIN)
    missing = [machine.CAPABILITY_NAMES[number] for number in wanted if number not in have]
    if not missing:
        return Finding("privileges", Verdict.GOOD, "all that are needed")
    verdict = Verdict.BAD if "CAP_NET_ADMIN" in missing else Verdict.WARNING
    return Finding("privileges", verdict, f"missing: {', '.join(missing)}", "run as root, or grant them to the unit")


def kernel(settings: Settings) -> Iterator[Finding]:
    """What the kernel can do, tried out; takes up to a second."""
    try:
        found = without(probe(), settings.debug_missing_features)
    except NftError as error:
        yield Finding("kernel", Verdict.BAD, str(error), "run as root, on a kernel with nf_tables (5.10 or newer)")
        return
    told = ", ".join(f"{name}: {value}" for name, value in encodings(found).items())
    yield Finding("kernel", Verdict.GOOD, f"Linux {found.kernel_release}; {told}")
    mode = choose_mode(settings.dns_policy_mode, found)
    if not mode.is_as_wanted:
        mend = "modprobe nft_queue nfnetlink_queue, or nft_compat xt_NFQUEUE"
        yield Finding(
            "DNS policy mode", Verdict.WARNING, f"{mode.in_force} instead of {mode.wanted}: {mode.reason}", mend
        )
    for name in sorted(_NEEDED.keys() & set(found.absent)):
        yield Finding(f"kernel feature {name}", Verdict.BAD, "missing", f"modprobe {_NEEDED[name]}")


_NEEDED = {
    "conntrack": "nft_ct nf_conntrack",
    "fib": "nft_fib_inet",
    "log_group": "nft_log nfnetlink_log",
    "nfnetlink_log": "nfnetlink_log",
    "limit": "nft_limit",
    "dynamic_sets": "nf_tables_set",
    "element_timeouts": "nf_tables_set",
    "reject": "nft_reject_inet",
}
"""Features without which our table cannot be loaded or nothing can be learned, and the modules that bring them."""


def tables() -> Iterator[Finding]:
    """Whether ours is there, and what others do with the same packets."""
    try:
        transport = KernelTransport()
        listing = [*transport.listing("list chains"), *transport.listing("list tables")]
    except NftError as error:
        yield Finding("tables", Verdict.BAD, str(error), "run as root")
        return
    is_there = any(each.get("table", {}).get("name") == TABLE for each in listing)
    yield Finding("own table", Verdict.GOOD, "in force" if is_there else "not there: no agent has run here")
    yield from other_chains(listing, TABLE)


def queues(here: Machine, settings: Settings) -> Iterator[Finding]:
    """Our queue numbers must not be somebody else's."""
    known = here.queues()
    if known is None:
        mend = "load nfnetlink_queue, or set dnsPolicyMode: NoDelay"
        yield Finding("queues", Verdict.BAD, "the kernel has no NFQUEUE: answers and packets cannot be held", mend)
        return
    for name, number in (
        ("dnsPacketsNfqueueID", settings.dns_packets_nfqueue_id),
        ("dnsPolicyNfqueueID", settings.dns_policy_nfqueue_id),
    ):
        yield _queue(name, number, known.get(number))


def _queue(name: str, number: int, state: KernelQueue | None) -> Finding:
    what = f"queue {number}"
    if state is None:
        return Finding(what, Verdict.GOOD, "free")
    told = f"has a listener (port {state.port}), {state.waiting} waiting"
    lost = state.dropped + state.undelivered
    if lost:
        return Finding(what, Verdict.WARNING, f"{told}, {lost} lost since it began", "see `tidegate status`")
    return Finding(what, Verdict.GOOD, told, f"if it is not Tidegate's, set {name} to another number")


def query_log(here: Machine, settings: Settings) -> Finding:
    """The group of the query log must exist and be ours."""
    group = settings.dns_query_log_group
    groups = here.logged_groups()
    if groups is None:
        return Finding(
            "query log", Verdict.BAD, "the kernel has no NFLOG: queries cannot be seen", "load nfnetlink_log"
        )
    if group in groups:
        mend = "if it is not Tidegate's, set dnsQueryLogGroup to another number"
        return Finding("query log", Verdict.GOOD, f"group {group} has a listener", mend)
    return Finding("query log", Verdict.GOOD, f"group {group} is free")


def connection_tracking(here: Machine) -> Finding:
    """Established connections are recognised by conntrack; a full table drops new ones."""
    most = here.number("proc/sys/net/netfilter/nf_conntrack_max")
    count = here.number("proc/sys/net/netfilter/nf_conntrack_count")
    if most is None or count is None:
        return Finding("connection tracking", Verdict.BAD, "the kernel has no conntrack", "load nf_conntrack")
    told = f"{count} of {most} entries"
    if count * 10 > most * 8:
        return Finding("connection tracking", Verdict.WARNING, told, "raise net.netfilter.nf_conntrack_max")
    return Finding("connection tracking", Verdict.GOOD, told)


def forwarding(here: Machine) -> Iterator[Finding]:
    """A node that does not forward has no traffic to filter."""
    for name, path in (
        ("IPv4 forwarding", "proc/sys/net/ipv4/ip_forward"),
        ("IPv6 forwarding", "proc/sys/net/ipv6/conf/all/forwarding"),
    ):
        if here.number(path) == 1:
            yield Finding(name, Verdict.GOOD, "on")
        else:
            yield Finding(
                name, Verdict.WARNING, "off: workloads reach nothing beyond this host", f"sysctl -w {_key(path)}=1"
            )


def _key(path: str) -> str:
    return path.removeprefix("proc/sys/").replace("/", ".")


def legacy_tables(here: Machine) -> Iterator[Finding]:
    """Rules of the legacy iptables see packets as well, and may drop what we accept."""
    names = [*here.text("proc/net/ip_tables_names").split(), *here.text("proc/net/ip6_tables_names").split()]
    if names:
        told = f"tables in use: {', '.join(dict.fromkeys(names))}"
        yield Finding("legacy iptables", Verdict.WARNING, told, "move them to nftables, or see that they do not drop")
    else:
        yield Finding("legacy iptables", Verdict.GOOD, "not in use")


def bridges(here: Machine) -> Iterator[Finding]:
    """Traffic between two workloads on one bridge passes our chains only if the bridge hands it up."""
    state = here.number("proc/sys/net/bridge/bridge-nf-call-iptables")
    if state == 0:
        mend = "sysctl -w net.bridge.bridge-nf-call-iptables=1, or give workloads links of their own"
        told = "bridges do not hand packets up: workloads on one bridge reach each other unseen"
        yield Finding("bridges", Verdict.WARNING, told, mend)
    else:
        yield Finding(
            "bridges", Verdict.GOOD, "no filtering on bridges" if state is None else "bridges hand packets up"
        )


def trusted_servers(settings: Settings, resolv_conf: Path) -> Iterator[Finding]:
    """Without a trusted server nothing is ever learned."""
    found = look_up(settings.dns_trusted_servers, stored_servers.read(settings.state), resolv_conf)
    for name, reason in found.unresolved:
        yield Finding("trusted servers", Verdict.WARNING, f"{name}: {reason}", "name addresses in dnsTrustedServers")
    loopback = [str(server.address) for server in found.servers if server.address.is_loopback]
    if loopback:
        told = f"{', '.join(loopback)} is this host's own resolver, which workloads cannot ask"
        yield Finding(
            "trusted servers", Verdict.WARNING, told, "name the servers that workloads use in dnsTrustedServers"
        )
    elif found.servers:
        told = ", ".join(str(server.address) for server in found.servers)
        yield Finding("trusted servers", Verdict.GOOD, told)
    else:
        yield Finding("trusted servers", Verdict.BAD, "none: no name can be learned", "set dnsTrustedServers")


def directories(settings: Settings) -> Iterator[Finding]:
    """State must survive, and policy must be readable."""
    if settings.resources is not None:
        is_there = settings.resources.is_dir()
        told = f"{settings.resources} {'is there' if is_there else 'is no directory'}"
        yield Finding("resources", Verdict.GOOD if is_there else Verdict.BAD, told)
    if settings.kubeconfig is not None:
        is_there = settings.kubeconfig.is_file()
        told = f"{settings.kubeconfig} {'is there' if is_there else 'is no file'}"
        yield Finding("kubeconfig", Verdict.GOOD if is_there else Verdict.BAD, told)
    for name, path in (("state", settings.state), ("socket", settings.socket and settings.socket.parent)):
        if path is not None:
            yield _writable(name, path)


def _writable(name: str, path: Path) -> Finding:
    standing = next(parent for parent in (path, *path.absolute().parents) if parent.exists())
    stat = standing.stat()
    if standing.is_dir() and stat.st_mode & 0o222:
        return Finding(name, Verdict.GOOD, f"{path} {'is there' if standing == path else 'will be made'}")
    return Finding(name, Verdict.BAD, f"{standing} is not writable", "choose another directory")


def other_chains(listing: Sequence[Mapping[str, Any]], own_table: str) -> Iterator[Finding]:
    """Base chains of other programs that see workloads' packets and drop what they do not know.

    `listing` is that of `list chains`, as libnftables-json(5) has it.
    """
    dropping = [
        f"{chain['family']} {chain['table']} {chain['name']} ({chain['hook']})"
        for chain in (each["chain"] for each in listing if "chain" in each)
        if chain.get("hook") in ("forward", "prerouting", "postrouting")
        and chain.get("policy") == "drop"
        and (chain["family"], chain["table"]) != ("inet", own_table)
    ]
    if dropping:
        told = f"drop by default: {', '.join(dropping)}"
        yield Finding("other tables", Verdict.WARNING, told, "see that they accept what policy allows")
    else:
        yield Finding("other tables", Verdict.GOOD, "none drops by default")
