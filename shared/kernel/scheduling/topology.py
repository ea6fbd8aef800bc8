"""How many pods that matter lie in each value of a topology key, kept up to date as pods come and go."""

from collections.abc import Callable

from shared.kernel.workload import Node, Pod


class Tally:
    """What is to be counted; compared by identity, so that looking one up costs nothing."""

    __slots__ = ("_domains", "counts_node", "counts_pod", "topology_key")

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
        self._domains: dict[int, str | None] = {}

    def domain_of(self, node: Node, kind: int) -> str | None:
        """Give the domain in which pods on a node count, None when they do not; worked out once per kind of node."""
        try:
            return self._domains[kind]
        except KeyError:
            domain = node.labels.get(self.topology_key)
            self._domains[kind] = domain = domain if domain is not None and self.counts_node(node) else None
            return domain


class DomainCounts:
    """Pods by domain; a domain is there as long as one node that counts carries it.

    How many domains hold each count is kept beside, so that the lowest count is known without a search.
    """

    __slots__ = ("_domains_by_count", "_nodes", "by_domain", "key", "lowest", "tally", "total")

    def __init__(self, tally: Tally) -> None:
        self.by_domain: dict[str, int] = {}
        self.key = tally.topology_key
        self.lowest = 0
        """Of all domains; zero without any."""
        self.tally = tally
        self.total = 0
        self._domains_by_count: dict[int, int] = {}
        self._nodes: dict[str, int] = {}

    def copy(self) -> "DomainCounts":
        """Give an independent copy."""
        twin = DomainCounts(self.tally)
        twin.by_domain = self.by_domain.copy()
        twin.lowest = self.lowest
        twin.total = self.total
        twin._domains_by_count = self._domains_by_count.copy()
        twin._nodes = self._nodes.copy()
        return twin

    def add_node(self, node: Node, kind: int) -> None:
        """Take a node in."""
        domain = self.tally.domain_of(node, kind)
        if domain is None:
            return
        self._nodes[domain] = self._nodes.get(domain, 0) + 1
        if domain not in self.by_domain:
            self.by_domain[domain] = 0
            self._domains_by_count[0] = self._domains_by_count.get(0, 0) + 1
            self.lowest = 0

    def remove_node(self, node: Node, kind: int) -> None:
        """Leave a node out; its pods were removed before."""
        domain = self.tally.domain_of(node, kind)
        if domain is None:
            return
        self._nodes[domain] -= 1
        if not self._nodes[domain]:
            del self._nodes[domain]
            self._leave(self.by_domain.pop(domain))
            self._find_lowest()

    def change(self, node: Node, kind: int, by: int) -> None:
        """Count a pod that counts and came to the node (1) or left it (-1)."""
        domain = self.tally.domain_of(node, kind)
        if domain is None:
            return
        before = self.by_domain[domain]
        now = self.by_domain[domain] = before + by
        self.total += by
        self._domains_by_count[now] = self._domains_by_count.get(now, 0) + 1
        self._leave(before)
        if now < self.lowest:
            self.lowest = now
        elif before == self.lowest:
            self._find_lowest()

    def on(self, node: Node) -> int:
        """Count the pods in the node's domain."""
        domain = node.labels.get(self.key)
        return 0 if domain is None else self.by_domain.get(domain, 0)

    def _leave(self, count: int) -> None:
        self._domains_by_count[count] -= 1
        if not self._domains_by_count[count]:
            del self._domains_by_count[count]

    def _find_lowest(self) -> None:
        if not self.by_domain:
            self.lowest = 0
            return
        while self.lowest not in self._domains_by_count:
            self.lowest += 1
