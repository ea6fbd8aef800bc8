"""How many replicas of a workload may go at once: all that stand in one spot pool, when EC2 takes it back.

At most min(floor(share x replicas), replicas - minimum available) of them may stand in one spot pool: the share
is the policy's, the minimum follows from the disruption budgets that cover the workload. Amounts are counted in
whole pods, and shares are multiplied exactly, so that 29 % of 100 is 29.
"""

from collections.abc import Iterable, Mapping
from fractions import Fraction
from functools import lru_cache

from shared.kernel.scheduling import selects
from shared.kernel.workload import DisruptionBudget, Owner, Pod

Labels = frozenset[tuple[str, str]]
WorkloadKey = tuple[str, Owner]
"""Namespace and controller."""

PRECISION = 10**9
"""A share is read as the nearest fraction with no larger denominator: 0.29 is 29/100, not what a float holds."""


@lru_cache(maxsize=4096)
def share_of(ratio: float, amount: int) -> int:
    """Give ratio x amount, rounded down."""
    return int(Fraction(ratio).limit_denominator(PRECISION) * amount)


def minimum_available(budget: DisruptionBudget, pods: int) -> int:
    """Give how many of so many pods a budget wants healthy; Kubernetes rounds both percentages up.

    A budget that says neither wants what its controller last worked out.
    """
    if budget.max_unavailable is not None:
        wanted = pods - _scaled(budget.max_unavailable, pods)
    elif budget.min_available is not None:
        wanted = _scaled(budget.min_available, pods)
    else:
        wanted = budget.desired_healthy
    return min(max(wanted, 0), pods)


def _scaled(written: str, pods: int) -> int:
    if written.endswith("%"):
        return -(-pods * int(written[:-1]) // 100)
    return int(written)


def losable(
    budgets: Iterable[DisruptionBudget], pods: Iterable[Pod], replicas: Mapping[WorkloadKey, int]
) -> dict[WorkloadKey, int]:
    """Give, for each workload that a budget covers, how many of its replicas may be missing at once.

    A budget over several workloads is divided among them by their replicas, rounded down: whatever each of them
    loses, together they lose no more than the budget allows. The strictest budget counts.
    """
    kinds: dict[str, set[tuple[WorkloadKey, Labels]]] = {}
    for pod in pods:
        if pod.owner is not None and (pod.namespace, pod.owner) in replicas:
            labels = frozenset(pod.labels.items())
            kinds.setdefault(pod.namespace, set()).add(((pod.namespace, pod.owner), labels))
    found: dict[WorkloadKey, int] = {}
    for budget in budgets:
        here = kinds.get(budget.namespace, ())
        covered = {workload for workload, labels in here if selects(budget.selector, dict(labels))}
        total = sum(replicas[key] for key in covered)
        spare = total - minimum_available(budget, total)
        for key in covered:
            own = spare if len(covered) == 1 else spare * replicas[key] // total
            found[key] = min(found.get(key, own), own)
    return found


def pool_limit(*, replicas: int, share_ratio: float, can_lose: int | None, least_share: int = 0) -> int:
    """Give how many replicas one spot pool may hold.

    Args:
        replicas: of the workload.
        share_ratio: the policy's.
        can_lose: what disruption budgets let go at once; None where none covers the workload.
        least_share: what the share comes to at least, where it is rounded down to less.
    """
    share = max(share_of(share_ratio, replicas), least_share)
    return max(share if can_lose is None else min(share, can_lose), 0)
