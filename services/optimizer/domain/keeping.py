"""One model of what runs and what is on offer: which nodes of today are worth their price, and which may go.

A node that may be given up is an offer of one copy that holds its pods already. It costs its price, less what
moving its pods would be charged; a launch costs its price and what the overlap is charged. Nodes that stay anyway
give their free room away. So keeping, shrinking and replacing N nodes by M are answers to one question.
"""

from collections.abc import Callable, Hashable, Iterable, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from services.optimizer.domain import disruption, interruption_cost, levels
from services.optimizer.domain.columns.problem import Effort, FleetProblem, Limit
from services.optimizer.domain.columns.solve import never, solve_fleet
from services.optimizer.domain.fleet_state import FleetState, StandingNode
from services.optimizer.domain.packing import grouping
from services.optimizer.domain.packing.by_columns import IMPROVEMENTS, ROUNDS, SHAPES_FOR_ALL_EFFORT
from services.optimizer.domain.packing.classes import (
    CPU,
    UNLIMITED,
    Bools,
    Columns,
    Ints,
    PodClass,
    columns_for,
    holding,
    rows,
)
from services.optimizer.domain.packing.demand import Demand, Supply
from services.optimizer.domain.packing.grouping import Grouper
from services.optimizer.domain.packing.launching import TIGHT, Style
from services.optimizer.domain.packing.merging import Merged, merged
from services.optimizer.domain.packing.shelf import Shelf, room_of
from services.optimizer.domain.packing.wishing import Wishes
from services.optimizer.domain.rules import Consolidation, PlanRules
from shared.kernel.pools import CapacityType, PoolKey
from shared.kernel.scheduling.static import OS_LABEL, static_reasons
from shared.kernel.workload import Node


@dataclass(slots=True)
class _Row:
    """Nodes that are alike: an offer of so many copies."""

    room: Ints
    own: Ints
    """Per class: pods that come with each."""
    price: int
    chance: float
    allowed: Bools
    pool: PoolKey | None
    """Of a spot node."""
    node: Node
    """One of them."""
    names: list[str] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Answer:
    """What the model makes of a cluster."""

    given_up: frozenset[str]
    """Names of nodes."""
    launched: tuple[int, ...]
    """Rows of the shelf, one for each launch."""


@dataclass(frozen=True, slots=True)
class Keeper:
    """Asks which nodes of one cluster are worth keeping."""

    state: FleetState
    shelf: Shelf
    grouper: Grouper
    effort: Effort
    should_stop: Callable[[], bool] = never
    # Asked for several styles: what they share is worked out once.
    _classes: dict[bool, list[PodClass]] = field(default_factory=dict, compare=False, repr=False)

    def ask(self, style: Style = TIGHT, *, keeps_full: bool = False) -> Answer:
        """Find the cheapest fleet; one that keeps all nodes that are used well when asked."""
        rules = self.grouper.rules
        going = {
            n.node.name: n
            for n in self.state.nodes
            if may_go(n, rules) and not (keeps_full and levels.is_full(n, rules))
        }
        pods = [p for n in going.values() for p in n.movable]
        if not going:
            return Answer(frozenset(), ())
        if keeps_full not in self._classes:
            self._classes[keeps_full] = self.grouper.classes([*pods, *self.state.pending])
        classes = self._classes[keeps_full]
        columns = columns_for(p for c in classes for p in c.pods)
        existing = _Existing(columns, classes, rules, style).rows(self.state.nodes, set(going))
        problem = _Model(self.shelf, self.grouper, columns, classes, style).problem(existing)
        effort = self.effort
        if len(problem.counts) > SHAPES_FOR_ALL_EFFORT:
            effort = replace(
                effort, rounds=min(effort.rounds, ROUNDS), improvements=min(effort.improvements, IMPROVEMENTS)
            )
        solution = solve_fleet(problem, effort=effort, should_stop=self.should_stop)
        first = len(problem.micro_usd) - len(existing)
        stay: dict[int, int] = {}
        for node in solution.nodes:
            if node.offer >= first:
                stay[node.offer - first] = stay.get(node.offer - first, 0) + 1
        kept = {name for at, row in enumerate(existing) for name in sorted(row.names)[: stay.get(at, 0)]}
        return Answer(
            frozenset(going) - kept, tuple(sorted(n.offer for n in solution.nodes if n.offer < first))
        )


def may_go(node: StandingNode, rules: PlanRules) -> bool:
    """Whether the model may do without the node: it may be changed, and moving its pods costs less than it does."""
    return node.kept_because is None and not levels.is_replaced_alone(node, rules) and worth(node, rules) > 0


def worth(node: StandingNode, rules: PlanRules) -> int:
    """Give what going without the node saves an hour, the move of its pods charged, in micro-dollars."""
    if node.offer is None:
        return 0
    return node.micro_usd - disruption.hourly(disruption.charge([node], [], rules), rules)


class _Existing:
    """Puts nodes of today as rows of the model."""

    def __init__(self, columns: Columns, classes: Sequence[PodClass], rules: PlanRules, style: Style) -> None:
        self._columns = columns
        self._classes = classes
        self._requests = rows(columns, classes)
        self._rules = rules
        self._free_ratio = style.headroom_ratio
        self._class_of = {p.key: c for c, kind in enumerate(classes) for p in kind.pods}
        self._static: dict[Hashable, Bools] = {}
        self._keys = [
            (frozenset(p.node_selector.items()), p.node_affinity, p.tolerations)
            for p in (c.sample for c in classes)
        ]
        self._may_use_spot = np.array([c.may_use_spot for c in classes], dtype=np.bool_)
        samples = [c.sample for c in classes]
        selected = {k for p in samples for k in p.node_selector}
        selected |= {r.key for p in samples for t in p.node_affinity for r in t.labels}
        self._label_keys = sorted(selected | {OS_LABEL})
        self._reads_names = any(t.fields for p in samples for t in p.node_affinity)
        self._wishes = Wishes(classes, rules)

    def rows(self, nodes: Iterable[StandingNode], going: set[str]) -> list[_Row]:
        """Give nodes that may go at what keeping them costs, with their pods; free room of the others for nothing."""
        found: dict[Hashable, _Row] = {}
        for node in nodes:
            may_go = node.node.name in going
            own = np.zeros(len(self._classes), dtype=np.int64)
            for pod in node.movable if may_go else ():
                own[self._class_of[pod.key]] += 1
            allowed = self._allowed(node)
            room = self._room(node)
            allowed &= (self._requests <= room).all(axis=1)
            if not (may_go or allowed.any()):
                continue
            is_spot = node.node.capacity_type is CapacityType.SPOT
            row = _Row(
                room=room,
                own=own,
                price=worth(node, self._rules) if may_go else 0,
                chance=interruption_cost.weighted_chance(node.offer, self._rules) if node.offer else 0.0,
                allowed=allowed,
                pool=node.offer.pool if node.offer and is_spot else None,
                node=node.node,
            )
            wishes = self._wishes.on([node.node]).tobytes()
            key = (
                *(room.tobytes(), own.tobytes(), row.price, row.chance, allowed.tobytes(), row.pool, may_go),
                wishes,
            )
            found.setdefault(key, row).names.append(node.node.name)
        return list(found.values())

    def _room(self, node: StandingNode) -> Ints:
        pods = tuple(p for p in node.pods if not p.is_terminating)
        free: Ints = room_of(self._columns, [(node.node, pods)])[0]
        whole = np.array(self._columns.of_room(node.node.allocatable, node.node.max_pods), dtype=np.int64)
        left_free = (whole * self._free_ratio).astype(np.int64)
        left_free[4:] = 0
        rest: Ints = np.maximum(free - left_free, 0)
        return rest

    def _allowed(self, node: StandingNode) -> Bools:
        if not node.node.is_ready or node.node.is_unschedulable:
            return np.zeros(len(self._classes), dtype=np.bool_)
        labels = tuple(node.node.labels.get(k) for k in self._label_keys)
        key = (labels, node.node.taints, node.node.name if self._reads_names else "")
        if key not in self._static:
            known: dict[Hashable, bool] = {}
            for likeness, kind in zip(self._keys, self._classes, strict=True):
                if likeness not in known:
                    known[likeness] = not static_reasons(kind.sample, node.node)
            self._static[key] = np.array([known[k] for k in self._keys], dtype=np.bool_)
        found = self._static[key]
        if node.node.capacity_type is CapacityType.SPOT:
            return found & self._may_use_spot
        return found.copy()


@dataclass(frozen=True, slots=True)
class _Model:
    """Joins what runs and what is on offer to one problem."""

    shelf: Shelf
    grouper: Grouper
    columns: Columns
    classes: Sequence[PodClass]
    style: Style

    def problem(self, existing: Sequence[_Row]) -> FleetProblem:
        """Give the offers of the shelf, where launches are allowed, and then the nodes of today."""
        offers = self.shelf.supply(self.columns, self.grouper.rules)
        requests = rows(self.columns, self.classes)
        workload, names = grouping.workload_index(self.classes)
        supply = self._supply(offers, existing)
        launchable = grouping.allowed_rows(self.classes, self.shelf, offers.is_spot, None)
        if self.grouper.rules.consolidation is not Consolidation.REPLACE:
            launchable[:] = False
        there = np.array([r.allowed for r in existing], dtype=np.bool_)
        demand = Demand(
            requests=requests,
            counts=np.array([len(c.pods) for c in self.classes], dtype=np.int64),
            allowed=np.vstack([self._large_enough(offers, requests, launchable), there]),
            per_spot_pool=np.array([c.per_spot_pool for c in self.classes], dtype=np.int64),
            workload=workload,
            node_limits=tuple(c.node_limits for c in self.classes),
            counted=grouping.counted_by(self.classes),
            used=np.zeros((len(supply.micro_usd), max(len(names), 1)), dtype=np.int64),
            interruption_micro_usd=grouping.interruption_costs(self.classes, self.grouper.judge),
            preference_micro_usd=Wishes(self.classes, self.grouper.rules).on(
                [*self.shelf.nodes, *(r.node for r in existing)]
            ),
        )
        asked = merged(supply, demand)
        own = np.zeros((len(supply.micro_usd), len(asked.members)), dtype=np.int64)
        held = np.array([r.own for r in existing], dtype=np.int64).reshape(len(existing), len(self.classes))
        for shape, members in enumerate(asked.members):
            own[len(offers.micro_usd) :, shape] = held[:, list(members)].sum(axis=1)
        return self._with_own(asked, own, [r.pool for r in existing], supply.is_spot)

    def _supply(self, offers: Supply, existing: Sequence[_Row]) -> Supply:
        rules = self.grouper.rules
        free = offers.room - self._left_free(offers.room)
        hourly = disruption.hourly(disruption.overlap(offers.micro_usd, rules), rules)
        limited = offers.copies if offers.copies.size else np.full(len(offers.micro_usd), UNLIMITED, np.int64)
        return Supply(
            room=np.vstack([free, np.array([r.room for r in existing], dtype=np.int64)]),
            micro_usd=np.concatenate(
                [offers.micro_usd + hourly, np.array([r.price for r in existing], dtype=np.int64)]
            ),
            chance=np.concatenate([offers.chance, np.array([r.chance for r in existing], dtype=np.float64)]),
            is_spot=np.concatenate(
                [offers.is_spot, np.array([r.pool is not None for r in existing], dtype=np.bool_)]
            ),
            copies=np.concatenate([limited, np.array([len(r.names) for r in existing], dtype=np.int64)]),
        )

    def _left_free(self, room: Ints) -> Ints:
        found = (room * self.style.headroom_ratio).astype(np.int64)
        found[:, 4:] = 0  # devices are whole: nobody leaves a share of one free
        return found

    def _large_enough(self, offers: Supply, requests: Ints, allowed: Bools) -> Bools:
        is_large = offers.room[:, CPU] >= self.style.least_millicores
        if is_large.all():
            return allowed
        finds_large = (allowed & holding(offers.room, requests))[is_large].any(axis=0)
        return allowed & (is_large[:, None] | ~finds_large)

    def _with_own(
        self, asked: Merged, own: Ints, pools: Sequence[PoolKey | None], is_spot: Bools
    ) -> FleetProblem:
        """Let nodes of today count in their pools, and leave room in every limit for what runs already."""
        problem = asked.problem
        width = len(self.columns.extended) + 4
        room = problem.room.copy()
        room[:, width:] = np.maximum(room[:, width:] - own @ problem.requests[:, width:], 0)
        first = len(own) - len(pools)
        at = {offer.pool: row for row, offer in enumerate(self.shelf.offers) if is_spot[row]}
        limits: list[Limit] = []
        known: dict[int, Ints] = {}
        assert problem.copies.size
        for limit in problem.limits:
            group = known.get(id(limit.group))
            if group is None:
                group = limit.group.copy()
                for row, pool in enumerate(pools, start=first):
                    if pool is not None and pool in at:
                        group[row] = group[at[pool]]
                known[id(limit.group)] = group
            held = np.zeros(len(limit.at_most), dtype=np.int64)
            counts = (own @ limit.weights) * np.where(own.any(axis=1), problem.copies, 0)
            np.add.at(held, group[group >= 0], counts[group >= 0])
            limits.append(replace(limit, group=group, at_most=np.maximum(limit.at_most, held)))
        return replace(problem, room=room, own=own, limits=tuple(limits))
