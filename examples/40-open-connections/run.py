"""Takes a permission back while connections are open. Needs root."""

import shutil
import socket
import sys
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parents[1]))

from tidegate.demo import servers  # noqa: E402
from tidegate.demo.agent import RunningAgent  # noqa: E402
from tidegate.demo.lab import Lab  # noqa: E402

PARTNERS = ("198.51.100.7", "203.0.113.9")


def answers(connection: socket.socket) -> str:
    connection.send(b"hello")
    try:
        connection.recv(16)
    except TimeoutError:
        return "is silent"
    return "answers"


def play(setting: str, stack: ExitStack) -> None:
    lab = Lab.create(["web"])
    stack.callback(lab.delete)
    stack.enter_context(servers.udp_service(lab.world, 9000, lambda data: data))
    scratch = Path(stack.enter_context(tempfile.TemporaryDirectory()))
    resources = Path(shutil.copytree(HERE / "resources", scratch / "resources"))
    (config := scratch / "config.yaml").write_text(f"connectionsOnPolicyChange: {setting}")
    agent = RunningAgent(lab.node, resources, scratch)
    agent.start("--remove-on-exit", "--config", str(config))
    stack.callback(agent.stop)
    agent.wait_until_ready()
    with lab.pod("web").namespace.entered():
        connections = {partner: socket.socket(socket.AF_INET, socket.SOCK_DGRAM) for partner in PARTNERS}
    for partner, connection in connections.items():
        stack.enter_context(connection).settimeout(1.0)
        connection.connect((partner, 9000))
    print(setting)
    print("  before:", ", ".join(f"{partner} {answers(each)}" for partner, each in connections.items()))
    policy, before = resources / "policy.yaml", agent.get("status")["generation"]["applied"]
    policy.write_text("".join(line for line in policy.open() if "struck out" not in line))
    while not (status := agent.get("status"))["ready"] or status["generation"]["applied"] == before:
        time.sleep(0.1)
    print("  after: ", ", ".join(f"{partner} {answers(each)}" for partner, each in connections.items()))
    print("  ended:", status["connections"]["ended"])


if __name__ == "__main__":
    for chosen in ("Keep", "Terminate"):
        with ExitStack() as turn:
            play(chosen, turn)
