"""The rivals: programs that put the addresses of names into kernel sets, each as a forwarder on the node.

Each is configured to select every answer, to cache nothing and to forward to the same upstream, so that a query costs
what it costs. They are full forwarders with sockets of their own, the agent only watches: read the ratios with that in
mind.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from bench.field import UPSTREAM, Field, processes_named, running, wait_for_dns

NODE_ADDRESS = "10.0.53.1"
ZONE = "bench.test"


@dataclass(frozen=True, slots=True)
class Running:
    """Something that answers: where to ask, and whose processor time counts."""

    server: str
    pids: tuple[int, ...]


@contextmanager
def direct(field: Field) -> Iterator[Running]:
    """No agent, no rules: the node only forwards."""
    del field
    yield Running(UPSTREAM, ())


@contextmanager
def plain_dnsmasq(field: Field) -> Iterator[Running]:
    """Dnsmasq as a forwarder that keeps nothing and knows no sets."""
    words = [
        *("dnsmasq", "--no-daemon", "--no-resolv", "--no-hosts", "--conf-file=/dev/null", "--cache-size=0"),
        *(f"--server={UPSTREAM}", f"--listen-address={NODE_ADDRESS}", "--bind-interfaces", "--user=root"),
        "--dns-forward-max=10000",
    ]
    with _forwarder(field, "dnsmasq", words) as result:
        yield result


@contextmanager
def dnsmasq(field: Field) -> Iterator[Running]:
    """Dnsmasq with `nftset`: one libnftables call per address."""
    with _set_table(field, "dnsmasq"):
        words = [
            *("dnsmasq", "--no-daemon", "--no-resolv", "--no-hosts", "--conf-file=/dev/null", "--cache-size=0"),
            *(f"--server={UPSTREAM}", f"--listen-address={NODE_ADDRESS}", "--bind-interfaces", "--user=root"),
            *("--dns-forward-max=10000", f"--nftset=/{ZONE}/4#inet#bench#learned4"),
        ]
        with _forwarder(field, "dnsmasq", words) as result:
            yield result


@contextmanager
def smartdns(field: Field) -> Iterator[Running]:
    """Smartdns with `nftset` (without its timeouts, which cost it a failed transaction each)."""
    config = field.scratch / "smartdns.conf"
    config.write_text(
        f"bind {NODE_ADDRESS}:53\nserver {UPSTREAM}\ncache-size 0\nspeed-check-mode none\n"
        "response-mode fastest-response\n"
        f"log-level error\ndualstack-ip-selection no\nnftset-timeout no\nnftset /{ZONE}/#4:inet#bench#learned4\n"
    )
    with _set_table(field, "smartdns"):
        words = ["smartdns", "-f", "-x", "-c", str(config), "-p", str(field.scratch / "smartdns.pid")]
        with _forwarder(field, "smartdns", words) as result:
            yield result


@contextmanager
def unbound(field: Field) -> Iterator[Running]:
    """Unbound as a plain forwarder: the distribution's build has no module for sets."""
    config = field.scratch / "unbound.conf"
    config.write_text(
        f"server:\n  interface: {NODE_ADDRESS}\n  access-control: 0.0.0.0/0 allow\n  do-daemonize: no\n  username: ''\n"
        "  chroot: ''\n  use-syslog: no\n  verbosity: 0\n  module-config: 'iterator'\n  num-threads: 1\n"
        "  msg-cache-size: 0\n  rrset-cache-size: 0\n  do-not-query-localhost: no\n  outgoing-range: 8192\n"
        "  num-queries-per-thread: 4096\n  pidfile: ''\n  local-zone: 'test.' nodefault\n"
        "  do-ip6: no\n  so-rcvbuf: 4m\n"
        f"forward-zone:\n  name: '.'\n  forward-addr: {UPSTREAM}\n"
    )
    with _forwarder(field, "unbound", ["unbound", "-d", "-c", str(config)]) as result:
        yield result


@contextmanager
def _set_table(field: Field, owner: str) -> Iterator[None]:
    del owner
    field.lab.node.command("nft", "add table inet bench; add set inet bench learned4 { type ipv4_addr; }")
    try:
        yield
    finally:
        field.lab.node.command("nft", "delete table inet bench")


@contextmanager
def _forwarder(field: Field, name: str, words: list[str]) -> Iterator[Running]:
    with running(field.lab.node, words):
        wait_for_dns(field.client, NODE_ADDRESS)
        yield Running(NODE_ADDRESS, tuple(processes_named(name, field.lab.node)))
