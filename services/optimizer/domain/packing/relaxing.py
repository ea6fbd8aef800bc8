"""The problem that leaves out what no fleet of columns can be held to: for a bound, and for a first look."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from services.optimizer.domain.packing import grouping
from services.optimizer.domain.packing.classes import SPREAD, UNLIMITED, Bools, Ints, NodeLimit, PodClass
from services.optimizer.domain.packing.demand import Demand
from services.optimizer.domain.spot_tolerance import SpotJudge

WORKLOADS_WITH_POOLS = 8
"""Limits per spot pool of more workloads take long to prove anything with."""


def relaxed(
    classes: Sequence[PodClass],
    requests: Ints,
    allowed: Bools,
    limits: Sequence[tuple[NodeLimit, ...]],
    judge: SpotJudge,
) -> Demand:
    """Give the demand without limits per spot pool and levels of zones.

    Args:
        classes: in any order.
        requests: a row a class.
        allowed: offer x class.
        limits: of each class; what follows from a spread is left out.
        judge: knows what interruptions cost.
    """
    return Demand(
        requests=requests,
        counts=np.array([len(c.pods) for c in classes], dtype=np.int64),
        allowed=allowed,
        per_spot_pool=np.full(len(classes), UNLIMITED, dtype=np.int64),
        workload=np.full(len(classes), -1, dtype=np.int64),
        # A spread allows more on a node where all nodes have some.
        node_limits=tuple(tuple(x for x in mine if x.key != SPREAD) for mine in limits),
        counted=((),) * len(classes),
        used=np.zeros((len(allowed), 1), dtype=np.int64),
        interruption_micro_usd=grouping.interruption_costs(classes, judge),
    )


def capped(demand: Demand, classes: Sequence[PodClass]) -> Demand:
    """Give the same with limits per spot pool, of which nothing is used up."""
    workload, names = grouping.workload_index(classes)
    return replace(
        demand,
        per_spot_pool=np.array([c.per_spot_pool for c in classes], dtype=np.int64),
        workload=workload,
        used=np.zeros((len(demand.allowed), max(len(names), 1)), dtype=np.int64),
    )


def few_pools(classes: Sequence[PodClass]) -> bool:
    """Whether so few workloads have a limit per spot pool that all of them can be looked at together."""
    return 0 < len({c.workload for c in classes if c.workload is not None}) <= WORKLOADS_WITH_POOLS
