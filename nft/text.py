"""The table in nft(8)'s words: canonical text of statements, rules, chains, sets and elements.

Pure and deterministic: equal values give equal text, so a hash of the text says whether two chains are the same. The
dialect is that of nft 1.0.6 and newer. Each rule's comment ends with a tag, `chain hash:number`, by which a restarted
agent knows its own chains without parsing expressions. nft 1.0.6 wants a newline or `;` before `}`.
"""

import hashlib
import re
from collections.abc import Iterable
from functools import lru_cache
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network
from typing import assert_never

from nft import expr
from nft.model import Chain, Key, Rule, Set, VerdictMapping

MAX_COMMENT_BYTES = 128
"""The kernel keeps more, nft(8) does not (NFTNL_UDATA_COMMENT_MAXLEN)."""
_TAG_BYTES = 26
"""` #` + 16 hex digits + `:` + up to 7 digits."""
_TAG_ROOM = MAX_COMMENT_BYTES - _TAG_BYTES
_NAME = re.compile(r"[a-z][a-z0-9_.-]{0,120}")
_UNSPEAKABLE = re.compile(r'["\x00-\x1f\x7f]')
"""What cannot stand between quotes: nft has no escapes, and a line is a command (`nft.blame`)."""
_KEYWORDS = frozenset(
    """
    accept add ah all and arp auto-merge bridge cgroup chain comment comp constant continue counter cpu create ct
    day dccp define delete describe destroy device devices dnat drop dst dup dynamic ecn element elements eq esp
    ether exists expires export exthdr fib flags flow flowtable flush frag fwd gc-interval ge get goto gt handle hbh
    hook hour ibriport ibrname icmp icmpv6 igmp iif iifgroup iifname iiftype import include index inet inner insert
    interval ip ip6 ipsec jhash jump last le limit list ll log lshift lt map mark masquerade meta meter mh missing
    monitor ne netdev nftrace nh not notrack numgen obriport obrname offload oif oifgroup oifname oiftype or osf
    pkttype policy position priority queue quota random redefine redirect reject rename replace reset return rt rt0
    rt2 rtclassid rule ruleset sctp secmark set size skgid skuid snat socket srh symhash synproxy table tcp th time
    timeout tproxy type typeof udp udplite undefine update vlan vmap xor xt
    """.split()  # noqa: SIM905 - a list of words reads better as words
)
"""What nft 1.0.6 refuses as a name (a kernel test tries all words of the library), and what newer ones do."""


def check_name(name: str) -> str:
    """The name, if nft takes it for a table, chain, set or map.

    Raises:
        ValueError: it is a keyword, too long, or has characters that nft or our own design does not take.
    """
    if name in _KEYWORDS:
        raise ValueError(f"cannot use {name!r} as a name: it is a word of the nft language")
    if _NAME.fullmatch(name) is None:
        raise ValueError(
            f"cannot use {name!r} as a name: lower-case letters, digits, '-', '_' and '.' only, a letter first"
        )
    return name


# --- values ------------------------------------------------------------------------------------------------------


def value(item: expr.Value | expr.Range) -> str:
    """A value as nft writes it: interface names in quotes, words and numbers bare."""
    match item:
        case expr.Range(first=first, last=last):
            return f"{first}-{last}"
        case str() | int() | IPv4Address() | IPv6Address() | IPv4Network() | IPv6Network():
            return str(item)
        case _:
            assert_never(item)


def _quoted(word: str) -> str:
    if _UNSPEAKABLE.search(word):
        raise ValueError(f"cannot write {word!r}: nft has no words for quotes and control characters")
    return f'"{word}"'


def _prefix(text: str) -> str:
    # Even between quotes, nft 1.0.6 takes what follows a dollar for the name of a variable.
    if "$" in text:
        raise ValueError(f"cannot write the log prefix {text!r}: nft would look for a variable")
    return _quoted(text)


def key(fields: Key, types: tuple[expr.KeyType, ...]) -> str:
    """An element's key, its fields joined as nft joins them."""
    parts = zip(fields, types, strict=True)
    return " . ".join(_quoted(str(item)) if kind is expr.KeyType.IFNAME else value(item) for item, kind in parts)


# --- statements --------------------------------------------------------------------------------------------------


@lru_cache(maxsize=4096)
def statement(item: expr.Statement) -> str:  # noqa: C901, PLR0911, PLR0912 - one line for each kind of statement
    """One statement. Cached: a node has few distinct ones.

    Raises:
        ValueError: `Queue`, which is written by netlink where the kernel lacks the expression: see `queue`.
    """
    match item:
        case expr.Compare(field=field, op=op, value=wanted):
            return _compare(field, op, wanted)
        case expr.MarkBits(mask=mask, op=op, value=wanted):
            return f"meta mark & {mask:#010x} {op.value} {wanted:#010x}"
        case expr.ConnectionMarkBits(mask=mask, op=op, value=wanted):
            return f"ct mark & {mask:#010x} {op.value} {wanted:#010x}"
        case expr.Lookup(fields=fields, set_name=name, negated=negated):
            return f"{_fields(fields)} {'!= ' if negated else ''}@{name}"
        case expr.ReversePathMissing():
            return "fib saddr . mark . iif oif missing"
        case expr.SocketTransparent():
            return "socket transparent 1"
        case expr.TransparentProxy(version=version, protocol=protocol, port=port):
            family, loopback = ("ip", "127.0.0.1") if version == 4 else ("ip6", "[::1]")
            return f"meta l4proto {protocol} tproxy {family} to {loopback}:{port}"
        case expr.SentByHost():
            return "meta iif 0"
        case expr.MidStream():
            return "tcp flags & syn == 0"
        case expr.DestinationTranslated(negated=negated):
            return "ct status & dnat == 0" if negated else "ct status dnat"
        case expr.FirstOfConnection():
            return "ct status & confirmed == 0"
        case expr.Counter():
            return "counter"
        case expr.SetMark(mask=mask, value=wanted):
            return f"meta mark set meta mark & {~mask & 0xFFFFFFFF:#010x} | {wanted:#010x}"
        case expr.SetConnectionMark(mask=mask, value=wanted):
            return f"ct mark set ct mark & {~mask & 0xFFFFFFFF:#010x} | {wanted:#010x}"
        case expr.LogToKernel(prefix=prefix, level=level):
            return f"log prefix {_prefix(prefix)} level {level}"
        case expr.LogToGroup():
            return _log_to_group(item)
        case expr.RateLimit():
            return _limit(item)
        case expr.ConnectionsOver(connections=connections):
            return f"ct count over {connections}"
        case expr.RateLimitPer(set_name=name, fields=fields):
            return f"update @{name} {{ {_fields(fields)} timeout {expr.BUCKET_SECONDS}s {_limit(item)} }}"
        case expr.Remember(set_name=name, fields=fields, timeout_ms=timeout_ms):
            return f"update @{name} {{ {_fields(fields)} timeout {timeout_ms}ms }}"
        case expr.NoTrack():
            return "notrack"
        case expr.Reject():
            return "reject"
        case expr.Queue():
            raise ValueError("cannot write a queue statement as text: it is written by netlink")
        case expr.VerdictMap(fields=fields, map_name=name):
            return f"{_fields(fields)} vmap @{name}"
        case _:
            return verdict(item)


def verdict(item: expr.Verdict) -> str:
    """A verdict, as in a rule or a verdict map."""
    match item:
        case expr.Accept():
            return "accept"
        case expr.Drop():
            return "drop"
        case expr.Return():
            return "return"
        case expr.Jump(chain=chain):
            return f"jump {chain}"
        case expr.Goto(chain=chain):
            return f"goto {chain}"
        case _:
            assert_never(item)


def _fields(fields: Iterable[expr.Field]) -> str:
    return " . ".join(field.text for field in fields)


def _compare(field: expr.Field, op: expr.Op, wanted: expr.Value | expr.Range) -> str:
    text = value(wanted)
    match field.type:
        case expr.KeyType.IFNAME:
            text = _quoted(text)
        case expr.KeyType.CT_STATE:
            # Without an operator it means any of them; `== a,b` and `!= a,b` would ask for both bits at once.
            is_any = op is expr.Op.EQ
            return f"{field.text} {text}" if is_any else f"{field.text} & ({text.replace(',', ' | ')}) == 0"
        case _:
            pass
    return f"{field.text} {op.value} {text}"


def _log_to_group(item: expr.LogToGroup) -> str:
    prefix = f"prefix {_prefix(item.prefix)} " if item.prefix else ""
    snap = f" snaplen {item.snap_bytes}" if item.snap_bytes else ""
    return f"log {prefix}group {item.group}{snap}"


def _limit(item: expr.RateLimit | expr.RateLimitPer) -> str:
    burst = f" burst {item.burst_packets} packets" if item.burst_packets else ""
    over = "over " if isinstance(item, expr.RateLimit) and item.is_over else ""
    return f"limit rate {over}{item.packets}/{item.unit}{burst}"


# --- rules and chains ----------------------------------------------------------------------------------------------


def has_queue(chain: Chain) -> bool:
    """Whether the chain has its rule from netlink: a `Queue`, which text does not write.

    Raises:
        ValueError: the queue rule is not alone in a regular chain; what stands beside it would be lost without a word.
    """
    rest = [item for rule in chain.rules for item in rule.statements if not isinstance(item, expr.Counter)]
    if not any(isinstance(item, expr.Queue) for item in rest):
        return False
    if len(rest) != 1 or len(chain.rules) != 1 or chain.hook is not None:
        raise ValueError(f"cannot write chain {chain.name}: a queue rule must stand alone in a regular chain")
    return True


def rule(item: Rule, tag: str = "") -> str:
    """A rule with its comment; the comment is cut so that the tag fits behind it."""
    words = " ".join(map(statement, item.statements))
    comment = _comment(item.comment, tag)
    return f'{words} comment "{comment}"' if comment else words


def _comment(text: str, tag: str) -> str:
    readable = _UNSPEAKABLE.sub(" ", text.replace('"', "'"))
    room = _TAG_ROOM if tag else MAX_COMMENT_BYTES
    kept = readable.encode()[:room].decode(errors="ignore")
    return " ".join(filter(None, (kept, f"#{tag}" if tag else "")))


def chain_hash(chain: Chain) -> str:
    """16 hex digits over everything the chain says, so that equal hashes are equal chains."""
    digest = hashlib.sha256(f"{chain.hook}\n".encode())
    for item in chain.rules:
        words = [repr(part) if isinstance(part, expr.Queue) else statement(part) for part in item.statements]
        digest.update(f"{' '.join(words)} # {item.comment}\n".encode())
    return digest.hexdigest()[:16]


def tag(chain: Chain, number: int) -> str:
    """The mark of the chain's rule `number`, behind `#` in its comment."""
    return f"{chain_hash(chain)}:{number}"


def chain_body(chain: Chain) -> list[str]:
    """The lines inside a chain's braces: its hook, and its rules with their tags. Empty for a queue chain."""
    lines = []
    if chain.hook is not None:
        hook = chain.hook
        lines.append(f"type {hook.type} hook {hook.hook} priority {hook.priority}; policy {hook.policy};")
    return lines + rule_lines(chain)


def rule_lines(chain: Chain) -> list[str]:
    """The chain's rules with their tags, without its hook; none for a queue chain, which netlink fills."""
    if has_queue(chain):
        return []
    digest = chain_hash(chain)
    return [rule(item, f"{digest}:{number}") for number, item in enumerate(chain.rules)]


# --- sets and maps -------------------------------------------------------------------------------------------------


def set_body(item: Set) -> list[str]:
    """The lines inside a set's braces, without elements."""
    flags = [
        name
        for name, is_set in (
            ("interval", item.is_interval),
            ("timeout", item.has_timeout),
            ("dynamic", item.is_dynamic),
        )
        if is_set
    ]
    lines = [f"type {key_types(item.key)};"]
    if flags:
        lines.append(f"flags {','.join(flags)};")
    if item.size is not None:
        lines.append(f"size {item.size};")
    if item.gc_interval_seconds is not None:
        lines.append(f"gc-interval {item.gc_interval_seconds}s;")
    return lines


def map_body(item: VerdictMapping) -> list[str]:
    """The lines inside a verdict map's braces, without elements."""
    return [f"type {key_types(item.key)} : verdict;"]


def key_types(types: tuple[expr.KeyType, ...]) -> str:
    """The data type of a set's key."""
    return " . ".join(kind.value for kind in types)
