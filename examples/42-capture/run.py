"""One workload's packets of one port go into files that other tools read. Needs root."""

import sys
import tempfile
import time
from contextlib import ExitStack
from ipaddress import ip_address
from pathlib import Path

from scapy.layers.inet import TCP
from scapy.utils import rdpcap

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parents[1]))

from tidegate.demo import servers  # noqa: E402
from tidegate.demo.agent import RunningAgent  # noqa: E402
from tidegate.demo.client import connect  # noqa: E402
from tidegate.demo.lab import Lab  # noqa: E402

FAR, DENIED = ip_address("198.51.100.7"), ip_address("203.0.113.7")


def main() -> None:
    with ExitStack() as stack:
        lab = Lab.create(["web"])
        stack.callback(lab.delete)
        stack.enter_context(servers.tcp_acceptors(lab.world, (80, 443), keep=False))
        scratch = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        agent = RunningAgent(lab.node, HERE / "resources", scratch)
        agent.start("--remove-on-exit", "--set", f"captureDir={scratch / 'captures'}")
        stack.callback(agent.stop)
        agent.wait_until_ready()
        while not any(each["is_listening"] for each in agent.get("captures")[0]["interfaces"]):
            time.sleep(0.05)

        web = lab.pod("web").namespace
        for address, port in ((FAR, 80), (FAR, 443), (DENIED, 80)):
            connect(web, address, port, 0.3)
        agent.stop()
        packets = [packet for file in sorted(scratch.rglob("*.pcap")) for packet in rdpcap(str(file))]
        begun = [packet for packet in packets if packet[TCP].flags == "S"]
        print(f"ports: {sorted({port for packet in packets for port in (packet.sport, packet.dport)} & {80, 443})}")
        print(f"connections begun to: {sorted({packet.payload.dst for packet in begun})}")


if __name__ == "__main__":
    main()
