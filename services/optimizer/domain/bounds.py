"""What no fleet can undercut.

A fleet is made of nodes that stay whatever is planned, of nodes of today that could go, and of offers. Columns
prove what any such fleet costs that holds the pods of the plan; at prices per core, byte and slot at which no
node is worth more than it costs all pods together are worth a sum that proves the same, less sharply but at once.
What a column cannot hold is left out: the bound is valid all the same, and says what it does not know.
"""

from collections.abc import Callable, Collection, Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from services.optimizer.domain import interruption_cost, objectives
from services.optimizer.domain.columns.problem import Effort, Ending, FleetProblem
from services.optimizer.domain.columns.proofs import Proofs
from services.optimizer.domain.columns.solve import never, prove
from services.optimizer.domain.fleet_state import FleetState, StandingNode
from services.optimizer.domain.offers import usd
from services.optimizer.domain.packing import balancing, grouping, relaxing
from services.optimizer.domain.packing.by_columns import SHAPES_FOR_ALL_EFFORT
from services.optimizer.domain.packing.classes import (
    SPREAD,
    UNLIMITED,
    Bools,
    Columns,
    Ints,
    NodeLimit,
    PodClass,
    columns_for,
    holding,
    rows,
)
from services.optimizer.domain.packing.demand import Demand, Spread, Supply
from services.optimizer.domain.packing.grouping import Grouper
from services.optimizer.domain.packing.merging import merged
from services.optimizer.domain.packing.resource_prices import resource_prices
from services.optimizer.domain.packing.shelf import Shelf, room_of
from services.optimizer.domain.packing.wishing import Wishes
from services.optimizer.domain.rules import Consolidation, PlanRules
from shared.kernel.pools import CapacityType
from shared.kernel.scheduling.shapes import place_key
from shared.kernel.scheduling.static import static_reasons
from shared.kernel.workload import Node, Pod

ROUNDS = (40, 400)
"""Of pricing: what a first look proves is often enough."""
NEAR = 80
"""A bound that is less than one part in so many, 1.25 %, below the objective is enough for many shapes."""
SHAPES_WITH_POOLS = 50
"""Beyond, limits per spot pool of many workloads take too long to prove anything with."""
SAFETY = 1 - 1e-9
"""For what rounding may add."""


@dataclass(frozen=True, slots=True)
class Bound:
    """A proven lower bound of the objective."""

    usd_per_hour: float
    ended_by: Ending
    leaves_out: tuple[str, ...]
    """Constraints that it does not know: with them the true optimum may lie higher."""
    counts_all_zones: bool = False
    """Whether it holds for fleets that spread pods over all zones where these may run, with a node there or not."""


def lower_bound(
    after: FleetState,
    start: FleetState,
    *,
    shelf: Shelf,
    grouper: Grouper,
    fixed: Collection[str],
    objective: int,
    prepaid: int = 0,
    should_stop: Callable[[], bool] = never,
    proofs: Proofs | None = None,
) -> Bound | None:
    """Bound what any fleet costs that holds the pods which `after` holds; None without any, or without prices.

    Args:
        after: the fleet of the plan.
        start: the nodes of today, and what is on them.
        shelf: the offers.
        grouper: tells pods apart.
        fixed: names of nodes that stay, with the pods on them.
        objective: what `after` costs, in micro-dollars an hour; a bound that is near it is looked no further for.
        prepaid: what commitments pay of the prices of all offers together, in micro-dollars an hour.
        should_stop: asked often; the bound holds whenever it says so.
        proofs: of problems that came up when the fleet was looked for.
    """
    if any(n.offer is None for n in start.nodes) or not any(n.movable for n in after.nodes):
        return None
    stay = [n for n in start.nodes if n.node.name in fixed]
    judge = grouper.judge
    paid = objectives.breakdown(stay, judge).total
    standing = {p.key for n in stay for p in n.movable}
    pods = [p for n in after.nodes for p in n.movable if p.key not in standing]
    classes = grouper.classes(pods)
    if not pods or _is_paid_for(after, fixed):
        return Bound(usd(paid), Ending.CONVERGED, ())
    columns = columns_for(pods)
    requests = rows(columns, classes)
    rest = [n for n in start.nodes if n.node.name not in fixed]
    nodes = _Existing(columns, classes, requests, grouper.rules).rows(stay, rest)
    offers = shelf.supply(columns, grouper.rules)
    supply, allowed, samples = nodes.supply, nodes.allowed, nodes.samples
    if not _only_deletes(grouper.rules, pods, start):
        supply, samples = _joined(offers, nodes), (*shelf.nodes, *samples)
        allowed = np.vstack([_allowed(classes, shelf, offers.is_spot, after, start), allowed])
    limits = _limits(classes, rest)
    demand = relaxing.relaxed(classes, requests, allowed, limits, judge)
    demand = replace(demand, preference_micro_usd=Wishes(classes, grouper.rules).on(samples))
    spreads: tuple[Spread, ...] = ()
    zone, zones = shelf.zones
    # What runs may be over a limit, or ahead of other zones, and stay so.
    if not start.nodes and balancing.do_zones_differ(zone, offers):
        spreads = _spreads(classes, shelf, allowed & holding(offers.room, requests), after)
        demand = replace(demand, zone=zone, levels=balancing.forced(spreads, demand.counts, len(zones)))
    may_know = not start.nodes and _keeps_to_pools(classes, after)
    knows_pools = may_know and relaxing.few_pools(classes)
    search = _Search(objective - paid + prepaid, _by_resources(supply, demand), should_stop, proofs)
    problem = merged(supply, relaxing.capped(demand, classes) if knows_pools else demand).problem
    search.prove(problem)
    # It takes long, so that a bound that is near is left as is.
    is_small = not search.is_near and len(problem.counts) <= SHAPES_WITH_POOLS
    if may_know and is_small and not knows_pools and any(c.workload is not None for c in classes):
        knows_pools = True
        search.prove(merged(supply, relaxing.capped(demand, classes)).problem)
    return Bound(
        usd(paid + max(search.least - prepaid, 0)),
        search.ended_by,
        _left_out(classes, limits, grouper.rules, spreads, knows_pools=knows_pools),
        counts_all_zones=bool(spreads),
    )


class _Search:
    """Raises a bound until it is near what a fleet costs."""

    def __init__(self, goal: int, least: int, should_stop: Callable[[], bool], proofs: Proofs | None) -> None:
        self._proofs = proofs or Proofs()
        self.least = least
        self.ended_by = Ending.BUDGET
        self._goal = goal
        self._should_stop = should_stop

    @property
    def is_near(self) -> bool:
        return (self._goal - self.least) * NEAR <= self._goal

    def prove(self, problem: FleetProblem) -> None:
        """Prove what a problem's fleets cost at least."""
        has_many = len(problem.counts) > SHAPES_FOR_ALL_EFFORT
        enough = self._goal - self._goal // NEAR if has_many else self._goal
        for rounds in ROUNDS:
            proof = prove(
                problem,
                effort=Effort(rounds=rounds),
                should_stop=self._should_stop,
                # What a fleet's columns leave off from proves less; of few shapes a new start costs little.
                proofs=self._proofs if has_many else Proofs(),
                enough_micro_usd=enough,
            )
            self.least, self.ended_by = max(self.least, proof.micro_usd), proof.ended_by
            if self.ended_by is not Ending.BUDGET or self.least >= enough:
                return


def _is_paid_for(after: FleetState, fixed: Collection[str]) -> bool:
    """Whether nothing stands but what stays anyway: nothing costs less than nothing more."""
    return all(n.node.name in fixed for n in after.nodes)


@dataclass(slots=True)
class _Row:
    """Nodes that are there and alike."""

    room: Ints
    micro_usd: int
    chance: float
    is_spot: bool
    allowed: Bools
    sample: Node
    copies: int = 0


@dataclass(frozen=True, slots=True)
class _Rows:
    """Nodes that are there: those alike in one row."""

    supply: Supply
    allowed: Bools
    samples: tuple[Node, ...]
    """One of each row."""


class _Existing:
    """Puts nodes that are there as rows of the problem."""

    def __init__(
        self, columns: Columns, classes: Sequence[PodClass], requests: Ints, rules: PlanRules
    ) -> None:
        self._columns = columns
        self._classes = classes
        self._requests = requests
        self._rules = rules
        self._class_of = {p.key: c for c, kind in enumerate(classes) for p in kind.pods}
        keys = [place_key(c.sample) for c in classes]
        samples = {key: c.sample for key, c in zip(keys, classes, strict=True)}
        number = {key: at for at, key in enumerate(samples)}
        self._kinds = tuple(samples.values())
        """A pod of each kind that labels and taints tell apart."""
        self._kind_of = np.array([number[key] for key in keys], dtype=np.int64)
        self._may_use_spot = np.array([c.may_use_spot for c in classes], dtype=np.bool_)
        self._wishes = Wishes(classes, rules)

    def rows(self, stay: Iterable[StandingNode], rest: Iterable[StandingNode]) -> _Rows:
        """Give nodes that stay with what is free on them, at no price, and the rest empty, at theirs."""
        found: dict[Hashable, _Row] = {}
        for node in stay:
            usable = node.node.is_ready and not node.node.is_unschedulable
            if usable:
                pods = tuple(p for p in node.pods if not p.is_terminating)
                self._add(found, node, room_of(self._columns, [(node.node, pods)])[0], 0)
        for node in rest:
            lasting = tuple(p for p in node.pods if p.is_daemon or p.is_mirror)
            room = room_of(self._columns, [(node.node, lasting)])[0]
            held = np.array([self._columns.of_pod(p) for p in node.movable], dtype=np.int64)
            # A node may hold more than it should (its kubelet was restarted with less): then that is its room.
            self._add(found, node, np.maximum(room, held.sum(axis=0)) if len(held) else room, node.micro_usd)
        width = 4 + len(self._columns.extended)
        entries = list(found.values())
        return _Rows(
            Supply(
                room=np.array([e.room for e in entries], dtype=np.int64).reshape(len(entries), width),
                micro_usd=np.array([e.micro_usd for e in entries], dtype=np.int64),
                chance=np.array([e.chance for e in entries], dtype=np.float64),
                is_spot=np.array([e.is_spot for e in entries], dtype=np.bool_),
                copies=np.array([e.copies for e in entries], dtype=np.int64),
            ),
            np.array([e.allowed for e in entries], dtype=np.bool_).reshape(len(entries), len(self._classes)),
            tuple(e.sample for e in entries),
        )

    def _add(self, found: dict[Hashable, _Row], node: StandingNode, room: Ints, price: int) -> None:
        allowed = self._allowed(node) & (self._requests <= room).all(axis=1)
        if not allowed.any():
            return
        chance = interruption_cost.weighted_chance(node.offer, self._rules) if node.offer else 0.0
        is_spot = node.node.capacity_type is CapacityType.SPOT
        wishes = self._wishes.on([node.node]).tobytes()
        key = (tuple(room.tolist()), price, chance, is_spot, allowed.tobytes(), wishes)
        found.setdefault(key, _Row(room, price, chance, is_spot, allowed, node.node)).copies += 1

    def _allowed(self, node: StandingNode) -> Bools:
        permitted = [not static_reasons(sample, node.node) for sample in self._kinds]
        found: Bools = np.array(permitted, dtype=np.bool_)[self._kind_of]
        if node.node.capacity_type is CapacityType.SPOT:
            found &= self._may_use_spot
        # What runs there may stay there, whatever the rules say of newcomers.
        for pod in node.movable:
            at = self._class_of.get(pod.key)
            if at is not None:
                found[at] = True
        return found


def _only_deletes(rules: PlanRules, pods: Iterable[Pod], start: FleetState) -> bool:
    """Whether no fleet may have new nodes: the policy lets nodes only go, and no pod needs another one."""
    standing = {p.key for n in start.nodes for p in n.movable}
    return rules.consolidation is Consolidation.DELETE_ONLY and all(p.key in standing for p in pods)


def _joined(offers: Supply, nodes: _Rows) -> Supply:
    there = nodes.supply
    if not len(there.micro_usd):
        return offers
    limited = offers.copies if offers.copies.size else np.full(len(offers.micro_usd), UNLIMITED, np.int64)
    return Supply(
        room=np.vstack([offers.room, there.room]),
        micro_usd=np.concatenate([offers.micro_usd, there.micro_usd]),
        chance=np.concatenate([offers.chance, there.chance]),
        is_spot=np.concatenate([offers.is_spot, there.is_spot]),
        copies=np.concatenate([limited, there.copies]),
    )


def _allowed(
    classes: Sequence[PodClass], shelf: Shelf, is_spot: Bools, after: FleetState, start: FleetState
) -> Bools:
    # Claims are left out: where a volume is bound may change with the claim that a controller makes anew.
    return grouping.allowed_rows(classes, shelf, is_spot, None, is_shared=_is_shared(classes, after, start))


def _is_shared(classes: Sequence[PodClass], after: FleetState, start: FleetState) -> bool:
    """Whether pods stand on new nodes that would not be bought for them: then the bound must know of such fleets."""
    old = {n.node.name for n in start.nodes}
    wants_spot = {p.key for c in classes if c.needs_spot for p in c.pods}
    return any(
        (bool(n.node.allocatable.extended) and not grouping.needs_devices(p.requests))
        or (n.node.capacity_type is not CapacityType.SPOT and p.key in wants_spot)
        for n in after.nodes
        if n.node.name not in old
        for p in n.movable
    )


def _limits(classes: Sequence[PodClass], rest: Iterable[StandingNode]) -> tuple[tuple[NodeLimit, ...], ...]:
    """Give the limits per node that every fleet keeps; a spread is none, nor is what a node of today breaks."""
    # A spread allows more on a node where all nodes have some.
    limits_of: dict[str, tuple[NodeLimit, ...]] = {
        p.key: tuple(x for x in c.node_limits if x.key != SPREAD) for c in classes for p in c.pods
    }
    broken: set[NodeLimit] = set()
    for node in rest:
        here: dict[NodeLimit, int] = {}
        for pod in node.movable:
            for limit in limits_of.get(pod.key, ()):
                here[limit] = here.get(limit, 0) + 1
        broken |= {x for x, pods in here.items() if pods > x.at_most}
    return tuple(tuple(x for x in limits_of[c.sample.key] if x not in broken) for c in classes)


def _keeps_to_pools(classes: Sequence[PodClass], after: FleetState) -> bool:
    """Whether the plan keeps to all limits per spot pool: where pods found no other place it does not."""
    limit_of = {
        p.key: (c.workload, c.per_spot_pool) for c in classes if c.workload is not None for p in c.pods
    }
    held: dict[tuple[str | None, Hashable], int] = {}
    for node in after.nodes:
        for pod in node.movable if node.offer is not None and node.offer.is_spot else ():
            if pod.key in limit_of:
                workload, most = limit_of[pod.key]
                at = (workload, node.offer.pool if node.offer is not None else None)
                held[at] = held.get(at, 0) + 1
                if held[at] > most:
                    return False
    return True


def _spreads(
    classes: Sequence[PodClass], shelf: Shelf, holds: Bools, after: FleetState
) -> tuple[Spread, ...]:
    """Give the spreads over zones that the plan keeps to: others it could undercut."""
    zone, zones = shelf.zones
    found = balancing.spreads(classes, balancing.possible_in(zone, len(zones), holds))
    if not found:
        return ()
    at = {name: z for z, name in enumerate(zones)}
    class_of = {p.key: c for c, kind in enumerate(classes) for p in kind.pods}
    held = np.zeros((len(classes), len(zones)), dtype=np.int64)
    for node in after.nodes:
        for pod in node.movable:
            held[class_of[pod.key], at[node.node.zone_id or ""]] += 1
    return balancing.keeping(found, held)


def _by_resources(supply: Supply, demand: Demand) -> int:
    """Prove a bound from prices per resource; devices are worth nothing in it."""
    total = (demand.requests * demand.counts[:, None]).sum(axis=0)
    worth = resource_prices(supply.room, supply.micro_usd, total)
    return max(int(float(total @ worth) * SAFETY), 0)


def _left_out(
    classes: Sequence[PodClass],
    limits: Sequence[tuple[NodeLimit, ...]],
    rules: PlanRules,
    spreads: Sequence[Spread],
    *,
    knows_pools: bool,
) -> tuple[str, ...]:
    samples = [c.sample for c in classes]
    known = {c for s in spreads for c in s.own}
    has: Mapping[str, bool] = {
        "spreading over zones and nodes": any(
            len(p.topology_spread) > (c in known) for c, p in enumerate(samples)
        ),
        "affinity between pods": any(p.pod_affinity for p in samples),
        "anti-affinity beyond single nodes": any(
            len([t for t in c.sample.pod_anti_affinity if t.weight is None]) > len(known)
            for c, known in zip(classes, limits, strict=True)
        ),
        "limits per spot pool": not knows_pools
        and any(c.may_use_spot and c.per_spot_pool < UNLIMITED for c in classes),
        "shares of pools and zones": rules.max_cluster_pool_share_ratio is not None
        or rules.max_zone_share_ratio is not None,
        "the number of nodes": rules.min_nodes > 0,
        "volumes": any(p.claims for p in samples),
    }
    return tuple(name for name, is_there in has.items() if is_there)
