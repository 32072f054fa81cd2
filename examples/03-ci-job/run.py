"""Plays a build job on real packets and prints what it could reach. Needs root."""

import functools
import sys
import tempfile
from contextlib import ExitStack
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parents[1]))

from dnsagent import answers  # noqa: E402
from tidegate.demo import servers  # noqa: E402
from tidegate.demo.agent import RunningAgent  # noqa: E402
from tidegate.demo.client import connect, resolve  # noqa: E402
from tidegate.demo.lab import Lab  # noqa: E402

ZONE = """
index.example.        60 IN A     198.51.100.10
files.index.example.  60 IN CNAME cdn.example.
cdn.example.          60 IN A     203.0.113.20
collector.example.    60 IN A     203.0.113.66
"""


def main() -> None:
    with ExitStack() as stack:
        lab = Lab.create(["job"])
        stack.callback(lab.delete)
        answer = functools.partial(answers.answer, zone=answers.build_zone(ZONE))
        stack.enter_context(servers.udp_service(lab.world, 53, answer))
        stack.enter_context(servers.tcp_acceptors(lab.world, (443,)))

        scratch = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        agent = RunningAgent(lab.node, HERE / "resources", scratch)
        agent.start("--remove-on-exit", "--config", str(HERE / "config.yaml"))
        stack.callback(agent.stop)
        agent.wait_until_ready()

        job = lab.pod("job").namespace
        for name in ("index.example", "files.index.example", "collector.example"):
            [address, *_] = resolve(job, name)
            outcome = connect(job, address, 443)
            print(f"{name}: {'connected' if outcome.is_connected else 'closed'}")


if __name__ == "__main__":
    main()
