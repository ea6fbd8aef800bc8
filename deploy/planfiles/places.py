"""Region and zones of a plan: as they were named, else where the cluster is today.

A zone without a subnet of the cluster's takes no node, and files do not tell subnets. Where nodes run or volumes lie
there is one; so, unless somebody names zones, nothing new is planned elsewhere.
"""

import re
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from deploy.planfiles.documents import PlanFileError
from services.optimizer.domain.describing import many
from services.optimizer.domain.pools import REGION_LABELS
from shared.kernel.kubernetes.nodes import ZONE_LABELS
from shared.kernel.workload import Node, Operator, Volume

REGION = re.compile(r"[a-z]+(-[a-z]+)+-\d+", re.ASCII)
"""What the name of a zone begins with, that of a Local Zone too."""
VOLUME_ZONE_KEYS = frozenset({*ZONE_LABELS, "topology.ebs.csi.aws.com/zone"})


@dataclass(frozen=True, slots=True)
class Places:
    """Where nodes may be launched, by name, and what a reader must know about that."""

    names: tuple[str, ...]
    notes: tuple[str, ...] = ()


def region_of(node: Node) -> str | None:
    """Give the region that a node's labels tell."""
    told = next((node.labels[key] for key in REGION_LABELS if node.labels.get(key)), None)
    found = None if told or not node.zone else REGION.match(node.zone)
    return found[0] if found else told


def region_for(given: str | None, nodes: Collection[Node], *, is_new: bool) -> tuple[str, tuple[str, ...]]:
    """Give the region to plan for, and what must be said about it.

    Args:
        given: as it was named, None: that of the nodes.
        nodes: of the cluster; those on EC2 decide where there are any.
        is_new: a new fleet is planned, which may well be somewhere else.

    Raises:
        PlanFileError: it is not known, or no node is there.
    """
    counts = Counter(filter(None, map(region_of, [n for n in nodes if n.instance_id] or nodes)))
    told = ", ".join(f"{region} ({many(counts[region], 'node')})" for region in sorted(counts))
    if given is None:
        if not counts:
            raise PlanFileError("No node's labels tell the region; name it: --region us-east-1.")
        if len(counts) > 1:
            raise PlanFileError(f"The nodes run in several regions, {told}; name one of them with --region.")
        return next(iter(counts)), ()
    if counts.keys() <= {given}:
        return given, ()
    if given not in counts and not is_new:
        raise PlanFileError(f"--region is {given}, but by their labels the nodes run in {told}.")
    if given not in counts:
        return given, (f"The fleet is planned for {given}; today's nodes run in {told}.",)
    return given, (f"The plan is for {given}, where not all nodes run: {told}; the others stay as they are.",)


def places(
    named: Sequence[str],
    region: str,
    zones: dict[str, str],
    nodes: Iterable[Node],
    volumes: Iterable[Volume],
    *,
    are_in_policy: bool,
) -> Places:
    """Give the zones to launch in.

    Args:
        named: zones by name or id, as they were given; none: those of today.
        region: of the plan.
        zones: ids by name; one that is named but not known in an unknown region is added.
        nodes: of today.
        volumes: of today; a zone in which one lies counts as well.
        are_in_policy: the policy names zones, and does not want others left out before it is asked.

    Raises:
        PlanFileError: a zone is not in the region, or none is known.
    """
    if named:
        return Places(_named(named, region, zones))
    if not zones:
        raise PlanFileError(f"The zones of {region} are not known; give --zones.")
    by_nodes = {node.zone for node in nodes if node.zone} & zones.keys()
    today = sorted(by_nodes | ({*_zones_of(volumes)} & zones.keys())) if by_nodes else []
    if are_in_policy or not today or len(today) == len(zones):
        return Places(tuple(sorted(zones)))
    whose = "nodes" if by_nodes == {*today} else "nodes and volumes"
    note = (
        f"New nodes are planned in the zones of today's {whose} ({', '.join(today)});"
        " name zones in the policy or with --zones to allow others."
    )
    return Places(tuple(today), (note,))


def zone_ids(region: str, bundled: Mapping[str, str] | None, nodes: Iterable[Node]) -> dict[str, str]:
    """Give zone ids by name; what the nodes' labels say counts before what the catalogue does."""
    here = [(node.zone, node.zone_id) for node in nodes if node.zone and node.zone.startswith(region)]
    seen = {zone: zone_id for zone, zone_id in here if zone_id}
    known = dict(bundled) if bundled is not None else {zone: zone for zone, _ in here}
    free = [i for i in sorted(known.values()) if i not in seen.values()]
    found: dict[str, str] = dict(seen)
    for name in sorted(known):
        if name not in found:
            wanted = known[name]
            found[name] = wanted if wanted in free else (free[0] if free else name)
            free = [i for i in free if i != found[name]]
    return found


def _named(named: Iterable[str], region: str, zones: dict[str, str]) -> tuple[str, ...]:
    by_id = {zone_id: name for name, zone_id in zones.items()}
    found = set()
    for wanted in named:
        name = by_id.get(wanted, wanted)
        if name not in zones:
            if zones or not wanted.startswith(region):
                has = ", ".join(sorted(zones)) or f"zones named {region}a and so on"
                raise PlanFileError(f"Zone {wanted!r} is not in {region}, which has {has}.")
            zones[name] = name
            by_id[name] = name
        found.add(name)
    return tuple(sorted(found))


def _zones_of(volumes: Iterable[Volume]) -> Iterator[str]:
    for volume in volumes:
        terms = (item for term in volume.node_affinity for item in term.labels)
        for item in (*terms, *volume.zone_labels) if volume.is_bound else ():
            if item.key in VOLUME_ZONE_KEYS and item.operator is Operator.IN:
                yield from item.values
