"""PodDisruptionBudgets: what the eviction API (v1.34) would answer, and what a budget allows at full health."""

from collections.abc import Iterable

from shared.kernel.scheduling import selectors
from shared.kernel.workload import DisruptionBudget, Pod, PodPhase

UNGUARDED_PHASES = frozenset({PodPhase.PENDING, PodPhase.SUCCEEDED, PodPhase.FAILED})
SEVERAL = "several disruption budgets cover it, and the eviction API takes one only"


def budgets_over(pod: Pod, budgets: Iterable[DisruptionBudget]) -> tuple[DisruptionBudget, ...]:
    """Give the budgets that cover a pod; an empty selector covers all of its namespace, none covers nothing."""
    return tuple(
        b for b in budgets if b.namespace == pod.namespace and selectors.selects(b.selector, pod.labels)
    )


def eviction_refused(pod: Pod, budgets: Iterable[DisruptionBudget]) -> str | None:
    """Say why an eviction would be refused now; None: it would be granted.

    Whoever grants several has to count them down: a ready pod takes one of its budget's allowed disruptions.
    """
    if pod.phase in UNGUARDED_PHASES or pod.is_terminating:
        return None
    covering = budgets_over(pod, budgets)
    if not covering:
        return None
    if len(covering) > 1:
        return SEVERAL
    (budget,) = covering
    if takes_no_disruption(pod, budget):
        return None
    if budget.disruptions_allowed > 0:
        return None
    return f"budget {budget.key} needs {budget.desired_healthy} healthy pods and has {budget.current_healthy}"


def takes_no_disruption(pod: Pod, budget: DisruptionBudget) -> bool:
    """Whether the pod may go without being counted, since it is not ready and the budget lets such pods go."""
    if pod.phase in UNGUARDED_PHASES or pod.is_terminating:
        return True
    if pod.is_ready:
        return False
    is_healthy = budget.current_healthy >= budget.desired_healthy > 0
    return budget.always_allows_unhealthy or is_healthy


def most_disruptions(budget: DisruptionBudget, expected_pods: int) -> int:
    """Give how many of `expected_pods` may be away at once when all of them are healthy.

    Percentages are rounded up, as the disruption controller does: 50 % of 3 as maxUnavailable lets 2 go, as
    minAvailable it keeps 2.
    """
    if budget.max_unavailable is not None:
        return min(_scaled(budget.max_unavailable, expected_pods), expected_pods)
    if budget.min_available is not None:
        return max(expected_pods - _scaled(budget.min_available, expected_pods), 0)
    return 0


def _scaled(amount: str, of: int) -> int:
    """Read a number or a percentage; what is neither allows nothing to be concluded.

    Raises:
        ValueError: it is neither.
    """
    if amount.endswith("%"):
        return -(-of * int(amount[:-1]) // 100)
    return int(amount)
