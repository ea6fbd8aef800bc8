"""Label and field selectors, compiled once: a watch or a budget asks them for every pod."""

import re
from collections.abc import Callable, Mapping
from typing import Any

from deploy.sandbox.kubernetes.errors import bad_request
from deploy.sandbox.kubernetes.kinds import Object

LabelTest = Callable[[Mapping[str, str]], bool]
ObjectTest = Callable[[Object], bool]

_SET_REQUIREMENT = re.compile(r"^\s*(\S+?)\s+(in|notin)\s*\(([^)]*)\)\s*$")
_COMMA_OUTSIDE_PARENTHESES = re.compile(r",(?![^(]*\))")


def requirement(key: str, operator: str, values: list[str]) -> LabelTest:
    """Compile one requirement of a label selector or of a node selector term."""
    wanted = frozenset(values)
    if operator == "In":
        return lambda labels: labels.get(key) in wanted
    if operator == "NotIn":
        return lambda labels: labels.get(key) not in wanted
    if operator == "Exists":
        return lambda labels: key in labels
    if operator == "DoesNotExist":
        return lambda labels: key not in labels
    if operator in {"Gt", "Lt"}:
        bound = int(values[0])
        larger = operator == "Gt"

        def compare(labels: Mapping[str, str]) -> bool:
            try:
                value = int(labels.get(key, ""))
            except ValueError:
                return False
            return value > bound if larger else value < bound

        return compare
    msg = f"{operator!r} is not a valid label selector operator"
    raise bad_request(msg)


def every(tests: list[LabelTest]) -> LabelTest:
    """Join requirements with `and`."""
    if len(tests) == 1:
        return tests[0]
    return lambda labels: all(test(labels) for test in tests)


def selector(spec: Mapping[str, Any] | None) -> LabelTest:
    """Compile a LabelSelector object; none selects nothing, an empty one everything."""
    if spec is None:
        return lambda _labels: False
    tests = [requirement(key, "In", [value]) for key, value in (spec.get("matchLabels") or {}).items()]
    tests += [
        requirement(item["key"], item["operator"], item.get("values") or [])
        for item in spec.get("matchExpressions") or ()
    ]
    return every(tests)


def label_query(text: str) -> LabelTest:
    """Compile what stands in `?labelSelector=`."""
    tests: list[LabelTest] = []
    for part in filter(None, (p.strip() for p in _COMMA_OUTSIDE_PARENTHESES.split(text))):
        if match := _SET_REQUIREMENT.match(part):
            operator = "In" if match[2] == "in" else "NotIn"
            tests.append(requirement(match[1], operator, [v.strip() for v in match[3].split(",")]))
        elif "!=" in part:
            key, _, value = part.partition("!=")
            tests.append(requirement(key.strip(), "NotIn", [value.strip()]))
        elif "=" in part:
            key, _, value = part.replace("==", "=").partition("=")
            tests.append(requirement(key.strip(), "In", [value.strip()]))
        elif part.startswith("!"):
            tests.append(requirement(part[1:].strip(), "DoesNotExist", []))
        else:
            tests.append(requirement(part, "Exists", []))
    return every(tests)


_FIELDS: dict[str, Callable[[Object], str]] = {
    "metadata.name": lambda o: str(o["metadata"]["name"]),
    "metadata.namespace": lambda o: str(o["metadata"].get("namespace", "")),
    "spec.nodeName": lambda o: str(o.get("spec", {}).get("nodeName") or ""),
    "spec.unschedulable": lambda o: str(bool(o.get("spec", {}).get("unschedulable"))).lower(),
    "status.phase": lambda o: str(o.get("status", {}).get("phase") or ""),
    "involvedObject.name": lambda o: str(o.get("involvedObject", {}).get("name") or ""),
    "involvedObject.namespace": lambda o: str(o.get("involvedObject", {}).get("namespace") or ""),
    "involvedObject.kind": lambda o: str(o.get("involvedObject", {}).get("kind") or ""),
    "involvedObject.uid": lambda o: str(o.get("involvedObject", {}).get("uid") or ""),
    "reason": lambda o: str(o.get("reason") or ""),
    "type": lambda o: str(o.get("type") or ""),
}


def field_query(text: str) -> ObjectTest:
    """Compile what stands in `?fieldSelector=`.

    Raises:
        ApiError: a field that no index knows, as the real API does.
    """
    tests: list[tuple[Callable[[Object], str], str, bool]] = []
    for part in filter(None, (p.strip() for p in text.split(","))):
        negated = "!=" in part
        key, _, value = part.partition("!=") if negated else part.replace("==", "=").partition("=")
        if key not in _FIELDS:
            msg = f"field label not supported: {key}"
            raise bad_request(msg)
        tests.append((_FIELDS[key], value, not negated))
    return lambda obj: all((read(obj) == value) is equal for read, value, equal in tests)


def query(labels: str, fields: str) -> ObjectTest | None:
    """Compile a list's or a watch's two selectors; none when both are empty."""
    if not labels and not fields:
        return None
    by_label = label_query(labels)
    by_field = field_query(fields)
    return lambda obj: by_label(obj["metadata"].get("labels") or {}) and by_field(obj)
