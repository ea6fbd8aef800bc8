"""No pool and no zone holds too much: of one workload, and of the whole cluster.

Of a workload, a spot pool holds no more replicas than may be lost at once (losses, SpotJudge.pool_limit). Of all
requested vCPU, a spot pool and a zone hold the policy's shares at most. The packing is given these as limits; what
comes of it is checked here once more, by counting, since kube-scheduler has the last word on where pods are.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from services.optimizer.domain.columns.arrays import Ints
from services.optimizer.domain.columns.problem import Limit
from services.optimizer.domain.fleet_state import StandingNode
from services.optimizer.domain.losses import share_of
from services.optimizer.domain.rules import PlanRules
from services.optimizer.domain.spot_tolerance import SpotJudge
from shared.kernel.pools import CapacityType, PoolKey
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


def cluster_limits(
    pools: Sequence[PoolKey],
    millicores: Ints,
    *,
    requested: int,
    standing: Mapping[PoolKey, int],
    rules: PlanRules,
) -> list[Limit]:
    """Give the policy's shares of requested vCPU as limits of a packing; none where the policy has none.

    Args:
        pools: of each offer, in the packing's order.
        millicores: per shape, what one pod requests.
        requested: millicores of all pods that will run, those that stay where they are included.
        standing: millicores requested, by pool, on nodes that are no part of the packing.
        rules: the policy's.
    """
    found = []
    if rules.max_cluster_pool_share_ratio is not None:
        groups = [str(p) if p.capacity_type is CapacityType.SPOT else None for p in pools]
        held = _sums((str(p), m) for p, m in standing.items() if p.capacity_type is CapacityType.SPOT)
        at_most = share_of(rules.max_cluster_pool_share_ratio, requested)
        found.append(_limit(groups, millicores, held, at_most))
    if rules.max_zone_share_ratio is not None:
        held = _sums((p.zone_id, m) for p, m in standing.items())
        at_most = share_of(rules.max_zone_share_ratio, requested)
        found.append(_limit([p.zone_id for p in pools], millicores, held, at_most))
    return found


def _limit(groups: Sequence[str | None], weights: Ints, held: Mapping[str, int], at_most: int) -> Limit:
    names = sorted({g for g in groups if g is not None})
    at = {name: i for i, name in enumerate(names)}
    return Limit(
        weights=weights.astype(np.int64),
        group=np.array([-1 if g is None else at[g] for g in groups], dtype=np.int64),
        at_most=np.array([max(at_most - held.get(n, 0), 0) for n in names], dtype=np.int64),
    )


def _sums(amounts: Iterable[tuple[str, int]]) -> dict[str, int]:
    found: dict[str, int] = {}
    for name, amount in amounts:
        found[name] = found.get(name, 0) + amount
    return found


def breaches(nodes: Iterable[StandingNode], judge: SpotJudge) -> list[Breach]:
    """Give everything that holds more than it may, in order of name."""
    fleet = list(nodes)
    return sorted([*_of_workloads(fleet, judge), *_of_cluster(fleet, judge.rules)])


def added(before: Iterable[Breach], after: Iterable[Breach]) -> list[Breach]:
    """Give what a change breaks, or breaks further: what is broken today does not forbid a change for the better."""
    today = {b.what: b.amount - b.at_most for b in before}
    return [b for b in after if b.amount - b.at_most > today.get(b.what, 0)]


def pool_name(node: Node) -> str:
    """Name the spot pool of a node by its labels; nodes whose type nobody knows count as one pool of their zone."""
    return f"spot:{node.instance_type or 'unknown'}:{node.zone_id or node.zone or 'unknown'}"


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
        zone = node.node.zone_id or node.node.zone or "unknown"
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
