"""How a policy's annotations change the life of the names it learns.

| annotation | value |
|---|---|
| `dns.tidegate.io/ttl-floor`, `/ttl-ceiling`, `/extra-ttl` | duration: `10s`, `1h30m`, `500ms` |
| `dns.tidegate.io/grace` | duration: so long after a connection to an address the endpoint may connect to it again |
| `dns.tidegate.io/allow-private` | `true` or `false` |
| `dns.tidegate.io/scope` | `endpoint` (who asked may connect) or `node` (all endpoints under the rule may) |
| `dns.tidegate.io/mode` | `proxy`: the policy's workloads have their DNS questions answered by the node's forwarder |
| `dns.tidegate.io/sni` | `bind`: a connection to a learned address must itself name one of the rule's names |
| `dns.tidegate.io/sni-missing` | `deny` (default) or `allow`: a TLS greeting or HTTP request that names nothing |
| `dns.tidegate.io/sni-ech` | `outer` (default): the name that is readable counts; `deny`: encrypted ones are refused |
| `dns.tidegate.io/sni-quic` | `deny` (default): UDP is refused; `read`: QUIC clients must name one as well |
| `dns.tidegate.io/wildcard` | `labels` (`*` spans one or more labels) or `single-label` |
"""

import re
from collections.abc import Mapping
from typing import Literal

from policy.domains import Wildcard
from policy.errors import DecodeError
from policy.rules import DomainOptions, NameBinding

PREFIX = "dns.tidegate.io/"
_KEYS = frozenset(
    (
        "ttl-floor", "ttl-ceiling", "extra-ttl", "allow-private", "scope", "wildcard", "mode", "sni", "sni-missing",
        "sni-ech", "sni-quic", "grace",
    )
)  # fmt: skip
_DURATION = re.compile(r"(?:[0-9]+(?:\.[0-9]+)?(?:ms|s|m|h))+")
_DURATION_PART = re.compile(r"([0-9]+(?:\.[0-9]+)?)(ms|s|m|h)")
_SECONDS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0}


class AnnotationError(DecodeError):
    """An annotation under our prefix is unknown or has a value it cannot have. `key` is the whole key."""

    def __init__(self, key: str, reason: str) -> None:
        super().__init__(f"cannot use annotation {key}: {reason}")
        self.key = key


def domain_options(annotations: Mapping[str, str]) -> DomainOptions:
    """The options that a policy's annotations set; other annotations are nobody's business here.

    Raises:
        AnnotationError: a key under `dns.tidegate.io/` is unknown, or its value is.
    """
    ours = _ours(annotations)
    _wildcard(ours)
    _choice(ours, "mode", ("proxy",))
    return DomainOptions(
        ttl_floor_seconds=_duration(ours, "ttl-floor"),
        ttl_ceiling_seconds=_duration(ours, "ttl-ceiling"),
        extra_ttl_seconds=_duration(ours, "extra-ttl"),
        allow_private=_choice(ours, "allow-private", ("true", "false")) == "true",
        scope=_scope(ours),
        binding=_binding(ours),
        grace_seconds=_duration(ours, "grace"),
    )


def idle_options(annotations: Mapping[str, str]) -> list[str]:
    """The keys that say nothing because the option that they are about is not chosen."""
    if f"{PREFIX}sni" in annotations:
        return []
    return [key for key in (f"{PREFIX}sni-missing", f"{PREFIX}sni-ech", f"{PREFIX}sni-quic") if key in annotations]


def asks_for_proxy(annotations: Mapping[str, str]) -> bool:
    """Whether the questions of the policy's workloads are to be answered by the forwarder.

    Raises:
        AnnotationError: as `domain_options`.
    """
    return _choice(_ours(annotations), "mode", ("proxy",)) is not None


def wildcard(annotations: Mapping[str, str]) -> Wildcard:
    """What `*` means in the patterns of a policy with these annotations.

    Raises:
        AnnotationError: as `domain_options`.
    """
    return _wildcard(_ours(annotations))


def _ours(annotations: Mapping[str, str]) -> dict[str, str]:
    ours = {key.removeprefix(PREFIX): value for key, value in annotations.items() if key.startswith(PREFIX)}
    for key in sorted(ours.keys() - _KEYS):
        raise AnnotationError(PREFIX + key, f"there is none of this name; there are {', '.join(sorted(_KEYS))}")
    return ours


def _duration(ours: Mapping[str, str], key: str) -> float | None:
    text = ours.get(key)
    if text is None:
        return None
    if not _DURATION.fullmatch(text):
        raise AnnotationError(PREFIX + key, f"{text!r} is no duration such as 10s or 1h30m")
    return sum(float(number) * _SECONDS[unit] for number, unit in _DURATION_PART.findall(text))


def _choice(ours: Mapping[str, str], key: str, choices: tuple[str, ...]) -> str | None:
    value = ours.get(key)
    if value is not None and value not in choices:
        raise AnnotationError(PREFIX + key, f"{value!r} is none of {', '.join(choices)}")
    return value


def _binding(ours: Mapping[str, str]) -> NameBinding | None:
    missing = _choice(ours, "sni-missing", ("deny", "allow"))
    encrypted = _choice(ours, "sni-ech", ("outer", "deny"))
    quic = _choice(ours, "sni-quic", ("deny", "read"))
    if _choice(ours, "sni", ("bind",)) is None:
        return None
    return NameBinding(allows_missing=missing == "allow", refuses_ech=encrypted == "deny", reads_quic=quic == "read")


def _wildcard(ours: Mapping[str, str]) -> Wildcard:
    chosen = _choice(ours, "wildcard", tuple(Wildcard))
    return Wildcard.LABELS if chosen is None else Wildcard(chosen)


def _scope(ours: Mapping[str, str]) -> Literal["endpoint", "node"] | None:
    match _choice(ours, "scope", ("endpoint", "node")):
        case "endpoint":
            return "endpoint"
        case "node":
            return "node"
        case _:
            return None
