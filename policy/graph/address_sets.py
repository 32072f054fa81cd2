"""A set of addresses that somebody refers to: its members, and word to the sequencer whenever they change."""

from policy.graph.items import Contribution
from policy.graph.sequencer import AddressMembers, Sequencer
from policy.rules import IPSetID


class AddressSet:
    """Exists for the sequencer from its creation to `close`, also without members."""

    def __init__(self, identity: IPSetID, members: AddressMembers, sequencer: Sequencer) -> None:
        self._identity = identity
        self._members = members
        self._sequencer = sequencer
        self._tell()

    def add(self, contribution: Contribution) -> None:
        """An item is selected."""
        self._members.add(contribution)
        self._tell()

    def discard(self, contribution: Contribution) -> None:
        """An item is selected no more."""
        self._members.discard(contribution)
        self._tell()

    def close(self) -> None:
        """Nobody refers to the set any more."""
        self._sequencer.ip_sets.drop(self._identity)

    def _tell(self) -> None:
        self._sequencer.ip_sets.put(self._identity, self._members)
