"""Make a fleet cheaper node by node, as long as it takes all of its pods back: drop, swap for a cheaper, merge two.

Whether it does is asked of restarts, whose answer does not depend on where the pods are. So a fleet that came out
of here offers nothing to do the next time either.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from services.optimizer.domain import disruption, levels
from services.optimizer.domain.columns.solve import never
from services.optimizer.domain.fleet_state import StandingNode
from services.optimizer.domain.packing.classes import Ints
from services.optimizer.domain.packing.shelf import Shelf
from services.optimizer.domain.restarts import Crowd, Hosts
from services.optimizer.domain.rules import Consolidation, PlanRules

STEPS = 200_000_000
"""Comparisons of a pod with a node that one search may take: half a second or so."""
TRIED_OFFERS = 12
"""Cheaper offers that are tried in the place of one or two nodes."""
FORTIFIED = 8
"""How often nodes are added to a fleet that does not take all of its pods back."""
MERGED = 12
"""Nodes of which all pairs are tried: those that cost most for what they hold."""

LARGE_FLEET = 300
SHARES = (2, 4, 8, 16, 32)
"""One in so many of a large fleet's nodes is left out at once."""
REFUSALS = 24
"""Fleets that take all pods back and are not acceptable all the same, after which a search ends."""


@dataclass(frozen=True, slots=True)
class Thinned:
    """What is left of a fleet."""

    stay: tuple[int, ...]
    """Indices of nodes of today."""
    launch: tuple[int, ...]
    """Rows of the shelf, one for each launch."""


Acceptable = Callable[[Thinned], bool]
"""Asked of fleets that take all pods back."""


class Thinner:
    """Searches from several fleets under one market, one crowd and one set of nodes of today."""

    def __init__(
        self,
        nodes: Sequence[StandingNode],
        shelf: Shelf,
        crowd: Crowd,
        rules: PlanRules,
        should_stop: Callable[[], bool] = never,
    ) -> None:
        self._crowd = crowd
        self._should_stop = should_stop
        self._may_launch = rules.consolidation is Consolidation.REPLACE
        offered = [
            StandingNode(n, o, d, None)
            for n, o, d in zip(shelf.nodes, shelf.offers, shelf.daemons, strict=True)
        ]
        self._all = crowd.hosts([*nodes, *offered])
        self._today = len(nodes)
        self._micro = np.array(
            [
                0
                if n.offer is None
                else n.micro_usd - disruption.hourly(disruption.charge([n], [], rules), rules)
                for n in nodes
            ]
            + [n.micro_usd + disruption.hourly(disruption.charge([], [n], rules), rules) for n in offered],
            dtype=np.int64,
        )
        self._may_go = np.array(
            [n.kept_because is None for n in nodes] + [True] * len(offered), dtype=np.bool_
        )
        names = [(str(n.offer.pool) if n.offer else "", i) for i, n in enumerate([*nodes, *offered])]
        self._place = {i: at for at, (_, i) in enumerate(sorted(names))}
        self._takes = np.array(
            [n.node.is_ready and not n.node.is_unschedulable for n in nodes] + [True] * len(offered),
            dtype=np.bool_,
        )
        self._is_unlimited = np.array([c is None for c in shelf.copies], dtype=np.bool_)
        self._offers = self._worth_a_look()
        self._steps = self._refusals = 0
        self._is_alone = np.array(
            [levels.is_replaced_alone(n, rules) for n in nodes] + [False] * len(offered), dtype=np.bool_
        )
        # Pods that not even an empty node takes keep nobody from anything.
        self._most = crowd.hopeless(self._all.only(self._takes))

    def thin(self, start: Thinned, acceptable: Acceptable) -> Thinned:
        """Search from one fleet; it comes back as it is when nothing cheaper takes all pods."""
        fleet = self._fleet(start)
        self._steps = self._refusals = 0
        while not self._is_spent:
            better = self._dropped_together(fleet, acceptable) or self._dropped(fleet, acceptable)
            if better is None and self._may_launch:
                better = self._swapped(fleet, acceptable) or self._merged(fleet, acceptable)
            if better is None:
                break
            fleet = better
        return self._told(fleet)

    def be_lenient(self, today: Thinned) -> None:
        """Ask of fleets no more than the one of today does: where it is too full, so may they be."""
        self._most = self._crowd.restart(self._hosts(self._fleet(today)), most=self._crowd.size).left

    def holds(self, told: Thinned) -> bool:
        """Whether a fleet takes all pods back."""
        return self._crowd.restart(self._hosts(self._fleet(told)), most=self._most).left <= self._most

    def price(self, told: Thinned) -> int:
        """Give what a fleet costs an hour, with what the change to it must earn, in micro-dollars."""
        return int(self._micro[self._fleet(told)].sum())

    def _fleet(self, told: Thinned) -> list[int]:
        return [*told.stay, *(self._today + row for row in told.launch)]

    def fortify(self, start: Thinned) -> Thinned | None:
        """Add the cheapest nodes for what is left over, until the fleet takes all pods back; None if it will not."""
        fleet = self._fleet(start)
        for _ in range(FORTIFIED):
            back = self._crowd.restart(self._hosts(fleet), most=self._crowd.size)
            if back.left <= self._most:
                return self._told(fleet)
            if not self._may_launch:
                return None
            classes = np.flatnonzero(back.waiting)
            missing = back.waiting @ self._crowd.requests
            offers = self._offers[self._all.wanted[self._offers][:, classes].any(axis=1)]
            least = self._crowd.requests[classes].min(axis=0)
            offers = offers[(self._all.free[offers] >= least).all(axis=1)]
            if not len(offers):
                return None
            whole = (self._all.free[offers] >= missing).all(axis=1)
            if whole.any():
                fleet.append(int(offers[whole][0]))
                continue
            asked = np.flatnonzero(missing)
            room = np.maximum(self._all.free[np.ix_(offers, asked)], 1)
            copies = (-(-missing[asked] // room)).max(axis=1)
            cheapest = int(np.lexsort((offers, copies, copies * self._micro[offers]))[0])
            fleet += [int(offers[cheapest])] * int(copies[cheapest])
        return None

    def _told(self, fleet: Sequence[int]) -> Thinned:
        stay = tuple(sorted(i for i in fleet if i < self._today))
        return Thinned(stay, tuple(sorted(i - self._today for i in fleet if i >= self._today)))

    def _hosts(self, fleet: Sequence[int]) -> Hosts:
        rows = sorted((i for i in fleet if self._takes[i]), key=self._place.__getitem__)
        return self._all.only(np.array(rows, dtype=np.int64))

    def _holds(self, fleet: Sequence[int], acceptable: Acceptable) -> bool:
        hosts = self._hosts(fleet)
        if (hosts.free.sum(axis=0) < self._crowd.total).any() and self._most == 0:
            return False
        self._steps += self._crowd.size * len(fleet) * self._crowd.draws
        if self._crowd.restart(hosts, most=self._most).left > self._most:
            return False
        told = self._told(fleet)
        is_acceptable = acceptable(told)
        self._refusals += not is_acceptable
        return is_acceptable

    @property
    def _is_spent(self) -> bool:
        return self._steps >= STEPS or self._refusals >= REFUSALS or self._should_stop()

    def _removable(self, fleet: Sequence[int]) -> list[int]:
        """Give the places in the fleet of nodes that may go, the dearest first, of equals one."""
        seen: set[int] = set()
        found = []
        for at in sorted(
            range(len(fleet)), key=lambda a: (-int(self._micro[fleet[a]]), self._place[fleet[a]])
        ):
            if self._may_go[fleet[at]] and self._micro[fleet[at]] > 0 and fleet[at] not in seen:
                seen.add(fleet[at])
                found.append(at)
        return found

    def _dropped_together(self, fleet: Sequence[int], acceptable: Acceptable) -> list[int] | None:
        """Leave a part of a large fleet out at once: node by node would take too long."""
        if len(fleet) < LARGE_FLEET:
            return None
        places = [
            a for a, i in enumerate(fleet) if self._may_go[i] and self._micro[i] > 0 and not self._is_alone[i]
        ]
        places.sort(key=lambda a: (-int(self._micro[fleet[a]]), self._place[fleet[a]], a))
        for share in SHARES:
            gone = set(places[: len(places) // share])
            rest = [i for a, i in enumerate(fleet) if a not in gone]
            if gone and not self._is_spent and self._holds(rest, acceptable):
                return rest
        return None

    def _dropped(self, fleet: Sequence[int], acceptable: Acceptable) -> list[int] | None:
        for at in self._removable(fleet):
            if self._is_spent:
                break
            rest = [*fleet[:at], *fleet[at + 1 :]]
            if self._is_alone[fleet[at]]:
                continue
            if self._holds(rest, acceptable):
                return rest
        return None

    def _swapped(self, fleet: Sequence[int], acceptable: Acceptable) -> list[int] | None:
        for at in self._removable(fleet):
            rest = [*fleet[:at], *fleet[at + 1 :]]
            found = self._with_cheaper(rest, int(self._micro[fleet[at]]), acceptable)
            if found is not None:
                return found
        return None

    def _merged(self, fleet: Sequence[int], acceptable: Acceptable) -> list[int] | None:
        # Equal nodes may be merged with each other too.
        places = [a for a in range(len(fleet)) if self._may_go[fleet[a]] and self._micro[fleet[a]] > 0]
        some = sorted({*self._removable(fleet)[:MERGED], *places[:MERGED]})
        some = [at for at in some if not self._is_alone[fleet[at]]]
        for i, a in enumerate(some):
            for b in some[i + 1 :]:
                if self._is_spent:
                    return None
                rest = [f for at, f in enumerate(fleet) if at not in (a, b)]
                limit = int(self._micro[fleet[a]] + self._micro[fleet[b]])
                found = self._with_cheaper(rest, limit, acceptable)
                if found is not None:
                    return found
        return None

    def _with_cheaper(self, rest: Sequence[int], limit: int, acceptable: Acceptable) -> list[int] | None:
        missing = self._crowd.total - self._hosts(rest).free.sum(axis=0)
        cheaper = self._offers[self._micro[self._offers] < limit]
        if self._most == 0:
            cheaper = cheaper[(self._all.free[cheaper] >= missing).all(axis=1)]
        for offer in cheaper[:TRIED_OFFERS].tolist():
            if self._is_spent:
                return None
            fleet = [*rest, offer]
            if self._holds(fleet, acceptable):
                return fleet
        return None

    def _worth_a_look(self) -> Ints:
        """Give the offers that none undercuts with as much room for the same pods, the cheapest first."""
        rows = self._today + np.flatnonzero(self._is_unlimited)
        # Few are tried: what policy lets no pod use would take the place of what is of use.
        rows = rows[self._all.wanted[rows].any(axis=1)]
        order = rows[np.lexsort((rows, self._micro[rows]))]
        groups: dict[tuple[bytes, bytes], list[int]] = {}
        for row in order.tolist():
            kept = groups.setdefault((self._all.allowed[row].tobytes(), self._all.wanted[row].tobytes()), [])
            if not (self._all.free[kept] >= self._all.free[row]).all(axis=1).any():
                kept.append(row)
        found = [row for kept in groups.values() for row in kept]
        return np.array(sorted(found, key=lambda r: (int(self._micro[r]), r)), dtype=np.int64)
