"""Where a pod's claims let it run."""

from collections.abc import Iterable, Mapping

from shared.kernel.scheduling import selectors
from shared.kernel.workload import Node, Pod, Volume

CONFLICT = "node(s) had volume node affinity conflict"
UNBOUND = "pod has unbound immediate PersistentVolumeClaims"
NO_TOPOLOGY = "node(s) didn't find available persistent volumes to bind"
TOO_MANY = "node(s) exceed max volume count"


def claim_keys(pod: Pod) -> tuple[str, ...]:
    """Give the keys of the pod's claims."""
    return tuple(sorted({f"{pod.namespace}/{claim}" for claim in pod.claims}))


def reasons(claims: Iterable[str], node: Node, volumes: Mapping[str, Volume]) -> tuple[str, ...]:
    """Say what the claims have against a node."""
    found = (_reason(claim, node, volumes.get(claim)) for claim in claims)
    return tuple(dict.fromkeys(reason for reason in found if reason))


def _reason(claim: str, node: Node, volume: Volume | None) -> str | None:
    if volume is None:
        return f'persistentvolumeclaim "{claim.partition("/")[2]}" not found'
    reachable = selectors.any_term_selects(volume.node_affinity, node)
    if volume.is_bound:
        return None if reachable else CONFLICT
    if not volume.wait_for_first_consumer:
        return UNBOUND
    return None if reachable else NO_TOPOLOGY
