"""Required affinity and anti-affinity between pods: which pods a term means."""

from collections.abc import Mapping
from dataclasses import dataclass

from shared.kernel.scheduling import selectors
from shared.kernel.workload import LabelSelector, Operator, Pod, PodAffinityTerm, Requirement

AFFINITY = "node(s) didn't match pod affinity rules"
ANTI_AFFINITY = "node(s) didn't match pod anti-affinity rules"
EXISTING = "node(s) didn't satisfy existing pods anti-affinity rules"


@dataclass(frozen=True, slots=True)
class PodMatcher:
    """The pods that one term means: some namespaces, and a selector within them."""

    selector: LabelSelector | None
    namespaces: frozenset[str]
    namespace_selector: LabelSelector | None = None

    def matches(self, pod: Pod, labels_by_namespace: Mapping[str, Mapping[str, str]]) -> bool:
        """Whether the pod is meant."""
        if not selectors.selects(self.selector, pod.labels):
            return False
        if pod.namespace in self.namespaces:
            return True
        # The API server labels every namespace with its name; that much is known of one never seen.
        known = labels_by_namespace.get(pod.namespace, {"kubernetes.io/metadata.name": pod.namespace})
        return self.namespace_selector is not None and selectors.selects(self.namespace_selector, known)


def matcher_of(term: PodAffinityTerm, pod: Pod) -> PodMatcher:
    """Give the pods that a term of this pod means."""
    own = not term.namespaces and term.namespace_selector is None
    selector = narrowed(term.selector, pod, term.match_label_keys, Operator.IN)
    return PodMatcher(
        narrowed(selector, pod, term.mismatch_label_keys, Operator.NOT_IN),
        frozenset({pod.namespace} if own else term.namespaces),
        term.namespace_selector,
    )


def narrowed(
    selector: LabelSelector | None, pod: Pod, label_keys: tuple[str, ...], operator: Operator
) -> LabelSelector | None:
    """Give a selector that also compares the pod's own value of some labels."""
    if selector is None or not label_keys:
        return selector
    own = tuple(Requirement(k, operator, (pod.labels[k],)) for k in label_keys if k in pod.labels)
    return LabelSelector(selector.requirements + own)


def required(terms: tuple[PodAffinityTerm, ...]) -> tuple[PodAffinityTerm, ...]:
    """Give the terms that are constraints, not wishes."""
    return tuple(term for term in terms if term.weight is None)
