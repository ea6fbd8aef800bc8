"""Defaults and checks of what is written: the fields a real API server fills in and clients rely on."""

from typing import Any

from deploy.sandbox.kubernetes.errors import invalid
from deploy.sandbox.kubernetes.kinds import (
    BUDGET,
    DAEMON_SET,
    DEPLOYMENT,
    JOB,
    NAMESPACE,
    NODE,
    POD,
    REPLICA_SET,
    STATEFUL_SET,
    Kind,
    Object,
)
from deploy.sandbox.kubernetes.quantity import parse_quantity
from deploy.sandbox.kubernetes.selectors import selector

_PRIORITIES = {"system-node-critical": 2_000_001_000, "system-cluster-critical": 2_000_000_000}
_SCALED = (DEPLOYMENT, REPLICA_SET, STATEFUL_SET)
_TEMPLATED = (*_SCALED, DAEMON_SET)


def admit(kind: Kind, obj: Object, *, namespace: str) -> Object:
    """Return a new object with its defaults.

    Raises:
        ApiError: 422.
    """
    metadata = dict(obj.get("metadata") or {})
    name = str(metadata.get("name") or metadata.get("generateName") or "")
    if not name:
        raise invalid(kind, name, "metadata.name: Required value: name or generateName is required")
    if kind.namespaced:
        metadata["namespace"] = namespace
    else:
        metadata.pop("namespace", None)
    admitted = {**obj, "metadata": metadata}
    if kind.has_status and kind is not NODE:
        admitted["status"] = {}
    if kind is POD:
        admitted["spec"] = _pod_spec(obj.get("spec") or {}, name)
        admitted["status"] = {"phase": "Pending", "qosClass": _quality(admitted["spec"])}
    elif kind in _TEMPLATED:
        admitted["spec"] = _workload_spec(kind, obj.get("spec") or {}, name)
    elif kind is JOB:
        admitted["spec"] = {"parallelism": 1, "completions": 1, "backoffLimit": 6, **(obj.get("spec") or {})}
    elif kind is NAMESPACE:
        admitted["spec"] = {"finalizers": ["kubernetes"]}
        metadata["labels"] = {"kubernetes.io/metadata.name": name, **(metadata.get("labels") or {})}
        admitted["status"] = {"phase": "Active"}
    elif kind is BUDGET:
        spec = obj.get("spec") or {}
        if "minAvailable" in spec and "maxUnavailable" in spec:
            raise invalid(kind, name, "spec: minAvailable and maxUnavailable cannot be both set")
    return admitted


def check_quantities(spec: Object, name: str) -> None:
    """Refuse a pod whose amounts cannot be read.

    Raises:
        ApiError: 422.
    """
    for container in (*(spec.get("containers") or ()), *(spec.get("initContainers") or ())):
        for side in ("requests", "limits"):
            for resource, amount in ((container.get("resources") or {}).get(side) or {}).items():
                try:
                    parse_quantity(amount)
                except ValueError as error:
                    where = f"spec.containers[{container.get('name')}].resources.{side}[{resource}]"
                    raise invalid(POD, name, f"{where}: Invalid value: {amount!r}: {error}") from error


def _workload_spec(kind: Kind, given: Object, name: str) -> Object:
    spec = {"revisionHistoryLimit": 10, **given}
    if kind in _SCALED:
        spec.setdefault("replicas", 1)
    template = spec.get("template") or {}
    labels = (template.get("metadata") or {}).get("labels") or {}
    if not spec.get("selector") or not selector(spec["selector"])(labels):
        raise invalid(
            kind, name, "spec.template.metadata.labels: `selector` does not match template `labels`"
        )
    check_quantities(template.get("spec") or {}, name)
    if kind is DEPLOYMENT:
        spec.setdefault("strategy", {"type": "RollingUpdate"})
    return spec


def _pod_spec(given: Object, name: str) -> Object:
    check_quantities(given, name)
    if not given.get("containers"):
        raise invalid(POD, name, "spec.containers: Required value")
    spec = {
        "restartPolicy": "Always",
        "terminationGracePeriodSeconds": 30,
        "dnsPolicy": "ClusterFirst",
        "schedulerName": "default-scheduler",
        "serviceAccountName": "default",
        **given,
    }
    spec["containers"] = [_requests_from_limits(container) for container in given["containers"]]
    if given.get("initContainers"):
        spec["initContainers"] = [_requests_from_limits(container) for container in given["initContainers"]]
    spec.setdefault("priority", _PRIORITIES.get(given.get("priorityClassName", ""), 0))
    tolerations = list(given.get("tolerations") or ())
    for key in ("node.kubernetes.io/not-ready", "node.kubernetes.io/unreachable"):
        if not any(t.get("key") == key and t.get("effect") in {None, "NoExecute"} for t in tolerations):
            tolerations.append(
                {"key": key, "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": 300}
            )
    spec["tolerations"] = tolerations
    return spec


def _requests_from_limits(container: Object) -> Object:
    resources = container.get("resources") or {}
    if not resources.get("limits"):
        return {**container, "resources": resources}
    requests = {**resources["limits"], **(resources.get("requests") or {})}
    return {**container, "resources": {**resources, "requests": requests}}


def _quality(spec: Object) -> str:
    resources: list[Any] = [container.get("resources") or {} for container in spec["containers"]]
    if all(
        {"cpu", "memory"} <= (r.get("limits") or {}).keys() and r.get("requests") == r["limits"]
        for r in resources
    ):
        return "Guaranteed"
    return "Burstable" if any(r.get("requests") or r.get("limits") for r in resources) else "BestEffort"
