"""What every source of documents is to the agent: files (`files`) and a Kubernetes API server (`kube.source`)."""

from collections.abc import AsyncIterator, Mapping
from typing import Protocol

from tidegate.store.last_valid import Changes


class Source(Protocol):
    """Gives what is in force at first, and every change from then on."""

    @property
    def counters(self) -> Mapping[str, int]:
        """What reading has cost, for status and metrics."""

    async def begin(self) -> Changes:
        """Everything that is in force now. To be asked again after an error.

        Raises:
            StoreError: it cannot be said yet, and why.
        """

    def changes(self) -> AsyncIterator[Changes]:
        """Yields whenever updates or problems have changed; never ends, never raises for what others wrote."""
