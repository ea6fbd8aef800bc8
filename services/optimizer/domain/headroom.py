"""Room that is kept free, and the least number of nodes.

Headroom is planned as pods that nobody made: they ask for room like any other that waits, evict nobody, may run on
spot, cost nothing when they are interrupted, and are reported as headroom only. Their namespace is no name that
Kubernetes allows, so that no real pod is ever taken for one.
"""

from collections.abc import Iterable
from dataclasses import dataclass, replace

from services.optimizer.domain.rules import HeadroomShape, PlanRules
from shared.kernel.resources import Resources
from shared.kernel.workload import (
    LabelSelector,
    Operator,
    Pod,
    PodAffinityTerm,
    Requirement,
    SpotWish,
)

NAMESPACE = "headroom:"
LEAST_PRIORITY = -(2**31)
NOBODY_WAITS = SpotWish(allowed=True, interruption_cost_usd=0.0)
APART_LABEL = "headroom"
APART = PodAffinityTerm(
    "kubernetes.io/hostname",
    LabelSelector((Requirement(APART_LABEL, Operator.IN, ("apart",)),)),
    namespaces=(NAMESPACE,),
)


@dataclass(frozen=True, slots=True)
class Kept:
    """How much of one shape's headroom a fleet has."""

    shape: HeadroomShape
    placed: int
    """Of shape.count."""


def placeholders(rules: PlanRules) -> tuple[Pod, ...]:
    """Give the pods that stand for the headroom."""
    return tuple(
        _placeholder(f"{number}-{copy:04d}", shape.cpu_millicores, shape.memory_bytes)
        for number, shape in enumerate(rules.headroom)
        for copy in range(shape.count)
    )


def nodes_wanted(number: int) -> tuple[Pod, ...]:
    """Give pods that take next to nothing and no node holds two of: a fleet that holds them has so many nodes."""
    return tuple(
        replace(
            _placeholder(f"node-{i:04d}", 1, 1), labels={APART_LABEL: "apart"}, pod_anti_affinity=(APART,)
        )
        for i in range(number)
    )


def _placeholder(name: str, millicores: int, memory_bytes: int) -> Pod:
    return Pod(
        NAMESPACE,
        name,
        "",
        Resources(cpu_millicores=millicores, memory_bytes=memory_bytes),
        priority=LEAST_PRIORITY,
        spot_wish=NOBODY_WAITS,
    )


def is_placeholder(pod: Pod) -> bool:
    """Whether the pod stands for room only."""
    return pod.namespace == NAMESPACE


def without(pods: Iterable[Pod]) -> tuple[Pod, ...]:
    """Give the real pods."""
    return tuple(p for p in pods if not is_placeholder(p))


def kept(rules: PlanRules, pending: Iterable[Pod]) -> tuple[Kept, ...]:
    """Give how much of each shape has room, by what is still pending."""
    waiting = {p.name for p in pending if is_placeholder(p)}
    return tuple(
        Kept(shape, sum(f"{number}-{copy:04d}" not in waiting for copy in range(shape.count)))
        for number, shape in enumerate(rules.headroom)
    )


def missing(pending: Iterable[Pod]) -> int:
    """Count the placeholders without room."""
    return sum(is_placeholder(p) for p in pending)


def told(keys: Iterable[str]) -> tuple[str, ...]:
    """Leave the keys of placeholders out of what a plan tells."""
    prefix = f"{NAMESPACE}/"
    return tuple(key for key in keys if not key.startswith(prefix))
