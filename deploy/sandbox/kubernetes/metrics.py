"""metrics.k8s.io: what pods would use, a steady share of what they ask for, so that a run can be repeated."""

import zlib
from collections import Counter

from deploy.sandbox.kubernetes.errors import no_such_path, not_found
from deploy.sandbox.kubernetes.index import Index, is_ready
from deploy.sandbox.kubernetes.kinds import NODE, POD, Object
from deploy.sandbox.kubernetes.podspec import amounts
from deploy.sandbox.kubernetes.store import Store
from deploy.sandbox.kubernetes.timing import Timeline

_IDLE = {"cpu": 5, "memory": 16 * 2**20}


def document(path: str, *, store: Store, index: Index, timeline: Timeline) -> Object:
    """Answer a read of metrics.k8s.io.

    Raises:
        ApiError: 404.
    """
    match path.strip("/").split("/")[3:]:
        case ["pods"]:
            return _listed("PodMetricsList", [_pod(p, timeline) for p in store.all(POD) if is_ready(p)])
        case ["namespaces", namespace, "pods"]:
            pods = index.by_namespace.get(namespace, {}).values()
            return _listed("PodMetricsList", [_pod(pod, timeline) for pod in pods if is_ready(pod)])
        case ["namespaces", namespace, "pods", name]:
            pod = store.get(POD, namespace, name)
            if not is_ready(pod):
                raise not_found(POD, name)
            return _pod(pod, timeline)
        case ["nodes"]:
            return _listed("NodeMetricsList", [_node(node, index, timeline) for node in store.all(NODE)])
        case ["nodes", name]:
            return _node(store.get(NODE, "", name), index, timeline)
        case _:
            raise no_such_path()


def _listed(kind: str, items: list[Object]) -> Object:
    return {"kind": kind, "apiVersion": "metrics.k8s.io/v1beta1", "metadata": {}, "items": items}


def _usage(container: Object, name: str) -> Counter[str]:
    asked = amounts((container.get("resources") or {}).get("requests"))
    # 20 to 70 % of the request, by the workload's name: replicas of a workload behave alike.
    share = 0.2 + (zlib.crc32(name.encode()) % 51) / 100
    return Counter(
        {resource: int(asked.get(resource, 0) * share) or idle for resource, idle in _IDLE.items()}
    )


def _pod(pod: Object, timeline: Timeline) -> Object:
    metadata = pod["metadata"]
    workload = metadata.get("generateName") or metadata["name"]
    containers = [
        {"name": container["name"], "usage": _written(_usage(container, workload + container["name"]))}
        for container in pod["spec"]["containers"]
    ]
    kept = {
        key: metadata[key] for key in ("name", "namespace", "labels", "creationTimestamp") if key in metadata
    }
    return {
        "kind": "PodMetrics",
        "apiVersion": "metrics.k8s.io/v1beta1",
        "metadata": kept,
        "timestamp": timeline.stamp(),
        "window": "15s",
        "containers": containers,
    }


def _node(node: Object, index: Index, timeline: Timeline) -> Object:
    total: Counter[str] = Counter()
    for pod in index.by_node.get(node["metadata"]["name"], {}).values():
        workload = pod["metadata"].get("generateName") or pod["metadata"]["name"]
        for container in pod["spec"]["containers"]:
            total.update(_usage(container, workload + container["name"]))
    return {
        "kind": "NodeMetrics",
        "apiVersion": "metrics.k8s.io/v1beta1",
        "metadata": {"name": node["metadata"]["name"]},
        "timestamp": timeline.stamp(),
        "window": "15s",
        "usage": _written(total),
    }


def _written(usage: Counter[str]) -> Object:
    return {"cpu": f"{usage['cpu']}m", "memory": f"{usage['memory'] // 1024}Ki"}
