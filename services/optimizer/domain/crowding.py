"""Where a launch may go instead of its planned pool without crowding another.

When a pool is dry, every launch that was planned there looks for room at its next offers. What these would hold
then, beside what is planned there, keeps to the limits of diversification: no spot pool holds more replicas of a
workload than may be lost at once, and no spot pool and no zone more than its share of all requested vCPU. That
launches of two pools fall back at once, when both are dry, is not foreseen.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from services.optimizer.domain.diversification import pool_name, zone_name
from services.optimizer.domain.fleet_state import StandingNode
from services.optimizer.domain.offers import Offer
from services.optimizer.domain.packing.classes import Bools, Ints
from services.optimizer.domain.packing.grouping import workload_name
from services.optimizer.domain.packing.shelf import Shelf
from services.optimizer.domain.spot_tolerance import SpotJudge
from shared.kernel.pools import CapacityType, PoolKey
from shared.kernel.shares import share_of
from shared.kernel.workload import Node, Pod

ALL_VCPU = ""
"""Stands for the whole cluster where a workload is named."""


@dataclass(frozen=True, slots=True)
class Load:
    """What the pods of one launch count for."""

    planned: Offer
    replicas: Mapping[str, int]
    """By workload with a limit per spot pool."""
    millicores: int

    def amounts(self) -> dict[str, int]:
        """Give what counts against each limit of a spot pool."""
        return {**self.replicas, ALL_VCPU: self.millicores}


class Crowding:
    """What pools and zones hold as planned, and would hold if a pool were dry; one fleet, one shelf."""

    def __init__(self, shelf: Shelf, fleet: Iterable[StandingNode], judge: SpotJudge) -> None:
        """Count what the fleet of the plan holds."""
        self._judge = judge
        is_spot = [n.capacity_type is CapacityType.SPOT for n in shelf.nodes]
        names = (pool_name(n) for n, spot in zip(shelf.nodes, is_spot, strict=True) if spot)
        self._pools = {name: i for i, name in enumerate(dict.fromkeys(names))}
        self._zones = {name: i for i, name in enumerate(dict.fromkeys(map(zone_name, shelf.nodes)))}
        self._pool_at = np.array(
            [self._pools[pool_name(n)] if spot else -1 for n, spot in zip(shelf.nodes, is_spot, strict=True)],
            dtype=np.int64,
        )
        self._zone_at = np.array([self._zones[zone_name(n)] for n in shelf.nodes], dtype=np.int64)
        self._limits: dict[str, int] = {}
        self._held: dict[str, Ints] = {}
        """By workload: what each spot pool holds."""
        self._in_zones = np.zeros(len(self._zones), dtype=np.int64)
        total = 0
        for node in fleet:
            total += self._count(node.node, node.movable)
        rules = judge.rules
        if rules.max_cluster_pool_share_ratio is not None:
            self._limits[ALL_VCPU] = share_of(rules.max_cluster_pool_share_ratio, total)
        self._zone_limit = None
        if rules.max_zone_share_ratio is not None:
            self._zone_limit = share_of(rules.max_zone_share_ratio, total)
        # By the pool that would be dry: what its launches so far would bring elsewhere.
        self._brought: dict[tuple[PoolKey, str], Ints] = {}
        self._brought_to_zones: dict[PoolKey, Ints] = {}

    def load(self, planned: Offer, pods: Sequence[Pod]) -> Load:
        """Give what a launch's pods count for."""
        replicas: dict[str, int] = {}
        for pod in pods:
            if pod.owner is None:
                continue
            name = workload_name(pod)
            # A launch is part of the fleet: whichever workload has a limit was met there.
            if name in self._limits:
                replicas[name] = replicas.get(name, 0) + 1
        return Load(planned, replicas, sum(p.requests.cpu_millicores for p in pods))

    def has_room(self, load: Load) -> Bools:
        """Say of each row of the shelf whether the launch may go there too, with the others of its pool."""
        free = np.ones(len(self._pools), dtype=np.bool_)
        for name, amount in load.amounts().items():
            if name in self._limits:
                free &= self._of(name) + self._brought_by(load, name) + amount <= self._limits[name]
        found = np.ones(len(self._pool_at), dtype=np.bool_)
        spot = self._pool_at >= 0
        found[spot] = free[self._pool_at[spot]]
        if self._zone_limit is not None:
            zones = self._in_zones + self._brought_to_zones_by(load) + load.millicores <= self._zone_limit
            own = self._zones.get(load.planned.pool.zone_id)
            if own is not None:
                zones[own] = True
            found &= zones[self._zone_at]
        return found

    def reserve(self, load: Load, chosen: Sequence[int]) -> None:
        """Keep the room at the rows that a launch names, against the others of its pool."""
        pools = sorted({int(self._pool_at[row]) for row in chosen} - {-1})
        for name, amount in load.amounts().items():
            self._brought_by(load, name)[pools] += amount
        own = self._zones.get(load.planned.pool.zone_id, -1)
        zones = sorted({int(self._zone_at[row]) for row in chosen} - {own})
        self._brought_to_zones_by(load)[zones] += load.millicores

    def _brought_by(self, load: Load, name: str) -> Ints:
        return self._brought.setdefault((load.planned.pool, name), np.zeros(len(self._pools), dtype=np.int64))

    def _brought_to_zones_by(self, load: Load) -> Ints:
        return self._brought_to_zones.setdefault(
            load.planned.pool, np.zeros(len(self._zones), dtype=np.int64)
        )

    def _of(self, name: str) -> Ints:
        return self._held.setdefault(name, np.zeros(len(self._pools), dtype=np.int64))

    def _count(self, node: Node, pods: Iterable[Pod]) -> int:
        pool = self._pools.get(pool_name(node)) if node.capacity_type is CapacityType.SPOT else None
        zone = self._zones.get(zone_name(node))
        total = 0
        for pod in pods:
            total += pod.requests.cpu_millicores
            if pod.owner is None:
                continue
            name = workload_name(pod)
            if name not in self._limits:
                limit = self._judge.pool_limit(pod)
                if limit is None:
                    continue
                self._limits[name] = limit
            if pool is not None:
                self._of(name)[pool] += 1
        if pool is not None:
            self._of(ALL_VCPU)[pool] += total
        if zone is not None:
            self._in_zones[zone] += total
        return total
