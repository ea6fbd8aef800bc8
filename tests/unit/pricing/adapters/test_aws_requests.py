"""Requests to AWS: within one budget, again where that may help, page by page."""

import asyncio
from collections.abc import Mapping
from random import Random
from typing import Any

import pytest
from botocore.exceptions import ClientError, EndpointConnectionError

from services.pricing.adapters.aws_requests import ATTEMPTS, AwsRequests
from services.pricing.errors import (
    SourceForbiddenError,
    SourceRejectedError,
    SourceThrottledError,
    SourceUnavailableError,
)
from shared.kernel.errors import SpotError
from tests.fakes.clock import EPOCH, FakeClock
from tests.fakes.pricing_budgets import InMemoryBudgets

pytestmark = pytest.mark.looptime

REGION = "us-east-1"


def refusal(code: str, status: int = 503) -> ClientError:
    return ClientError(
        {"Error": {"Code": code, "Message": "m"}, "ResponseMetadata": {"HTTPStatusCode": status}},  # type: ignore[typeddict-item]
        "DescribeInstanceTypes",
    )


THROTTLED = refusal("RequestLimitExceeded")


class Api:
    """Answers with each outcome in turn, the last for ever; notes when it was asked and what."""

    def __init__(self, clock: FakeClock, *outcomes: Mapping[str, Any] | Exception) -> None:
        self._clock = clock
        self._outcomes = list(outcomes)
        self.asked: list[float] = []
        self.parameters: list[Mapping[str, Any]] = []

    async def describe(self, **parameters: Any) -> Mapping[str, Any]:
        self.asked.append((self._clock.now() - EPOCH).total_seconds())
        self.parameters.append(parameters)
        outcome = self._outcomes.pop(0) if len(self._outcomes) > 1 else self._outcomes[0]
        if isinstance(outcome, Exception):
            raise outcome
        return outcome


@pytest.fixture
async def clock() -> FakeClock:
    return FakeClock()


def requests_with(clock: FakeClock, *, rate: float = 10, burst: int = 5) -> AwsRequests:
    return AwsRequests(
        budgets=InMemoryBudgets(clock),
        clock=clock,
        requests_per_second=rate,
        burst=burst,
        randomness=Random(7),
    )


async def test_all_callers_share_the_budget_of_a_region(clock: FakeClock) -> None:
    requests, api = requests_with(clock), Api(clock, {})
    await asyncio.gather(
        *(requests.call(api.describe, region=REGION, doing="asking") for _ in range(25)),
        *(requests.call(api.describe, region="eu-west-1", doing="asking") for _ in range(5)),
    )
    assert sorted(api.asked)[:10] == [0.0] * 10, "each region has a burst of its own"
    assert max(api.asked) == pytest.approx(2.0), "20 more at 10 a second"


async def test_what_is_throttled_is_tried_again_later_and_slower(clock: FakeClock) -> None:
    budgets = InMemoryBudgets(clock)
    requests = AwsRequests(budgets=budgets, clock=clock, requests_per_second=10, burst=5)
    api = Api(clock, THROTTLED, THROTTLED, {"it": 1})
    assert await requests.call(api.describe, region=REGION, doing="asking") == {"it": 1}
    assert len(api.asked) == 3
    slowed = budgets.kept["platform", REGION].rate
    assert 0 < slowed < 10
    await requests.call(api.describe, region="eu-west-1", doing="asking")
    assert budgets.kept["platform", "eu-west-1"].rate == 10
    await requests.call(api.describe, region=REGION, doing="asking")
    assert slowed < budgets.kept["platform", REGION].rate < 10, "the answer gave a little back"


async def test_replicas_share_a_budget_and_what_one_of_them_was_told(clock: FakeClock) -> None:
    budgets = InMemoryBudgets(clock)
    one, two = (AwsRequests(budgets=budgets, clock=clock, requests_per_second=10, burst=5) for _ in range(2))
    api = Api(clock, {})
    await asyncio.gather(
        *(requests.call(api.describe, region=REGION, doing="asking") for requests in (one, two) * 10)
    )
    assert max(api.asked) == pytest.approx(1.5), "20 of both: 5 at once, and 15 at 10 a second"
    with pytest.raises(SourceThrottledError):
        await one.call(Api(clock, THROTTLED).describe, region=REGION, doing="asking")
    slowed = budgets.kept["platform", REGION].rate
    await two.call(api.describe, region=REGION, doing="asking")
    assert budgets.kept["platform", REGION].rate < 5
    assert budgets.kept["platform", REGION].rate >= slowed


async def test_replicas_with_other_settings_keep_to_their_own(clock: FakeClock) -> None:
    budgets = InMemoryBudgets(clock)
    old = AwsRequests(budgets=budgets, clock=clock, requests_per_second=10, burst=5)
    new = AwsRequests(budgets=budgets, clock=clock, requests_per_second=2, burst=1)
    api = Api(clock, {})
    await old.call(api.describe, region=REGION, doing="asking")
    for _ in range(3):
        await new.call(api.describe, region=REGION, doing="asking")
    assert api.asked == pytest.approx([0.0, 0.0, 0.5, 1.0])


@pytest.mark.parametrize(
    ("raised", "ours", "asked"),
    [
        (THROTTLED, SourceThrottledError, ATTEMPTS),
        (refusal("InternalError", 500), SourceUnavailableError, ATTEMPTS),
        (EndpointConnectionError(endpoint_url="http://x"), SourceUnavailableError, ATTEMPTS),
        (refusal("UnauthorizedOperation", 403), SourceForbiddenError, 1),
        (refusal("InvalidParameterValue", 400), SourceRejectedError, 1),
    ],
)
async def test_trying_again_ends_and_is_left_out_where_it_cannot_help(
    clock: FakeClock, raised: Exception, ours: type[SpotError], asked: int
) -> None:
    requests, api = requests_with(clock), Api(clock, raised)
    with pytest.raises(ours, match="asking"):
        await requests.call(api.describe, region=REGION, doing="asking")
    assert len(api.asked) == asked


async def test_pauses_are_jittered_over_their_whole_length(clock: FakeClock) -> None:
    requests, api = requests_with(clock, rate=1000, burst=1000), Api(clock, refusal("Unavailable"))
    pauses = []
    for _ in range(50):
        begin = len(api.asked)
        with pytest.raises(SourceUnavailableError):
            await requests.call(api.describe, region=REGION, doing="asking")
        times = api.asked[begin:]
        pauses.append(times[4] - times[3])
    assert min(pauses) < 0.5 < 1.5 < max(pauses) <= 2.0 + 1e-6


async def test_pages_are_read_to_the_last_each_a_request(clock: FakeClock) -> None:
    api = Api(
        clock, {"NextToken": "a", "n": 1}, THROTTLED, {"NextToken": "b", "n": 2}, {"NextToken": "", "n": 3}
    )
    requests = requests_with(clock)
    pages = [page["n"] async for page in requests.pages(api.describe, region=REGION, doing="asking", Max=7)]
    assert pages == [1, 2, 3]
    assert api.parameters == [
        {"Max": 7},
        {"Max": 7, "NextToken": "a"},
        {"Max": 7, "NextToken": "a"},
        {"Max": 7, "NextToken": "b"},
    ]


async def test_pages_that_go_in_circles_end(clock: FakeClock) -> None:
    requests, api = requests_with(clock), Api(clock, {"NextToken": "a"})
    with pytest.raises(SourceUnavailableError, match="again and again"):
        async for _ in requests.pages(api.describe, region=REGION, doing="asking"):
            pass
    assert len(api.asked) == 2
