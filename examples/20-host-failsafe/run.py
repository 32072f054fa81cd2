"""Protects a machine, and shows what stays open whatever policy says. Needs root."""

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

HOST, ELSEWHERE = "10.0.53.1", "198.51.100.7"


def tell(what: str, source: Namespace, address: str, port: int) -> None:
    outcome = connect(source, ip_address(address), port, timeout_seconds=1.0)
    print(f"{what}: {'connected' if outcome.is_connected else 'closed'}")


def main() -> None:
    with ExitStack() as stack:
        lab = Lab.create(["web"])
        stack.callback(lab.delete)
        stack.enter_context(servers.tcp_acceptors(lab.node, (22, 80, 8080)))
        stack.enter_context(servers.tcp_acceptors(lab.world, (80, 6443)))

        scratch = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        agent = RunningAgent(lab.node, HERE / "resources", scratch)
        agent.start("--remove-on-exit", "--config", str(HERE / "config.yaml"))
        stack.callback(agent.stop)
        agent.wait_until_ready()

        tell("to the host, port 22 (failsafe)", lab.world, HOST, 22)
        tell("to the host, port 80 (policy allows)", lab.world, HOST, 80)
        tell("to the host, port 8080", lab.world, HOST, 8080)
        tell("from the host, port 6443 (failsafe)", lab.node, ELSEWHERE, 6443)
        tell("from the host, port 80", lab.node, ELSEWHERE, 80)
        tell("from a pod through the host, port 80", lab.pod("web").namespace, ELSEWHERE, 80)


if __name__ == "__main__":
    main()
