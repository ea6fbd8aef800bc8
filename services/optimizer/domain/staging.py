"""Where pods stand before moves are rehearsed, in a form that thousands of them can be moved in.

Most pods have no rules about other pods, and no other pod has one about them: to these only room, labels and taints
matter, so that they are kept as numbers. All others lie in a ClusterView, which knows nothing of the first: how much
room is left is told by the numbers, what else speaks against a node by the view.
"""

from collections.abc import Hashable, Iterable
from dataclasses import replace

import numpy as np

from services.optimizer.domain.columns.arrays import Bools, Ints
from shared.kernel.scheduling import ClusterView, selects
from shared.kernel.scheduling.shapes import place_key
from shared.kernel.scheduling.static import static_reasons
from shared.kernel.workload import ClusterObjects, LabelSelector, Node, Pod

RULED = -1
"""Kind of the pods that a rule between pods is about."""


class Stage:
    """A cluster before the first move; many rehearsals may start from it."""

    def __init__(self, objects: ClusterObjects, meant: Iterable[LabelSelector]) -> None:
        """Sort the pods of the cluster.

        Args:
            objects: nodes and what is on them.
            meant: what the rules of all pods select, those that are yet to come included.
        """
        self._meant = tuple(meant)
        self._is_meant: dict[Hashable, bool] = {}
        self._kind_of: dict[str, int] = {}
        self._numbers: dict[Hashable, int] = {}
        self.samples: list[Pod] = []
        """A pod of each kind."""
        self.plain: dict[str, list[Pod]] = {n.name: [] for n in objects.nodes}
        """By node: the pods that no rule is about."""
        ruled: list[Pod] = []
        for pod in objects.pods:
            if pod.node_name in self.plain and not pod.is_finished:
                is_ruled = self.kind_of(pod) == RULED
                (ruled if is_ruled else self.plain[pod.node_name or ""]).append(pod)
        self.view = ClusterView.of(replace(objects, pods=tuple(ruled)))
        # What the rules of these ask for is counted now, and not anew in every rehearsal.
        for pod in ruled:
            self.view.first_fit(pod, ())
        self.nodes = objects.nodes
        self.room: Ints = np.array([amounts(n) for n in self.nodes], dtype=np.int64).reshape(-1, 2)
        """Node x (millicores, bytes) allocatable."""
        self.free: Ints = np.array([self._free(n) for n in self.nodes], dtype=np.int64).reshape(-1, 2)
        slots = [self.view.free_pods(n.name) - len(self.plain[n.name]) for n in self.nodes]
        self.slots: Ints = np.array(slots, dtype=np.int64)
        """Per node: how many more pods it takes."""
        self._permitted: dict[int, Bools] = {}

    def kind_of(self, pod: Pod) -> int:
        """Number the pods that the same nodes are open to, whatever they request; RULED where more matters."""
        kind = self._kind_of.get(pod.key)
        if kind is None:
            kind = self._kind_of[pod.key] = self._found_kind(pod)
        return kind

    def permitted(self, kind: int) -> Bools:
        """Say of each node of the stage whether labels and taints permit such pods there."""
        if kind not in self._permitted:
            self._permitted[kind] = self.permits(kind, self.nodes)
        return self._permitted[kind]

    def permits(self, kind: int, nodes: Iterable[Node]) -> Bools:
        """Say the same of any nodes."""
        return np.array([not static_reasons(self.samples[kind], n) for n in nodes], dtype=np.bool_)

    def _found_kind(self, pod: Pod) -> int:
        if _has_rules(pod) or self._meets_a_rule(pod):
            return RULED
        key = place_key(pod)
        if key not in self._numbers:
            self._numbers[key] = len(self.samples)
            self.samples.append(pod)
        return self._numbers[key]

    def _meets_a_rule(self, pod: Pod) -> bool:
        if not self._meant:
            return False
        labels = frozenset(pod.labels.items())
        if labels not in self._is_meant:
            self._is_meant[labels] = any(selects(s, pod.labels) for s in self._meant)
        return self._is_meant[labels]

    def _free(self, node: Node) -> tuple[int, int]:
        free, pods = self.view.free(node.name), self.plain[node.name]
        return (
            free.cpu_millicores - sum(p.requests.cpu_millicores for p in pods),
            free.memory_bytes - sum(p.requests.memory_bytes for p in pods),
        )


def _has_rules(pod: Pod) -> bool:
    """Whether more matters to the pod than CPU, memory, labels and taints."""
    r = pod.requests
    return bool(
        pod.pod_affinity
        or pod.pod_anti_affinity
        or pod.topology_spread
        or pod.host_ports
        or pod.claims
        or r.ephemeral_storage_bytes
        or any(r.extended.values())
    )


def amounts(node: Node) -> tuple[int, int]:
    """Give what a node has for pods: millicores and bytes."""
    return node.allocatable.cpu_millicores, node.allocatable.memory_bytes
