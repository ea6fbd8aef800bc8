"""Pods that must be spread over zones, as numbers that a fleet of columns can hold: how many each zone may have.

kube-scheduler lets a pod into a zone when that zone is then at most `maxSkew` ahead of the emptiest one, all pods
counted that the rule means, whether or not they hold it themselves. Whatever the order in which pods come, two
things follow for those that hold it (`forced`): the last of them that came to a zone was at most maxSkew ahead of
the emptiest zone, so that no zone has more of them than maxSkew and the average of all that are counted; and since
some zone has at least the average of them, no zone has fewer counted pods than that less maxSkew. A zone counts
where such pods may be launched, whether or not a node is there yet, as if nodes stood in all of them.

A fleet keeps to more (`aimed`): in the end no zone that has pods which hold the rule is ahead of any.
"""

from collections.abc import Hashable, Sequence
from dataclasses import replace

import numpy as np

from services.optimizer.domain.packing.classes import CPU, MEMORY, Bools, Ints, PodClass
from services.optimizer.domain.packing.demand import Level, Spread, Supply
from services.optimizer.domain.packing.grouping import ZONE_KEYS
from services.optimizer.domain.packing.zoning import Group, Place
from shared.kernel.scheduling import affinity
from shared.kernel.workload import Operator, Pod

ALIKE = 1.05
"""Zones in which nothing costs a twentieth more than in others are alike."""


def spreads(
    classes: Sequence[PodClass], possible: Bools, standing: Sequence[Place] = ()
) -> tuple[Spread, ...]:
    """Give the spreads over zones that numbers can hold: others are settled beforehand, or left out of a bound.

    Args:
        classes: in any order.
        possible: class x zone; whether some offer there takes such a pod.
        standing: pods that are somewhere already.
    """
    rules = {c: rule for c, kind in enumerate(classes) if (rule := _rule(kind.sample)) is not None}
    own: dict[tuple[Group, int, Hashable], list[int]] = {}
    for c, (group, skew) in rules.items():
        own.setdefault((group, skew, _nodes_meant(classes[c].sample)), []).append(c)
    known: dict[Hashable, list[Group]] = {}
    counted: dict[Group, list[int]] = {group: [] for group, _, _ in own}
    shared: set[Group] = set()
    for c, kind in enumerate(classes):
        key = (kind.sample.namespace, frozenset(kind.sample.labels.items()))
        if key not in known:
            known[key] = [g for g in counted if g.means(kind.sample)]
            # A pod that two rules count, or that has rules of its own about zones, ties too much together.
            if len(known[key]) > 1:
                shared.update(known[key])
        for group in known[key]:
            counted[group].append(c)
            if c not in rules and _is_tied(kind.sample):
                shared.add(group)
    times: dict[Group, int] = {}
    for group, _, _ in own:
        times[group] = times.get(group, 0) + 1
    found = []
    for (group, skew, _), members in own.items():
        zones = tuple(np.flatnonzero(possible[members].any(axis=0)).tolist())
        is_alone = times[group] == 1 and group not in shared
        if len(zones) < 2 or not is_alone or any(group.means(p.sample) for p in standing):
            continue
        mine = set(members)
        if not mine <= set(counted[group]):
            continue
        others = tuple(c for c in counted[group] if c not in mine)
        found.append(Spread(tuple(members), others, skew, zones))
    return tuple(sorted(found, key=lambda s: s.own))


def do_zones_differ(zone: Ints, supply: Supply) -> bool:
    """Whether it matters where pods are: not where cores and memory cost about the same at least in every zone."""
    for resource in (CPU, MEMORY):
        has = supply.room[:, resource] > 0
        prices = supply.micro_usd[has] / supply.room[has, resource]
        least = [prices[zone[has] == z].min(initial=np.inf) for z in range(int(zone.max(initial=-1)) + 1)]
        if max(least, default=0.0) > ALIKE * min(least, default=0.0):
            return True
    return False


def possible_in(zone: Ints, zones: int, holds: Bools) -> Bools:
    """Give class x zone, whether some offer there takes such a pod; `holds` is offer x class."""
    found = np.zeros((holds.shape[1], zones), dtype=np.bool_)
    for z in range(zones):
        found[:, z] = holds[zone == z].any(axis=0)
    return found


def keeping(found: Sequence[Spread], held: Ints) -> tuple[Spread, ...]:
    """Give the spreads whose forced numbers a fleet keeps to; `held` is class x zone, what it holds."""
    counts = held.sum(axis=1)
    kept = []
    for spread in found:
        (level,) = forced([spread], counts, held.shape[1])
        own, counted = held[list(spread.own)].sum(axis=0), held[[*spread.own, *spread.others]].sum(axis=0)
        if (own <= level.most_own).all() and (counted >= level.least).all():
            kept.append(spread)
    return tuple(kept)


def _rule(pod: Pod) -> tuple[Group, int] | None:
    """Give what counts for a pod that one spread over zones is about, and its skew; None where there is more to it."""
    zonal = [
        s
        for s in pod.topology_spread
        if s.when_unsatisfiable == "DoNotSchedule" and s.topology_key in ZONE_KEYS
    ]
    if len(zonal) != 1 or _has_terms(pod) or (zonal[0].min_domains or 0) > 1:
        return None
    selector = affinity.narrowed(zonal[0].selector, pod, zonal[0].match_label_keys, Operator.IN)
    if selector is None or not selector.requirements:
        return None
    return Group(frozenset({pod.namespace}), selector), zonal[0].max_skew


def _nodes_meant(pod: Pod) -> Hashable:
    """Give what says which nodes count: pods that differ in it see different counts."""
    return (frozenset(pod.node_selector.items()), pod.node_affinity, pod.tolerations)


def _has_terms(pod: Pod) -> bool:
    return any(
        t.topology_key in ZONE_KEYS and t.weight is None for t in (*pod.pod_affinity, *pod.pod_anti_affinity)
    )


def _is_tied(pod: Pod) -> bool:
    zonal = any(
        s.topology_key in ZONE_KEYS and s.when_unsatisfiable == "DoNotSchedule" for s in pod.topology_spread
    )
    return zonal or _has_terms(pod)


def forced(found: Sequence[Spread], counts: Ints, zones: int) -> tuple[Level, ...]:
    """Give what every fleet keeps to that holds the pods.

    Args:
        found: as `spreads` gives them.
        counts: per class.
        zones: how many there are.
    """
    levels = []
    for spread in found:
        own, total = _sizes(spread, counts)
        here = np.array(spread.zones, dtype=np.int64)
        most_own, most, least = _open(own, total, zones)
        most_own[here] = min(spread.max_skew + (total - 1) // len(here), own)
        least[here] = max(-(-own // len(here)) - spread.max_skew, 0)
        levels.append(_level(spread, most_own, most, least))
    return tuple(levels)


def aimed(found: Sequence[Spread], counts: Ints, liked: Ints) -> tuple[Level, ...]:
    """Give what a fleet should keep to, so that no zone with pods to be spread is ahead of any.

    Where enough others are counted they go to one zone, without any pods to be spread, and to zones where those would
    cost too much; all zones between which pods are spread are level. It is the same zone for all spreads, since the
    solver holds them together.

    Args:
        found: as `spreads` gives them.
        counts: per class.
        liked: class x zone; in thousandths, how many pods would be there if they were not to be spread.
    """
    levels = []
    rest = liked[[c for spread in found for c in spread.others]].sum(axis=0)
    for spread in found:
        own, total = _sizes(spread, counts)
        here = np.array(spread.zones, dtype=np.int64)
        most_own, most, least = _open(own, total, liked.shape[1])
        number, pile = len(here), None
        level = min(-(-2 * own // max(2 * number - 3, 1)), (total + spread.max_skew) // number)
        if spread.others and number > 1 and level * (number - 1) >= own:
            most_own[here] = most[here] = level
            pile = int(here[np.argmax(rest[here])])
            most_own[pile], most[pile] = 0, total
        else:
            level = -(-total // number) + (spread.max_skew - 1) // 2
            most_own[here], most[here] = min(level, own), level
        least[here] = max(level - spread.max_skew, 0)
        levels.append(replace(_level(spread, most_own, most, least), pile=pile))
    return tuple(levels)


def _sizes(spread: Spread, counts: Ints) -> tuple[int, int]:
    own = int(counts[list(spread.own)].sum())
    return own, own + int(counts[list(spread.others)].sum())


def _open(own: int, total: int, zones: int) -> tuple[Ints, Ints, Ints]:
    return (
        np.full(zones, own, dtype=np.int64),
        np.full(zones, total, dtype=np.int64),
        np.zeros(zones, dtype=np.int64),
    )


def _level(spread: Spread, most_own: Ints, most: Ints, least: Ints) -> Level:
    family = (spread.zones, bool(spread.others))
    return Level(spread.own, spread.others, most_own, most, least, family)
