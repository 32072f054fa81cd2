"""Closes a node port to the world, under the port that clients use. Needs root."""

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

HOST, POD, NODE_PORT = "10.0.53.1", "10.0.1.2", 30080
SERVICE = (
    "add table ip services",
    "add chain ip services nodeports { type nat hook prerouting priority -100; }",
    f"add rule ip services nodeports ip daddr {HOST} tcp dport {NODE_PORT} dnat to {POD}:80",
)


def tell(what: str, source: Namespace, address: str, port: int) -> None:
    outcome = connect(source, ip_address(address), port, timeout_seconds=1.0)
    print(f"{what}: {'connected' if outcome.is_connected else 'closed'}")


def main() -> None:
    with ExitStack() as stack:
        lab = Lab.create(["web"])
        stack.callback(lab.delete)
        stack.enter_context(servers.tcp_acceptors(lab.pod("web").namespace, (80,)))
        for line in SERVICE:
            lab.node.command("nft", line)
        tell("before: to the node port", lab.world, HOST, NODE_PORT)

        scratch = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        agent = RunningAgent(lab.node, HERE / "resources", scratch)
        agent.start("--remove-on-exit", "--config", str(HERE / "config.yaml"))
        stack.callback(agent.stop)
        agent.wait_until_ready()

        tell("now: to the node port", lab.world, HOST, NODE_PORT)
        tell("now: to the pod itself", lab.world, POD, 80)
        lab.world.ip("route", "replace", "10.0.53.1/32", "dev", "uplink", "src", "10.0.53.66")
        tell("now: to the node port, from the office", lab.world, HOST, NODE_PORT)


if __name__ == "__main__":
    main()
