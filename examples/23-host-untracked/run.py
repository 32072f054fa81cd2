"""Drops a flood and serves a busy port before the connection table sees a packet. Needs root."""

import sys
import tempfile
from contextlib import ExitStack
from ipaddress import ip_address
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parents[1]))

from tidegate.demo import servers  # noqa: E402
from tidegate.demo.agent import RunningAgent  # noqa: E402
from tidegate.demo.client import connect  # noqa: E402
from tidegate.demo.lab import Lab  # noqa: E402
from tidegate.demo.namespace import Namespace  # noqa: E402

HOST, BUSY = "10.0.53.1", 8080


def tell(what: str, source: Namespace, address: str, port: int) -> None:
    outcome = connect(source, ip_address(address), port, timeout_seconds=1.0)
    print(f"{what}: {'connected' if outcome.is_connected else 'closed'}")


def main() -> None:
    with ExitStack() as stack:
        lab = Lab.create(["web"])
        stack.callback(lab.delete)
        stack.enter_context(servers.tcp_acceptors(lab.node, (80, BUSY)))

        scratch = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        agent = RunningAgent(lab.node, HERE / "resources", scratch)
        agent.start("--remove-on-exit", "--config", str(HERE / "config.yaml"))
        stack.callback(agent.stop)
        agent.wait_until_ready()

        tell("to the busy port", lab.world, HOST, BUSY)
        tell("to port 80, which normal policy allows", lab.world, HOST, 80)
        ports = [f"port={port}" for port in (BUSY, 80)]
        table = lab.node.command("cat", "/proc/net/nf_conntrack")
        print("in the connection table:", ", ".join(port for port in ports if f"d{port} " in table))
        lab.world.ip("route", "replace", "10.0.53.1/32", "dev", "uplink", "src", "10.0.53.66")
        tell("to the busy port, from the flood", lab.world, HOST, BUSY)


if __name__ == "__main__":
    main()
