"""How many replicas of a workload may go at once: all that stand in one spot pool, when EC2 takes it back.

At most min(floor(share x replicas), replicas - minimum available) of them may stand in one spot pool: the share
is the policy's, the minimum follows from the disruption budgets that cover the workload. Amounts are counted in
whole pods, and shares are multiplied exactly, so that 29 % of 100 is 29.
"""

from collections.abc import Iterable, Mapping

from shared.kernel.scheduling import most_disruptions, selects
from shared.kernel.shares import share_of
from shared.kernel.workload import DisruptionBudget, Operator, Owner, Pod

WorkloadKey = tuple[str, Owner]
"""Namespace and controller."""


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


class Guards:
    """Budgets by number, and which of them are over a pod; pods with the same labels are asked about once."""

    def __init__(self, budgets: Iterable[DisruptionBudget]) -> None:
        self.budgets = sorted(budgets, key=lambda b: b.key)
        self._known: dict[object, tuple[int, ...]] = {}
        # Most selectors ask for one value of some label: only pods that have it need be looked at.
        self._by_label: dict[tuple[str, str, str], list[int]] = {}
        self._others: dict[str, list[int]] = {}
        for number, budget in enumerate(self.budgets):
            asked = next(
                (
                    r
                    for r in (budget.selector.requirements if budget.selector else ())
                    if r.operator is Operator.IN
                ),
                None,
            )
            if asked is None:
                self._others.setdefault(budget.namespace, []).append(number)
                continue
            for value in dict.fromkeys(asked.values):
                self._by_label.setdefault((budget.namespace, asked.key, value), []).append(number)

    def over(self, pod: Pod) -> tuple[int, ...]:
        """Give the numbers of the budgets over a pod."""
        if not self.budgets:
            return ()
        key = (pod.namespace, frozenset(pod.labels.items()))
        found = self._known.get(key)
        if found is None:
            near = [*self._others.get(pod.namespace, ())]
            for label, value in pod.labels.items():
                near += self._by_label.get((pod.namespace, label, value), ())
            found = tuple(i for i in sorted(near) if selects(self.budgets[i].selector, pod.labels))
            self._known[key] = found
        return found


def frozen(guards: Guards, pods: Iterable[Pod]) -> frozenset[int]:
    """Give the numbers of the budgets that cover pods and can, when all of these are healthy, let none of them go.

    What a budget's controller expects counts; where it has not looked yet, or the input is written by hand, what
    the budget covers does.
    """
    unseen = {n for n, budget in enumerate(guards.budgets) if budget.expected_pods == 0}
    covered: dict[int, int] = {}
    for pod in pods if unseen else ():
        for number in unseen.intersection(guards.over(pod)):
            if not pod.is_finished:
                covered[number] = covered.get(number, 0) + 1
    return frozenset(
        n
        for n, budget in enumerate(guards.budgets)
        if (
            most_disruptions(budget, covered[n]) == 0
            if n in covered
            else budget.desired_healthy >= budget.expected_pods > 0
        )
    )


def losable(
    budgets: Iterable[DisruptionBudget], pods: Iterable[Pod], replicas: Mapping[WorkloadKey, int]
) -> dict[WorkloadKey, int]:
    """Give, for each workload that a budget covers, how many of its replicas may be missing at once.

    A budget over several workloads is divided among them by their replicas, rounded down: whatever each of them
    loses, together they lose no more than the budget allows. The strictest budget counts.
    """
    guards = Guards(budgets)
    covered_by: dict[int, set[WorkloadKey]] = {}
    for pod in pods:
        if pod.owner is not None and (pod.namespace, pod.owner) in replicas:
            for number in guards.over(pod):
                covered_by.setdefault(number, set()).add((pod.namespace, pod.owner))
    found: dict[WorkloadKey, int] = {}
    for number, covered in covered_by.items():
        budget = guards.budgets[number]
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
