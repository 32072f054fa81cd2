"""One table in the kernel of this network namespace: commits, queue rules, reading back.

Joins the two ways of talking to nf_tables: libnftables for whatever has words, raw netlink for what has none or takes
too long. `nft.fake` has another one, in memory, which passes the same tests.
"""

from collections.abc import Collection
from typing import Protocol

from netlink.transport import NetlinkSocket
from nft import compat, dump, listing, text, transaction
from nft.blame import culprits
from nft.errors import CommitError, ScriptError
from nft.expr import Counter, Queue
from nft.features import Features
from nft.listing import ListedChain, Listing
from nft.model import Chain
from nft.monitor import own_task
from nft.transaction import Difference
from nft.transport import KernelTransport, Transport


class TableKernel(Protocol):
    """What `nft.sync` asks of a kernel, for one table."""

    def commit(self, difference: Difference) -> None:
        """Makes the table if it is missing, and all changes, in one transaction.

        Raises:
            CommitError: nothing was applied; it names what is to blame.
        """

    def write_queue(self, chain: Chain) -> None:
        """Makes an existing regular chain hold the queue rule that it should hold, in one transaction.

        Raises:
            NftError: nothing was applied.
            ValueError: the chain holds something else.
        """

    def read(self, *, without_elements: Collection[str] = ()) -> Listing | None:
        """The table as it is, None if there is none. Sets named `without_elements` are read by shape only.

        Raises:
            NftError: the kernel refused, or a set went away meanwhile.
        """

    def task(self) -> int:
        """What commits made by this thread are announced with (`nft.monitor`)."""


class Kernel:
    """The real one. Owns a netlink socket and a libnftables context; not for two threads at once."""

    def __init__(self, table: str, features: Features, transport: Transport | None = None) -> None:
        """Opens both in the current network namespace.

        Raises:
            OSError: there is no netfilter netlink.
        """
        self.table = text.check_name(table)
        self._features = features
        self._transport = transport or KernelTransport()
        self.commits = 0
        """Transactions that the kernel made for us."""
        self._link = NetlinkSocket()

    def close(self) -> None:
        """Closes the socket; safe to call twice."""
        self._link.close()

    def commit(self, difference: Difference) -> None:
        """Makes all changes in one transaction; see `TableKernel`."""
        script = transaction.script(self.table, difference)
        try:
            self._transport.run(script)
        except ScriptError as error:
            found = culprits(script, error.lines)
            raise CommitError(error.errno, self.table, error.detail, chains=found.chains, sets=found.sets) from error
        self.commits += 1

    def write_queue(self, chain: Chain) -> None:
        """Writes a queue rule in the encoding that this kernel has; see `TableKernel`."""
        compat.write_queue_rule(
            self._link,
            self.table,
            chain.name,
            _queue(chain),
            native=self._features.native_queue,
            comment=f"#{text.tag(chain, 0)}",
        )
        self.commits += 1

    def read(self, *, without_elements: Collection[str] = ()) -> Listing | None:
        """Reads the table; see `TableKernel`. Some 0.2 s for 20,000 rules."""
        if not dump.has_table(self._link, self.table):
            return None
        hooks = listing.hooks(self._transport.listing("list chains inet"), self.table)
        sets = listing.sets(self._transport.listing(f"list sets table inet {self.table}"), self.table)
        maps = listing.maps(self._transport.listing("list maps inet"), self.table)
        comments = dump.rule_comments(self._link, self.table, hooks)
        return Listing(
            chains={
                name: ListedChain(hook, listing.digest(comments[name]), len(comments[name]))
                for name, hook in hooks.items()
            },
            sets=sets,
            maps=maps,
            elements={
                name: dump.set_elements(self._link, self.table, name, is_interval=shape.is_interval)
                for name, shape in sets.items()
                if shape is not None and name not in without_elements
            },
            verdicts={name: dump.map_verdicts(self._link, self.table, name) for name, shape in maps.items() if shape},
        )

    def task(self) -> int:
        """The number of this thread; see `TableKernel`."""
        return own_task(self._link)


def _queue(chain: Chain) -> Queue:
    """The queue statement of a chain that holds nothing else: netlink writes that and a counter, no conditions."""
    statements = [statement for rule in chain.rules for statement in rule.statements if statement != Counter()]
    match statements:
        case [Queue() as queue] if len(chain.rules) == 1:
            return queue
        case _:
            raise ValueError(f"cannot write the queue rule of chain {chain.name}: it must stand alone")
