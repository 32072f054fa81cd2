"""The head of an HTTP/1 request: who the client wants to speak to (RFC 9112 3.2, RFC 9110 7.2).

Strict where servers are known to differ: a line that ends without CR, a folded line, two Hosts, a name in the first
line that is not the one in Host.
"""

import re
from builtins import memoryview  # noqa: A004 - mypyc looks the annotation up in the module
from typing import Final

from dnsagent.named.spoken import Spoken, UnspokenError, checked_name

_END: Final = b"\r\n\r\n"
_MAX_METHOD: Final = 32
_REQUEST: Final = re.compile(rb"(?P<method>[A-Z][A-Z-]*) (?P<target>[!-~]+) HTTP/1\.[01]")
_FIELD: Final = re.compile(rb"(?P<name>[!#$%&'*+.^_`|~0-9A-Za-z-]+):[ \t]*(?P<value>[\t -~\x80-\xff]*?)[ \t]*")
_ABSOLUTE: Final = re.compile(rb"[A-Za-z][A-Za-z0-9+.-]*://(?P<authority>[^/?#]*)[!-~]*")
_AUTHORITY: Final = re.compile(rb"(?P<host>[^:@\[\]]+)(?::[0-9]{0,5})?")


def is_like_http(data: memoryview) -> bool:
    """Whether the first bytes can be the beginning of a request: the letters of a method."""
    head = bytes(data[:_MAX_METHOD])
    method = head.split(b" ", 1)[0]
    return re.fullmatch(rb"[A-Z][A-Z-]*", method) is not None and len(method) < _MAX_METHOD


def read_host(data: memoryview) -> Spoken | None:
    """The name in a request; None if its head is not whole.

    Raises:
        UnspokenError: no HTTP/1 request, or one on whose name servers could differ.
    """
    text = bytes(data)
    end = text.find(_END)
    head = text if end < 0 else text[:end]
    if _has_bare_end(head):
        raise UnspokenError("malformed-request")
    if end < 0:
        return None
    lines = head.split(b"\r\n")
    request = _REQUEST.fullmatch(lines[0])
    if request is None or request["method"] in (b"CONNECT", b"PRI"):
        raise UnspokenError("no-request")
    hosts = [value for name, value in map(_field, lines[1:]) if name == b"host"]
    if len(hosts) > 1:
        raise UnspokenError("malformed-request")
    return Spoken(_agreed(request["target"], hosts[0] if hosts else None))


def _has_bare_end(head: bytes) -> bool:
    """A CR or LF that is not one of a pair; a CR at the very end may still get its LF."""
    rest = head.replace(b"\r\n", b"").removesuffix(b"\r")
    return b"\r" in rest or b"\n" in rest or b"\0" in rest


def _field(line: bytes) -> tuple[bytes, bytes]:
    found = _FIELD.fullmatch(line)
    if found is None:
        raise UnspokenError("malformed-request")
    return found["name"].lower(), found["value"]


def _agreed(target: bytes, host: bytes | None) -> bytes | None:
    """The one name of Host and of a whole URL in the first line."""
    named = None if not host else _host(host)
    if target.startswith(b"/") or target == b"*":
        return named
    url = _ABSOLUTE.fullmatch(target)
    if url is None or _host(url["authority"]) != named:
        raise UnspokenError("malformed-request")
    return named


def _host(authority: bytes) -> bytes:
    found = _AUTHORITY.fullmatch(authority)
    if found is None:
        raise UnspokenError("bad-name")
    return checked_name(found["host"])
