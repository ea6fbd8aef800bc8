"""Failures on demand, and the finite capacity of spot pools."""

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass, field

from deploy.sandbox.aws.records import RUNNING, SPOT, Instance

SMALLEST_POOL_VCPUS = 512
LARGEST_POOL_VCPUS = 4096
"""A spot pool holds a number of vCPUs between these, drawn from the seed; invented."""

UNLIMITED = 1_000_000


@dataclass(frozen=True, slots=True)
class PoolFault:
    """Pools without capacity; an empty field means any."""

    instance_type: str = ""
    zone: str = ""
    capacity_type: str = ""

    def covers(self, instance_type: str, zone: str, capacity_type: str) -> bool:
        """Say whether the pool is one of them."""
        return (
            self.instance_type in ("", instance_type)
            and self.zone in ("", zone)
            and self.capacity_type in ("", capacity_type)
        )


@dataclass
class Faults:
    """What is to go wrong."""

    pools: set[PoolFault] = field(default_factory=set)
    throttled: dict[str, int] = field(default_factory=dict)
    """Calls left to refuse, by action."""
    unavailable: dict[str, int] = field(default_factory=dict)

    def take(self, action: str) -> tuple[str, str, int] | None:
        """Give the code, message and HTTP status this call is to fail with, and count it."""
        for left, error in (
            (self.throttled, ("RequestLimitExceeded", "Request limit exceeded.", 503)),
            (
                self.unavailable,
                ("Unavailable", "The server is overloaded and can't handle the request.", 503),
            ),
        ):
            if left.get(action, 0) > 0:
                left[action] -= 1
                return error
        return None


@dataclass(frozen=True)
class Capacity:
    """How many more instances a pool holds."""

    faults: Faults
    seed: int

    def available(
        self, instance_type: str, zone: str, capacity_type: str, *, vcpus: int, instances: Iterable[Instance]
    ) -> int:
        """Count what may still be launched; on-demand pools end only by a fault."""
        if any(fault.covers(instance_type, zone, capacity_type) for fault in self.faults.pools):
            return 0
        if capacity_type != SPOT:
            return UNLIMITED
        digest = hashlib.sha256(f"{self.seed}/{instance_type}/{zone}".encode()).digest()
        draw = int.from_bytes(digest[:4]) / 2**32
        size = SMALLEST_POOL_VCPUS + draw * (LARGEST_POOL_VCPUS - SMALLEST_POOL_VCPUS)
        used = sum(
            1
            for i in instances
            if i.state == RUNNING
            and (i.instance_type, i.zone, i.capacity_type) == (instance_type, zone, capacity_type)
        )
        return max(int(size) // max(vcpus, 1) - used, 0)
