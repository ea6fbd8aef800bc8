"""What kubectl and clients ask before anything else: which groups, versions and resources there are."""

from deploy.sandbox.kubernetes.kinds import KINDS, Kind, Object

_VERBS = ["create", "delete", "deletecollection", "get", "list", "patch", "update", "watch"]
_VERSION = {
    "major": "1",
    "minor": "34",
    "gitVersion": "v1.34.1-eks-sandbox",
    "gitCommit": "0",
    "gitTreeState": "clean",
    "buildDate": "2026-01-01T00:00:00Z",
    "goVersion": "go1.24.6",
    "compiler": "gc",
    "platform": "linux/amd64",
}
_METRICS = [
    {
        "name": "nodes",
        "singularName": "",
        "namespaced": False,
        "kind": "NodeMetrics",
        "verbs": ["get", "list"],
    },
    {"name": "pods", "singularName": "", "namespaced": True, "kind": "PodMetrics", "verbs": ["get", "list"]},
]


def document(path: str) -> Object | None:
    """Return the discovery document at a path, if there is one."""
    parts = [part for part in path.split("/") if part]
    if parts == ["version"]:
        return dict(_VERSION)
    if parts == ["api"]:
        return {"kind": "APIVersions", "apiVersion": "v1", "versions": ["v1"]}
    if parts == ["apis"]:
        groups = sorted({kind.group for kind in KINDS if kind.group} | {"metrics.k8s.io"})
        return {"kind": "APIGroupList", "apiVersion": "v1", "groups": [_group(name) for name in groups]}
    if len(parts) == 2 and parts[0] == "apis":
        known = any(kind.group == parts[1] for kind in KINDS) or parts[1] == "metrics.k8s.io"
        return {"kind": "APIGroup", "apiVersion": "v1", **_group(parts[1])} if known else None
    if parts == ["api", "v1"]:
        return _resources("v1")
    if len(parts) == 3 and parts[0] == "apis":
        return _resources(f"{parts[1]}/{parts[2]}")
    return None


def _group(name: str) -> Object:
    versions = sorted({kind.version for kind in KINDS if kind.group == name}) or ["v1beta1"]
    entries = [{"groupVersion": f"{name}/{version}", "version": version} for version in versions]
    return {"name": name, "versions": entries, "preferredVersion": entries[-1]}


def _resources(api_version: str) -> Object | None:
    if api_version == "metrics.k8s.io/v1beta1":
        entries = list(_METRICS)
    else:
        entries = [entry for kind in KINDS if kind.api_version == api_version for entry in _entries(kind)]
    if not entries:
        return None
    return {
        "kind": "APIResourceList",
        "apiVersion": "v1",
        "groupVersion": api_version,
        "resources": entries,
    }


def _entries(kind: Kind) -> list[Object]:
    base = {"singularName": kind.kind.lower(), "namespaced": kind.namespaced}
    entries: list[Object] = [
        {**base, "name": kind.plural, "kind": kind.kind, "shortNames": list(kind.short), "verbs": _VERBS}
    ]
    if kind.has_status:
        verbs = ["get", "patch", "update"]
        entries.append({**base, "name": f"{kind.plural}/status", "kind": kind.kind, "verbs": verbs})
    if kind.has_scale:
        scale = {
            "kind": "Scale",
            "group": "autoscaling",
            "version": "v1",
            "verbs": ["get", "patch", "update"],
        }
        entries.append({**base, "name": f"{kind.plural}/scale", **scale})
    if kind.plural == "pods":
        eviction = {"kind": "Eviction", "group": "policy", "version": "v1", "verbs": ["create"]}
        entries.append({**base, "name": "pods/eviction", **eviction})
        entries.append({**base, "name": "pods/binding", "kind": "Binding", "verbs": ["create"]})
    return entries
