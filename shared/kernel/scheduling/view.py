"""A cluster as the scheduler sees it, in which pods can be placed and taken away to try things out.

Planning asks the same question hundreds of thousands of times. So the cheapest check comes first (whole numbers
against what is free), what depends on labels and taints alone is worked out once per kind of pod and node, and
pods are counted per topology domain as they come and go instead of being searched.
"""

from collections.abc import Iterable, Iterator

from shared.kernel.resources import Resources
from shared.kernel.scheduling import affinity, volumes
from shared.kernel.scheduling.facts import Facts, HeldTerm, Shape
from shared.kernel.scheduling.node_state import NodeState
from shared.kernel.scheduling.topology import DomainCounts, Tally
from shared.kernel.workload import ClusterObjects, Namespace, Node, Pod, Volume

PORTS = "node(s) didn't have free ports for the requested pod ports"


class ClusterView:
    """Nodes with the pods on them; pods that are finished or on other nodes are passed over.

    A pod that is on a node counts there: to ask where it could move, remove it first. Placing does not check.
    """

    def __init__(
        self,
        nodes: Iterable[Node] = (),
        pods: Iterable[Pod] = (),
        *,
        volumes: Iterable[Volume] | None = None,
        namespaces: Iterable[Namespace] = (),
    ) -> None:
        self._facts = Facts(
            volumes_by_key=None if volumes is None else {volume.key: volume for volume in volumes},
            labels_by_namespace={namespace.name: namespace.labels for namespace in namespaces},
        )
        self._states: dict[str, NodeState] = {}
        self._kinds: dict[str, int] = {}
        self._node_by_pod: dict[str, str] = {}
        self._counts: dict[Tally, DomainCounts] = {}
        self._held: dict[HeldTerm, DomainCounts] = {}
        self._against: dict[Shape, tuple[DomainCounts, ...]] = {}
        for node in nodes:
            self.add_node(node)
        for pod in pods:
            if pod.node_name in self._states and not pod.is_finished:
                self.place(pod, pod.node_name)

    @classmethod
    def of(cls, objects: ClusterObjects) -> "ClusterView":
        """Give the view of a whole cluster; without any claim in it, claims are no constraint."""
        return cls(
            objects.nodes, objects.pods, volumes=objects.volumes or None, namespaces=objects.namespaces
        )

    def copy(self) -> "ClusterView":
        """Give an independent copy."""
        twin = ClusterView.__new__(ClusterView)
        twin._facts = self._facts
        twin._states = {name: state.copy() for name, state in self._states.items()}
        twin._kinds = self._kinds.copy()
        twin._node_by_pod = self._node_by_pod.copy()
        twin._counts = {tally: counts.copy() for tally, counts in self._counts.items()}
        twin._held = {term: twin._counts[term.tally] for term in self._held}
        twin._against = {}
        return twin

    @property
    def node_names(self) -> tuple[str, ...]:
        """The nodes, in the order they were added."""
        return tuple(self._states)

    def node(self, name: str) -> Node:
        """Give a node."""
        return self._states[name].node

    def free(self, name: str) -> Resources:
        """Give what pods on the node have not requested; negative where it is overcommitted."""
        return self._states[name].free

    def free_pods(self, name: str) -> int:
        """Give how many more pods the node takes."""
        return self._states[name].free_pods

    def pods_on(self, name: str) -> tuple[Pod, ...]:
        """Give the pods on a node."""
        return tuple(self._states[name].pods.values())

    def node_of(self, pod_key: str) -> str | None:
        """Give the node that a pod is on."""
        return self._node_by_pod.get(pod_key)

    def add_node(self, node: Node) -> None:
        """Add a node without pods.

        Raises:
            ValueError: a node of that name is there already.
        """
        if node.name in self._states:
            raise ValueError(f"node {node.name} is in the view already")
        self._states[node.name] = NodeState(node)
        self._kinds[node.name] = self._facts.kind_of(node)
        for counts in self._counts.values():
            counts.add_node(node)

    def remove_node(self, name: str) -> tuple[Pod, ...]:
        """Remove a node with the pods on it, and give these."""
        pods = self.pods_on(name)
        for pod in pods:
            self.remove(pod.key)
        node = self._states.pop(name).node
        del self._kinds[name]
        for counts in self._counts.values():
            counts.remove_node(node)
        return pods

    def place(self, pod: Pod, name: str) -> None:
        """Put a pod on a node, whether it fits or not.

        Raises:
            ValueError: the pod is on a node already.
        """
        if pod.key in self._node_by_pod:
            raise ValueError(f"pod {pod.key} is on node {self._node_by_pod[pod.key]} already")
        state = self._states[name]
        for term in self._facts.shape_of(pod).held:
            if term not in self._held:
                self._held[term] = self._counts_of(term.tally)
                self._against.clear()
        state.take(pod)
        self._node_by_pod[pod.key] = name
        for counts in self._counts.values():
            counts.change(pod, state.node, 1)

    def remove(self, pod_key: str) -> Pod:
        """Take a pod off its node, and give it."""
        state = self._states[self._node_by_pod.pop(pod_key)]
        pod = state.release(pod_key)
        for counts in self._counts.values():
            counts.change(pod, state.node, -1)
        return pod

    def fits(self, pod: Pod, name: str) -> bool:
        """Whether the pod may run on the node as things are."""
        state = self._states[name]
        if not state.has_room(pod.requests):
            return False
        shape = self._facts.shape_of(pod)
        if self._facts.static_reasons(shape, state.node, self._kinds[name]):
            return False
        return next(self._dynamic_reasons(pod, shape, state), None) is None

    def reasons_against(self, pod: Pod, name: str) -> tuple[str, ...]:
        """Say everything that speaks against the pod on the node, in kube-scheduler's words."""
        state, shape = self._states[name], self._facts.shape_of(pod)
        return (
            *self._facts.static_reasons(shape, state.node, self._kinds[name]),
            *state.shortages(pod.requests),
            *dict.fromkeys(self._dynamic_reasons(pod, shape, state)),
        )

    def _dynamic_reasons(self, pod: Pod, shape: Shape, state: NodeState) -> Iterator[str]:
        node = state.node
        if state.ports_clash(pod):
            yield PORTS
        if state.volumes_exceeded(shape.claims):
            yield volumes.TOO_MANY
        for rule, tally in shape.spread:
            reason = rule.reason(node, self._counts_of(tally))
            if reason:
                yield reason
        if shape.affinity and not self._is_near(pod, shape, node):
            yield affinity.AFFINITY
        if any(self._counts_of(tally).on(node) for tally in shape.anti_affinity):
            yield affinity.ANTI_AFFINITY
        if any(counts.on(node) for counts in self._held_against(pod, shape)):
            yield affinity.EXISTING

    def _is_near(self, pod: Pod, shape: Shape, node: Node) -> bool:
        if not all(tally.topology_key in node.labels for tally in shape.affinity):
            return False
        counts = [self._counts_of(tally) for tally in shape.affinity]
        if all(item.on(node) for item in counts):
            return True
        # The first pod of a group that wants to be near itself may go anywhere.
        return not any(item.total for item in counts) and shape.affinity[0].counts_pod(pod)

    def _held_against(self, pod: Pod, shape: Shape) -> tuple[DomainCounts, ...]:
        against = self._against.get(shape)
        if against is None:
            against = tuple(counts for term, counts in self._held.items() if term.means(pod))
            self._against[shape] = against
        return against

    def _counts_of(self, tally: Tally) -> DomainCounts:
        counts = self._counts.get(tally)
        if counts is None:
            counts = self._counts[tally] = DomainCounts(tally)
            for state in self._states.values():
                counts.add_node(state.node)
                for pod in state.pods.values():
                    counts.change(pod, state.node, 1)
        return counts
