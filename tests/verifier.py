"""An independent judge of placements: raw Kubernetes objects in, broken rules out.

It shares no code with what it judges and goes about it differently: it looks at a finished placement as a whole,
recounting everything for every pod that has rules, in quadratic time. Two rules depend on the order in which pods
came; it takes the sense that a finished placement can be held to:
a pod with affinity needs another pod that it means in its domain, unless it means itself and no other is anywhere;
a pod with a spread constraint must not lie in a domain that is ahead of the emptiest one by more than maxSkew.
"""

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

Raw = Mapping[str, Any]

SUFFIXES = {"n": "1e-9", "u": "1e-6", "m": "1e-3", "": "1", "k": "1e3", "M": "1e6", "G": "1e9", "T": "1e12"}
BINARY = {"Ki": 1024, "Mi": 1024**2, "Gi": 1024**3, "Ti": 1024**4}


@dataclass(frozen=True)
class Violation:
    """One broken rule; `pod` broke it or is wronged by `other`."""

    rule: str
    node: str
    pod: str | None = None
    other: str | None = None
    detail: str = ""


def violations(
    nodes: Iterable[Raw],
    pods: Iterable[Raw],
    placement: Mapping[str, str],
    *,
    namespaces: Iterable[Raw] = (),
    claims: Iterable[Raw] = (),
    volumes: Iterable[Raw] = (),
) -> list[Violation]:
    """Find all broken rules, given the node's name for each placed pod ("namespace/name")."""
    judge = Judge(list(nodes), list(pods), placement, list(namespaces), list(claims), list(volumes))
    return list(judge.run())


def amount(text: object) -> Decimal:
    """Read a quantity."""
    match = re.fullmatch(r"([-+0-9.]+(?:[eE][-+]?[0-9]+)?)([KMGT]i|[numkMGT]?)", str(text))
    assert match, f"not a quantity: {text}"
    number, suffix = match.groups()
    return Decimal(number) * (BINARY[suffix] if suffix in BINARY else Decimal(SUFFIXES[suffix]))


def key_of(pod: Raw) -> str:
    """Name a pod."""
    return f"{pod['metadata'].get('namespace', 'default')}/{pod['metadata']['name']}"


def labels_of(obj: Raw) -> dict[str, str]:
    """Give an object's labels."""
    return dict(obj["metadata"].get("labels") or {})


def takes(pod: Raw) -> dict[str, Decimal]:
    """Add up what a pod takes from its node."""
    spec = pod["spec"]

    def of(container: Raw) -> dict[str, Decimal]:
        resources = container.get("resources") or {}
        merged = {**(resources.get("limits") or {}), **(resources.get("requests") or {})}
        return {name: amount(text) for name, text in merged.items()}

    def plus(*parts: dict[str, Decimal]) -> dict[str, Decimal]:
        return {
            n: sum((p.get(n, Decimal(0)) for p in parts), Decimal(0)) for n in {n for p in parts for n in p}
        }

    init = spec.get("initContainers") or []
    sidecars = [of(c) for c in init if c.get("restartPolicy") == "Always"]
    # All moments of the pod's life: while each init container runs, and when the main containers do.
    moments = [plus(*(of(c) for c in spec["containers"]), *sidecars)]
    for index, container in enumerate(init):
        before = [of(c) for c in init[:index] if c.get("restartPolicy") == "Always"]
        moments.append(plus(*before, of(container)))
    total = {name: max(m.get(name, Decimal(0)) for m in moments) for m in moments for name in m}
    level = spec.get("resources") or {}
    for name, text in (level.get("limits") or {}).items():
        total.setdefault(name, amount(text))
    total.update({name: amount(text) for name, text in (level.get("requests") or {}).items()})
    return plus(total, {name: amount(text) for name, text in (spec.get("overhead") or {}).items()})


def expression_holds(expression: Raw, labels: Mapping[str, str]) -> bool:
    """Judge one matchExpression or matchField."""
    key, values = expression["key"], expression.get("values") or []
    is_there = key in labels
    match expression["operator"]:
        case "In":
            return is_there and labels[key] in values
        case "NotIn":
            return not (is_there and labels[key] in values)
        case "Exists":
            return is_there
        case "DoesNotExist":
            return not is_there
        case ("Gt" | "Lt") as operator:
            if not is_there or not re.fullmatch(r"-?\d+", labels[key]):
                return False
            difference = int(labels[key]) - int(values[0])
            return difference > 0 if operator == "Gt" else difference < 0
        case _:
            raise AssertionError(expression)


def selector_holds(selector: Raw | None, labels: Mapping[str, str]) -> bool:
    """Judge a label selector."""
    if selector is None:
        return False
    wanted = (selector.get("matchLabels") or {}).items()
    return wanted <= labels.items() and all(
        expression_holds(e, labels) for e in selector.get("matchExpressions") or []
    )


def terms_hold(terms: Iterable[Raw], node: Raw) -> bool:
    """Judge the ORed terms of a node selector."""
    for term in terms:
        on_labels, on_fields = term.get("matchExpressions") or [], term.get("matchFields") or []
        fields = {"metadata.name": node["metadata"]["name"]}
        if (
            (on_labels or on_fields)
            and all(expression_holds(e, labels_of(node)) for e in on_labels)
            and all(expression_holds(e, fields) for e in on_fields)
        ):
            return True
    return False


def wants_node(pod: Raw, node: Raw) -> bool:
    """Judge nodeSelector and required node affinity."""
    spec = pod["spec"]
    affinity = (spec.get("affinity") or {}).get("nodeAffinity") or {}
    required = affinity.get("requiredDuringSchedulingIgnoredDuringExecution")
    return (spec.get("nodeSelector") or {}).items() <= labels_of(node).items() and (
        required is None or terms_hold(required["nodeSelectorTerms"], node)
    )


def repelled_by(pod: Raw, node: Raw) -> str | None:
    """Give the first taint of the node that the pod does not tolerate."""
    taints = list(node["spec"].get("taints") or [])
    if node["spec"].get("unschedulable"):
        taints.append({"key": "node.kubernetes.io/unschedulable", "effect": "NoSchedule"})
    for taint in taints:
        covered = taint["effect"] == "PreferNoSchedule"
        for toleration in pod["spec"].get("tolerations") or []:
            is_for_effect = toleration.get("effect") in (None, "", taint["effect"])
            exists = toleration.get("operator") == "Exists"
            key = toleration.get("key") or ""
            is_for_key = key == taint["key"] or (not key and exists)
            is_for_value = exists or (toleration.get("value") or "") == (taint.get("value") or "")
            covered = covered or (is_for_effect and is_for_key and is_for_value)
        if not covered:
            return str(taint["key"])
    return None


def ports_of(pod: Raw) -> list[tuple[int, str, str]]:
    """List the ports that a pod takes on its node."""
    spec = pod["spec"]
    containers = [
        *spec["containers"],
        *(c for c in spec.get("initContainers") or [] if c.get("restartPolicy") == "Always"),
    ]
    found = []
    for container in containers:
        for port in container.get("ports") or []:
            number = port.get("hostPort") or (port.get("containerPort") if spec.get("hostNetwork") else None)
            if number:
                found.append((number, port.get("protocol") or "TCP", port.get("hostIP") or "0.0.0.0"))
    return found


def with_own_labels(selector: Raw | None, pod: Raw, keys: Iterable[str], operator: str) -> Raw | None:
    """Extend a selector by the pod's own values of some labels."""
    if selector is None:
        return None
    own = labels_of(pod)
    more = [{"key": k, "operator": operator, "values": [own[k]]} for k in keys if k in own]
    return {**selector, "matchExpressions": [*(selector.get("matchExpressions") or []), *more]}


class Judge:
    """One placement."""

    def __init__(
        self,
        nodes: list[Raw],
        pods: list[Raw],
        placement: Mapping[str, str],
        namespaces: list[Raw],
        claims: list[Raw],
        volumes: list[Raw],
    ) -> None:
        self.nodes = {node["metadata"]["name"]: node for node in nodes}
        self.placed = [pod for pod in pods if key_of(pod) in placement]
        self.place = placement
        self.on: dict[str, list[Raw]] = {}
        for pod in self.placed:
            self.on.setdefault(placement[key_of(pod)], []).append(pod)
        self.namespaces = {n["metadata"]["name"]: labels_of(n) for n in namespaces}
        self.claims = {key_of(claim): claim for claim in claims}
        self.volumes = {volume["metadata"]["name"]: volume for volume in volumes}

    def run(self) -> Iterator[Violation]:
        for name, node in self.nodes.items():
            yield from self.crowding(name, node)
        for pod in self.placed:
            name = self.place[key_of(pod)]
            if name not in self.nodes:
                yield Violation("unknown node", name, key_of(pod))
                continue
            node = self.nodes[name]
            if not wants_node(pod, node):
                yield Violation("node selector", name, key_of(pod))
            if taint := repelled_by(pod, node):
                yield Violation("taint", name, key_of(pod), detail=taint)
            yield from self.bad_volumes(pod, node)
            yield from self.bad_company(pod, name)
            yield from self.bad_spread(pod, node)

    def node_of(self, pod: Raw) -> Raw:
        return self.nodes[self.place[key_of(pod)]]

    def crowding(self, name: str, node: Raw) -> Iterator[Violation]:
        here = self.on.get(name, [])
        has = {n: amount(text) for n, text in node["status"]["allocatable"].items()}
        if len(here) > has.get("pods", Decimal(110)):
            yield Violation("pods", name)
        needs = [takes(pod) for pod in here]
        for resource in sorted({n for need in needs for n in need}):
            used = sum((need.get(resource, Decimal(0)) for need in needs), Decimal(0))
            if used > has.get(resource, Decimal(0)):
                yield Violation("resource", name, detail=f"{resource}: {used} of {has.get(resource)}")
        with_ports = [pod for pod in here if ports_of(pod)]
        for index, pod in enumerate(with_ports):
            for other in with_ports[:index]:
                for number, protocol, address in ports_of(pod):
                    for taken, other_protocol, other_address in ports_of(other):
                        addresses = {address, other_address}
                        if (number, protocol) == (taken, other_protocol) and (
                            len(addresses) == 1 or "0.0.0.0" in addresses
                        ):
                            yield Violation("host port", name, key_of(pod), key_of(other), str(number))

    def bad_volumes(self, pod: Raw, node: Raw) -> Iterator[Violation]:
        namespace = pod["metadata"].get("namespace", "default")
        for item in pod["spec"].get("volumes") or []:
            reference = item.get("persistentVolumeClaim")
            claim = self.claims.get(f"{namespace}/{reference['claimName']}") if reference else None
            volume = self.volumes.get(claim["spec"].get("volumeName", "")) if claim else None
            required = ((volume or {}).get("spec", {}).get("nodeAffinity") or {}).get("required")
            if required and not terms_hold(required["nodeSelectorTerms"], node):
                yield Violation(
                    "volume", node["metadata"]["name"], key_of(pod), detail=reference["claimName"]
                )

    def means(self, term: Raw, pod: Raw, other: Raw) -> bool:
        """Whether a term of `pod` means `other`."""
        selector = with_own_labels(term.get("labelSelector"), pod, term.get("matchLabelKeys") or [], "In")
        selector = with_own_labels(selector, pod, term.get("mismatchLabelKeys") or [], "NotIn")
        mine = pod["metadata"].get("namespace", "default")
        theirs = other["metadata"].get("namespace", "default")
        listed = set(term.get("namespaces") or [])
        if not listed and term.get("namespaceSelector") is None:
            listed = {mine}
        labels = self.namespaces.get(theirs, {}) | {"kubernetes.io/metadata.name": theirs}
        return selector_holds(selector, labels_of(other)) and (
            theirs in listed or selector_holds(term.get("namespaceSelector"), labels)
        )

    def bad_company(self, pod: Raw, name: str) -> Iterator[Violation]:
        affinity = pod["spec"].get("affinity") or {}
        rule = "requiredDuringSchedulingIgnoredDuringExecution"
        if not affinity:
            return
        own = labels_of(self.nodes[name])
        others = [o for o in self.placed if key_of(o) != key_of(pod) and self.place[key_of(o)] in self.nodes]
        for term in (affinity.get("podAntiAffinity") or {}).get(rule) or []:
            topology = term["topologyKey"]
            for other in others:
                there = labels_of(self.node_of(other))
                if topology in own and own[topology] == there.get(topology) and self.means(term, pod, other):
                    yield Violation("anti-affinity", name, key_of(pod), key_of(other), topology)
        terms = (affinity.get("podAffinity") or {}).get(rule) or []
        if not terms:
            return
        meant = [o for o in others if all(self.means(term, pod, o) for term in terms)]
        is_near = all(
            term["topologyKey"] in own
            and any(
                own[term["topologyKey"]] == labels_of(self.node_of(o)).get(term["topologyKey"]) for o in meant
            )
            for term in terms
        )
        is_first = (
            all(term["topologyKey"] in own for term in terms)
            and all(self.means(term, pod, pod) for term in terms)
            and not any(term["topologyKey"] in labels_of(self.node_of(o)) for o in meant for term in terms)
        )
        if not is_near and not is_first:
            yield Violation("affinity", name, key_of(pod))

    def bad_spread(self, pod: Raw, node: Raw) -> Iterator[Violation]:
        constraints = [
            c
            for c in pod["spec"].get("topologySpreadConstraints") or []
            if c.get("whenUnsatisfiable", "DoNotSchedule") == "DoNotSchedule"
        ]
        keys = [c["topologyKey"] for c in constraints]
        for constraint in constraints:
            key = constraint["topologyKey"]
            name, domain = node["metadata"]["name"], labels_of(node).get(key)
            if domain is None:
                yield Violation("spread", name, key_of(pod), detail=f"no label {key}")
                continue
            counted = {
                n
                for n, candidate in self.nodes.items()
                if all(k in labels_of(candidate) for k in keys)
                and (constraint.get("nodeAffinityPolicy", "Honor") != "Honor" or wants_node(pod, candidate))
                and (
                    constraint.get("nodeTaintsPolicy", "Ignore") != "Honor" or not repelled_by(pod, candidate)
                )
            }
            totals = dict.fromkeys((labels_of(self.nodes[n])[key] for n in counted), 0)
            selector = with_own_labels(
                constraint.get("labelSelector"), pod, constraint.get("matchLabelKeys") or [], "In"
            )
            before = dict(totals)
            # kube-scheduler counts nobody for a selector that names nothing (countPodsMatchSelector).
            names_nothing = selector is not None and not any(selector.values())
            for other in self.placed:
                at = self.place[key_of(other)]
                if (
                    at in counted
                    and not names_nothing
                    and other["metadata"].get("namespace", "default")
                    == pod["metadata"].get("namespace", "default")
                    and not other["metadata"].get("deletionTimestamp")
                    and selector_holds(selector, labels_of(other))
                ):
                    totals[labels_of(self.nodes[at])[key]] += 1
                    before[labels_of(self.nodes[at])[key]] += key_of(other) != key_of(pod)
            is_scarce = len(totals) < (constraint.get("minDomains") or 1)
            # The emptiest domain as it was without this pod, which is what the scheduler compared with.
            lowest = 0 if is_scarce else min(before.values())
            own = before.get(domain, 0) + selector_holds(selector, labels_of(pod))
            if own - lowest > constraint["maxSkew"]:
                yield Violation("spread", name, key_of(pod), detail=f"{key}: {totals}")
