"""What EC2 says, row by row: one that is broken costs itself."""

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest

from services.pricing import metrics
from services.pricing.adapters.aws_requests import AwsRequests
from services.pricing.adapters.ec2 import Ec2Catalogue, Ec2PlacementScoreSource, Ec2SpotPriceSource
from tests.fakes.clock import EPOCH, FakeClock
from tests.fakes.pricing_budgets import InMemoryBudgets

pytestmark = pytest.mark.looptime

REGION = "us-east-1"
ZONES = {"us-east-1a": "use1-az4"}


class Session:
    """An aioboto3 session whose every operation gives the same answer."""

    def __init__(self, answer: Mapping[str, Any]) -> None:
        self._answer = answer
        self.asked: list[Mapping[str, Any]] = []

    @asynccontextmanager
    async def client(self, service: str, **_: Any) -> AsyncIterator["Session"]:
        assert service == "ec2"
        yield self

    async def describe_instance_types(self, **parameters: Any) -> Mapping[str, Any]:
        self.asked.append(parameters)
        return self._answer

    describe_spot_price_history = get_spot_placement_scores = describe_instance_types


@pytest.fixture
async def requests() -> AwsRequests:
    clock = FakeClock()
    return AwsRequests(budgets=InMemoryBudgets(clock), clock=clock, requests_per_second=10, burst=10)


async def prices(requests: AwsRequests, *rows: Mapping[str, Any]) -> list[tuple[str, str, str]]:
    session = Session({"SpotPriceHistory": rows})
    source = Ec2SpotPriceSource(session, requests)
    pages = source.price_points(region=REGION, since=EPOCH, until=EPOCH + timedelta(hours=1), zone_ids=ZONES)
    found = [
        (p.pool.instance_type, p.pool.zone_id, str(p.usd_per_hour)) async for page in pages for p in page
    ]
    [asked] = session.asked
    assert (asked["ProductDescriptions"], asked["StartTime"]) == (["Linux/UNIX"], EPOCH)
    assert "Filters" not in asked, "all zones and types"
    return found


def row(**changes: Any) -> dict[str, Any]:
    usual = {
        "InstanceType": "m5.large",
        "AvailabilityZone": "us-east-1a",
        "SpotPrice": "0.035000",
        "Timestamp": EPOCH,
    }
    return usual | changes


async def test_zone_names_of_our_account_become_zone_ids(requests: AwsRequests) -> None:
    assert await prices(
        requests,
        row(),
        row(AvailabilityZone="us-east-1b", AvailabilityZoneId="use1-az6"),
        row(AvailabilityZone="us-east-1-bos-1a"),
        row(AvailabilityZoneId="another account's"),
    ) == [
        ("m5.large", "use1-az4", "0.035000"),
        ("m5.large", "use1-az6", "0.035000"),
        ("m5.large", "us-east-1-bos-1a", "0.035000"),
        ("m5.large", "use1-az4", "0.035000"),
    ]


async def test_a_price_that_is_no_number_is_passed_on_to_be_refused(requests: AwsRequests) -> None:
    found = await prices(requests, row(SpotPrice="cheap"), row(SpotPrice=""), row())
    assert [Decimal(usd).is_nan() for _, _, usd in found] == [True, True, False]


async def test_a_row_of_no_pool_or_no_time_is_counted_and_spoils_no_other(requests: AwsRequests) -> None:
    counter = metrics.rows_refused.labels("spot_price_history", "malformed")
    before = counter._value.get()
    nameless = {k: v for k, v in row().items() if k != "InstanceType"}
    assert len(await prices(requests, nameless, row(Timestamp=None), row())) == 1
    assert counter._value.get() - before == 2


async def test_a_description_that_lacks_something_costs_one_type(requests: AwsRequests) -> None:
    good = {
        "InstanceType": "m5.large",
        "ProcessorInfo": {"SupportedArchitectures": ["x86_64"]},
        "VCpuInfo": {"DefaultVCpus": 2},
        "MemoryInfo": {"SizeInMiB": 8192},
        "NetworkInfo": {"MaximumNetworkInterfaces": 3, "Ipv4AddressesPerInterface": 10},
    }
    without_memory = {k: v for k, v in good.items() if k != "MemoryInfo"} | {"InstanceType": "c5.large"}
    odd = good | {"InstanceType": "r5.large", "VCpuInfo": {"DefaultVCpus": "many"}}
    session = Session({"InstanceTypes": [without_memory, odd, good]})
    types = await Ec2Catalogue(session, requests).instance_types(REGION)
    assert [t.name for t in types] == ["m5.large"]


async def test_scores_that_are_none_are_left_out(requests: AwsRequests) -> None:
    rows = [
        {"AvailabilityZoneId": "use1-az1", "Score": 10},
        {"AvailabilityZoneId": "use1-az2", "Score": 0},
        {"AvailabilityZoneId": "use1-az3", "Score": 11},
        {"AvailabilityZoneId": "use1-az4"},
        {"Region": REGION, "Score": 5},
    ]
    source = Ec2PlacementScoreSource(Session({"SpotPlacementScores": rows}), requests)
    assert await source.scores(REGION, instance_types=["m5.large"], target_vcpus=64) == {"use1-az1": 10}
