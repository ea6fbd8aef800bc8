"""What to launch in place of an instance that EC2 takes back, while its two minutes run."""

import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal
from types import MappingProxyType

from services.executor.domain.steps import Offering
from shared.kernel import type_filters
from shared.kernel.capacity import InstanceType
from shared.kernel.pools import CapacityType, PoolKey
from shared.kernel.type_filters import TypeFilters
from shared.kernel.workload import Node

SPOT_OFFERINGS = 8
ON_DEMAND_OFFERINGS = 4
"""How many of each to try: enough that one dry pool is no end, few enough that trying ends in time."""

NOTHING_KNOWN: Mapping[str, InstanceType] = MappingProxyType({})

GPU_FAMILY = re.compile(r"(g|gr|p)\d[a-z]*(-.*)?")
BURSTABLE_FAMILY = re.compile(r"t\d[a-z]*")
BARE_METAL_SIZE = re.compile(r"metal(-.*)?")

MEMORY_LOST_RATIO = 0.075
"""Of a type's memory, what its node does not report at most: Karpenter's default; real nodes lose 1.7 to 5.3 %."""


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
    filters: TypeFilters
    """The policy's."""
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


def unquoted(
    wanted: Wanted,
    *,
    region: str,
    quotes: Sequence[Quoted] = (),
    types: Mapping[str, InstanceType] = NOTHING_KNOWN,
) -> tuple[Offering, ...]:
    """Give the offerings to try when no quote will do: the same type, on-demand, where the policy allows it.

    A type that nobody describes is judged by what its node reports. What cannot be told to keep to the policy is
    left out: a price that nobody knows, where prices have a limit, and a memory that may be on either side of one.
    """
    name = wanted.node.instance_type
    if name is None or not wanted.may_be_on_demand:
        return ()
    possible = (types[name],) if name in types else _as_seen(name, wanted.node)
    if not possible or not all(_passes(kind, wanted) for kind in possible):
        return ()
    prices = {quote.pool: quote.usd_per_hour for quote in quotes}
    zones = sorted(wanted.zone_ids, key=lambda zone: (zone != wanted.node.zone_id, zone))
    pools = [PoolKey(region, name, zone, CapacityType.ON_DEMAND) for zone in zones]
    return tuple(
        Offering(pool, prices.get(pool)) for pool in pools if _is_affordable(prices.get(pool), wanted)
    )


def _as_seen(name: str, node: Node) -> tuple[InstanceType, ...]:
    """Give the least and the most that the type of a node can be; nothing when the node does not say what it has."""
    vcpus, memory_bytes = node.capacity.cpu_millicores // 1000, node.capacity.memory_bytes
    if not vcpus or not memory_bytes:
        return ()
    family, _, size = name.partition(".")
    architecture = node.labels.get("kubernetes.io/arch")
    least = InstanceType(
        name,
        vcpus=vcpus,
        memory_bytes=memory_bytes,
        architectures=(architecture,) if architecture else (),
        # Without a device plugin a node does not report the GPUs that it has.
        gpus={"gpu": 1} if GPU_FAMILY.fullmatch(family) else {},
        is_burstable=BURSTABLE_FAMILY.fullmatch(family) is not None,
        is_bare_metal=BARE_METAL_SIZE.fullmatch(size) is not None,
    )
    return least, replace(least, memory_bytes=int(memory_bytes / (1 - MEMORY_LOST_RATIO)))


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
        (architecture is None or architecture in candidate.architectures)
        and _passes(candidate, wanted)
        and _is_affordable(quote.usd_per_hour, wanted)
        and (quote.pool.capacity_type is not CapacityType.SPOT or candidate.supports_spot)
    )


def _passes(candidate: InstanceType, wanted: Wanted) -> bool:
    # What runs in the cluster may go on, of whatever generation it is.
    if candidate.family == (wanted.node.instance_type or "").partition(".")[0]:
        candidate = replace(candidate, is_current_generation=True)
    return type_filters.refusal(candidate, wanted.filters) is None


def _is_affordable(usd_per_hour: Decimal | None, wanted: Wanted) -> bool:
    most = wanted.max_usd_per_hour
    # As it is written: the float beside 0.3 is less than 0.3.
    return most is None or (usd_per_hour is not None and usd_per_hour <= Decimal(str(most)))
