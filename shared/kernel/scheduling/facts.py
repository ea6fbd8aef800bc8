"""What a view and its copies share: pods and nodes looked at once, however often they are asked about."""

from collections.abc import Callable, Hashable, Mapping

from shared.kernel.scheduling import affinity, spread, volumes
from shared.kernel.scheduling.affinity import PodMatcher
from shared.kernel.scheduling.shapes import company_key, exact_key, place_key
from shared.kernel.scheduling.spread import SpreadRule
from shared.kernel.scheduling.static import static_reasons
from shared.kernel.scheduling.topology import Tally
from shared.kernel.workload import Node, Pod, PodAffinityTerm, Volume

Test = Callable[[Pod], bool]
MOST_PODS_KNOWN = 200_000
HARD_AFFINITY_WEIGHT = 1
"""kube-scheduler's default hardPodAffinityWeight."""


class HeldTerm:
    """A term that pods on nodes hold about newcomers: against them (anti-affinity), or a wish."""

    __slots__ = ("means", "tally", "weight")

    def __init__(self, tally: Tally, means: Test, weight: int) -> None:
        self.tally = tally
        self.means = means
        self.weight = weight
        """Of a wish, negative for keeping away; of what must hold, zero."""


class Shape:
    """Pods that the scheduler cannot tell apart."""

    __slots__ = (
        "affinity",
        "anti_affinity",
        "attached",
        "claims",
        "company",
        "exclusive_claims",
        "held",
        "is_plain",
        "matches_itself",
        "pod",
        "reasons_by_kind",
        "soft_held",
        "soft_spread",
        "spread",
        "wishes",
    )

    def __init__(self, pod: Pod, company: int, reasons_by_kind: dict[int, tuple[str, ...]]) -> None:
        self.pod = pod
        """Any one of them."""
        self.company = company
        """The same number for all that the rules between pods cannot tell apart, whatever they request."""
        self.reasons_by_kind = reasons_by_kind
        """What node after node has against them; shared by all that want the same of a node."""
        self.claims = volumes.claim_keys(pod)
        self.attached: tuple[tuple[str, tuple[str, ...]], ...] = ()
        """Claims by the driver that attaches them."""
        self.exclusive_claims: tuple[str, ...] = ()
        """Those that only one pod of the cluster may use."""
        self.affinity: tuple[Tally, ...] = ()
        self.anti_affinity: tuple[Tally, ...] = ()
        self.held: tuple[HeldTerm, ...] = ()
        self.spread: tuple[tuple[SpreadRule, Tally], ...] = ()
        self.wishes: tuple[tuple[Tally, int], ...] = ()
        """Preferred terms about other pods, with their weights; negative: to keep away."""
        self.soft_held: tuple[HeldTerm, ...] = ()
        """What it wishes of newcomers once it is there."""
        self.soft_spread: tuple[tuple[SpreadRule, Tally], ...] = ()
        self.is_plain = True
        """Whether nothing but room, labels and taints matters to it (to its own rules, not to those of others)."""
        self.matches_itself = False
        """Whether all of its affinity terms mean the pod itself."""


class Facts:
    """Caches keyed by what matters, for everything that does not change as pods move."""

    def __init__(
        self,
        *,
        volumes_by_key: Mapping[str, Volume] | None,
        labels_by_namespace: Mapping[str, Mapping[str, str]],
    ) -> None:
        self._volumes_by_key = volumes_by_key
        self._labels_by_namespace = labels_by_namespace
        self._shapes: dict[Hashable, Shape] = {}
        self._companies: dict[Hashable, int] = {}
        self._reasons: dict[Hashable, dict[int, tuple[str, ...]]] = {}
        self._shape_by_id: dict[int, tuple[Pod, Shape]] = {}
        self._kinds: dict[Hashable, int] = {}
        self._tallies: dict[Hashable, Tally] = {}
        self._held: dict[Hashable, HeldTerm] = {}

    def shape_of(self, pod: Pod) -> Shape:
        """Give the pod's shape."""
        known = self._shape_by_id.get(id(pod))
        if known is not None and known[0] is pod:
            return known[1]
        key = exact_key(pod)
        shape = self._shapes.get(key)
        if shape is None:
            # Entered before it is filled: a term may mean the very pods that hold it.
            company = self._companies.setdefault(company_key(pod), len(self._companies))
            shape = Shape(pod, company, self._reasons.setdefault(place_key(pod), {}))
            self._shapes[key] = shape
            self._fill(shape)
        if len(self._shape_by_id) >= MOST_PODS_KNOWN:
            self._shape_by_id.clear()  # pods that were only tried must not be kept for ever
        self._shape_by_id[id(pod)] = (pod, shape)  # the pod is kept, so its id stays its own
        return shape

    def kind_of(self, node: Node) -> int:
        """Number nodes that differ in anything static_reasons looks at."""
        key = (node.name, frozenset(node.labels.items()), node.taints, node.is_unschedulable, node.is_ready)
        return self._kinds.setdefault(key, len(self._kinds))

    def static_reasons(self, shape: Shape, node: Node, kind: int) -> tuple[str, ...]:
        """Say what speaks against the shape on this kind of node, whatever runs there."""
        reasons = shape.reasons_by_kind.get(kind)
        if reasons is None:
            reasons = static_reasons(shape.pod, node)
            if self._volumes_by_key is not None:
                reasons += volumes.reasons(shape.claims, node, self._volumes_by_key)
            shape.reasons_by_kind[kind] = reasons
        return reasons

    def _fill(self, shape: Shape) -> None:
        pod = shape.pod
        known = self._volumes_by_key
        shape.attached = volumes.attached(shape.claims, known)
        shape.exclusive_claims = tuple(
            key for key in shape.claims if known is not None and key in known and known[key].single_pod
        )
        near = affinity.required(pod.pod_affinity)
        matchers = tuple(affinity.matcher_of(term, pod) for term in near)
        shape.affinity = tuple(self._tally(term.topology_key, matchers) for term in near)
        shape.matches_itself = bool(near) and shape.affinity[0].counts_pod(pod)
        away = [
            (term.topology_key, affinity.matcher_of(term, pod))
            for term in affinity.required(pod.pod_anti_affinity)
        ]
        shape.anti_affinity = tuple(self._tally(key, (matcher,)) for key, matcher in away)
        shape.held = tuple(self._held_term(key, matcher, 0) for key, matcher in away)
        shape.spread = tuple((rule, self._spread_tally(rule, pod)) for rule in spread.rules_of(pod))
        self._fill_wishes(shape, near)
        shape.is_plain = not (
            shape.spread or shape.affinity or shape.anti_affinity or shape.claims or pod.host_ports
        )

    def _fill_wishes(self, shape: Shape, near: tuple[PodAffinityTerm, ...]) -> None:
        pod = shape.pod
        wished = [
            (term.topology_key, affinity.matcher_of(term, pod), sign * term.weight)
            for terms, sign in ((pod.pod_affinity, 1), (pod.pod_anti_affinity, -1))
            for term in terms
            if term.weight is not None
        ]
        shape.wishes = tuple((self._tally(key, (matcher,)), weight) for key, matcher, weight in wished)
        # What a pod must be near to, it is glad to be joined by.
        drawn = [(term.topology_key, affinity.matcher_of(term, pod), HARD_AFFINITY_WEIGHT) for term in near]
        shape.soft_held = tuple(self._held_term(*item) for item in (*wished, *drawn))
        shape.soft_spread = tuple(
            (rule, self._spread_tally(rule, pod)) for rule in spread.rules_of(pod, "ScheduleAnyway")
        )

    def _tally(self, topology_key: str, matchers: tuple[PodMatcher, ...]) -> Tally:
        key = ("pods", topology_key, matchers)
        if key not in self._tallies:
            self._tallies[key] = Tally(topology_key, counts_pod=self._test(matchers))
        return self._tallies[key]

    def _held_term(self, topology_key: str, matcher: PodMatcher, weight: int) -> HeldTerm:
        key = (topology_key, matcher, weight)
        if key not in self._held:
            tally = Tally(topology_key, counts_pod=lambda pod: self._holds(pod, term))
            term = self._held[key] = HeldTerm(tally, self._test((matcher,)), weight)
        return self._held[key]

    def _holds(self, pod: Pod, term: HeldTerm) -> bool:
        shape = self.shape_of(pod)
        return term in (shape.soft_held if term.weight else shape.held)

    def _spread_tally(self, rule: SpreadRule, pod: Pod) -> Tally:
        key = ("spread", rule.constraint.topology_key, rule.matcher, rule.eligibility)
        if key not in self._tallies:
            is_meant = self._test((rule.matcher,))
            self._tallies[key] = Tally(
                rule.constraint.topology_key,
                counts_pod=lambda other: not other.is_terminating and is_meant(other),
                counts_node=lambda node: rule.counts_node(pod, node),
            )
        return self._tallies[key]

    def _test(self, matchers: tuple[PodMatcher, ...]) -> Test:
        answers: dict[int, bool] = {}

        def is_meant(pod: Pod) -> bool:
            company = self.shape_of(pod).company
            answer = answers.get(company)
            if answer is None:
                answer = all(matcher.matches(pod, self._labels_by_namespace) for matcher in matchers)
                answers[company] = answer
            return answer

        return is_meant
