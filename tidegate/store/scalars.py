"""What a plain scalar of YAML means, as Kubernetes' tools read it (sigs.k8s.io/yaml: YAML 1.1 of go-yaml, to JSON).

PyYAML's own reading differs where it hurts policy: it takes the port range `20:22` for a number in base 60, and dates
for something that JSON does not have. Here both are text.
"""

import math
import re

Scalar = str | int | float | bool | None

_NULL = frozenset(("", "~", "null", "Null", "NULL"))
_TRUE = frozenset(("yes", "Yes", "YES", "true", "True", "TRUE", "on", "On", "ON"))
_FALSE = frozenset(("no", "No", "NO", "false", "False", "FALSE", "off", "Off", "OFF"))
_SPECIAL = {
    **dict.fromkeys((".inf", ".Inf", ".INF", "+.inf", "+.Inf", "+.INF"), math.inf),
    **dict.fromkeys(("-.inf", "-.Inf", "-.INF"), -math.inf),
    **dict.fromkeys((".nan", ".NaN", ".NAN"), math.nan),
}
_INTEGER = re.compile(r"([-+]?)(?:0x([0-9a-fA-F_]+)|0b([01_]+)|0o?([0-7_]+)|([1-9][0-9_]*|0))")
_FLOAT = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?")
_MAX_DIGITS = 64
"""Longer ones are read as fractions, as Go does from 64 bits on; Python takes a second for a million digits."""


def plain_scalar(text: str) -> Scalar:
    """The value of a scalar that is written without quotes and tag."""
    if text in _NULL:
        return None
    if text in _TRUE or text in _FALSE:
        return text in _TRUE
    if text in _SPECIAL:
        return _SPECIAL[text]
    if text[0] in "+-.0123456789":
        return _number(text)
    return text


def key_text(key: Scalar) -> str | None:
    """The key of a mapping as JSON has it; None for a key that it cannot have."""
    if isinstance(key, bool):
        return "true" if key else "false"
    return None if key is None else str(key)


def _number(text: str) -> Scalar:
    if (found := _INTEGER.fullmatch(text)) and len(text) <= _MAX_DIGITS:
        sign, *digits = found.groups()
        for base, part in zip((16, 2, 8, 10), digits, strict=True):
            if part is not None and part.strip("_"):
                return int(sign + part.replace("_", ""), base)
    return float(text.replace("_", "")) if _FLOAT.fullmatch(text.replace("_", "")) else text
