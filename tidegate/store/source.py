"""What every source of documents is to the agent: files (`files`) and a Kubernetes API server (`kube.source`)."""

from collections.abc import AsyncIterator
from typing import Protocol

from tidegate.store.last_valid import Changes


class Source(Protocol):
    """Gives what is in force at first, and every change from then on."""

    async def begin(self) -> Changes:
        """Everything that is in force now. To be asked again after an error.

        Raises:
            StoreError: it cannot be said yet, and why.
        """

    def changes(self) -> AsyncIterator[Changes]:
        """Yields whenever updates or problems have changed; never ends, never raises for what others wrote."""
