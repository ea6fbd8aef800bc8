"""How many rounds it takes to evict pods: a disruption budget lets only so many go at once."""

from collections.abc import Iterable

from services.optimizer.domain.losses import Guards
from shared.kernel.scheduling.budgets import takes_no_disruption
from shared.kernel.workload import DisruptionBudget, Pod


class Slack:
    """What the disruption budgets of one cluster allow right now."""

    def __init__(self, budgets: Iterable[DisruptionBudget]) -> None:
        self._guards = Guards(budgets)

    def rounds(self, pods: Iterable[Pod]) -> int:
        """Give in how many rounds the pods of one node can go, the next when those of the last serve again.

        Under a budget that allows s disruptions now, k pods take ceil(k / s) rounds; where s is 0, one has to be
        waited for first, and then they go one by one. Budgets are waited for at the same time. Pods that nothing
        guards go at once, in the first round; without any pod there is none.
        """
        guarded: dict[int, int] = {}
        most = 0
        for pod in pods:
            most = max(most, 1)
            for number in self._guards.over(pod):
                if not takes_no_disruption(pod, self._guards.budgets[number]):
                    guarded[number] = guarded.get(number, 0) + 1
        for number, count in guarded.items():
            allowed = max(self._guards.budgets[number].disruptions_allowed, 0)
            most = max(most, -(-count // allowed) if allowed else count + 1)
        return most


NO_BUDGETS = Slack(())
