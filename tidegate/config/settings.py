"""Every setting, once: its name, kind, default and reason, a page for each group of them.

The name is Calico's (FelixConfiguration) wherever Calico has the setting. `docs/settings.md` is made from these pages.
"""

# ruff: noqa: RUF009, FBT003 - `knob` gives a dataclass field with that default; it is not a shared value

from dataclasses import dataclass, fields
from enum import StrEnum
from pathlib import Path

from tidegate.config import kinds
from tidegate.config.dns import DNSSettings
from tidegate.config.encryption import EncryptionSettings
from tidegate.config.forwarder import ForwarderSettings
from tidegate.config.knob import Knob, knob
from tidegate.config.packets import PacketSettings
from tidegate.config.records import RecordSettings
from tidegate.config.watching import WatchSettings

_PLACE = "Where things are"


class CalicoGroup(StrEnum):
    """Where a cluster has Calico's kinds."""

    SERVED = "projectcalico.org/v3"
    STORED = "crd.projectcalico.org/v1"


@dataclass(frozen=True, kw_only=True)
class PlaceSettings:
    """The part of the configuration about the process itself."""

    resources: Path | None = knob(
        "resources", _PLACE, kinds.path(), None,
        "The directory with policy and workloads; `run` needs one, or an API server.",
    )  # fmt: skip
    kubeconfig: Path | None = knob(
        "kubeconfig", _PLACE, kinds.path(), None,
        "A kubeconfig file: policy and workloads come from the Kubernetes API server that it names, not from files.",
    )  # fmt: skip
    kubernetes: bool = knob(
        "kubernetes", _PLACE, kinds.boolean(), False,
        "Policy and workloads come from the API server of the cluster in which the agent runs as a pod.",
    )  # fmt: skip
    kubernetes_calico_group: CalicoGroup = knob(
        "kubernetesCalicoGroup", _PLACE, kinds.choice(CalicoGroup), CalicoGroup.SERVED,
        "Where the cluster has Calico's kinds: in Tidegate's CRDs or Calico's API server, or as Calico itself stores "
        "them, which is only read.",
    )  # fmt: skip
    kubernetes_resync_seconds: float = knob(
        "kubernetesResyncInterval", _PLACE, kinds.duration(least_seconds=1), 600.0,
        "How often everything is listed again, for what watches may have missed.",
    )  # fmt: skip
    node: str = knob(
        "node", _PLACE, kinds.text(r"[a-z0-9.-]{0,253}", "a node's name"), "",
        "Which endpoints are local. Empty is this machine's name.",
    )  # fmt: skip
    state: Path | None = knob(
        "state", _PLACE, kinds.path(), Path("/var/lib/tidegate"),
        "What must survive a restart: the snapshot, the journal of learned names, the packet process's socket.",
    )  # fmt: skip
    socket: Path | None = knob(
        "socket", _PLACE, kinds.path(), Path("/run/tidegate/tidegate.sock"),
        "The API, for the commands. Only its owner may connect: names and policy are nobody else's business.",
    )  # fmt: skip


_GROUPS = (
    PlaceSettings,
    DNSSettings,
    ForwarderSettings,
    PacketSettings,
    EncryptionSettings,
    RecordSettings,
    WatchSettings,
)
"""As the page for people has them."""


@dataclass(frozen=True, kw_only=True)
class Settings(
    PlaceSettings, DNSSettings, ForwarderSettings, PacketSettings, EncryptionSettings, RecordSettings, WatchSettings
):
    """The configuration in force. Durations in seconds."""


def knobs() -> dict[str, Knob]:
    """The settings by the name of their field, group after group."""
    return {item.name: item.metadata["knob"] for group in _GROUPS for item in fields(group)}
