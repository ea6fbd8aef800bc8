"""What to launch in place of an instance that EC2 takes back, while its two minutes run."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal

from services.executor.domain.steps import Offering
from shared.kernel.capacity import InstanceType
from shared.kernel.pools import CapacityType, PoolKey
from shared.kernel.workload import Node

SPOT_OFFERINGS = 8
ON_DEMAND_OFFERINGS = 4
"""How many of each to try: enough that one dry pool is no end, few enough that trying ends in time."""


@dataclass(frozen=True, slots=True)
class Quoted:
    """An offering as pricing sees it now."""

    pool: PoolKey
    usd_per_hour: Decimal
    is_flagged: bool


@dataclass(frozen=True, slots=True)
class Wanted:
    """What a replacement must be."""

    node: Node
    zone_ids: frozenset[str]
    """With a subnet; narrowed to the node's own zone when its pods' volumes are bound there."""
    may_be_spot: bool
    may_be_on_demand: bool
    families: tuple[str, ...] = ()
    excluded_types: tuple[str, ...] = ()
    allow_burstable: bool = False
    allow_bare_metal: bool = False
    sizes: tuple[str, ...] = ()
    allow_gpu: bool = True
    gpu_families: tuple[str, ...] = ()
    min_vcpus: int | None = None
    max_vcpus: int | None = None
    min_memory_bytes: int | None = None
    max_memory_bytes: int | None = None
    max_usd_per_hour: float | None = None


def replacements(
    wanted: Wanted,
    *,
    quotes: Sequence[Quoted],
    types: Mapping[str, InstanceType],
    avoided: Collection[PoolKey],
) -> tuple[Offering, ...]:
    """Give the offerings to try: spot by price, then on-demand by price; flagged pools are left out.

    A type is large enough when it has at least what the interrupted type has, so that whatever ran there fits
    without asking the scheduler.
    """
    fitting = [
        quote
        for quote in quotes
        if quote.pool not in avoided
        and not quote.is_flagged
        and quote.pool.zone_id in wanted.zone_ids
        and quote.pool.instance_type in types
        and _is_large_enough(types[quote.pool.instance_type], wanted, types)
        and _is_allowed(types[quote.pool.instance_type], quote, wanted)
    ]
    by_price = sorted(fitting, key=lambda q: (q.usd_per_hour, q.pool))
    spot = [q for q in by_price if q.pool.capacity_type is CapacityType.SPOT and wanted.may_be_spot]
    sure = [q for q in by_price if q.pool.capacity_type is CapacityType.ON_DEMAND and wanted.may_be_on_demand]
    chosen = [*spot[:SPOT_OFFERINGS], *sure[:ON_DEMAND_OFFERINGS]]
    return tuple(Offering(quote.pool, quote.usd_per_hour) for quote in chosen)


def unquoted(wanted: Wanted, *, region: str) -> tuple[Offering, ...]:
    """Give the offerings to try when nobody can say what anything costs: the same type, on-demand."""
    instance_type = wanted.node.instance_type
    if instance_type is None or not wanted.may_be_on_demand:
        return ()
    zones = sorted(wanted.zone_ids, key=lambda zone: (zone != wanted.node.zone_id, zone))
    return tuple(
        Offering(PoolKey(region, instance_type, zone, CapacityType.ON_DEMAND), None) for zone in zones
    )


def _is_large_enough(candidate: InstanceType, wanted: Wanted, types: Mapping[str, InstanceType]) -> bool:
    node = wanted.node
    now = types.get(node.instance_type or "")
    if now is None:
        return (
            candidate.vcpus * 1000 >= node.capacity.cpu_millicores
            and candidate.memory_bytes >= node.capacity.memory_bytes
            and candidate.max_pods >= node.max_pods
            and all(candidate.gpus.get(name, 0) >= n for name, n in node.capacity.extended.items())
        )
    return (
        candidate.vcpus >= now.vcpus
        and candidate.memory_bytes >= now.memory_bytes
        and candidate.max_pods >= now.max_pods
        and set(now.architectures) & set(candidate.architectures) != set()
        and all(candidate.gpus.get(name, 0) >= n for name, n in now.gpus.items())
    )


def _is_allowed(candidate: InstanceType, quote: Quoted, wanted: Wanted) -> bool:
    architecture = wanted.node.labels.get("kubernetes.io/arch")
    return (
        (not wanted.families or candidate.family in wanted.families)
        and candidate.name not in wanted.excluded_types
        and (architecture is None or architecture in candidate.architectures)
        and (wanted.allow_burstable or not candidate.is_burstable)
        and (wanted.allow_bare_metal or not candidate.is_bare_metal)
        and (not wanted.sizes or candidate.size in wanted.sizes)
        and (not candidate.gpus or wanted.allow_gpu)
        and (not candidate.gpus or not wanted.gpu_families or candidate.family in wanted.gpu_families)
        and _is_between(candidate.vcpus, wanted.min_vcpus, wanted.max_vcpus)
        and _is_between(candidate.memory_bytes, wanted.min_memory_bytes, wanted.max_memory_bytes)
        and (wanted.max_usd_per_hour is None or quote.usd_per_hour <= wanted.max_usd_per_hour)
        # Families that the policy names may be of any generation, as in plans.
        and (
            bool(wanted.families)
            or candidate.is_current_generation
            or candidate.family == (wanted.node.instance_type or "").partition(".")[0]
        )
        and (quote.pool.capacity_type is not CapacityType.SPOT or candidate.supports_spot)
    )


def _is_between(amount: int, least: int | None, most: int | None) -> bool:
    return (least is None or amount >= least) and (most is None or amount <= most)
