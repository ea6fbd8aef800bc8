"""Lay pods on nodes as policy wants it, spreading as kube-scheduler does: one way that a fleet may be used."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from services.optimizer.domain import diversification
from services.optimizer.domain.columns.arrays import Bools, Ints
from services.optimizer.domain.fleet_state import FleetState, StandingNode
from services.optimizer.domain.packing.fleet import PackedNode, Packer, Packing
from services.optimizer.domain.packing.grouping import needs_devices
from services.optimizer.domain.rehearsal import SETTLED, Rehearsal
from services.optimizer.domain.rules import PlanRules
from services.optimizer.domain.spot_tolerance import SpotJudge
from services.optimizer.domain.staging import Stage
from shared.kernel.pools import CapacityType
from shared.kernel.shares import share_of
from shared.kernel.workload import Node, Pod


@dataclass(frozen=True, slots=True)
class Placer:
    """Places pods of several fleets under one set of rules."""

    packer: Packer
    judge: SpotJudge

    def refuses_spot(self, pod: Pod) -> bool:
        """Whether the pod must not run on spot."""
        return not self.judge.verdict(pod).may_use_spot

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
        rules = self.judge.rules
        everyone = [*(p for n in state.nodes for p in n.movable), *state.pending]
        wants = _Pools(self, rules, sum(p.requests.cpu_millicores for p in everyone))
        for node in (n.node for n in state.nodes):
            wants.enter(node)
        for _, node in new:
            wants.enter(node, is_for_devices=bool(node.allocatable.extended))
        for n in state.nodes:
            if n.node.name not in drained:
                for pod in n.movable:
                    wants.count(pod, n.node)
        stage = Stage(state.without(drained), self.packer.grouper.meant)
        scene = Rehearsal(stage, closed, SETTLED, wants=wants)
        scene.launch(
            StandingNode(n, shelf.offers[row], tuple(shelf.daemons_on(row, n)), None) for row, n in new
        )
        nodes = {n.node.name: n.node for n in state.nodes} | {n.name: n for _, n in new}
        where: dict[str, str] = {}
        waiting: list[Pod] = []
        moving = [p for n in state.nodes if n.node.name in drained for p in n.movable]
        for pod in [*self._ordered(moving), *self._ordered(state.pending)]:
            if scene.schedule([pod]):
                if len(where) < len(moving):
                    return None
                waiting.append(pod)
                continue
            where[pod.key] = scene.node_of(pod) or ""
            wants.count(pod, nodes[where[pod.key]])
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


class _Pools:
    """What each pool holds, and who may still go there; nodes are told apart by kind, of which a pool may have two."""

    def __init__(self, placer: Placer, rules: PlanRules, millicores: int) -> None:
        self._placer = placer
        self._most_in_zone = _share(rules.max_zone_share_ratio, millicores)
        self._most_in_pool = _share(rules.max_cluster_pool_share_ratio, millicores)
        self._at: dict[tuple[str, str], int] = {}
        """By zone and spot pool; on-demand nodes of a zone are a pool too."""
        self._kinds: dict[tuple[int, bool], int] = {}
        """By pool, and whether it is a node that is bought for its devices: new ones are kept for who asks for them."""
        self._kind_of: dict[str, int] = {}
        """By name of a node."""
        self._pool_at = np.zeros(0, dtype=np.int64)
        self._is_for_devices = np.zeros(0, dtype=np.bool_)
        self._held: dict[str, Ints] = {}
        """Replicas of a workload, by pool."""
        self._is_spot = np.zeros(0, dtype=np.bool_)
        self._zones = np.zeros(0, dtype=np.int64)
        self._zone_at: dict[str, int] = {}
        self._millicores = np.zeros(0, dtype=np.int64)

    def enter(self, node: Node, *, is_for_devices: bool = False) -> None:
        """Take notice of a node and its pool; all nodes come before the first pod."""
        pool = _pool(node)
        if pool not in self._at:
            self._at[pool] = len(self._at)
            zone = self._zone_at.setdefault(pool[0], len(self._zone_at))
            self._zones = np.append(self._zones, zone)
            self._is_spot = np.append(self._is_spot, bool(pool[1]))
            self._millicores = np.append(self._millicores, 0)
        kind = (self._at[pool], is_for_devices)
        if kind not in self._kinds:
            self._kinds[kind] = len(self._kinds)
            self._pool_at = np.append(self._pool_at, kind[0])
            self._is_for_devices = np.append(self._is_for_devices, is_for_devices)
        self._kind_of[node.name] = self._kinds[kind]

    def pool_of(self, node: Node) -> int:
        """Number the kind of a node."""
        return self._kind_of[node.name]

    def open_pools(self, pod: Pod) -> Bools:
        """Say for each kind of node whether policy permits one more such pod there."""
        is_open = self._with_room(pod)[self._pool_at]
        return is_open if needs_devices(pod.requests) else is_open & ~self._is_for_devices

    def _with_room(self, pod: Pod) -> Bools:
        asked = pod.requests.cpu_millicores
        is_open = ~self._is_spot if self._placer.refuses_spot(pod) else np.ones(len(self._at), dtype=np.bool_)
        limit, owner = self._placer.judge.pool_limit(pod), _owner(pod)
        if limit is not None and owner in self._held:
            is_open &= ~self._is_spot | (self._held[owner] < limit)
        elif limit is not None and limit <= 0:
            is_open &= ~self._is_spot
        if self._most_in_pool is not None:
            is_open &= ~self._is_spot | (self._millicores + asked <= self._most_in_pool)
        if self._most_in_zone is not None:
            in_zone = np.bincount(self._zones, weights=self._millicores)[self._zones]
            is_open &= in_zone + asked <= self._most_in_zone
        return is_open

    def count(self, pod: Pod, node: Node) -> None:
        """Count a pod that stands on a node."""
        at, owner = self._at[_pool(node)], _owner(pod)
        if owner not in self._held:
            self._held[owner] = np.zeros(len(self._at), dtype=np.int64)
        self._held[owner][at] += 1
        self._millicores[at] += pod.requests.cpu_millicores


def _share(ratio: float | None, millicores: int) -> int | None:
    return None if ratio is None else share_of(ratio, millicores)


def _pool(node: Node) -> tuple[str, str]:
    """Name the zone of a node, and its pool when it is a spot one."""
    zone = node.zone_id or node.zone or "unknown"
    return zone, diversification.pool_name(node) if node.capacity_type is CapacityType.SPOT else ""


def _owner(pod: Pod) -> str:
    return f"{pod.namespace}/{pod.owner.kind}/{pod.owner.name}" if pod.owner else pod.key
