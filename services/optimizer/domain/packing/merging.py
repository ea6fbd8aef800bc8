"""Classes that ask for the same are one shape to the solver, whosever pods they are.

Hundreds of workloads come down to a few dozen shapes. What sets their pods apart all the same, limits per node
and per spot pool, is kept for the solver as far as it can matter, and settled in full when pods are dealt out.
"""

from collections.abc import Hashable
from dataclasses import dataclass, replace

import numpy as np

from services.optimizer.domain.columns.problem import UNBOUNDED, FleetProblem, Limit
from services.optimizer.domain.packing.classes import PODS, UNLIMITED, Ints, NodeLimit, holding
from services.optimizer.domain.packing.demand import Demand, Level, Supply

OWN_SHAPES = 150
"""Limits per node about one shape that get a shape of their own, those that are most likely to bind first."""
OWN_RESOURCES = 4
"""Limits per node about several shapes that are counted like a resource."""
ROOM_FOR_COUNTED = 2
"""Half of the limits that are counted together are held on one node, where others hold none but are counted too."""
TIMES_AS_MANY_PODS = 3
"""And none on a node for about so many times as many pods as there are limits: they would keep all others off it."""
NEAR_THE_LARGEST = 2
"""Such a limit is counted if it needs at least half as many nodes as the one that needs most."""

MOST_SHAPES = 6
"""Of a workload: one, dealt to as many zones as a region has."""


@dataclass(frozen=True, slots=True)
class Merged:
    """A problem of shapes, and the classes that each shape stands for."""

    problem: FleetProblem
    members: tuple[tuple[int, ...], ...]


@dataclass(frozen=True, slots=True)
class _Family:
    """How a class's limits per node are told to the solver."""

    marker: Hashable
    """Classes with another marker are no part of the shape."""
    token: int | None = None
    """Which extra resource one pod takes one of."""
    at_most: int = UNLIMITED


NO_LIMIT = _Family(())


def merged(supply: Supply, demand: Demand) -> Merged:
    """Put a supply and a demand as the solver takes them."""
    base = _base_keys(demand)
    families, room_of_tokens = _families(demand, base, int(supply.room[:, PODS].max(initial=0)))
    own = _of_many_shapes(demand, base)
    roles = _roles(demand)
    by_key: dict[Hashable, list[int]] = {}
    for c in range(len(demand.counts)):
        cap = (_is_capped(supply, demand, c), own.get(int(demand.workload[c])))
        key = (base[c], families[c].marker, cap, _scale(demand, c), roles.get(c))
        by_key.setdefault(key, []).append(c)
    members = list(by_key.values())
    firsts = [m[0] for m in members]
    tokens = np.zeros((len(members), len(room_of_tokens)), dtype=np.int64)
    for s, c in enumerate(firsts):
        token = families[c].token
        if token is not None:
            tokens[s, token] = 1
    limits = [_together(demand, m) for m in members]
    costs = _risk(supply, demand, members)
    if demand.preference_micro_usd.size:
        wishes = demand.preference_micro_usd[:, firsts]
        costs = costs + wishes if costs.size else wishes
    problem = FleetProblem(
        requests=np.hstack([demand.requests[firsts], tokens]),
        counts=np.array([int(demand.counts[m].sum()) for m in members], dtype=np.int64),
        room=np.hstack(
            [np.maximum(supply.room, 0), _room_of_tokens(supply, demand, families, room_of_tokens)]
        ),
        micro_usd=supply.micro_usd,
        allowed=np.ascontiguousarray(demand.allowed[:, firsts]),
        per_node=np.minimum(np.array(limits, dtype=np.int64), UNBOUNDED),
        pod_micro_usd=costs if costs.any() else _none(),
        copies=supply.copies,
        limits=(
            *_pool_limits(supply, demand, members),
            *_zone_limits(demand, members),
            # Weights are requests, which are the same for all classes of a shape.
            *(replace(x, weights=x.weights[firsts]) for x in demand.shares),
        ),
    )
    return Merged(problem, tuple(tuple(m) for m in members))


def _of_many_shapes(demand: Demand, base: list[Hashable]) -> dict[int, int]:
    """Give the workloads whose shapes are kept for themselves: only so can their limit per pool be held exactly."""
    shapes: dict[int, set[Hashable]] = {}
    for c, key in enumerate(base):
        if demand.workload[c] >= 0 and demand.per_spot_pool[c] < UNLIMITED:
            shapes.setdefault(int(demand.workload[c]), set()).add(key)
    return {w: w for w, keys in shapes.items() if len(keys) > MOST_SHAPES}


def _roles(demand: Demand) -> dict[int, Hashable]:
    """Give by class which levels it counts in, and whether as one that is to be spread."""
    return {
        c: (level.family, is_own)
        for level in demand.levels
        for is_own, classes in ((True, level.own), (False, level.others))
        for c in classes
    }


def _zone_limits(demand: Demand, members: list[list[int]]) -> list[Limit]:
    """Put levels as limits, a family's together: at least so many in a zone is at most so many in all others."""
    shape_of = {c: s for s, classes in enumerate(members) for c in classes}
    elsewhere = [np.where(demand.zone == z, -1, 0) for z in range(int(demand.zone.max(initial=-1)) + 1)]
    families: dict[Hashable, list[Level]] = {}
    for level in demand.levels:
        families.setdefault(level.family, []).append(level)
    found = []
    for levels in families.values():
        mine = [c for x in levels for c in x.own]
        all_counted = [*mine, *(c for x in levels for c in x.others)]
        own, counted = (np.zeros(len(members), dtype=np.int64) for _ in range(2))
        own[[shape_of[c] for c in mine]] = 1
        counted[[shape_of[c] for c in all_counted]] = 1
        total = int(demand.counts[all_counted].sum())
        most_own, most, least = (
            np.sum([getattr(x, name) for x in levels], axis=0) for name in ("most_own", "most", "least")
        )
        if (most_own < most).any():
            found.append(Limit(weights=own, group=demand.zone, at_most=most_own))
        found.append(Limit(weights=counted, group=demand.zone, at_most=most))
        found += [
            Limit(weights=counted, group=elsewhere[z], at_most=np.array([total - n], dtype=np.int64))
            for z, n in enumerate(least.tolist())
            if n
        ]
    return found


def _scale(demand: Demand, c: int) -> int:
    """Give the magnitude of what an interruption costs: classes that differ by less are one shape."""
    costs = demand.interruption_micro_usd
    return int(costs[c]).bit_length() if len(costs) else 0


def _risk(supply: Supply, demand: Demand, members: list[list[int]]) -> Ints:
    """Give what interruptions of a pod are expected to cost, by offer and shape: that of the shape's cheapest class."""
    costs = demand.interruption_micro_usd
    if not len(costs):
        return _none()
    least = np.array([int(costs[m].min()) for m in members], dtype=np.float64)
    found: Ints = np.floor(supply.chance[:, None] * least[None, :]).astype(np.int64)
    return found


def _none() -> Ints:
    return np.zeros((0, 0), dtype=np.int64)


def _base_keys(demand: Demand) -> list[Hashable]:
    packed = np.packbits(demand.allowed, axis=0)
    wishes = demand.preference_micro_usd
    return [
        (
            tuple(demand.requests[c].tolist()),
            packed[:, c].tobytes(),
            wishes[:, c].tobytes() if wishes.size else b"",
        )
        for c in range(len(demand.counts))
    ]


def _is_capped(supply: Supply, demand: Demand, c: int) -> bool:
    if demand.workload[c] < 0 or demand.per_spot_pool[c] >= UNLIMITED:
        return False
    return bool(demand.allowed[supply.is_spot, c].any())


def _families(demand: Demand, base: list[Hashable], most_pods: int) -> tuple[list[_Family], Ints]:
    tightest = [min(x, key=lambda limit: limit.at_most) if x else None for x in demand.node_limits]
    classes: dict[NodeLimit, list[int]] = {}
    for c, limit in enumerate(tightest):
        if limit is not None:
            classes.setdefault(limit, []).append(c)
    nodes = {x: -(-int(demand.counts[at].sum()) // x.at_most) for x, at in classes.items()}
    is_single = {x: len({base[c] for c in at}) == 1 for x, at in classes.items()}
    most_nodes = max((n for x, n in nodes.items() if not is_single[x]), default=0)
    families = [NO_LIMIT] * len(tightest)
    tokens: list[int] = []
    rest: list[NodeLimit] = []
    own_shapes = 0
    for number, limit in enumerate(sorted(classes, key=lambda x: (-nodes[x], classes[x]))):
        if is_single[limit] and own_shapes < OWN_SHAPES:
            own_shapes += 1
            family = _Family(("own", number), at_most=limit.at_most)
        elif (
            not is_single[limit]
            and len(tokens) < OWN_RESOURCES
            and nodes[limit] * NEAR_THE_LARGEST >= most_nodes
        ):
            family = _Family(("counted", number), len(tokens), limit.at_most)
            tokens.append(limit.at_most)
        else:
            rest.append(limit)
            continue
        for c in classes[limit]:
            families[c] = family
    together = sum(x.at_most for x in rest)
    token = len(tokens) if rest and together < most_pods else None
    if token is not None:
        tokens.append(together)
    for limit in rest:
        for c in classes[limit]:
            families[c] = _Family("rest", token, limit.at_most)
    return families, np.array(tokens, dtype=np.int64)


def _room_of_tokens(supply: Supply, demand: Demand, families: list[_Family], room: Ints) -> Ints:
    """Give offer x token; less where pods are about that limits count which they do not hold."""
    found = np.tile(room, (len(supply.micro_usd), 1))
    counted = {x for mine in demand.counted for x in mine}
    mean = (demand.requests * demand.counts[:, None]).sum(axis=0) / max(int(demand.counts.sum()), 1)
    asked = np.flatnonzero(mean > 0)
    pods = (supply.room[:, asked] / mean[asked]).min(axis=1, initial=float(UNLIMITED))
    for token, most in enumerate(room.tolist()):
        holders = [c for c, family in enumerate(families) if family.token == token]
        limits = {x for c in holders for x in demand.node_limits[c]}
        if not limits & counted:
            continue
        small = pods < TIMES_AS_MANY_PODS * len(limits)
        can = demand.allowed[small][:, holders] & holding(supply.room[small], demand.requests[holders])
        found[:, token] = -(-most // ROOM_FOR_COUNTED)
        if can.any(axis=0).all():
            found[~small, token] = 0
    return found


def _together(demand: Demand, classes: list[int]) -> int:
    """Give how many pods of these classes one node may hold by limits per node."""
    tightest = [min(demand.node_limits[c], key=lambda x: x.at_most, default=None) for c in classes]
    if any(limit is None for limit in tightest):
        return UNLIMITED
    return sum(limit.at_most for limit in dict.fromkeys(tightest) if limit is not None)


def _pool_limits(supply: Supply, demand: Demand, members: list[list[int]]) -> tuple[Limit, ...]:
    """Limit capped shapes per spot pool to what their workloads may have there together.

    An offer is a pool of its own. Where workloads come in several shapes, all shapes that share workloads are
    limited together as well as each for itself; which workload's pods those are is settled when they are dealt out.
    """
    spot = np.flatnonzero(supply.is_spot)
    if not len(spot):
        return ()
    group = np.full(len(supply.is_spot), -1, dtype=np.int64)
    group[spot] = np.arange(len(spot), dtype=np.int64)
    capped = [s for s, classes in enumerate(members) if _is_capped(supply, demand, classes[0])]
    found = []
    for shapes in [*([s] for s in capped), *_sharing(demand, members, capped)]:
        classes = [c for s in shapes for c in members[s]]
        at_most = np.zeros(len(spot), dtype=np.int64)
        for w in sorted({int(demand.workload[c]) for c in classes}):
            mine = [c for c in classes if demand.workload[c] == w]
            left = int(demand.per_spot_pool[mine[0]]) - demand.used[spot, w]
            at_most += np.clip(left, 0, int(demand.counts[mine].sum()))
        if (at_most >= demand.counts[classes].sum()).all():
            continue
        weights = np.zeros(len(members), dtype=np.int64)
        weights[shapes] = 1
        found.append(Limit(weights=weights, group=group, at_most=at_most))
    return tuple(found)


def _sharing(demand: Demand, members: list[list[int]], capped: list[int]) -> list[list[int]]:
    """Give the sets of several shapes that are tied by workloads which come in more than one of them."""
    sets: list[tuple[set[int], set[int]]] = []
    for s in capped:
        shapes, workloads = {s}, {int(demand.workload[c]) for c in members[s]}
        apart = []
        for others in sets:
            if others[1] & workloads:
                shapes |= others[0]
                workloads |= others[1]
            else:
                apart.append(others)
        sets = [*apart, (shapes, workloads)]
    return [sorted(shapes) for shapes, _ in sets if len(shapes) > 1]
