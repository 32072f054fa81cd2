"""What things may be called (Kubernetes: apimachinery validation; Calico: the names of policies).

Each check gives None for a good name, otherwise what is wrong with it. Lengths are in characters: all of them ASCII.
"""

import re
from collections.abc import Callable, Mapping

MAX_SUBDOMAIN = 253
MAX_LABEL = 63
MAX_ANNOTATION_BYTES = 256 * 1024
"""Keys and values together (Kubernetes: TotalAnnotationSizeLimitB)."""

_LABEL = r"[a-z0-9]([-a-z0-9]*[a-z0-9])?"
_DNS_LABEL = re.compile(_LABEL)
_DNS_SUBDOMAIN = re.compile(rf"{_LABEL}(\.{_LABEL})*")
_GLOBAL_POLICY = re.compile(rf"{_LABEL}(\.{_LABEL})?")
_POLICY = re.compile(rf"({_LABEL}(\.{_LABEL})?|(knp|ossg)\.default\.{_LABEL}(\.{_LABEL})*)")
_QUALIFIED = re.compile(r"[A-Za-z0-9]([-A-Za-z0-9_.]*[A-Za-z0-9])?")

_RULE = "lower-case letters, digits and '-', a letter or digit at both ends"


def wrong_label(name: str) -> str | None:
    """A DNS label (RFC 1123), as tiers have."""
    if len(name) > MAX_LABEL:
        return f"cannot have {len(name)} characters: at most {MAX_LABEL}"
    return None if _DNS_LABEL.fullmatch(name) else f"cannot be {name[:80]!r}: must have {_RULE}, and no dot"


def wrong_subdomain(name: str) -> str | None:
    """A DNS subdomain (RFC 1123), as most objects have."""
    return _wrong(name, _DNS_SUBDOMAIN, f"must have {_RULE} of each part between dots")


def wrong_policy(name: str) -> str | None:
    """The name of a NetworkPolicy: Kubernetes' and OpenStack's policies appear there under a prefix."""
    return _wrong(name, _POLICY, f"must be `name` or `tier.name`, each of {_RULE}")


def wrong_global_policy(name: str) -> str | None:
    """The name of a GlobalNetworkPolicy."""
    return _wrong(name, _GLOBAL_POLICY, f"must be `name` or `tier.name`, each of {_RULE}")


def wrong_name(kind: str, name: str) -> str | None:
    """The name of a resource of this kind."""
    return _BY_KIND.get(kind, wrong_subdomain)(name)


def wrong_key(key: str) -> str | None:
    """The key of a label: `name` or `prefix/name`."""
    prefix, slash, name = key.rpartition("/")
    if "/" in prefix:
        return "cannot have more than one '/' in the key"
    if slash and wrong_subdomain(prefix):
        return f"cannot have the key prefix {prefix[:80]!r}: must be a DNS name in lower case"
    if not name or len(name) > MAX_LABEL or not _QUALIFIED.fullmatch(name):
        return (
            f"cannot have the key {key[:80]!r}: the part behind any '/' must have 1 to {MAX_LABEL} letters, digits, "
            "'-', '_' and '.', a letter or digit at both ends"
        )
    return None


def wrong_annotation_key(key: str) -> str | None:
    """The key of an annotation: as a label's, but the case of the prefix is free."""
    return wrong_key(key.lower())


def wrong_label_value(value: str) -> str | None:
    """The value of a label; may be empty."""
    if value and (len(value) > MAX_LABEL or not _QUALIFIED.fullmatch(value)):
        return (
            f"cannot be {value[:80]!r}: must be empty or have up to {MAX_LABEL} letters, digits, '-', '_' and '.', "
            "a letter or digit at both ends"
        )
    return None


def bounded_annotations(annotations: dict[str, str]) -> dict[str, str]:
    """The annotations, if they are not too large together.

    Raises:
        ValueError: They are.
    """
    size = sum(len(text.encode(errors="surrogatepass")) for pair in annotations.items() for text in pair)
    if size > MAX_ANNOTATION_BYTES:
        raise ValueError(f"cannot have {size} bytes together: at most {MAX_ANNOTATION_BYTES}")
    return annotations


def _wrong(name: str, pattern: re.Pattern[str], advice: str) -> str | None:
    if len(name) > MAX_SUBDOMAIN:
        return f"cannot have {len(name)} characters: at most {MAX_SUBDOMAIN}"
    return None if pattern.fullmatch(name) else f"cannot be {name[:80]!r}: {advice}"


_BY_KIND: Mapping[str, Callable[[str], str | None]] = {
    "Tier": wrong_label,
    "Namespace": wrong_label,
    "NetworkPolicy": wrong_policy,
    "GlobalNetworkPolicy": wrong_global_policy,
    "StagedNetworkPolicy": wrong_policy,
    "StagedGlobalNetworkPolicy": wrong_global_policy,
}
"""Kinds whose names are no plain subdomains."""
