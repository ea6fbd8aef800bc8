"""What else to launch when the planned pool has no capacity."""

from collections.abc import Iterable, Mapping, Sequence

import numpy as np

from services.optimizer.domain.offers import Offer
from services.optimizer.domain.packing import grouping
from services.optimizer.domain.packing.classes import columns_for
from services.optimizer.domain.packing.grouping import Grouper
from services.optimizer.domain.packing.shelf import Shelf
from services.optimizer.domain.rules import Strategy
from shared.kernel.workload import Pod, Volume

MAX_OFFERS = 5
CHEAPEST_FIRST = 3
"""Places for the cheapest, the planned one included; the rest is for another type, another zone, on-demand."""


def offers_for(
    loads: Mapping[str, tuple[Offer, Sequence[Pod]]],
    shelf: Shelf,
    grouper: Grouper,
    claims: Mapping[str, Volume] | None,
) -> dict[str, tuple[Offer, ...]]:
    """Give, by name of a node to launch, the offers that would hold the same pods, in the order to try."""
    found: dict[str, tuple[Offer, ...]] = {}
    for name, able in holders(loads, shelf, grouper, claims).items():
        planned = loads[name][0]
        able = [o for o in able if o != planned]
        found[name] = (planned, *_varied(planned, able, grouper.rules.strategy))
    return found


def cheapest_on_demand(
    loads: Mapping[str, tuple[Offer, Sequence[Pod]]],
    shelf: Shelf,
    grouper: Grouper,
    claims: Mapping[str, Volume] | None,
) -> dict[str, int]:
    """Give, by name of a node to launch, the least that its pods' room would cost on-demand, in micro-dollars."""
    found: dict[str, int] = {}
    for name, able in holders(loads, shelf, grouper, claims).items():
        price = next((o.micro_usd for o in able if not o.is_spot), None)
        if price is not None:
            found[name] = price
    return found


def holders(
    loads: Mapping[str, tuple[Offer, Sequence[Pod]]],
    shelf: Shelf,
    grouper: Grouper,
    claims: Mapping[str, Volume] | None,
) -> dict[str, list[Offer]]:
    """Give, by name of a node to launch, every offer that would hold its pods, cheapest first."""
    everything = [p for _, pods in loads.values() for p in pods]
    columns = columns_for(everything)
    supply = shelf.supply(columns, grouper.rules)
    classes = grouper.classes(everything)
    allowed = grouping.allowed_rows(classes, shelf, supply.is_spot, claims)
    class_of = {p.key: c for c, kind in enumerate(classes) for p in kind.pods}
    zones = np.array([o.pool.zone_id for o in shelf.offers], dtype=object)
    found: dict[str, list[Offer]] = {}
    for name, (planned, pods) in loads.items():
        if not pods:
            found[name] = [planned]
            continue
        total = np.array([columns.of_pod(p) for p in pods], dtype=np.int64).sum(axis=0)
        kinds = sorted({class_of[p.key] for p in pods})
        holds = (supply.room >= total).all(axis=1) & allowed[:, kinds].all(axis=1)
        if any(grouping.spreads_over_zones(p) for p in pods):
            holds &= zones == planned.pool.zone_id
        found[name] = [shelf.offers[int(i)] for i in np.flatnonzero(holds)]
    return found


def _varied(planned: Offer, able: Sequence[Offer], strategy: Strategy) -> list[Offer]:
    # A price that is higher in no way that matters: the order of the shelf, which is by price.
    chosen = list(able[: CHEAPEST_FIRST - 1])

    def add(wanted: Iterable[Offer]) -> None:
        first = next((o for o in wanted if o not in chosen), None)
        if first is not None and len(chosen) < MAX_OFFERS - 1:
            chosen.append(first)

    everything = (planned, *chosen)
    if strategy is Strategy.HYBRID and all(o.is_spot for o in everything):
        add(o for o in able if not o.is_spot)
    if len({o.pool.instance_type for o in everything}) == 1:
        add(o for o in able if o.pool.instance_type != planned.pool.instance_type)
    if len({o.pool.zone_id for o in everything}) == 1:
        add(o for o in able if o.pool.zone_id != planned.pool.zone_id)
    return sorted(chosen, key=lambda o: (not o.is_spot and planned.is_spot, o.micro_usd, o.pool))
