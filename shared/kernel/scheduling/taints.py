"""Taints and tolerations.

Cordoned and not ready are taints too: the control plane adds them within moments, but a view of the cluster may be
taken in between.
"""

from collections.abc import Iterable

from shared.kernel.workload import Node, Taint, TaintEffect, Toleration

UNSCHEDULABLE = Taint("node.kubernetes.io/unschedulable", TaintEffect.NO_SCHEDULE)
NOT_READY = Taint("node.kubernetes.io/not-ready", TaintEffect.NO_SCHEDULE)


def tolerates(toleration: Toleration, taint: Taint) -> bool:
    """Whether one toleration covers one taint."""
    if toleration.effect is not None and toleration.effect is not taint.effect:
        return False
    if toleration.key and toleration.key != taint.key:
        return False
    if toleration.operator == "Exists":
        return True
    return bool(toleration.key) and toleration.value == taint.value


def repelling(node: Node) -> tuple[Taint, ...]:
    """Give the taints that keep pods off a node, the implied ones first."""
    implied = ((UNSCHEDULABLE,) if node.is_unschedulable else ()) + (() if node.is_ready else (NOT_READY,))
    written = tuple(
        taint
        for taint in node.taints
        if taint.effect is not TaintEffect.PREFER_NO_SCHEDULE and taint not in implied
    )
    return implied + written


def untolerated(taints: Iterable[Taint], tolerations: tuple[Toleration, ...]) -> Taint | None:
    """Give the first taint that nothing tolerates."""
    for taint in taints:
        if not any(tolerates(toleration, taint) for toleration in tolerations):
            return taint
    return None
