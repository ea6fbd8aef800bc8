"""No pool and no zone holds too much: of one workload, and of the whole cluster.

Of a workload, a spot pool holds no more replicas than may be lost at once (losses, SpotJudge.pool_limit). Of all
requested vCPU, a spot pool and a zone hold the policy's shares at most. The packing is given these as limits; what
comes of it is checked here once more, by counting, since kube-scheduler has the last word on where pods are.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from services.optimizer.domain import levels
from services.optimizer.domain.columns.arrays import Ints
from services.optimizer.domain.columns.problem import Limit
from services.optimizer.domain.fleet_state import StandingNode
from services.optimizer.domain.rules import PlanRules
from services.optimizer.domain.spot_tolerance import SpotJudge
from shared.kernel.pools import CapacityType
from shared.kernel.shares import share_of
from shared.kernel.workload import Node, Pod


@dataclass(frozen=True, slots=True, order=True)
class Breach:
    """Something that holds more than it may."""

    what: str
    """The limit: a workload and a pool, a pool, or a zone."""
    amount: int
    """Replicas, or millicores."""
    at_most: int
    sentence: str


class Shares:
    """The policy's shares of all requested vCPU, and what holds how much of them already."""

    def __init__(self, rules: PlanRules, requested: int) -> None:
        """Start with nothing held; `requested` is the millicores of all pods that will run."""
        self._at_most = {
            kind: share_of(ratio, requested)
            for kind, ratio in (
                ("pool", rules.max_cluster_pool_share_ratio),
                ("zone", rules.max_zone_share_ratio),
            )
            if ratio is not None
        }
        self._held: dict[tuple[str, str], int] = {}
        self._lifted: frozenset[str] = frozenset()

    def __bool__(self) -> bool:
        return bool(self._at_most)

    @property
    def kinds(self) -> tuple[str, ...]:
        """Name what has a share, the one that matters least first: pools are lost more often than zones."""
        return tuple(kind for kind in ("zone", "pool") if kind in self._at_most)

    def lift(self, kinds: frozenset[str]) -> None:
        """Hold nothing to the shares of these kinds from now on, and all to those of others; all is counted still."""
        self._lifted = kinds

    def add(self, node: Node, millicores: int) -> None:
        """Count what came to a node."""
        for group in self._groups(node):
            self._held[group] = self._held.get(group, 0) + millicores

    def room(self, node: Node, millicores: int) -> int | None:
        """Give how many more pods of a size the node's pool and zone may hold; None: any number."""
        if not self._at_most or millicores == 0:
            return None
        groups = (g for g in self._groups(node) if g[0] not in self._lifted)
        left = [self._at_most[g[0]] - self._held.get(g, 0) for g in groups]
        return max(min(left), 0) // millicores if left else None

    def limits(self, nodes: Sequence[Node], millicores: Ints) -> tuple[Limit, ...]:
        """Give the shares as limits of a packing.

        Args:
            nodes: what each offer would become, in the packing's order.
            millicores: what one pod of each class requests.
        """
        found = []
        for kind, at_most in self._at_most.items():
            if kind in self._lifted:
                continue
            groups = [next((g for g in self._groups(n) if g[0] == kind), None) for n in nodes]
            names = sorted({g for g in groups if g is not None})
            at = {name: i for i, name in enumerate(names)}
            found.append(
                Limit(
                    weights=millicores.astype(np.int64),
                    group=np.array([-1 if g is None else at[g] for g in groups], dtype=np.int64),
                    at_most=np.array([max(at_most - self._held.get(n, 0), 0) for n in names], dtype=np.int64),
                )
            )
        return tuple(found)

    def _groups(self, node: Node) -> list[tuple[str, str]]:
        found = []
        if "pool" in self._at_most and node.capacity_type is CapacityType.SPOT:
            found.append(("pool", pool_name(node)))
        if "zone" in self._at_most:
            found.append(("zone", zone_name(node)))
        return found


def breaches(nodes: Iterable[StandingNode], judge: SpotJudge) -> list[Breach]:
    """Give everything that holds more than it may, in order of name."""
    fleet = list(nodes)
    return sorted([*_of_workloads(fleet, judge), *_of_cluster(fleet, judge.rules)])


def unspreadable(nodes: Sequence[StandingNode], judge: SpotJudge) -> list[Breach]:
    """Give the workloads whose replicas the fleet could not hold within its limits wherever they lay, in order of name.

    kube-scheduler knows of no limit: where one is broken, a fleet that could keep to it is still better than one that
    never can. On-demand nodes take any number.
    """
    fleet = [
        (pool_name(n.node) if n.node.capacity_type is CapacityType.SPOT else None, levels.room_of(n))
        for n in nodes
    ]
    replicas: dict[str, list[Pod]] = {}
    for node in nodes:
        for pod in node.movable:
            if pod.owner is not None:
                replicas.setdefault(f"{pod.namespace}/{pod.owner.kind}/{pod.owner.name}", []).append(pod)
    found = []
    for workload, pods in sorted(replicas.items()):
        limit, asked = judge.pool_limit(pods[0]), pods[0].requests
        if limit is None:
            continue
        pools = {
            pool
            for pool, room in fleet
            if asked.cpu_millicores <= room.cpu_millicores and asked.memory_bytes <= room.memory_bytes
        }
        if None not in pools and len(pods) > limit * len(pools):
            why = (
                f"{len(pods)} replicas of {workload} need more than {len(pools)} spot pools of {limit} each."
            )
            found.append(Breach(workload, len(pods), limit * len(pools), why))
    return found


def added(before: Iterable[Breach], after: Iterable[Breach]) -> list[Breach]:
    """Give what a change breaks, or breaks further: what is broken today does not forbid a change for the better."""
    today = {b.what: b.amount - b.at_most for b in before}
    return [b for b in after if b.amount - b.at_most > today.get(b.what, 0)]


def zone_name(node: Node) -> str:
    """Name the zone of a node, by its id where that is known."""
    return node.zone_id or node.zone or "unknown"


def pool_name(node: Node) -> str:
    """Name the spot pool of a node by its labels; nodes whose type nobody knows count as one pool of their zone."""
    return f"spot:{node.instance_type or 'unknown'}:{zone_name(node)}"


def _of_workloads(fleet: Sequence[StandingNode], judge: SpotJudge) -> list[Breach]:
    counts: dict[tuple[str, str], int] = {}
    samples: dict[str, Pod] = {}
    for node in fleet:
        if node.node.capacity_type is not CapacityType.SPOT:
            continue
        pool = pool_name(node.node)
        for pod in node.movable:
            if pod.owner is None:
                continue
            workload = f"{pod.namespace}/{pod.owner.kind}/{pod.owner.name}"
            samples.setdefault(workload, pod)
            counts[workload, pool] = counts.get((workload, pool), 0) + 1
    limits = {workload: judge.pool_limit(pod) for workload, pod in samples.items()}
    found = []
    for (workload, pool), count in counts.items():
        limit = limits[workload]
        if limit is not None and count > limit:
            total = judge.count(samples[workload])
            found.append(
                Breach(
                    f"{workload} in {pool}",
                    count,
                    limit,
                    f"{count} of the {total} replicas of {workload} are in {pool}, where {limit} may be.",
                )
            )
    return found


def _of_cluster(fleet: Sequence[StandingNode], rules: PlanRules) -> list[Breach]:
    if rules.max_cluster_pool_share_ratio is None and rules.max_zone_share_ratio is None:
        return []
    total = 0
    by_pool: dict[str, int] = {}
    by_zone: dict[str, int] = {}
    for node in fleet:
        held = sum(p.requests.cpu_millicores for p in node.movable)
        total += held
        zone = zone_name(node.node)
        by_zone[zone] = by_zone.get(zone, 0) + held
        if node.node.capacity_type is CapacityType.SPOT:
            pool = pool_name(node.node)
            by_pool[pool] = by_pool.get(pool, 0) + held
    return [
        *_over("pool", by_pool, total, rules.max_cluster_pool_share_ratio),
        *_over("zone", by_zone, total, rules.max_zone_share_ratio),
    ]


def _over(kind: str, held: Mapping[str, int], total: int, ratio: float | None) -> list[Breach]:
    if ratio is None:
        return []
    at_most = share_of(ratio, total)
    return [
        Breach(
            f"{kind} {name}",
            amount,
            at_most,
            f"{kind.capitalize()} {name} holds {amount / total:.1%} of the requested vCPU, more than {ratio:.1%}.",
        )
        for name, amount in held.items()
        if amount > at_most
    ]
