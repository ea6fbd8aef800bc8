"""Budgets of requests in memory, for one process or for several that share them."""

from services.pricing.adapters.aws_requests import R, Step
from services.pricing.domain.request_budget import RequestBudget
from shared.kernel.clock import Clock


class InMemoryBudgets:
    """See aws_requests.Budgets."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self.kept: dict[tuple[str, str], RequestBudget] = {}

    async def change(self, account: str, region: str, step: Step[R]) -> R:
        left, result = step(self.kept.get((account, region)), self._clock.now())
        self.kept[account, region] = left
        return result
