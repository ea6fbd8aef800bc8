"""Controllers of pods, and namespaces."""

from collections.abc import Mapping
from typing import Any

from shared.kernel.kubernetes.errors import KubernetesObjectError
from shared.kernel.kubernetes.fields import Fields, named
from shared.kernel.kubernetes.pods import controller_of, pod_from
from shared.kernel.kubernetes.spot_wishes import parse_spot_wish
from shared.kernel.workload import Namespace, Owner, Pod, TaintEffect, Toleration, Workload

WORKLOAD_KINDS = frozenset({"Deployment", "StatefulSet", "DaemonSet", "ReplicaSet", "Job"})

DAEMON_TOLERATIONS = (
    Toleration("node.kubernetes.io/not-ready", "Exists", "", TaintEffect.NO_EXECUTE),
    Toleration("node.kubernetes.io/unreachable", "Exists", "", TaintEffect.NO_EXECUTE),
    Toleration("node.kubernetes.io/disk-pressure", "Exists", "", TaintEffect.NO_SCHEDULE),
    Toleration("node.kubernetes.io/memory-pressure", "Exists", "", TaintEffect.NO_SCHEDULE),
    Toleration("node.kubernetes.io/pid-pressure", "Exists", "", TaintEffect.NO_SCHEDULE),
    Toleration("node.kubernetes.io/unschedulable", "Exists", "", TaintEffect.NO_SCHEDULE),
)
"""What the DaemonSet controller adds to every pod it makes."""
HOST_NETWORK_TOLERATION = Toleration(
    "node.kubernetes.io/network-unavailable", "Exists", "", TaintEffect.NO_SCHEDULE
)


def parse_workload(obj: Mapping[str, Any], *, kind: str | None = None) -> Workload:
    """Give the workload; `kind` is for items of a typed list, which need not name theirs.

    Raises:
        KubernetesObjectError: a field is not what the API would give.
    """
    kind = kind or str(obj.get("kind"))
    if kind not in WORKLOAD_KINDS:
        raise KubernetesObjectError(f"{kind} is not a kind of workload that is known here")
    fields, namespace, name = named(kind.lower(), obj)
    spec, status = fields.child("spec"), fields.child("status")
    is_daemon = kind == "DaemonSet"
    ready = {"DaemonSet": "numberReady", "Job": "ready"}.get(kind, "readyReplicas")
    return Workload(
        namespace=namespace,
        kind=kind,
        name=name,
        replicas=None if kind in ("DaemonSet", "Job") else spec.integer("replicas", 1),
        ready_replicas=status.integer(ready),
        labels=fields.child("metadata").strings("labels"),
        pod_template=_daemon_pod(spec.child("template"), namespace, name) if is_daemon else None,
        spot_wish=parse_spot_wish(fields.child("metadata").child("annotations").value),
    )


def replica_set_owner(obj: Mapping[str, Any]) -> tuple[tuple[str, str], Owner | None]:
    """Give a ReplicaSet's namespace and name, and its Deployment; parse_pod takes a mapping of these.

    Raises:
        KubernetesObjectError: a field is not what the API would give.
    """
    fields, namespace, name = named("replicaset", obj)
    return (namespace, name), controller_of(fields.child("metadata"))


def parse_namespace(obj: Mapping[str, Any]) -> Namespace:
    """Give the namespace; the API server labels each with its name, so hand-written ones get that too.

    Raises:
        KubernetesObjectError: a field is not what the API would give.
    """
    fields, _, name = named("namespace", obj, namespaced=False)
    return Namespace(name, {"kubernetes.io/metadata.name": name} | fields.child("metadata").strings("labels"))


def _daemon_pod(template: Fields, namespace: str, name: str) -> Pod:
    spec = dict(template.child("spec").value)
    written = [*template.child("spec").children("tolerations")]
    on_host_network = template.child("spec").flag("hostNetwork")
    added = (*DAEMON_TOLERATIONS, *((HOST_NETWORK_TOLERATION,) if on_host_network else ()))
    spec["tolerations"] = [
        *(item.value for item in written),
        *({"key": t.key, "operator": t.operator, "effect": str(t.effect)} for t in added),
    ]
    fields = Fields(template.owner, {**template.value, "spec": spec}, template.path)
    return pod_from(fields, namespace=namespace, name=name, owner=Owner("DaemonSet", name))
