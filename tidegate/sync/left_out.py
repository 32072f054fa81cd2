"""What an operator would be wrong to believe of names when a bound is reached: that what was resolved is open. Pure."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from tidegate.sync.conditions import Condition, ConditionType

_SHOWN = 5
"""Endpoints in one message."""


@dataclass(frozen=True, slots=True)
class _Bound:
    """A bound of the packet process."""

    reason: str
    setting: str
    """What moves it."""
    what: str


_BOUNDS = {
    "cap-endpoint": _Bound("EndpointFull", "dnsMaxElementsPerEndpoint", "one endpoint"),
    "cap-set": _Bound("SetFull", "dnsLearnedSetSize", "one rule"),
    "cap-node": _Bound("NodeFull", "dnsMaxElements", "all endpoints of the node"),
}
"""By the counter of the packet process."""


def left_out_conditions(left_out: Mapping[str, Sequence[str]]) -> list[Condition]:
    """A condition for each bound by which an address was left closed lately; `left_out` has endpoints by counter."""
    return [
        Condition(
            type=ConditionType.NAMES_LEFT_OUT,
            is_true=True,
            reason=bound.reason,
            message=f"no further address is opened for {bound.what}, though names were resolved to some: "
            f"{_shown(left_out[counter])}; {bound.setting} has the bound",
            subject=bound.setting,
        )
        for counter, bound in _BOUNDS.items()
        if left_out.get(counter)
    ]


def _shown(endpoints: Sequence[str]) -> str:
    more = len(endpoints) - _SHOWN
    return ", ".join(sorted(endpoints[:_SHOWN])) + (f" and {more} more" if more > 0 else "")
