"""Judges what a machine forwards, at the interface it comes by. Needs root."""

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

HOST, POD = "10.0.53.1", "10.0.1.2"


def tell(what: str, source: Namespace, address: str, port: int) -> None:
    outcome = connect(source, ip_address(address), port, timeout_seconds=1.0)
    print(f"{what}: {'connected' if outcome.is_connected else 'closed'}")


def main() -> None:
    with ExitStack() as stack:
        lab = Lab.create(["web"])
        stack.callback(lab.delete)
        for namespace in (lab.node, lab.pod("web").namespace):
            stack.enter_context(servers.tcp_acceptors(namespace, (80, 8080)))

        scratch = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        agent = RunningAgent(lab.node, HERE / "resources", scratch)
        agent.start("--remove-on-exit", "--config", str(HERE / "config.yaml"))
        stack.callback(agent.stop)
        agent.wait_until_ready()

        tell("to a pod through the host, port 80", lab.world, POD, 80)
        tell("to a pod through the host, port 8080", lab.world, POD, 8080)
        tell("to the host itself, port 80", lab.world, HOST, 80)
        tell("to the host itself, port 8080", lab.world, HOST, 8080)
        tell("from a pod, port 8080 of the host", lab.pod("web").namespace, HOST, 8080)


if __name__ == "__main__":
    main()
