"""Lay pods on nodes as policy wants it, spreading as kube-scheduler does: one way that a fleet may be used."""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace

from services.optimizer.domain import diversification
from services.optimizer.domain.fleet_state import FleetState, StandingNode
from services.optimizer.domain.packing.fleet import PackedNode, Packer, Packing
from services.optimizer.domain.rehearsal import SETTLED, Rehearsal
from services.optimizer.domain.spot_tolerance import SpotJudge
from shared.kernel.pools import CapacityType
from shared.kernel.shares import share_of
from shared.kernel.workload import Node, Pod


@dataclass(frozen=True, slots=True)
class Placer:
    """Places pods of several fleets under one set of rules."""

    packer: Packer
    judge: SpotJudge
    _refusals: dict[str, bool] = field(default_factory=dict, compare=False, repr=False)
    _limits: dict[str, int | None] = field(default_factory=dict, compare=False, repr=False)

    def refuses_spot(self, pod: Pod) -> bool:
        """Whether the pod must not run on spot."""
        if pod.key not in self._refusals:
            self._refusals[pod.key] = self.judge.refusal(pod) is not None
        return self._refusals[pod.key]

    def place(
        self, state: FleetState, drained: frozenset[str], launch: Sequence[int], *, prefix: str
    ) -> Packing | None:
        """Place the pods of drained nodes on the nodes that stay, and on new ones from these rows of the shelf.

        None when a pod that runs today has no place, or a new node no pod.
        """
        shelf = self.packer.shelf
        names = self.packer.names(prefix, taken=(n.node.name for n in state.nodes))
        new = [(row, shelf.node(row, next(names))) for row in launch]
        closed = [n.node.name for n in state.nodes if n.node.is_unschedulable or not n.node.is_ready]
        held: Counter[tuple[str, str]] = Counter()
        for n in state.nodes:
            if n.node.name not in drained:
                held.update(_share(p, n.node) for p in n.movable)

        rules = self.judge.rules
        everyone = [*(p for n in state.nodes for p in n.movable), *state.pending]
        total = sum(p.requests.cpu_millicores for p in everyone)
        millicores: Counter[str] = Counter()
        for n in state.nodes:
            if n.node.name not in drained:
                for name in _places(n.node):
                    millicores[name] += sum(p.requests.cpu_millicores for p in n.movable)

        def leaves_shares(pod: Pod, node: Node) -> bool:
            ratios = (rules.max_zone_share_ratio, rules.max_cluster_pool_share_ratio)
            return all(
                ratio is None or millicores[name] + pod.requests.cpu_millicores <= share_of(ratio, total)
                for name, ratio in zip(_places(node), ratios, strict=False)
            )

        def wants(pod: Pod, node: Node) -> bool:
            if not leaves_shares(pod, node):
                return False
            if node.capacity_type is not CapacityType.SPOT:
                return True
            limit = self._limit(pod)
            return not self.refuses_spot(pod) and (limit is None or held[_share(pod, node)] < limit)

        scene = Rehearsal(state.without(drained), closed, SETTLED, wants=wants)
        scene.launch(
            StandingNode(n, shelf.offers[row], tuple(shelf.daemons_on(row, n)), None) for row, n in new
        )
        nodes = {n.node.name: n.node for n in state.nodes} | {n.name: n for _, n in new}
        where: dict[str, str] = {}
        waiting: list[Pod] = []
        moving = [
            replace(p, node_name=None) for n in state.nodes if n.node.name in drained for p in n.movable
        ]
        for pod in [*self._ordered(moving), *self._ordered(state.pending)]:
            if scene.schedule([pod]):
                if len(where) < len(moving):
                    return None
                waiting.append(pod)
                continue
            where[pod.key] = scene.node_of(pod) or ""
            node = nodes[where[pod.key]]
            held[_share(pod, node)] += 1
            for name in _places(node):
                millicores[name] += pod.requests.cpu_millicores
        on: dict[str, list[Pod]] = {}
        for pod in sorted((*moving, *state.pending), key=lambda p: p.key):
            if pod.key in where:
                on.setdefault(where[pod.key], []).append(pod)
        packed = tuple(PackedNode(n, row, shelf.offers[row], tuple(on.get(n.name, ()))) for row, n in new)
        if any(not p.pods for p in packed):
            return None
        fresh = {n.name for _, n in new}
        onto = {key: name for key, name in where.items() if name not in fresh}
        return Packing(packed, onto, tuple(sorted(waiting, key=lambda p: p.key)))

    def _ordered(self, pods: Iterable[Pod]) -> list[Pod]:
        return sorted(pods, key=lambda p: (not self.refuses_spot(p), *SETTLED.order(p)))

    def _limit(self, pod: Pod) -> int | None:
        if pod.key not in self._limits:
            self._limits[pod.key] = self.judge.pool_limit(pod)
        return self._limits[pod.key]


def _places(node: Node) -> tuple[str, ...]:
    """Name the zone of a node, and its pool when it is a spot one."""
    zone = node.zone_id or node.zone or "unknown"
    return (zone, diversification.pool_name(node)) if node.capacity_type is CapacityType.SPOT else (zone,)


def _share(pod: Pod, node: Node) -> tuple[str, str]:
    owner = f"{pod.namespace}/{pod.owner.kind}/{pod.owner.name}" if pod.owner else pod.key
    pool = diversification.pool_name(node) if node.capacity_type is CapacityType.SPOT else ""
    return owner, pool
