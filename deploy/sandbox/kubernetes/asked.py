"""Everything the scheduler must know of a pod, read from its spec once: 2,000 pods meet 200 nodes many times."""

import json
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass

from deploy.sandbox.kubernetes.kinds import Object
from deploy.sandbox.kubernetes.podspec import HostPort, host_ports, requests_of
from deploy.sandbox.kubernetes.selectors import LabelTest, every, requirement, selector
from deploy.sandbox.kubernetes.store import Key, key_of

NodeTest = LabelTest
"""Takes a node's labels, its name among them under NAME_FIELD."""

NAME_FIELD = "metadata.name"


@dataclass(frozen=True, slots=True)
class PodTerm:
    """Which pods a rule counts: some namespaces and a selector, comparable so that counts are shared."""

    namespaces: frozenset[str] | None
    """None means all."""
    selector: str
    """The LabelSelector as JSON."""


@dataclass(frozen=True, slots=True)
class Neighbours:
    """One required pod affinity or anti-affinity rule."""

    term: PodTerm
    topology_key: str


@dataclass(frozen=True, slots=True)
class Spread:
    """One topology spread constraint that must hold."""

    term: PodTerm
    topology_key: str
    max_skew: int
    min_domains: int
    counts_itself: bool


@dataclass(frozen=True, slots=True)
class Asked:
    """A pod as the scheduler sees it."""

    key: Key
    labels: Mapping[str, str]
    requests: Counter[str]
    ports: frozenset[HostPort]
    priority: int
    eligibility: str
    """Equal for pods that the same nodes' labels and taints admit."""
    near: tuple[Neighbours, ...]
    apart: tuple[Neighbours, ...]
    spread: tuple[Spread, ...]
    claims: tuple[str, ...]

    @property
    def shape(self) -> tuple[object, ...] | None:
        """Equal for pods that fail alike; none when neighbours or volumes decide."""
        if self.near or self.apart or self.spread or self.claims or self.ports:
            return None
        return (self.eligibility, tuple(sorted(self.requests.items())))


def read(pod: Object) -> Asked:
    """Read a pod."""
    spec, (namespace, _) = pod["spec"], key_of(pod)
    labels = pod["metadata"].get("labels") or {}
    affinity = spec.get("affinity") or {}
    eligibility = {
        "selector": spec.get("nodeSelector") or {},
        "affinity": (affinity.get("nodeAffinity") or {}).get(
            "requiredDuringSchedulingIgnoredDuringExecution"
        ),
        "tolerations": spec.get("tolerations") or [],
    }
    claims = (v.get("persistentVolumeClaim", {}).get("claimName") for v in spec.get("volumes") or ())
    return Asked(
        key=key_of(pod),
        labels=labels,
        requests=requests_of(spec),
        ports=host_ports(spec),
        priority=int(spec.get("priority") or 0),
        eligibility=json.dumps(eligibility, sort_keys=True),
        near=_neighbours(affinity.get("podAffinity"), namespace),
        apart=_neighbours(affinity.get("podAntiAffinity"), namespace),
        spread=_spreads(spec, namespace, labels),
        claims=tuple(filter(None, claims)),
    )


def node_test(required: Object | None, node_selector: Mapping[str, str]) -> NodeTest:
    """Compile a nodeSelector and a required node affinity."""
    tests = [requirement(key, "In", [value]) for key, value in node_selector.items()]
    if required is not None:
        terms = [
            every(
                [
                    requirement(item["key"], item["operator"], item.get("values") or [])
                    for field in ("matchExpressions", "matchFields")
                    for item in term.get(field) or ()
                ]
            )
            for term in required.get("nodeSelectorTerms") or ()
            if term.get("matchExpressions") or term.get("matchFields")
        ]
        tests.append(lambda labels: any(term(labels) for term in terms))
    return every(tests)


def tolerates(tolerations: list[Object], taint: Object) -> bool:
    """Whether one of the tolerations covers a taint."""
    for toleration in tolerations:
        if toleration.get("effect") not in {None, "", taint["effect"]}:
            continue
        key, exists = toleration.get("key"), toleration.get("operator") == "Exists"
        if not key:
            if exists:
                return True
        elif key == taint["key"] and (
            exists or (toleration.get("value") or "") == (taint.get("value") or "")
        ):
            return True
    return False


def admits(node: Object, tolerations: list[Object]) -> bool:
    """Whether a node's taints and its cordon let a pod come."""
    taints = [t for t in node["spec"].get("taints") or () if t["effect"] in {"NoSchedule", "NoExecute"}]
    if node["spec"].get("unschedulable"):
        taints.append({"key": "node.kubernetes.io/unschedulable", "effect": "NoSchedule"})
    return all(tolerates(tolerations, taint) for taint in taints)


def matches(term: PodTerm, test: LabelTest, namespace: str, labels: Mapping[str, str]) -> bool:
    """Whether a rule counts a pod."""
    return (term.namespaces is None or namespace in term.namespaces) and test(labels)


def compile_term(term: PodTerm) -> LabelTest:
    """Compile a rule's selector."""
    return selector(json.loads(term.selector))


def _neighbours(affinity: Object | None, namespace: str) -> tuple[Neighbours, ...]:
    rules = (affinity or {}).get("requiredDuringSchedulingIgnoredDuringExecution") or ()
    found = []
    for rule in rules:
        # A namespaceSelector is taken as all namespaces: nothing in the demo's world labels them.
        everywhere = rule.get("namespaceSelector") is not None
        namespaces = None if everywhere else frozenset(rule.get("namespaces") or [namespace])
        term = PodTerm(namespaces, json.dumps(rule.get("labelSelector"), sort_keys=True))
        found.append(Neighbours(term, rule["topologyKey"]))
    return tuple(found)


def _spreads(spec: Object, namespace: str, labels: Mapping[str, str]) -> tuple[Spread, ...]:
    found = []
    for rule in spec.get("topologySpreadConstraints") or ():
        if rule.get("whenUnsatisfiable", "DoNotSchedule") != "DoNotSchedule":
            continue
        wanted = dict(rule.get("labelSelector") or {})
        extra = {key: labels[key] for key in rule.get("matchLabelKeys") or () if key in labels}
        if extra:
            wanted["matchLabels"] = {**(wanted.get("matchLabels") or {}), **extra}
        found.append(
            Spread(
                PodTerm(frozenset([namespace]), json.dumps(wanted, sort_keys=True)),
                rule["topologyKey"],
                int(rule.get("maxSkew", 1)),
                int(rule.get("minDomains") or 1),
                selector(wanted)(labels),
            )
        )
    return tuple(found)
