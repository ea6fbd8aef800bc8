"""Take over what the Kubernetes API says; what cannot be read is left out and said once."""

from collections.abc import MutableSet

import structlog

from agent import metrics
from agent.domain.mirror import Json, Mirror, WatchedKind, object_key
from shared.kernel.kubernetes import KubernetesObjectError

log = structlog.get_logger(__name__)


def observe_object(*, mirror: Mirror, kind: WatchedKind, obj: Json, complained: MutableSet[str]) -> None:
    """Put an object into the mirror."""
    try:
        mirror.put(kind, obj)
    except KubernetesObjectError as error:
        metrics.objects_unreadable.labels(kind.value).inc()
        complaint = f"{kind.value} {object_key(obj)}"
        if complaint not in complained:
            complained.add(complaint)
            log.warning("object_left_out", kind=kind.value, object=object_key(obj), error=str(error))
    metrics.objects_watched.labels(kind.value).set(mirror.count(kind))
