"""Settle beforehand in which zone pods go that must be in balance, apart or together over zones.

Pods that a spread over zones counts are dealt to the zones so that all counts stay level, whichever class they
are of. Pods that must be in a zone with others all go where those are; where none of them is anywhere yet, one
zone becomes home to all. The scheduler's rules have the last word: what is settled here only makes it likely
that they agree.
"""

from collections.abc import Collection, Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from services.optimizer.domain.packing.classes import Bools, Floats, Ints, PodClass
from services.optimizer.domain.packing.grouping import ZONE_KEYS
from services.optimizer.domain.rules import Template
from shared.kernel.scheduling import affinity, selectors
from shared.kernel.workload import LabelSelector, Node, Operator, Pod

THOUSANDTHS = 1000


@dataclass(frozen=True, slots=True)
class Place:
    """Where pods stand already: a zone, and how many with the same labels."""

    zone_id: str
    sample: Pod
    pods: int


@dataclass(frozen=True, slots=True)
class Group:
    """Pods that are counted together over zones."""

    namespaces: frozenset[str]
    selector: LabelSelector | None

    def means(self, pod: Pod) -> bool:
        """Whether the pod is counted."""
        return pod.namespace in self.namespaces and selectors.selects(self.selector, pod.labels)


def matters(pod: Pod) -> bool:
    """Whether a required rule of the pod is about zones."""
    spread = any(
        s.topology_key in ZONE_KEYS and s.when_unsatisfiable == "DoNotSchedule" for s in pod.topology_spread
    )
    terms = (*pod.pod_affinity, *pod.pod_anti_affinity)
    return spread or any(t.topology_key in ZONE_KEYS and t.weight is None for t in terms)


def places(nodes: Iterable[Node], pods: Iterable[tuple[Pod, str]], template: Template) -> list[Place]:
    """Count pods by zone and labels; each comes with the name of its node."""
    zones = {n.name: n.zone_id or template.zone_id(n.zone or "") for n in nodes}
    found: dict[tuple[str, str, Hashable], tuple[Pod, int]] = {}
    for pod, name in pods:
        zone = zones.get(name)
        if zone is not None and not (pod.is_finished or pod.is_terminating):
            key = (zone, pod.namespace, frozenset(pod.labels.items()))
            found[key] = (pod, found.get(key, (pod, 0))[1] + 1)
    return [Place(zone, sample, number) for (zone, _, _), (sample, number) in found.items()]


def settled(
    classes: Sequence[PodClass],
    zones: Sequence[str],
    possible: Bools,
    costs: Floats,
    standing: Sequence[Place],
    labels: Mapping[str, Mapping[str, str]],
    held: Collection[int] = (),
    liked: Ints | None = None,
) -> list[PodClass]:
    """Split classes whose zone matters by zone.

    Args:
        classes: in an order that does not depend on the input's.
        zones: ids, in order of name.
        possible: class x zone; whether some offer there takes such a pod.
        costs: class x zone; roughly what the class would cost there.
        standing: pods that are somewhere already.
        labels: of namespaces, by name.
        held: classes that are left as they are, with the rules that they hold.
        liked: class x zone; in thousandths, how many pods would be there if they could be apart. Tells more than
            costs, where it is known.
    """
    dealt = _dealt(classes, zones, possible, standing, held)
    homes = _homes(classes, zones, possible, costs, standing, labels, dealt, liked)
    found: list[PodClass] = []
    for c, kind in enumerate(classes):
        if c in held:
            found.append(kind)
        elif c in dealt:
            at = 0
            for zone, number in zip(zones, dealt[c], strict=True):
                if number:
                    found.append(replace(kind, pods=kind.pods[at : at + number], zone_id=zone))
                at += number
        elif c in homes:
            zone, only_first = homes[c]
            found.append(replace(kind, pods=kind.pods[:1] if only_first else kind.pods, zone_id=zone))
            if only_first and len(kind.pods) > 1:
                found.append(replace(kind, pods=kind.pods[1:]))
        else:
            found.append(kind)
    return found


def _dealt(
    classes: Sequence[PodClass],
    zones: Sequence[str],
    possible: Bools,
    standing: Sequence[Place],
    held: Collection[int],
) -> dict[int, list[int]]:
    """Give, by class that some balance counts, how many pods go to each zone."""
    groups = list(
        dict.fromkeys(g for c, kind in enumerate(classes) if c not in held for g in _balanced(kind.sample))
    )
    if not groups:
        return {}
    at = {zone: z for z, zone in enumerate(zones)}
    counts = [[0] * len(zones) for _ in groups]
    for place in standing:
        for g, group in enumerate(groups):
            if place.zone_id in at and group.means(place.sample):
                counts[g][at[place.zone_id]] += place.pods
    known: dict[Hashable, list[int]] = {}
    found: dict[int, list[int]] = {}
    for c, kind in enumerate(classes):
        key = (kind.sample.namespace, frozenset(kind.sample.labels.items()))
        if key not in known:
            known[key] = [g for g, group in enumerate(groups) if group.means(kind.sample)]
        mine = [counts[g] for g in known[key]]
        open_to = np.flatnonzero(possible[c]).tolist()
        if mine and open_to:
            found[c] = _deal(len(kind.pods), mine, open_to, len(zones))
    return found


def _deal(pods: int, counts: Sequence[list[int]], open_to: Sequence[int], zones: int) -> list[int]:
    given = [0] * zones
    for _ in range(pods):
        z = min(open_to, key=lambda z: (max(row[z] for row in counts), sum(row[z] for row in counts), z))
        given[z] += 1
        for row in counts:
            row[z] += 1
    return given


def _balanced(pod: Pod) -> list[Group]:
    own = frozenset({pod.namespace})
    found = [
        Group(own, affinity.narrowed(s.selector, pod, s.match_label_keys, Operator.IN))
        for s in pod.topology_spread
        if s.topology_key in ZONE_KEYS and s.when_unsatisfiable == "DoNotSchedule"
    ]
    found += [
        Group(frozenset(term.namespaces) or own, affinity.matcher_of(term, pod).selector)
        for term in pod.pod_anti_affinity
        if term.topology_key in ZONE_KEYS and term.weight is None
    ]
    return found


def _homes(
    classes: Sequence[PodClass],
    zones: Sequence[str],
    possible: Bools,
    costs: Floats,
    standing: Sequence[Place],
    labels: Mapping[str, Mapping[str, str]],
    dealt: Mapping[int, object],
    liked: Ints | None,
) -> dict[int, tuple[str, bool]]:
    """Give, by class that must be with others or that others must be with, its zone; True: one pod is enough."""
    wanted: dict[int, list[affinity.PodMatcher]] = {}
    for c, kind in enumerate(classes):
        terms = [t for t in affinity.required(kind.sample.pod_affinity) if t.topology_key in ZONE_KEYS]
        if terms and c not in dealt:
            wanted[c] = [affinity.matcher_of(t, kind.sample) for t in terms]
    found: dict[int, tuple[str, bool]] = {}
    joined = _Joined(len(classes))
    meant_by: dict[Hashable, list[int]] = {}
    for c, matchers in wanted.items():
        here: dict[str, int] = {}
        for place in standing:
            if all(m.matches(place.sample, labels) for m in matchers):
                here[place.zone_id] = here.get(place.zone_id, 0) + place.pods
        usable = {zone: n for zone, n in here.items() if zone in zones and possible[c, zones.index(zone)]}
        if usable:
            found[c] = (min(usable, key=lambda zone: (-usable[zone], zone)), False)
            continue
        key = tuple(matchers)
        if key not in meant_by:
            meant_by[key] = [
                o for o, kind in enumerate(classes) if all(m.matches(kind.sample, labels) for m in matchers)
            ]
        for o in meant_by[key]:
            joined.join(c, o)
    # Groups go to the zones in the shares in which their pods would.
    rest = liked[[c for c in wanted if c not in found]].sum(axis=0) if liked is not None else None
    for members in joined.groups():
        followers = [c for c in members if c in wanted and c not in found]
        if not followers:
            continue
        anchors = [c for c in members if c not in wanted]
        open_to = possible[followers].all(axis=0)
        if not open_to.any():
            continue
        if anchors and (open_to & possible[anchors].all(axis=0)).any():
            open_to = open_to & possible[anchors].all(axis=0)
        if rest is not None and rest.any():
            at = int(np.argmax(np.where(open_to, rest, np.iinfo(np.int64).min)))
            rest[at] -= THOUSANDTHS * sum(len(classes[c].pods) for c in followers)
        else:
            at = int(np.argmin(np.where(open_to, costs[followers].sum(axis=0), np.inf)))
        home = zones[at]
        for c in members:
            if c not in dealt and c not in found:
                found[c] = (home, c in anchors)
    return found


class _Joined:
    """Numbers that belong together, however many steps apart."""

    def __init__(self, size: int) -> None:
        self._parent = list(range(size))

    def _root(self, x: int) -> int:
        while self._parent[x] != x:
            self._parent[x] = self._parent[self._parent[x]]
            x = self._parent[x]
        return x

    def join(self, a: int, b: int) -> None:
        a, b = self._root(a), self._root(b)
        self._parent[max(a, b)] = min(a, b)

    def groups(self) -> list[list[int]]:
        """Give those that were joined to others, and all others alone, in order."""
        found: dict[int, list[int]] = {}
        for x in range(len(self._parent)):
            found.setdefault(self._root(x), []).append(x)
        return list(found.values())
