"""How many packets should have waited for their records and never came to the packet process. Pure."""

from typing import final


@final
class Unseen:
    """Compares what the rules sent to the queue with what was received of it.

    What came before one look must have been received by the next: a packet waits for milliseconds, looks are further
    apart. What was not had its verdict from the kernel: nobody read the queue, or it was full.
    """

    def __init__(self) -> None:
        self.count = 0
        self._came_before: int | None = None
        """The rule's count at the last look; None before the first."""
        self._due = 0
        """Packets that came up to the last look, since the first one."""
        self._received_at_first: int | None = None

    def look(self, came: int | None, received: int | None) -> None:
        """Both counts as they are now; None where one is not known.

        `came` may begin at zero anew (the table was made anew); `received` is of all packet processes together.
        """
        if received is not None and self._received_at_first is None:
            self._received_at_first = received
        if received is not None and self._came_before is not None:
            self.count = max(self.count, self._due - (received - (self._received_at_first or 0)))
        if came is None:
            return
        if self._came_before is not None:
            self._due += came - self._came_before if came >= self._came_before else came
        self._came_before = came
