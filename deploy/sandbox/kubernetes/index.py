"""Pods by namespace, node and owner, and children by owner: what controllers would otherwise scan for."""

from collections import defaultdict

from deploy.sandbox.kubernetes.kinds import POD, Kind, Object
from deploy.sandbox.kubernetes.store import Change, Key, key_of

TERMINAL = frozenset({"Succeeded", "Failed"})


def controller_of(obj: Object) -> Object | None:
    """Return the owner reference of the object's controller."""
    owners = obj["metadata"].get("ownerReferences") or ()
    return next((owner for owner in owners if owner.get("controller")), None)


def owned_by(owner: Object, *, controller: bool = True) -> list[Object]:
    """Return the ownerReferences of a child."""
    return [
        {
            "apiVersion": owner["apiVersion"],
            "kind": owner["kind"],
            "name": owner["metadata"]["name"],
            "uid": owner["metadata"]["uid"],
            "controller": controller,
            "blockOwnerDeletion": True,
        }
    ]


def is_active(pod: Object) -> bool:
    """Whether a pod runs or will: neither finished nor on its way out."""
    return (
        not pod["metadata"].get("deletionTimestamp")
        and (pod.get("status") or {}).get("phase") not in TERMINAL
    )


def is_ready(pod: Object) -> bool:
    """Whether the pod's Ready condition is true."""
    conditions = (pod.get("status") or {}).get("conditions") or ()
    return any(c["type"] == "Ready" and c["status"] == "True" for c in conditions)


def is_healthy(pod: Object) -> bool:
    """Whether a disruption budget counts the pod."""
    return is_active(pod) and is_ready(pod)


def is_daemon(pod: Object) -> bool:
    """Whether a DaemonSet put the pod there."""
    owner = controller_of(pod)
    return owner is not None and owner["kind"] == "DaemonSet"


class Index:
    """Kept up to date by the store."""

    def __init__(self) -> None:
        self.by_namespace: dict[str, dict[Key, Object]] = defaultdict(dict)
        self.by_node: dict[str, dict[Key, Object]] = defaultdict(dict)
        self.pods_of: dict[str, dict[Key, Object]] = defaultdict(dict)
        self.children: dict[str, set[tuple[Kind, Key]]] = defaultdict(set)

    def observe(self, change: Change) -> None:
        """Follow one change."""
        key = key_of(change.object)
        for obj, present in ((change.previous, False), (change.object, change.type != "DELETED")):
            if obj is None:
                continue
            for owner in obj["metadata"].get("ownerReferences") or ():
                if present:
                    self.children[owner["uid"]].add((change.kind, key))
                else:
                    self.children[owner["uid"]].discard((change.kind, key))
            if change.kind is POD:
                self._file(key, obj, present=present)

    def _file(self, key: Key, pod: Object, *, present: bool) -> None:
        drawers = [self.by_namespace[key[0]]]
        if node := (pod.get("spec") or {}).get("nodeName"):
            drawers.append(self.by_node[node])
        if owner := controller_of(pod):
            drawers.append(self.pods_of[owner["uid"]])
        for drawer in drawers:
            if present:
                drawer[key] = pod
            else:
                drawer.pop(key, None)

    def workload_pods(self, node: str) -> list[Object]:
        """Return the pods of a node that a drain has to move: neither daemons nor finished ones."""
        pods = self.by_node.get(node, {}).values()
        return [
            pod
            for pod in pods
            if not is_daemon(pod) and (pod.get("status") or {}).get("phase") not in TERMINAL
        ]
