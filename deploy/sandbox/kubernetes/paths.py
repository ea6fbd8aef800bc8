"""What a URL of the Kubernetes API means."""

from dataclasses import dataclass

from deploy.sandbox.kubernetes.errors import no_such_path
from deploy.sandbox.kubernetes.kinds import BY_PATH, NAMESPACE, Kind


@dataclass(frozen=True, slots=True)
class Target:
    """The resource, object or subresource that a request is about."""

    kind: Kind
    namespace: str
    name: str
    subresource: str


def parse(path: str) -> Target:
    """Read `/api/v1/…` and `/apis/<group>/<version>/…`.

    Raises:
        ApiError: 404, nothing is served there.
    """
    parts = [part for part in path.split("/") if part]
    if parts[:1] == ["api"] and len(parts) > 2:
        group, version, rest = "", parts[1], parts[2:]
    elif parts[:1] == ["apis"] and len(parts) > 3:
        group, version, rest = parts[1], parts[2], parts[3:]
    else:
        raise no_such_path()
    namespace = ""
    if rest[0] == "namespaces" and len(rest) > 2 and (group, version, rest[2]) in BY_PATH:
        namespace, rest = rest[1], rest[2:]
    kind = BY_PATH.get((group, version, rest[0]))
    if kind is None or len(rest) > 3 or (namespace and not kind.namespaced):
        raise no_such_path()
    if kind is NAMESPACE:
        namespace = ""
    name = rest[1] if len(rest) > 1 else ""
    if name and kind.namespaced and not namespace:
        raise no_such_path()
    return Target(kind, namespace, name, rest[2] if len(rest) > 2 else "")
