"""Workloads with limits, and one without, do too much. Needs root."""

import select
import socket
import sys
import tempfile
from contextlib import ExitStack
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parents[1]))

from tidegate.demo import servers  # noqa: E402
from tidegate.demo.agent import RunningAgent  # noqa: E402
from tidegate.demo.lab import Lab, Pod  # noqa: E402

FAR, TRIES = "198.51.100.7", 20


def client(pod: Pod, kind: socket.SocketKind) -> socket.socket:
    with pod.namespace.entered():
        return socket.socket(socket.AF_INET, kind)


def connected(pod: Pod) -> int:
    """How many of so many connections, all begun at once, come about within a moment."""
    with ExitStack() as stack:
        waiting = {stack.enter_context(client(pod, socket.SOCK_STREAM)) for _ in range(TRIES)}
        for each in waiting:
            each.settimeout(0)
            each.connect_ex((FAR, 80))
        while done := select.select([], list(waiting), [], 0.5)[1]:
            waiting -= set(done)
        return TRIES - len(waiting)


def main() -> None:
    with ExitStack() as stack:
        lab = Lab.create(["few", "slow", "quiet", "free"])
        stack.callback(lab.delete)
        stack.enter_context(servers.tcp_acceptors(lab.world, (80,)))
        scratch = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        agent = RunningAgent(lab.node, HERE / "resources", scratch)
        agent.start("--remove-on-exit", "--config", str(HERE / "config.yaml"))
        stack.callback(agent.stop)
        agent.wait_until_ready()

        print(f"few, of {TRIES} connections: {connected(lab.pod('few'))}")
        print(f"slow, of {TRIES} connections: {'some' if 0 < connected(lab.pod('slow')) < 12 else 'wrong'}")
        print(f"free, of {TRIES} connections: {connected(lab.pod('free'))}")
        with client(lab.pod("quiet"), socket.SOCK_DGRAM) as sender:
            for _ in range(500):
                sender.sendto(b"x", (FAR, 9))
        shown = {item["name"]: item["limits"] for item in agent.get("endpoints")}
        print(f"quiet, of 500 packets: {'most' if shown['quiet'][0]['dropped'] > 400 else 'too few'} were dropped")


if __name__ == "__main__":
    main()
