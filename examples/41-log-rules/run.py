"""Two connections, one of them denied, and what Log rules recorded of them. Needs root."""

import sys
import tempfile
import time
from contextlib import ExitStack
from ipaddress import ip_address
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parents[1]))

from tidegate.demo import servers  # noqa: E402
from tidegate.demo.agent import RunningAgent  # noqa: E402
from tidegate.demo.client import connect  # noqa: E402
from tidegate.demo.lab import Lab  # noqa: E402

FAR = ip_address("198.51.100.7")


def main() -> None:
    with ExitStack() as stack:
        lab = Lab.create(["web"])
        stack.callback(lab.delete)
        stack.enter_context(servers.tcp_acceptors(lab.world, (80, 81)))
        agent = RunningAgent(lab.node, HERE / "resources", Path(stack.enter_context(tempfile.TemporaryDirectory())))
        agent.start("--remove-on-exit", "--config", str(HERE / "config.yaml"))
        stack.callback(agent.stop)
        agent.wait_until_ready()

        for port in (80, 81):
            is_open = connect(lab.pod("web").namespace, FAR, port, 0.5).is_connected
            print(f"port {port}: {'open' if is_open else 'closed'}")
        deadline = time.monotonic() + 20
        while len(records := agent.get("logs")["records"]) < 3 and time.monotonic() < deadline:
            time.sleep(0.1)
        seen = {(item["destination_port"], item["rule"]): item for item in records}  # a SYN may be sent again
        for (port, rule), item in sorted(seen.items()):
            print(f"{item['prefix']}: {item['endpoint']} > port {port}, {item['tcp_flags']}, by rule {rule}")


if __name__ == "__main__":
    main()
