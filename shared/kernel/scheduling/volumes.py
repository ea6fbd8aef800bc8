"""Where a pod's claims let it run: the rules of VolumeBinding, VolumeZone, VolumeRestrictions and NodeVolumeLimits.

Two things are not seen here and can only make kube-scheduler stricter: volumes that are still being detached count
against its limit, and one unbound local volume serves one claim only.
"""

from collections.abc import Iterable, Mapping

from shared.kernel.scheduling import selectors
from shared.kernel.workload import Node, Pod, Requirement, Volume

CONFLICT = "node(s) had volume node affinity conflict"
ZONE = "node(s) had no available volume zone"
UNBOUND = "pod has unbound immediate PersistentVolumeClaims"
NO_TOPOLOGY = "node(s) didn't find available persistent volumes to bind"
TOO_MANY = "node(s) exceed max volume count"
IN_USE = "node has pod using PersistentVolumeClaim with the same name and ReadWriteOncePod access mode"

EBS_DRIVER = "ebs.csi.aws.com"
STABLE_KEYS = {
    "failure-domain.beta.kubernetes.io/zone": "topology.kubernetes.io/zone",
    "failure-domain.beta.kubernetes.io/region": "topology.kubernetes.io/region",
}
"""Old names of labels, and today's."""
TOPOLOGY_KEYS = frozenset(STABLE_KEYS) | frozenset(STABLE_KEYS.values())


def claim_keys(pod: Pod) -> tuple[str, ...]:
    """Give the keys of the pod's claims."""
    return tuple(sorted({f"{pod.namespace}/{claim}" for claim in pod.claims}))


def reasons(claims: Iterable[str], node: Node, volumes: Mapping[str, Volume]) -> tuple[str, ...]:
    """Say what the claims have against a node."""
    found = (reason for claim in claims for reason in _reasons(claim, node, volumes.get(claim)))
    return tuple(dict.fromkeys(found))


def attached(
    claims: Iterable[str], volumes: Mapping[str, Volume] | None
) -> tuple[tuple[str, tuple[str, ...]], ...]:
    """Give the claims by the driver that attaches them; what is not known is taken for EBS."""
    found: dict[str, list[str]] = {}
    for claim in claims:
        volume = None if volumes is None else volumes.get(claim)
        driver = EBS_DRIVER if volume is None or volume.driver is None else volume.driver
        if driver:
            found.setdefault(driver, []).append(claim)
    return tuple((driver, tuple(found[driver])) for driver in sorted(found))


def limit_of(node: Node, driver: str) -> int | None:
    """Give how many volumes of a driver the node takes; None: no limit is known."""
    limit = node.volume_limits.get(driver)
    return node.attachable_volumes if limit is None and driver == EBS_DRIVER else limit


def _reasons(claim: str, node: Node, volume: Volume | None) -> list[str]:
    name = claim.partition("/")[2]
    if volume is None:
        return [f'persistentvolumeclaim "{name}" not found']
    if volume.refusal is not None:
        return [f'persistentvolumeclaim "{name}" {volume.refusal}']
    reachable = selectors.any_term_selects(volume.node_affinity, node)
    if volume.is_bound:
        found = [] if reachable else [CONFLICT]
        return found if _in_zone(volume.zone_labels, node) else [*found, ZONE]
    if not volume.wait_for_first_consumer:
        return [UNBOUND]
    return [] if reachable else [NO_TOPOLOGY]


def _in_zone(zone_labels: tuple[Requirement, ...], node: Node) -> bool:
    if TOPOLOGY_KEYS.isdisjoint(node.labels):
        return True  # a cluster that knows no zones
    for item in zone_labels:
        value = node.labels.get(item.key, node.labels.get(STABLE_KEYS.get(item.key, item.key)))
        if value is None or value not in item.values:
            return False
    return True
