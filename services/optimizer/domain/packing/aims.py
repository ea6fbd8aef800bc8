"""What zones may still take of pods that must be level over them, once the planned places are dealt out.

Dealing out leaves some pods over. Wherever they had room they would put one zone ahead of others, so that they too
are held to what the fleet aims at: pods that are only counted go to zones that lack some, and then to the one that
is theirs; pods that are to be spread go where fewest are.
"""

from collections.abc import Sequence
from copy import copy

import numpy as np

from services.optimizer.domain.packing.classes import UNLIMITED, Bools, Ints, PodClass
from services.optimizer.domain.packing.demand import Level
from shared.kernel.workload import Pod


class Aims:
    """Counts, by level and zone, the pods that are placed."""

    def __init__(
        self, levels: Sequence[Level] = (), classes: Sequence[PodClass] = (), zones: Sequence[str] = ()
    ) -> None:
        """Count nothing yet.

        Args:
            levels: of `classes`, by number.
            classes: with all pods that the levels are about.
            zones: ids, as the levels number them.
        """
        self._levels = tuple(levels)
        self._zone = {zone: z for z, zone in enumerate(zones)}
        self._of = {
            pod.key: (number, is_own)
            for number, level in enumerate(levels)
            for is_own, mine in ((True, level.own), (False, level.others))
            for c in mine
            for pod in classes[c].pods
        }
        sizes = [
            [sum(len(classes[c].pods) for c in mine) for mine in (level.own, level.others)]
            for level in levels
        ]
        self._sizes = np.array(sizes, dtype=np.int64).reshape(len(sizes), 2)
        """By level, of all pods that are to be spread, and of all others."""
        self._own: Ints = np.zeros((len(self._levels), len(zones)), dtype=np.int64)
        self._counted = self._own.copy()

    def __bool__(self) -> bool:
        return bool(self._levels)

    def is_about(self, pod: Pod) -> bool:
        """Whether some level counts the pod."""
        return pod.key in self._of

    def is_spread(self, pod: Pod) -> bool:
        """Whether the pod is one of those that are to be spread."""
        return self._of.get(pod.key, (0, False))[1]

    def take(self, pod: Pod, zone_id: str | None) -> None:
        """Count a pod that was placed."""
        found = self._of.get(pod.key)
        if found is not None and zone_id in self._zone:
            self._count(found, self._zone[zone_id])

    def room(self, pod: Pod, zone_id: str | None) -> int:
        """Give how many more pods like this one a zone may take."""
        found = self._of.get(pod.key)
        if found is None or zone_id not in self._zone:
            return UNLIMITED
        return int(self._rooms(found[0], is_own=found[1])[self._zone[zone_id]])

    def dealt(self, kind: PodClass, open_to: Bools) -> Ints:
        """Give zone by zone how many of a class's pods are to go there; some may be for none.

        Args:
            kind: whose pods all wait, and are counted once they are placed.
            open_to: by zone, whether some offer there takes such a pod.
        """
        number, is_own = self._of[kind.sample.key]
        room = np.where(open_to, self._rooms(number, is_own=is_own), 0)
        counted = self._counted[number].copy()
        given = np.zeros(len(room), dtype=np.int64)
        for _ in kind.pods:
            if not (room > given).any():
                break
            # The zone that is furthest behind, the pile last: it is ahead of all others.
            z = int(np.argmin(np.where(room > given, counted, UNLIMITED)))
            given[z] += 1
            counted[z] += 1
        return given

    def promise(self, kind: PodClass, given: Ints) -> "Aims":
        """Give what holds once those pods are where they are to go."""
        found = copy(self)
        found._own, found._counted = self._own.copy(), self._counted.copy()
        for z, pods in enumerate(given.tolist()):
            found._count(self._of[kind.sample.key], z, pods)
        return found

    def _count(self, which: tuple[int, bool], z: int, pods: int = 1) -> None:
        number, is_own = which
        self._counted[number, z] += pods
        self._own[number, z] += pods if is_own else 0

    def _rooms(self, number: int, *, is_own: bool) -> Ints:
        level, counted = self._levels[number], self._counted[number]
        most = level.most
        if is_own:
            most = np.minimum(most, level.most_own + counted - self._own[number])
        elif level.pile is not None:
            spread = int(self._sizes[number][0] - self._own[number].sum())
            others = int(self._sizes[number][1] - (counted - self._own[number]).sum())
            # More than the least would take places of those that can be nowhere else, and so would all that is free.
            free = np.delete(np.maximum(level.most - counted, 0), level.pile)
            most = _level(counted, level.least, level.pile, spread + others)
            most = np.minimum(most, counted + max(int(free.sum()) - spread, 0))
            behind = np.delete(np.maximum(level.least - counted, 0), level.pile)
            # Nor may the pile take those that other zones lack when all that are to be spread have a place.
            most[level.pile] = counted[level.pile] + others - max(int(behind.sum()) - spread, 0)
        found: Ints = most - counted
        return found


def _level(counted: Ints, least: Ints, pile: int, pods: int) -> Ints:
    """Give how far so many pods lift all zones but the pile to the least together."""
    rest: Ints = np.maximum(least, counted)
    rest[pile] = counted[pile]
    while (lacking := int((rest - counted).sum()) - pods) > 0:
        highest = np.flatnonzero((rest == rest[rest > counted].max()) & (rest > counted))
        rest[highest[-lacking:]] -= 1
    return rest
