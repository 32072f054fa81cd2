"""Which DNS policy mode this kernel allows, and why it is not the one asked for. Pure.

What cannot be held is learned as fast as it comes (`NoDelay`): first packets may be lost, and nothing opens that should
not. The fallback is never silent.
"""

from dataclasses import dataclass, fields, replace
from typing import Any

from dnsagent.snapshot import Mode
from nft.features import Features
from tidegate.config.dns import DNSPolicyMode


@dataclass(frozen=True, slots=True)
class ModeChoice:
    """What is in force."""

    wanted: DNSPolicyMode
    in_force: Mode
    reason: str = ""
    """Why it is another one than wanted; empty where it is the same."""

    @property
    def is_as_wanted(self) -> bool:
        """Whether nothing had to give way."""
        return self.in_force is self.wanted.mode


def without(features: Features, names: tuple[str, ...]) -> Features:
    """The features as if the kernel lacked some; unknown names change nothing."""
    known = {item.name for item in fields(features)} - {"kernel_release"}
    missing: dict[str, Any] = dict.fromkeys(known.intersection(names), False)
    return replace(features, **missing)


def choose_mode(wanted: DNSPolicyMode, features: Features) -> ModeChoice:
    """The mode wanted if the kernel can hold packets, else `NoDelay`."""
    if wanted is DNSPolicyMode.PROXY and not features.interception:
        instead = Mode.DELAY_DNS_RESPONSE if features.queue else Mode.NO_DELAY
        return ModeChoice(wanted, instead, "this kernel has no tproxy: questions cannot be answered here")
    if wanted.mode not in (Mode.NO_DELAY, Mode.PROXY) and not features.queue:
        return ModeChoice(wanted, Mode.NO_DELAY, _why(features))
    if wanted is DNSPolicyMode.INLINE:
        return ModeChoice(wanted, wanted.mode, "Inline belongs to other data planes: answers are held instead")
    return ModeChoice(wanted, wanted.mode)


def _why(features: Features) -> str:
    if not features.nfnetlink_queue:
        return "this kernel has no NFQUEUE: packets cannot be held, first packets may be lost"
    return "no rule of this kernel can reach a queue (neither nft_queue nor the xt target): first packets may be lost"


def encodings(features: Features) -> dict[str, str]:
    """How things are said to this kernel."""
    queue = "native" if features.native_queue else "compat" if features.compat_queue else "none"
    return {
        "rules": "text",
        "elements": "netlink",
        "queue": queue if features.nfnetlink_queue else "none",
        "refresh": "add" if features.readd_refreshes else "add-delete-add",
    }
