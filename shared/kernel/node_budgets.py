"""How many nodes of each node pool may be disrupted at the same time.

A share of the whole cluster would let a small pool, that of a database say, lose all of its nodes at once. Nodes
of no pool share one budget. The optimizer cuts its moves by it, the executor keeps to it.
"""

from collections import Counter
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass

from shared.kernel.shares import share_of
from shared.kernel.workload import Node


@dataclass(frozen=True, slots=True)
class NodeBudgets:
    """The pool of every node, and the budget of every pool."""

    pools: Mapping[str, str | None]
    """By node."""
    at_most: Mapping[str | None, int]
    """By pool."""

    def allows(self, node_name: str, disrupted: Collection[str]) -> bool:
        """Whether one more node may be disrupted beside those that are; one that nobody knows only by itself."""
        if node_name not in self.pools:
            return not disrupted
        pool = self.pools[node_name]
        return sum(self.pools.get(name) == pool for name in disrupted) < self.at_most.get(pool, 1)


def node_budgets(nodes: Iterable[Node], *, ratio: float) -> NodeBudgets:
    """Give each node pool its share, rounded down; at least one node."""
    pools = {node.name: node.node_pool for node in nodes}
    sizes = Counter(pools.values())
    return NodeBudgets(pools, {pool: max(1, share_of(ratio, size)) for pool, size in sizes.items()})
