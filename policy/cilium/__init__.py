"""Cilium's policies as Calico's: what carries over, what does not, and why.

A document of `cilium.io/v2` becomes policies that mean the same. What has no counterpart is left out and told with its
place and what that changes. Nothing is widened in silence: an allowing rule that cannot be said is left out.
"""

from policy.cilium.context import Network
from policy.cilium.documents import Imported, identity, import_document
from policy.cilium.remarks import Effect, Remark

__all__ = ["Effect", "Imported", "Network", "Remark", "identity", "import_document"]
