"""Which pods are alike, and where each kind may go."""

from collections.abc import Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from operator import itemgetter

import numpy as np

from services.optimizer.domain import interruption_cost
from services.optimizer.domain.packing.classes import SPREAD, UNLIMITED, Bools, Ints, NodeLimit, PodClass
from services.optimizer.domain.packing.shelf import Shelf
from services.optimizer.domain.rules import PlanRules, Strategy, Template
from services.optimizer.domain.spot_tolerance import SpotJudge, asks_for_on_demand
from shared.kernel.resources import Resources
from shared.kernel.scheduling import affinity, selectors, volumes
from shared.kernel.scheduling.shapes import place_key, shape_key, unlabelled_key
from shared.kernel.scheduling.static import static_reasons
from shared.kernel.workload import LabelSelector, Node, Operator, Pod, Volume

ZONE_KEYS = frozenset({"topology.kubernetes.io/zone", "failure-domain.beta.kubernetes.io/zone"})
HOST_KEY = "kubernetes.io/hostname"


@dataclass(frozen=True, slots=True)
class Grouper:
    """Sorts pods into classes under one set of rules."""

    rules: PlanRules
    template: Template
    judge: SpotJudge
    meant: tuple[LabelSelector, ...] = ()
    """What the affinity and spread terms of all pods in the cluster select: other labels set no pod apart."""
    # One plan groups the same pods again and again: the kind of each is worked out once.
    _kinds: dict[str, int] = field(init=False, default_factory=dict, compare=False, repr=False)
    _numbers: dict[Hashable, int] = field(init=False, default_factory=dict, compare=False, repr=False)
    _hits: dict[Hashable, tuple[int, ...]] = field(
        init=False, default_factory=dict, compare=False, repr=False
    )

    def classes(self, pods: Iterable[Pod]) -> list[PodClass]:
        """Group pods that may take each other's place; larger kinds are not ordered first here.

        Asked about the pods of one cluster only, and these are told by their keys: what a pod asks for stays as it
        was when it was first seen.
        """
        kinds, groups = self._kinds, dict[int, list[Pod]]()
        for key, pod in sorted(((p.key, p) for p in pods), key=itemgetter(0)):
            kind = kinds.get(key)
            if kind is None:
                kind = kinds[key] = self._kind(pod)
            groups.setdefault(kind, []).append(pod)
        return [self._class_of(group) for group in groups.values()]

    def _kind(self, pod: Pod) -> int:
        """Number what sets pods apart."""
        may_use_spot = self.judge.refusal(pod) is None
        owner = (pod.namespace, pod.owner) if may_use_spot and self.judge.count(pod) > 1 else None
        cost = interruption_cost.cost_micro_usd(pod, self.judge) if may_use_spot else None
        return self._numbers.setdefault((self._likeness(pod), owner, may_use_spot, cost), len(self._numbers))

    def _likeness(self, pod: Pod) -> Hashable:
        if has_own_rules(pod):
            return shape_key(pod)
        hit = self._hit(pod)
        return (unlabelled_key(pod), hit, pod.namespace if hit else "")

    def _hit(self, pod: Pod) -> tuple[int, ...]:
        if not self.meant:
            return ()
        labels = frozenset(pod.labels.items())
        hit = self._hits.get(labels)
        if hit is None:
            hit = tuple(i for i, s in enumerate(self.meant) if selectors.selects(s, pod.labels))
            self._hits[labels] = hit
        return hit

    def _class_of(self, pods: list[Pod]) -> PodClass:
        sample = pods[0]
        may_use_spot = self.judge.refusal(sample) is None
        limit, workload = UNLIMITED, None
        most = self.judge.pool_limit(sample)
        if may_use_spot and most is not None and sample.owner is not None:
            limit = most
            workload = workload_name(sample)
        return PodClass(
            tuple(pods),
            may_use_spot,
            needs_spot=self.rules.strategy is Strategy.SPOT and not asks_for_on_demand(sample),
            per_spot_pool=limit,
            workload=workload,
            node_limits=node_limits(sample),
            is_free=not has_own_rules(sample) and not self._hit(sample),
        )


def has_own_rules(pod: Pod) -> bool:
    """Whether a pod looks at what else runs where: at other pods, ports or volumes."""
    return bool(
        pod.pod_affinity or pod.pod_anti_affinity or pod.topology_spread or pod.claims or pod.host_ports
    )


def selectors_meant(pods: Iterable[Pod]) -> tuple[LabelSelector, ...]:
    """Give every selector that some pod's affinity or spread term has."""
    found: dict[LabelSelector, None] = {}
    for pod in pods:
        terms = [*pod.pod_affinity, *pod.pod_anti_affinity]
        selectors = [*(t.selector for t in terms), *(s.selector for s in pod.topology_spread)]
        for selector in selectors:
            if selector is not None:
                found.setdefault(selector)
    return tuple(sorted(found, key=repr))


def node_limits(pod: Pod) -> tuple[NodeLimit, ...]:
    """Give what limits the number of such pods on a node; a pod that a rule of its own does not mean is free of it."""
    found = [NodeLimit(("port", p.port, p.protocol), 1) for p in pod.host_ports]
    own = frozenset({pod.namespace})
    for term in pod.pod_anti_affinity:
        namespaces = frozenset(term.namespaces) or own
        if term.weight is None and term.topology_key == HOST_KEY and pod.namespace in namespaces:
            meant = affinity.matcher_of(term, pod).selector
            if selectors.selects(meant, pod.labels):
                found.append(NodeLimit("apart", 1, namespaces, meant))
    found += [
        NodeLimit(SPREAD, s.max_skew, own, meant)
        for s in pod.topology_spread
        if s.topology_key == HOST_KEY and s.when_unsatisfiable == "DoNotSchedule"
        for meant in [affinity.narrowed(s.selector, pod, s.match_label_keys, Operator.IN)]
        if selectors.selects(meant, pod.labels)
    ]
    return tuple(dict.fromkeys(found))


def counted_by(classes: Sequence[PodClass]) -> tuple[tuple[NodeLimit, ...], ...]:
    """Give, by class, the limits of other classes that count its pods although they do not hold them."""
    limits = [x for x in dict.fromkeys(x for c in classes for x in c.node_limits) if x.selector is not None]
    known: dict[Hashable, tuple[NodeLimit, ...]] = {}
    found = []
    for kind in classes:
        pod = kind.sample
        key = (pod.namespace, frozenset(pod.labels.items()))
        if key not in known:
            known[key] = tuple(
                x
                for x in limits
                if pod.namespace in x.namespaces and selectors.selects(x.selector, pod.labels)
            )
        found.append(tuple(x for x in known[key] if x not in kind.node_limits))
    return tuple(found)


def allowed_rows(
    classes: Sequence[PodClass],
    shelf: Shelf,
    is_spot: Bools,
    claims: Mapping[str, Volume] | None,
    *,
    is_shared: bool = False,
) -> Bools:
    """Say for each offer (row) and class (column) whether labels, taints, volumes and capacity type permit it.

    A node that is bought for its devices, or on-demand for the one pod that asks for it where policy wants spot,
    is bought for such pods only; with `is_shared`, others may use what they leave.
    """
    nodes = shelf.nodes
    zone_ids = np.array([n.zone_id for n in nodes], dtype=object)
    has_devices = np.array([bool(n.allocatable.extended) for n in nodes], dtype=np.bool_)
    known: dict[Hashable, Bools] = {}
    found = np.ones((len(classes), len(nodes)), dtype=np.bool_)
    for c, kind in enumerate(classes):
        pod = kind.sample
        wanted = (place_key(pod), claims is None)
        on_spot_only = kind.needs_spot and not is_shared
        off_devices = not is_shared and not needs_devices(pod.requests)
        key = (wanted, kind.may_use_spot, on_spot_only, off_devices, kind.zone_id)
        if key not in known:
            row = shelf.permitted(wanted, partial(_permits, pod, claims)).copy()
            if not kind.may_use_spot:
                row &= ~is_spot
            if on_spot_only:
                row &= is_spot
            if off_devices:
                row &= ~has_devices
            if kind.zone_id is not None:
                row &= zone_ids == kind.zone_id
            known[key] = row
        found[c] = known[key]
    return found.T


def needs_devices(requests: Resources) -> bool:
    """Whether a pod asks for a GPU or the like: nodes that have some are kept for such pods."""
    return any(amount > 0 for amount in requests.extended.values())


def _permits(pod: Pod, claims: Mapping[str, Volume] | None, node: Node) -> bool:
    if static_reasons(pod, node):
        return False
    # Where no claim is known at all, claims are no constraint: the view holds it alike.
    return claims is None or not volumes.reasons(volumes.claim_keys(pod), node, claims)


def workload_name(pod: Pod) -> str:
    """Name a pod's controller; only asked of pods that have one."""
    assert pod.owner is not None
    return f"{pod.namespace}/{pod.owner.kind}/{pod.owner.name}"


def interruption_costs(classes: Sequence[PodClass], judge: SpotJudge) -> Ints:
    """Give what one interruption of a pod of each class is worth at least, in micro-dollars."""
    costs = [min(interruption_cost.cost_micro_usd(p, judge) for p in c.pods) for c in classes]
    return np.array(costs, dtype=np.int64)


def workload_index(classes: Sequence[PodClass]) -> tuple[Ints, list[str]]:
    """Number the controllers that have a limit per spot pool."""
    names = sorted({c.workload for c in classes if c.workload is not None})
    at = {name: i for i, name in enumerate(names)}
    return np.array([-1 if c.workload is None else at[c.workload] for c in classes], dtype=np.int64), names
