"""The calculation graph: which policy applies to which endpoint in which order, and who is in each set.

`CalcGraph` (module `graph`) wires the nodes and draws the picture; `applied` (module `node_state`) adds its events up.
"""

from policy.graph.graph import CalcGraph
from policy.graph.node_state import applied

__all__ = ["CalcGraph", "applied"]
