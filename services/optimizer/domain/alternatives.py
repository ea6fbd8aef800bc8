"""What else to launch when the planned pool has no capacity."""

from collections.abc import Hashable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from services.optimizer.domain import interruption_cost
from services.optimizer.domain.crowding import Crowding
from services.optimizer.domain.fleet_state import StandingNode
from services.optimizer.domain.offers import Offer
from services.optimizer.domain.packing import grouping, zoning
from services.optimizer.domain.packing.classes import Bools, Floats, Ints, columns_for, holding, rows
from services.optimizer.domain.packing.grouping import Grouper
from services.optimizer.domain.packing.shelf import Shelf
from services.optimizer.domain.packing.wishing import Wishes
from services.optimizer.domain.rules import PlanRules, Strategy
from services.optimizer.domain.spot_tolerance import SpotJudge
from shared.kernel.workload import Pod, Volume

MAX_OFFERS = 5
CHEAPEST_FIRST = 3
"""Places for the cheapest, the planned one included; the rest is for another type, another zone, on-demand."""


Loads = Mapping[str, tuple[Offer, Sequence[Pod]]]
"""By name of a node to launch: the offer planned, and the pods it is for."""


def offers_for(
    loads: Loads,
    shelf: Shelf,
    grouper: Grouper,
    claims: Mapping[str, Volume] | None,
    *,
    fleet: Iterable[StandingNode],
) -> dict[str, tuple[Offer, ...]]:
    """Give, by name of a node to launch, the offers that would hold the same pods, in the order to try.

    What is named keeps to the limits per pool and zone when any one pool is dry, so that all its launches go on to
    what they name; that two pools are dry at once is not foreseen (crowding). On-demand offers are no spot pool's,
    but count for their zone.

    Args:
        loads: what is to be launched.
        shelf: the offers.
        grouper: tells pods apart.
        claims: where volumes are; None where no claim is known.
        fleet: all nodes of the plan, those to launch included.
    """
    traits = _Traits.of(shelf, grouper.rules)
    crowding = Crowding(shelf, fleet, grouper.judge)
    found: dict[str, tuple[Offer, ...]] = {}
    for name, able in _rows(loads, shelf, grouper, claims):
        planned, pods = loads[name]
        load = crowding.load(planned, pods)
        able = able[crowding.has_room(load)[able]]
        cost = traits.micro_usd + _risk(pods, traits.chance, grouper.judge) + _wishes(pods, shelf, grouper)
        able = able[np.argsort(cost[able], kind="stable")]
        chosen = _varied(planned, able, traits, grouper.rules.strategy, cost)
        crowding.reserve(load, chosen)
        found[name] = (planned, *(shelf.offers[i] for i in chosen))
    return found


def cheapest_on_demand(
    loads: Loads, shelf: Shelf, grouper: Grouper, claims: Mapping[str, Volume] | None
) -> dict[str, int]:
    """Give, by name of a node to launch, the least that its pods' room would cost on-demand, in micro-dollars."""
    is_spot = np.array([o.is_spot for o in shelf.offers], dtype=np.bool_)
    found: dict[str, int] = {}
    for name, able in _rows(loads, shelf, grouper, claims):
        on_demand = able[~is_spot[able]]
        if len(on_demand):
            found[name] = shelf.offers[int(on_demand[0])].micro_usd
        elif not len(able) and not loads[name][0].is_spot:
            found[name] = loads[name][0].micro_usd
    return found


def holders(
    loads: Loads, shelf: Shelf, grouper: Grouper, claims: Mapping[str, Volume] | None
) -> dict[str, list[Offer]]:
    """Give, by name of a node to launch, every offer that would hold its pods, cheapest first."""
    return {
        name: [shelf.offers[i] for i in able.tolist()] if loads[name][1] else [loads[name][0]]
        for name, able in _rows(loads, shelf, grouper, claims)
    }


def _rows(
    loads: Loads, shelf: Shelf, grouper: Grouper, claims: Mapping[str, Volume] | None
) -> Iterator[tuple[str, Ints]]:
    """Give, by name, the rows of the shelf that would hold the pods, cheapest first; none for no pods."""
    everything = [p for _, pods in loads.values() for p in pods]
    columns = columns_for(everything)
    supply = shelf.supply(columns, grouper.rules)
    classes = grouper.classes(everything)
    requests = rows(columns, classes)
    allowed = grouping.allowed_rows(classes, shelf, supply.is_spot, claims)
    shared = grouping.allowed_rows(classes, shelf, supply.is_spot, claims, is_shared=True)
    has_devices = np.array([bool(n.allocatable.extended) for n in shelf.nodes], dtype=np.bool_)
    for_devices = np.array([grouping.needs_devices(c.sample.requests) for c in classes], dtype=np.bool_)
    wants_spot = np.array([c.needs_spot for c in classes], dtype=np.bool_)
    class_of = {p.key: c for c, kind in enumerate(classes) for p in kind.pods}
    is_tied = np.array([zoning.matters(c.sample) for c in classes], dtype=np.bool_)
    zones = np.array([o.pool.zone_id for o in shelf.offers])
    is_unlimited = np.array([c is None for c in shelf.copies], dtype=np.bool_)
    alike = _alike(allowed, shared, for_devices, wants_spot)
    permitted: dict[Hashable, Bools] = {}
    for name, (planned, pods) in loads.items():
        if not pods:
            yield name, np.zeros(0, dtype=np.int64)
            continue
        counts = np.bincount([class_of[p.key] for p in pods], minlength=len(classes))
        held = np.flatnonzero(counts)
        zone_id = planned.pool.zone_id if is_tied[held].any() else None
        key = (tuple(np.unique(alike[held]).tolist()), zone_id)
        if key not in permitted:
            # What is bought for one kind of pod has room for others too: for both, it is the first that chooses.
            has_both = _is_mixed(for_devices[held]), _is_mixed(wants_spot[held])
            holds = (shared if any(has_both) else allowed)[:, held].all(axis=1) & is_unlimited
            if not for_devices[held].any():
                holds &= ~has_devices
            if wants_spot[held].all():
                holds &= supply.is_spot
            if zone_id is not None:
                holds &= zones == zone_id
            permitted[key] = holds
        asked = counts[held] @ requests[held]
        yield name, np.flatnonzero(permitted[key] & holding(supply.room, asked[None, :])[:, 0])


def _alike(*traits: Bools) -> Ints:
    """Number classes by what is the same of them in all traits, each of which has a column a class."""
    columns = np.packbits(np.vstack(traits), axis=0).T
    numbers: dict[bytes, int] = {}
    return np.array([numbers.setdefault(c.tobytes(), len(numbers)) for c in columns], dtype=np.int64)


def _is_mixed(kinds: Bools) -> bool:
    return bool(kinds.any()) and not bool(kinds.all())


@dataclass(frozen=True, slots=True)
class _Traits:
    """What sets the offers of a shelf apart, a row each."""

    offers: tuple[Offer, ...]
    micro_usd: Ints
    chance: Floats
    """Weighted."""
    is_spot: Bools
    instance_type: Ints
    """Numbered."""
    zone: Ints
    """Numbered."""
    types: Mapping[str, int]
    zones: Mapping[str, int]

    @classmethod
    def of(cls, shelf: Shelf, rules: PlanRules) -> "_Traits":
        types: dict[str, int] = {}
        zones: dict[str, int] = {}
        return cls(
            shelf.offers,
            np.array([o.micro_usd for o in shelf.offers], dtype=np.int64),
            np.array([interruption_cost.weighted_chance(o, rules) for o in shelf.offers], dtype=np.float64),
            np.array([o.is_spot for o in shelf.offers], dtype=np.bool_),
            np.array(
                [types.setdefault(o.pool.instance_type, len(types)) for o in shelf.offers], dtype=np.int64
            ),
            np.array([zones.setdefault(o.pool.zone_id, len(zones)) for o in shelf.offers], dtype=np.int64),
            types,
            zones,
        )


def _risk(pods: Sequence[Pod], chance: Floats, judge: SpotJudge) -> Ints:
    """Give the weighted risk an hour of the pods, in micro-dollars, with each chance."""
    if not chance.any():
        return np.zeros(len(chance), dtype=np.int64)
    costs = np.array([interruption_cost.cost_micro_usd(p, judge) for p in pods], dtype=np.int64)
    return (chance * int(costs.sum())).astype(np.int64)


def _wishes(pods: Sequence[Pod], shelf: Shelf, grouper: Grouper) -> Ints:
    """Give what the pods cost an hour for their wishes, in micro-dollars, on each row of the shelf."""
    wishing = [p for p in pods if p.preferred_nodes]
    if not wishing:
        return np.zeros(len(shelf.nodes), dtype=np.int64)
    classes = grouper.classes(wishing)
    costs = Wishes(classes, grouper.rules).on(shelf.nodes)
    if not costs.size:
        return np.zeros(len(shelf.nodes), dtype=np.int64)
    found: Ints = costs @ np.array([len(c.pods) for c in classes], dtype=np.int64)
    return found


def _varied(planned: Offer, able: Ints, traits: _Traits, strategy: Strategy, cost: Ints) -> list[int]:
    """Choose rows among the offers that would do: the cheapest, then another way to buy, another type, another zone.

    `able` is in the order of `cost`, which is that of the objective.
    """
    offers = traits.offers
    chosen: list[int] = []
    for i in able.tolist():
        if len(chosen) == CHEAPEST_FIRST - 1:
            break
        if offers[i].pool != planned.pool:
            chosen.append(i)

    def add(is_wanted: Bools) -> None:
        for i in able[is_wanted].tolist():
            if i not in chosen and offers[i].pool != planned.pool:
                if len(chosen) < MAX_OFFERS - 1:
                    chosen.append(i)
                return

    everything = [planned, *(offers[i] for i in chosen)]
    if strategy is Strategy.HYBRID and all(o.is_spot for o in everything):
        add(~traits.is_spot[able])
    if len({o.pool.instance_type for o in everything}) == 1:
        add(traits.instance_type[able] != traits.types.get(planned.pool.instance_type, -1))
    if len({o.pool.zone_id for o in everything}) == 1:
        add(traits.zone[able] != traits.zones.get(planned.pool.zone_id, -1))
    return sorted(
        chosen,
        key=lambda i: (not offers[i].is_spot and planned.is_spot, int(cost[i]), offers[i].pool),
    )
