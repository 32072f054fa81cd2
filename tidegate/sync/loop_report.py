"""What the apply loop says of itself: conditions, and lines in the log. Shell."""

from collections.abc import Iterable, Sequence

import structlog

from nfq.errors import QueueError
from nft.errors import NftError
from nft.monitor import Commit
from reconcile.clock import Clock
from tidegate.sync.conditions import Condition, Conditions, ConditionType


class LoopReport:
    """Knows the words; what happened is told."""

    def __init__(self, conditions: Conditions, clock: Clock) -> None:
        self._conditions = conditions
        self._clock = clock
        self._log = structlog.get_logger()

    def applied(self, generation: int) -> None:
        """A round ended well."""
        self._put(is_true=True, reason="Applied", message=f"generation {generation}")

    def failed(self, error: Exception, failures: int) -> None:
        """A round failed, so many in a row."""
        reason = "KernelRefused" if isinstance(error, NftError | QueueError) else "PacketProcessRefused"
        self._put(is_true=False, reason=reason, message=str(error))
        self._log.warning("cannot apply", error=str(error), failures=failures)

    def repaired(self, commits: Sequence[Commit]) -> None:
        """Others' commits were put right."""
        programs = ", ".join(sorted({commit.program or "an unknown program" for commit in commits}))
        message = f"{programs} wrote to our table"
        self._put(is_true=True, reason="ForeignChange", message=message, type_=ConditionType.TABLE_REPAIRED)
        self._log.warning("table repaired", programs=programs)

    def idle(self, without_interface: Iterable[str], hosts: Sequence[Condition]) -> None:
        """Endpoints on which nothing can be enforced now: workloads that no route leads to, and host endpoints."""
        missing = [
            Condition(
                type=ConditionType.INTERFACE_MISSING,
                is_true=True,
                reason="NoRoute",
                message="no host route leads to its addresses, so it has no link on which policy could be enforced",
                subject=endpoint,
            )
            for endpoint in without_interface
        ]
        now = self._clock.wall()
        self._conditions.replace(ConditionType.INTERFACE_MISSING, missing, now)
        self._conditions.replace(ConditionType.HOST_ENDPOINT_IDLE, hosts, now)

    def _put(self, *, is_true: bool, reason: str, message: str, type_: ConditionType = ConditionType.APPLIED) -> None:
        condition = Condition(type=type_, is_true=is_true, reason=reason, message=message)
        self._conditions.put(condition, self._clock.wall())
