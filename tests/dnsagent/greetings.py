"""What clients say first, by hand and by the ssl module."""

import ssl
import struct


def extension(kind: int, content: bytes) -> bytes:
    return struct.pack("!HH", kind, len(content)) + content


def server_name(name: bytes, kind: int = 0) -> bytes:
    entry = struct.pack("!BH", kind, len(name)) + name
    return extension(0, struct.pack("!H", len(entry)) + entry)


def padding(size: int) -> bytes:
    return extension(21, bytes(size))


def ech() -> bytes:
    return extension(0xFE0D, b"\0\0\1\0\1\5\0\0\0\0")


def handshake(*extensions: bytes, bare: bool = False, suites: bytes = b"\x13\x01") -> bytes:
    """A ClientHello message; `bare`: of a client that knows no extensions."""
    body = b"\x03\x03" + bytes(range(32)) + b"\0" + struct.pack("!H", len(suites)) + suites + b"\1\0"
    if not bare:
        content = b"".join(extensions)
        body += struct.pack("!H", len(content)) + content
    return b"\1" + len(body).to_bytes(3, "big") + body


def records(message: bytes, size: int = 1 << 14) -> bytes:
    """The message in records of at most `size` bytes."""
    parts = [message[at : at + size] for at in range(0, len(message), size)]
    return b"".join(b"\x16\x03\x01" + struct.pack("!H", len(part)) + part for part in parts)


def hello(name: str | None, *more: bytes) -> bytes:
    named = () if name is None else (server_name(name.encode()),)
    return records(handshake(*named, *more))


def real_hello(name: str | None) -> bytes:
    """What OpenSSL says."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    client = context.wrap_bio(incoming, outgoing, server_hostname=name)
    try:
        client.do_handshake()
    except ssl.SSLWantReadError:
        return outgoing.read()
    raise AssertionError("a handshake cannot end without its server")


def request(host: str | None, target: str = "/", method: str = "GET") -> bytes:
    named = "" if host is None else f"Host: {host}\r\n"
    return f"{method} {target} HTTP/1.1\r\nUser-Agent: x\r\n{named}\r\n".encode()
