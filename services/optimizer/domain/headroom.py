"""Room that is kept free, and the least number of nodes.

Headroom is planned as pods that nobody made: they ask for room like any other that waits, evict nobody, may run on
spot, cost nothing when they are interrupted, and are reported as headroom only. Their namespace is no name that
Kubernetes allows, so that no real pod is ever taken for one. Unlike pods nobody spreads them: a fleet has its headroom
when there is some arrangement of it in what all pods leave free, wherever kube-scheduler put these.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from services.optimizer.domain.columns.arrays import Ints
from services.optimizer.domain.fleet_state import StandingNode
from services.optimizer.domain.rules import HeadroomShape, PlanRules
from shared.kernel.resources import Resources
from shared.kernel.workload import (
    LabelSelector,
    Operator,
    Pod,
    PodAffinityTerm,
    Requirement,
    SpotWish,
)

SEARCHED = 24
"""Of so many requests at most all arrangements are tried, and TRIED_PLACES places in all."""
TRIED_PLACES = 400
NAMESPACE = "headroom:"
LEAST_PRIORITY = -(2**31)
NOBODY_WAITS = SpotWish(allowed=True, interruption_cost_usd=0.0)
APART_LABEL = "headroom"
APART = PodAffinityTerm(
    "kubernetes.io/hostname",
    LabelSelector((Requirement(APART_LABEL, Operator.IN, ("apart",)),)),
    namespaces=(NAMESPACE,),
)


@dataclass(frozen=True, slots=True)
class Kept:
    """How much of one shape's headroom a fleet has."""

    shape: HeadroomShape
    placed: int
    """Of shape.count."""


def placeholders(rules: PlanRules) -> tuple[Pod, ...]:
    """Give the pods that stand for the headroom."""
    return tuple(
        _placeholder(f"{number}-{copy:04d}", shape.cpu_millicores, shape.memory_bytes)
        for number, shape in enumerate(rules.headroom)
        for copy in range(shape.count)
    )


def nodes_wanted(number: int) -> tuple[Pod, ...]:
    """Give pods that take next to nothing and no node holds two of: a fleet that holds them has so many nodes."""
    return tuple(
        replace(
            _placeholder(f"node-{i:04d}", 1, 1), labels={APART_LABEL: "apart"}, pod_anti_affinity=(APART,)
        )
        for i in range(number)
    )


def _placeholder(name: str, millicores: int, memory_bytes: int) -> Pod:
    return Pod(
        NAMESPACE,
        name,
        "",
        Resources(cpu_millicores=millicores, memory_bytes=memory_bytes),
        priority=LEAST_PRIORITY,
        spot_wish=NOBODY_WAITS,
    )


def is_placeholder(pod: Pod) -> bool:
    """Whether the pod stands for room only."""
    return pod.namespace == NAMESPACE


def without(pods: Iterable[Pod]) -> tuple[Pod, ...]:
    """Give the real pods."""
    return tuple(p for p in pods if not is_placeholder(p))


def kept(rules: PlanRules, pending: Iterable[Pod]) -> tuple[Kept, ...]:
    """Give how much of each shape has room, by what is still pending."""
    waiting = {p.name for p in pending if is_placeholder(p)}
    return tuple(
        Kept(shape, sum(f"{number}-{copy:04d}" not in waiting for copy in range(shape.count)))
        for number, shape in enumerate(rules.headroom)
    )


def missing(pending: Iterable[Pod]) -> int:
    """Count the placeholders without room."""
    return sum(is_placeholder(p) for p in pending)


def arranged(room: Ints, asked: Sequence[tuple[int, int]]) -> list[int]:
    """Find a place for as many requests as there is room for; give the rows of `room`, -1 for none.

    Args:
        room: node x (millicores, bytes, pods) free.
        asked: request x (millicores, bytes).
    """
    largest = sorted(range(len(asked)), key=lambda i: (asked[i], i), reverse=True)
    found = _tightly(room, asked, largest)
    if min(found, default=0) >= 0 or len(asked) > SEARCHED:
        return found
    # One shape may take the room that only it has left to another: there are few, and few nodes that matter.
    return _Search(room, asked, largest).found or found


def planned(pending: Iterable[Pod], fleet: Iterable[StandingNode]) -> list[Pod]:
    """Give the placeholders, of those that wait today, for which a fleet has room."""
    placed = {p.key for n in fleet for p in n.movable}
    return [p for p in pending if is_placeholder(p) and p.key in placed]


def lost(spare: Sequence[Pod], room: Ints) -> tuple[Pod, ...]:
    """Give the headroom that finds no room, see `arranged`."""
    asked = [(p.requests.cpu_millicores, p.requests.memory_bytes) for p in spare]
    return tuple(p for p, at in zip(spare, arranged(room, asked), strict=True) if at < 0)


def _tightly(room: Ints, asked: Sequence[tuple[int, int]], order: Sequence[int]) -> list[int]:
    free, found = room.copy(), [-1] * len(asked)
    for i in order:
        able = _fullest_first(free, room, asked[i])
        if len(able):
            found[i] = int(able[0])
            free[able[0]] -= (*asked[i], 1)
    return found


def _fullest_first(free: Ints, room: Ints, asked: tuple[int, int]) -> Ints:
    able = np.flatnonzero((free >= (*asked, 1)).all(axis=1))
    left = ((free[able, :2] - asked) * 1000 // np.maximum(room[able, :2], 1)).sum(axis=1)
    ordered: Ints = able[np.lexsort((able, left))]
    return ordered


class _Search:
    """Tries one place after the other until all requests have one."""

    def __init__(self, room: Ints, asked: Sequence[tuple[int, int]], order: Sequence[int]) -> None:
        self._room, self._free = room, room.copy()
        self._asked, self._order = asked, order
        self._at = [-1] * len(asked)
        self._tried = 0
        self.found = list(self._at) if self._place(0) else None

    def _place(self, number: int) -> bool:
        if number == len(self._order):
            return True
        i = self._order[number]
        seen: set[bytes] = set()
        for n in _fullest_first(self._free, self._room, self._asked[i]).tolist():
            like = self._free[n].tobytes()
            if like in seen or self._tried >= TRIED_PLACES:
                continue
            seen.add(like)
            self._tried += 1
            self._at[i] = n
            self._free[n] -= (*self._asked[i], 1)
            if self._place(number + 1):
                return True
            self._free[n] += (*self._asked[i], 1)
        return False


def told(keys: Iterable[str]) -> tuple[str, ...]:
    """Leave the keys of placeholders out of what a plan tells."""
    prefix = f"{NAMESPACE}/"
    return tuple(key for key in keys if not key.startswith(prefix))
