"""A cluster as the scheduler sees it, in which pods can be placed and taken away to try things out.

Planning asks the same question hundreds of thousands of times. So the cheapest check comes first (whole numbers
against what is free), what depends on labels and taints alone is worked out once per kind of pod and node, and
pods are counted per topology domain as they come and go instead of being searched.
"""

from collections.abc import Iterable, Iterator, Mapping
from sys import maxsize

from shared.kernel.resources import Resources
from shared.kernel.scheduling import affinity, preferences, volumes
from shared.kernel.scheduling.facts import Facts, HeldTerm, Shape
from shared.kernel.scheduling.node_state import NodeState
from shared.kernel.scheduling.topology import DomainCounts, Tally
from shared.kernel.workload import ClusterObjects, Namespace, Node, Pod, Volume

PORTS = "node(s) didn't have free ports for the requested pod ports"


Bound = tuple[str, Mapping[str, int], int, int, bool]
"""A topology key, pods by domain, the least and the most of them, and whether a node must have the key."""


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
        self._node_by_pod: dict[str, str] = {}
        self._counts: dict[Tally, DomainCounts] = {}
        self._held: dict[HeldTerm, DomainCounts] = {}
        self._soft_held: dict[HeldTerm, None] = {}
        self._claim_users: dict[str, int] = {}
        # By company; worked out from what is above, and forgotten when a new kind of count or term comes up.
        self._against: dict[int, tuple[DomainCounts, ...]] = {}
        self._counted_by: dict[int, tuple[DomainCounts, ...]] = {}
        self._enter(nodes, pods)

    @classmethod
    def of(cls, objects: ClusterObjects, *, like: "ClusterView | None" = None) -> "ClusterView":
        """Give the view of a whole cluster; without any claim in it, claims are no constraint.

        With another view of the same volumes and namespaces, pods that were looked at there are not looked at anew.
        """
        view = cls(volumes=objects.volumes or None, namespaces=objects.namespaces)
        if like is not None:
            view._facts = like._facts
        view._enter(objects.nodes, objects.pods)
        return view

    def _enter(self, nodes: Iterable[Node], pods: Iterable[Pod]) -> None:
        for node in nodes:
            self.add_node(node)
        for pod in pods:
            if pod.node_name in self._states and not pod.is_finished:
                self.place(pod, pod.node_name)

    def copy(self) -> "ClusterView":
        """Give an independent copy."""
        twin = ClusterView.__new__(ClusterView)
        twin._facts = self._facts
        twin._states = {name: state.copy() for name, state in self._states.items()}
        twin._node_by_pod = self._node_by_pod.copy()
        twin._counts = {tally: counts.copy() for tally, counts in self._counts.items()}
        twin._held = {term: twin._counts[term.tally] for term in self._held}
        twin._soft_held = self._soft_held.copy()
        twin._claim_users = self._claim_users.copy()
        twin._against = {}
        twin._counted_by = {}
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
        kind = self._facts.kind_of(node)
        self._states[node.name] = NodeState(node, kind)
        for counts in self._counts.values():
            counts.add_node(node, kind)

    def remove_node(self, name: str) -> tuple[Pod, ...]:
        """Remove a node with the pods on it, and give these."""
        pods = self.pods_on(name)
        for pod in pods:
            self.remove(pod.key)
        state = self._states.pop(name)
        for counts in self._counts.values():
            counts.remove_node(state.node, state.kind)
        return pods

    def place(self, pod: Pod, name: str) -> None:
        """Put a pod on a node, whether it fits or not.

        Raises:
            ValueError: the pod is on a node already.
        """
        if pod.key in self._node_by_pod:
            raise ValueError(f"pod {pod.key} is on node {self._node_by_pod[pod.key]} already")
        state, shape = self._states[name], self._facts.shape_of(pod)
        for term in shape.held:
            if term not in self._held:
                self._held[term] = self._counts_of(term.tally)
                self._against.clear()
        self._soft_held.update(dict.fromkeys(shape.soft_held))
        state.take(pod, shape)
        self._node_by_pod[pod.key] = name
        for claim in shape.exclusive_claims:
            self._claim_users[claim] = self._claim_users.get(claim, 0) + 1
        for counts in self._counting(shape):
            counts.change(state.node, state.kind, 1)

    def remove(self, pod_key: str) -> Pod:
        """Take a pod off its node, and give it."""
        state = self._states[self._node_by_pod.pop(pod_key)]
        pod = state.pods[pod_key]
        shape = self._facts.shape_of(pod)
        state.release(pod, shape)
        for claim in shape.exclusive_claims:
            self._claim_users[claim] -= 1
        for counts in self._counting(shape):
            counts.change(state.node, state.kind, -1)
        return pod

    def fits(self, pod: Pod, name: str) -> bool:
        """Whether the pod may run on the node as things are."""
        return self._suits(pod, self._facts.shape_of(pod), self._states[name])

    def first_fit(self, pod: Pod, names: Iterable[str]) -> str | None:
        """Give the first of the nodes that the pod may run on, None without any; the same as asking one by one."""
        shape, states = self._facts.shape_of(pod), self._states
        cpu, memory = pod.requests.cpu_millicores, pod.requests.memory_bytes
        screen = self._screen(shape)
        for name in names:
            state = states[name]
            # Most nodes fall here, at the price of a comparison and not of a call.
            if (cpu and cpu > state.cpu_millicores) or (memory and memory > state.memory_bytes):
                continue
            labels = state.node.labels
            for key, by_domain, least, most, needs_label in screen:
                domain = labels.get(key)
                if needs_label if domain is None else not least <= by_domain.get(domain, 0) <= most:
                    break
            else:
                if self._suits(pod, shape, state):
                    return name
        return None

    def reasons_against(self, pod: Pod, name: str) -> tuple[str, ...]:
        """Say everything that speaks against the pod on the node, in kube-scheduler's words where it has some."""
        state, shape = self._states[name], self._facts.shape_of(pod)
        return (
            *self._facts.static_reasons(shape, state.node, state.kind),
            *state.shortages(pod.requests),
            *dict.fromkeys(self._dynamic_reasons(shape, state)),
        )

    def preference_costs(self, pod: Pod, names: Iterable[str]) -> dict[str, int]:
        """Give what the pod's wishes, and those of others about it, make each node cost, by kube-scheduler's points.

        To rank nodes that it may run on: 0 meets every wish, at most 900. Nodes are compared with each other.
        """
        shape = self._facts.shape_of(pod)
        asked = list(names)
        held = (term for term in self._soft_held if term.means(pod))
        nodes = [self._states[name].node for name in asked]
        costs = preferences.preference_costs(shape, nodes, self._counts_of, held)
        return dict(zip(asked, costs, strict=True))

    def _suits(self, pod: Pod, shape: Shape, state: NodeState) -> bool:
        if not state.has_room(pod.requests):
            return False
        reasons = shape.reasons_by_kind.get(state.kind)
        if reasons is None:
            reasons = self._facts.static_reasons(shape, state.node, state.kind)
        if reasons:
            return False
        if shape.is_plain and not self._held_against(shape):
            return True
        return next(self._dynamic_reasons(shape, state), None) is None

    def _screen(self, shape: Shape) -> list[Bound]:
        """Say how many pods the domains may hold, rule by rule, for the pod to be let in as things are."""
        found: list[Bound] = []
        for rule, tally in shape.spread:
            counts = self._counts_of(tally)
            found.append((counts.key, counts.by_domain, 0, rule.most_before(counts), True))
        away = (*map(self._counts_of, shape.anti_affinity), *self._held_against(shape))
        found += [(counts.key, counts.by_domain, 0, 0, False) for counts in away if counts.total]
        near = [self._counts_of(tally) for tally in shape.affinity]
        is_first = shape.matches_itself and not any(counts.total for counts in near)
        found += [(counts.key, counts.by_domain, 0 if is_first else 1, maxsize, True) for counts in near]
        return found

    def _dynamic_reasons(self, shape: Shape, state: NodeState) -> Iterator[str]:
        node = state.node
        for rule, tally in shape.spread:
            reason = rule.reason(node, self._counts_of(tally))
            if reason:
                yield reason
        for tally in shape.anti_affinity:
            if self._counts_of(tally).on(node):
                yield affinity.ANTI_AFFINITY
        if shape.affinity and not self._is_near(shape, node):
            yield affinity.AFFINITY
        for counts in self._held_against(shape):
            if counts.on(node):
                yield affinity.EXISTING
        if state.ports_clash(shape.pod):
            yield PORTS
        if shape.claims:
            if any(self._claim_users.get(claim) for claim in shape.exclusive_claims):
                yield volumes.IN_USE
            if state.volumes_exceeded(shape):
                yield volumes.TOO_MANY

    def _is_near(self, shape: Shape, node: Node) -> bool:
        is_met, is_first = True, shape.matches_itself
        for tally in shape.affinity:
            if tally.topology_key not in node.labels:
                return False
            counts = self._counts_of(tally)
            is_met = is_met and counts.on(node) > 0
            is_first = is_first and not counts.total
        # The first pod of a group that wants to be near itself may go anywhere.
        return is_met or is_first

    def _held_against(self, shape: Shape) -> tuple[DomainCounts, ...]:
        against = self._against.get(shape.company)
        if against is None:
            against = tuple(counts for term, counts in self._held.items() if term.means(shape.pod))
            self._against[shape.company] = against
        return against

    def _counting(self, shape: Shape) -> tuple[DomainCounts, ...]:
        counting = self._counted_by.get(shape.company)
        if counting is None:
            counting = tuple(c for c in self._counts.values() if c.tally.counts_pod(shape.pod))
            self._counted_by[shape.company] = counting
        return counting

    def _counts_of(self, tally: Tally) -> DomainCounts:
        counts = self._counts.get(tally)
        if counts is None:
            counts = self._counts[tally] = DomainCounts(tally)
            self._counted_by.clear()
            for state in self._states.values():
                counts.add_node(state.node, state.kind)
                for pod in state.pods.values():
                    if tally.counts_pod(pod):
                        counts.change(state.node, state.kind, 1)
        return counts
