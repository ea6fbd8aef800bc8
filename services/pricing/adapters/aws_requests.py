"""Every request to EC2 and the Price List goes through here: one budget for each account and region.

botocore's own retries are off: they would be requests that no budget counts.
"""

import random
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from typing import Any

import structlog

from services.pricing import metrics
from services.pricing.adapters.aws_errors import own_errors
from services.pricing.domain import request_budget
from services.pricing.domain.request_budget import RequestBudget
from services.pricing.errors import SourceForbiddenError, SourceThrottledError, SourceUnavailableError
from shared.kernel.clock import Clock

log = structlog.get_logger(__name__)

ATTEMPTS = 6
FIRST_PAUSE_SECONDS = 0.25
LONGEST_PAUSE_SECONDS = 8.0

Operation = Callable[..., Awaitable[Mapping[str, Any]]]


class AwsRequests:
    """Shared by all that ask AWS in this process, with the credentials of one account."""

    def __init__(
        self,
        *,
        clock: Clock,
        requests_per_second: float,
        burst: int,
        account: str = "platform",
        randomness: random.Random | None = None,
    ) -> None:
        self._clock = clock
        self._requests_per_second = requests_per_second
        self._burst = burst
        self._account = account
        self._randomness = randomness or random.Random()
        self._budgets: dict[tuple[str, str], RequestBudget] = {}

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
                    self._set(region, request_budget.throttled(self._budget(region), now=self._clock.now()))
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
                self._set(region, request_budget.answered(self._budget(region)))
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

    def requests_per_second(self, region: str) -> float:
        """Give what the budget of a region allows at present."""
        return self._budget(region).rate

    async def _take(self, region: str) -> None:
        left, wait = request_budget.taken(self._budget(region), now=self._clock.now())
        self._set(region, left)
        if wait:
            metrics.aws_wait_seconds.labels(region).inc(wait.total_seconds())
            await self._clock.sleep(wait.total_seconds())

    def _budget(self, region: str) -> RequestBudget:
        found = self._budgets.get((self._account, region))
        return found or request_budget.full(
            rate=self._requests_per_second, burst=self._burst, now=self._clock.now()
        )

    def _set(self, region: str, budget: RequestBudget) -> None:
        self._budgets[self._account, region] = budget
        metrics.aws_request_rate.labels(region).set(budget.rate)
