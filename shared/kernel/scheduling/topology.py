"""How many pods that matter lie in each value of a topology key, kept up to date as pods come and go."""

from collections.abc import Callable

from shared.kernel.workload import Node, Pod


class Tally:
    """What is to be counted; compared by identity, so that looking one up costs nothing."""

    __slots__ = ("counts_node", "counts_pod", "topology_key")

    def __init__(
        self,
        topology_key: str,
        *,
        counts_pod: Callable[[Pod], bool],
        counts_node: Callable[[Node], bool] = lambda _: True,
    ) -> None:
        self.topology_key = topology_key
        self.counts_pod = counts_pod
        self.counts_node = counts_node

    def domain_of(self, node: Node) -> str | None:
        """Give the domain in which pods on this node count; None when they do not."""
        domain = node.labels.get(self.topology_key)
        return domain if domain is not None and self.counts_node(node) else None


class DomainCounts:
    """Pods by domain; a domain is there as long as one node that counts carries it."""

    __slots__ = ("_nodes", "_tally", "by_domain", "total")

    def __init__(self, tally: Tally) -> None:
        self.by_domain: dict[str, int] = {}
        self.total = 0
        self._tally = tally
        self._nodes: dict[str, int] = {}

    def copy(self) -> "DomainCounts":
        """Give an independent copy."""
        twin = DomainCounts(self._tally)
        twin.by_domain = self.by_domain.copy()
        twin.total = self.total
        twin._nodes = self._nodes.copy()
        return twin

    def add_node(self, node: Node) -> None:
        """Take a node in."""
        domain = self._tally.domain_of(node)
        if domain is not None:
            self._nodes[domain] = self._nodes.get(domain, 0) + 1
            self.by_domain.setdefault(domain, 0)

    def remove_node(self, node: Node) -> None:
        """Leave a node out; its pods were removed before."""
        domain = self._tally.domain_of(node)
        if domain is not None:
            self._nodes[domain] -= 1
            if not self._nodes[domain]:
                del self._nodes[domain], self.by_domain[domain]

    def change(self, pod: Pod, node: Node, by: int) -> None:
        """Count a pod that came (1) or went (-1)."""
        if self._tally.counts_pod(pod):
            domain = self._tally.domain_of(node)
            if domain is not None:
                self.by_domain[domain] += by
                self.total += by

    def on(self, node: Node) -> int:
        """Count the pods in the node's domain."""
        domain = node.labels.get(self._tally.topology_key)
        return 0 if domain is None else self.by_domain.get(domain, 0)
