"""The soak's resources: five endpoints, the names that four of them may reach, and something that changes."""

import os
from pathlib import Path
from typing import Any

import yaml

from tidegate.demo.lab import Lab, Pod

ENDPOINTS, TAGS, DENIED = ("ep1", "ep2", "ep3", "ep4"), ("a", "b", "c", "d"), "ep5"
ZONE = "soak.test"


class Policies:
    """A directory of resource files; every change is put in place as an editor would."""

    def __init__(self, directory: Path) -> None:
        directory.mkdir()
        self.directory = directory
        self._edition = 0

    def write_all(self, lab: Lab) -> None:
        """Endpoints and the first edition."""
        for pod in lab.pods:
            self._put(pod.name, _endpoint(pod))
        self._put("denied", _names("denied", f"ep == '{DENIED}'", ["*.elsewhere.test"]))
        self.change()
        self.change()

    def change(self) -> None:
        """By turns: a rule of other ports for everybody; and one more name in the very rule that opens addresses."""
        self._edition += 1
        if self._edition % 2:
            self._put("other", _ports(1000 + self._edition % 1000))
        else:
            names = [f"*.{ZONE}", f"edition-{self._edition}.test"]
            self._put("names", _names("names", f"ep != '{DENIED}'", names))

    def _put(self, file: str, document: dict[str, Any]) -> None:
        scratch = self.directory / f"{file}.tmp"
        scratch.write_text(yaml.safe_dump(document))
        scratch.rename(self.directory / f"{file}.yaml")


def _endpoint(pod: Pod) -> dict[str, Any]:
    return {
        "apiVersion": "projectcalico.org/v3",
        "kind": "WorkloadEndpoint",
        "metadata": {"name": pod.name, "namespace": "soak", "labels": {"ep": pod.name}},
        "spec": {
            "orchestrator": "cni",
            "workload": pod.name,
            "node": "bench",
            "endpoint": "eth0",
            "interfaceName": pod.interface_name,
            "ipNetworks": [f"{pod.address4}/32", f"{pod.address6}/128"],
        },
    }


def _policy(name: str, selector: str, egress: list[dict[str, Any]]) -> dict[str, Any]:
    return {
        "apiVersion": "projectcalico.org/v3",
        "kind": "NetworkPolicy",
        "metadata": {"name": name, "namespace": "soak"},
        "spec": {"selector": selector, "types": ["Egress"], "egress": egress},
    }


def _names(name: str, selector: str, domains: list[str]) -> dict[str, Any]:
    dns = {"action": "Allow", "protocol": "UDP", "destination": {"ports": [53]}}
    return _policy(name, selector, [dns, {"action": "Allow", "destination": {"domains": domains}}])


def _ports(port: int) -> dict[str, Any]:
    allow = {"action": "Allow", "protocol": "TCP", "destination": {"nets": ["192.0.2.0/24"], "ports": [port]}}
    return _policy("other", "all()", [allow])


def resident_mb(pid: int) -> float:
    """Memory of the process that is in the machine's."""
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 1e6
