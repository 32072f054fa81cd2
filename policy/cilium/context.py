"""What must be known while a rule is read, and where to tell of what is left out."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from ipaddress import IPv4Network, IPv6Network
from typing import TypeVar

from policy.cilium.part import Part
from policy.cilium.remarks import CannotError, Effect, Remark

T = TypeVar("T")
Network = IPv4Network | IPv6Network


@dataclass(frozen=True, slots=True)
class Context:
    """What must be known beside the document."""

    is_namespaced: bool
    is_ingress: bool
    cluster_networks: tuple[Network, ...]
    tell: Callable[[Remark], None]
    loss: Effect
    """What it changes to leave a part of a rule out."""

    def parts(self, item: Part, reader: "Callable[[Part, Context], Iterable[T]]") -> "list[T]":
        """What an item gives; one that cannot be said is told and gives nothing: each item counts by itself."""
        try:
            return list(reader(item, self))
        except CannotError as error:
            self.tell(Remark(error.path, self.loss, f"{error.reason}; left out"))
            return []
