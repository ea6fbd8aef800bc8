"""Every request to EC2 and the Price List goes through here: one budget for each account and region.

Replicas share it: AWS counts an account's requests, whoever makes them. botocore's own retries are off: they would be
requests that no budget counts.
"""

import random
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from datetime import datetime, timedelta
from typing import Any, Protocol, TypeVar

import structlog

from services.pricing import metrics
from services.pricing.adapters.aws_errors import own_errors
from services.pricing.domain import request_budget
from services.pricing.domain.request_budget import Allowance, RequestBudget
from services.pricing.errors import SourceForbiddenError, SourceThrottledError, SourceUnavailableError
from shared.kernel.clock import Clock

log = structlog.get_logger(__name__)

ATTEMPTS = 6
FIRST_PAUSE_SECONDS = 0.25
LONGEST_PAUSE_SECONDS = 8.0

Operation = Callable[..., Awaitable[Mapping[str, Any]]]


R = TypeVar("R")
Step = Callable[[RequestBudget | None, datetime], tuple[RequestBudget, R]]
"""Gives from a budget, None where nobody used it yet, and the time what is left, and a result."""


class Budgets(Protocol):
    """Where budgets are kept."""

    async def change(self, account: str, region: str, step: Step[R]) -> R:
        """Take a step that nobody else takes meanwhile; return its result.

        Raises:
            UnavailableError: nothing was taken.
        """
        ...


class AwsRequests:
    """Shared by all that ask AWS in this process, with the credentials of one account."""

    def __init__(
        self,
        *,
        budgets: Budgets,
        clock: Clock,
        requests_per_second: float,
        burst: int,
        account: str = "platform",
        randomness: random.Random | None = None,
    ) -> None:
        self._clock = clock
        self._allowance = Allowance(rate=requests_per_second, burst=burst)
        self._account = account
        self._randomness = randomness or random.Random()
        self._budgets = budgets
        self._answered: dict[str, int] = {}
        """By region: answers for which the budget was not yet given anything back."""

    async def call(
        self, operation: Operation, *, region: str, doing: str, **parameters: Any
    ) -> Mapping[str, Any]:
        """Make one request within the budget, again after a pause where that may help; full jitter.

        Raises:
            SourceThrottledError, SourceUnavailableError: still so after six attempts.
            SourceForbiddenError, SourceRejectedError: at once.
        """
        name = getattr(operation, "__name__", "request")
        attempt = 0
        while True:
            await self._take(region)
            try:
                with own_errors(doing):
                    answer = await operation(**parameters)
            except SourceForbiddenError:
                metrics.aws_requests.labels(region, name, "forbidden").inc()
                raise
            except (SourceThrottledError, SourceUnavailableError) as error:
                is_throttled = isinstance(error, SourceThrottledError)
                metrics.aws_requests.labels(region, name, "throttled" if is_throttled else "failed").inc()
                if is_throttled:
                    await self._slow_down(region)
                attempt += 1
                if attempt == ATTEMPTS:
                    raise
                longest = min(FIRST_PAUSE_SECONDS * 2 ** (attempt - 1), LONGEST_PAUSE_SECONDS)
                pause = self._randomness.uniform(0, longest)
                log.info(
                    "aws_asked_again", region=region, operation=name, attempt=attempt, pause_seconds=pause
                )
                await self._clock.sleep(pause)
            else:
                metrics.aws_requests.labels(region, name, "answered").inc()
                self._answered[region] = self._answered.get(region, 0) + 1
                return answer

    async def pages(
        self, operation: Operation, *, region: str, doing: str, **parameters: Any
    ) -> AsyncIterator[Mapping[str, Any]]:
        """Make one request a page, to the last.

        Raises:
            SourceUnavailableError: AWS gives the same token twice, which would go on for ever.
        """
        seen: set[str] = set()
        token = ""
        while True:
            more = {"NextToken": token} if token else {}
            answer = await self.call(operation, region=region, doing=doing, **parameters, **more)
            yield answer
            token = answer.get("NextToken") or ""
            if not token:
                return
            if token in seen:
                raise SourceUnavailableError(f"{doing}: the same page follows again and again")
            seen.add(token)

    async def _take(self, region: str) -> None:
        answers = self._answered.pop(region, 0)

        def take(held: RequestBudget | None, now: datetime) -> tuple[RequestBudget, tuple[timedelta, float]]:
            budget = request_budget.within(held, self._allowance, now=now)
            given_back = request_budget.answered(budget, self._allowance, answers)
            left, wait = request_budget.taken(given_back, self._allowance, now=now)
            return left, (wait, left.rate)

        wait, rate = await self._budgets.change(self._account, region, take)
        metrics.aws_request_rate.labels(region).set(rate)
        if wait:
            metrics.aws_wait_seconds.labels(region).inc(wait.total_seconds())
            await self._clock.sleep(wait.total_seconds())

    async def _slow_down(self, region: str) -> None:
        def halve(held: RequestBudget | None, now: datetime) -> tuple[RequestBudget, float]:
            budget = request_budget.within(held, self._allowance, now=now)
            left = request_budget.throttled(budget, self._allowance, now=now)
            return left, left.rate

        rate = await self._budgets.change(self._account, region, halve)
        metrics.aws_request_rate.labels(region).set(rate)
