"""A namespace whose own UDP traffic over loopback is queued or logged, for tests of the readers."""

import socket
import struct
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from netlink import message
from netlink.transport import SO_RCVBUFFORCE, SO_SNDBUFFORCE, NetlinkSocket
from tidegate.demo.namespace import Namespace

SO_RCVMARK = 75
REPEATED = 0x20000
PORT = 4000

# The output chain queues everything to the test port that was not repeated; `held` is filled by netlink, since not
# every kernel has the native queue expression. postrouting drops what carries the mark 0xdead.
RULES = """
table inet t {
  chain held { }
  chain out { type filter hook output priority 0;
    meta mark & 0x20000 != 0 accept
    udp dport 4000 goto held
  }
  chain after { type filter hook output priority 10;
    ct state new counter
    meta mark 0xdead drop
  }
  chain logged { type filter hook prerouting priority -150;
    udp dport 4001 log group 7 prefix "seen" queue-threshold 1
  }
}
"""


def queue_rule(number: int, *, bypass: bool = False) -> bytes:
    """The transaction that appends `queue to number` to the chain `held`, by the xt target (revision 3)."""
    info = struct.pack("=HHH2x", number, 1, int(bypass))
    target = message.text(1, "NFQUEUE") + message.be32(2, 3) + message.attribute(3, info)
    expression = message.text(1, "target") + message.nested(2, target)
    rule = message.text(1, "t") + message.text(2, "held") + message.nested(4, message.nested(1, expression))
    flags = message.NLM_F_REQUEST | message.NLM_F_ACK | message.NLM_F_CREATE | message.NLM_F_APPEND
    body = message.nf_message(message.NFNL_SUBSYS_NFTABLES, 6, flags, 2, 1, rule)
    return message.batch(message.NFNL_SUBSYS_NFTABLES, 1, body)


class Wire:
    """Sends numbered datagrams through the queue and says which ones arrived, with which mark and contents."""

    def __init__(self, namespace: Namespace) -> None:
        self.namespace = namespace
        with namespace.entered():
            self._sender = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
            # Held packets count against their sender's buffer.
            self._sender.setsockopt(socket.SOL_SOCKET, SO_SNDBUFFORCE, 32 << 20)
            self._receiver = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
            self._receiver.setsockopt(socket.SOL_SOCKET, SO_RCVMARK, 1)
            self._receiver.setsockopt(socket.SOL_SOCKET, SO_RCVBUFFORCE, 32 << 20)
            self._receiver.bind(("127.0.0.1", PORT))
            self._netlink = NetlinkSocket()

    def queue_to(self, number: int, *, bypass: bool = False) -> None:
        subprocess.run(self.namespace.inside("nft", "flush chain inet t held"), check=True)
        self._netlink.request(queue_rule(number, bypass=bypass), 2)

    def nft(self, text: str) -> str:
        command = self.namespace.inside("nft", "-f", "-")
        return subprocess.run(command, input=text, check=True, capture_output=True, text=True).stdout

    def send(self, contents: bytes, port: int = PORT) -> None:
        self._sender.sendto(contents, ("127.0.0.1", port))

    def arrived(self) -> list[tuple[bytes, int]]:
        """What came out since the last call: contents and mark."""
        found = []
        while True:
            try:
                data, ancillary, _, _ = self._receiver.recvmsg(65535, 64, socket.MSG_DONTWAIT)
            except BlockingIOError:
                return found
            marks = [struct.unpack("=I", value)[0] for _, kind, value in ancillary if kind == 36]
            found.append((data, marks[0] if marks else 0))

    def table_text(self) -> str:
        """The kernel's table of queues, as this namespace sees it."""
        with self.namespace.entered():
            return Path("/proc/thread-self/net/netfilter/nfnetlink_queue").read_text()

    def close(self) -> None:
        self._sender.close()
        self._receiver.close()
        self._netlink.close()


@contextmanager
def wire() -> Iterator[Wire]:
    namespace = Namespace.create("nfq")
    try:
        subprocess.run(namespace.inside("nft", "-f", "-"), input=RULES, check=True, text=True)
        own = Wire(namespace)
        try:
            yield own
        finally:
            own.close()
    finally:
        namespace.delete()


def udp_packet(contents: bytes) -> bytes:
    """The IPv4 packet that `Wire.send` makes the kernel build, without UDP checksum."""
    head = struct.pack("!BBHHHBBH4s4s", 0x45, 0, 28 + len(contents), 0, 0, 64, 17, 0, b"\x7f\0\0\1", b"\x7f\0\0\1")
    checksum = 0xFFFF - sum(struct.unpack("!10H", head)) % 0xFFFF
    head = head[:10] + struct.pack("!H", checksum) + head[12:]
    return head + struct.pack("!HHHH", 50000, PORT, 8 + len(contents), 0) + contents
