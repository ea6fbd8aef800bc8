"""The three patch types of the API, on JSON; the strategic one merges lists by the key their elements are known by."""

import copy
from typing import Any

from deploy.sandbox.kubernetes.errors import ApiError, bad_request
from deploy.sandbox.kubernetes.kinds import Object

JSON_PATCH = "application/json-patch+json"
MERGE_PATCH = "application/merge-patch+json"
STRATEGIC_PATCH = "application/strategic-merge-patch+json"

_MERGE_KEYS = {
    "containers": "name",
    "initContainers": "name",
    "ephemeralContainers": "name",
    "env": "name",
    "volumes": "name",
    "volumeMounts": "mountPath",
    "volumeDevices": "devicePath",
    "imagePullSecrets": "name",
    "secrets": "name",
    "hostAliases": "ip",
    "topologySpreadConstraints": "topologyKey",
    "taints": "key",
    "conditions": "type",
    "addresses": "type",
    "ownerReferences": "uid",
    "podIPs": "ip",
}
_SET_LISTS = frozenset({"finalizers"})


def apply(target: Object, patch: Any, content_type: str) -> Object:
    """Return `target` with `patch` applied; the stored object stays as it is.

    Raises:
        ApiError: a patch that does not fit, or a type that is not known (415).
    """
    if content_type == JSON_PATCH:
        if not isinstance(patch, list):
            msg = "a JSON patch is a list of operations"
            raise bad_request(msg)
        return _json_patch(copy.deepcopy(target), patch)
    if content_type not in {MERGE_PATCH, STRATEGIC_PATCH}:
        msg = f"the body of the request was in an unknown format: {content_type}"
        raise ApiError(415, "UnsupportedMediaType", msg)
    if not isinstance(patch, dict):
        msg = "a merge patch is an object"
        raise bad_request(msg)
    if content_type == MERGE_PATCH:
        return _merge(target, patch)
    return _strategic(target, patch)


def _merge(target: Any, patch: dict[str, Any]) -> Object:
    result = dict(target) if isinstance(target, dict) else {}
    for key, value in patch.items():
        if value is None:
            result.pop(key, None)
        elif isinstance(value, dict):
            result[key] = _merge(result.get(key), value)
        else:
            result[key] = value
    return result


def _strategic(target: Any, patch: dict[str, Any]) -> Object:
    directive = patch.get("$patch")
    if directive == "replace":
        return {key: value for key, value in patch.items() if key != "$patch"}
    if directive == "delete":
        return {}
    result = dict(target) if isinstance(target, dict) else {}
    for key, value in patch.items():
        if key.startswith("$deleteFromPrimitiveList/"):
            name = key.partition("/")[2]
            result[name] = [item for item in result.get(name) or [] if item not in value]
        elif key.startswith("$retainKeys"):
            result = {k: v for k, v in result.items() if k in value}
        elif key.startswith("$setElementOrder/"):
            continue
        elif value is None:
            result.pop(key, None)
        elif isinstance(value, dict):
            result[key] = _strategic(result.get(key), value)
        elif isinstance(value, list):
            result[key] = _strategic_list(key, result.get(key) or [], value)
        else:
            result[key] = value
    return result


def _strategic_list(field: str, current: list[Any], patch: list[Any]) -> list[Any]:
    if field in _SET_LISTS:
        return current + [item for item in patch if item not in current]
    merge_key = _merge_key(field, current, patch)
    if merge_key is None:
        return [item for item in patch if not (isinstance(item, dict) and "$patch" in item)]
    if any(item.get("$patch") == "replace" for item in patch):
        return [item for item in patch if "$patch" not in item]
    result = list(current)
    for item in patch:
        at = next((i for i, old in enumerate(result) if old.get(merge_key) == item.get(merge_key)), None)
        if item.get("$patch") == "delete":
            if at is not None:
                del result[at]
        elif at is None:
            result.append(item)
        else:
            result[at] = _strategic(result[at], item)
    return result


def _merge_key(field: str, current: list[Any], patch: list[Any]) -> str | None:
    if not all(isinstance(item, dict) for item in (*current, *patch)):
        return None
    if field == "ports":
        items = (*current, *patch)
        return next((k for k in ("containerPort", "port") if any(k in item for item in items)), None)
    return _MERGE_KEYS.get(field)


def _json_patch(document: Any, operations: list[Any]) -> Object:
    for operation in operations:
        try:
            document = _operate(document, operation)
        except (KeyError, IndexError, ValueError, TypeError) as error:
            msg = f"the server rejected our request due to an error in our request: {operation}: {error!r}"
            raise ApiError(422, "Invalid", msg) from error
    if not isinstance(document, dict):
        msg = "the patch leaves no object"
        raise bad_request(msg)
    return document


def _operate(document: Any, operation: dict[str, Any]) -> Any:
    name, path = operation["op"], _pointer(operation["path"])
    if name == "test":
        if _read(document, path) != operation["value"]:
            msg = f"testing path {operation['path']} failed"
            raise ValueError(msg)
        return document
    if name == "remove":
        return _remove(document, path)
    if name == "add":
        return _add(document, path, operation["value"])
    if name == "replace":
        _read(document, path)
        return _add(_remove(document, path), path, operation["value"]) if path else operation["value"]
    source = _pointer(operation["from"])
    value = copy.deepcopy(_read(document, source))
    if name == "move":
        return _add(_remove(document, source), path, value)
    if name == "copy":
        return _add(document, path, value)
    msg = f"unknown operation {name}"
    raise ValueError(msg)


def _pointer(text: str) -> list[str]:
    if text and not text.startswith("/"):
        msg = f"{text!r} is no JSON pointer"
        raise ValueError(msg)
    return [part.replace("~1", "/").replace("~0", "~") for part in text.split("/")[1:]]


def _read(document: Any, path: list[str]) -> Any:
    for part in path:
        document = document[int(part)] if isinstance(document, list) else document[part]
    return document


def _remove(document: Any, path: list[str]) -> Any:
    parent = _read(document, path[:-1])
    del parent[int(path[-1]) if isinstance(parent, list) else path[-1]]
    return document


def _add(document: Any, path: list[str], value: Any) -> Any:
    if not path:
        return value
    parent = _read(document, path[:-1])
    if isinstance(parent, list):
        at = len(parent) if path[-1] == "-" else int(path[-1])
        if not 0 <= at <= len(parent):
            raise IndexError(at)
        parent.insert(at, value)
    else:
        parent[path[-1]] = value
    return document
