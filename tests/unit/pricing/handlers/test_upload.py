"""An operator's file of on-demand prices: judged, dated, and never in the place of something newer."""

from datetime import timedelta
from decimal import Decimal

import pytest

from services.pricing.domain.price_list import Origin
from services.pricing.domain.refusals import RefusalReason
from services.pricing.errors import PriceFileError
from services.pricing.handlers.quote_offerings import quote_offerings
from services.pricing.handlers.refresh_on_demand_prices import refresh_on_demand_prices
from services.pricing.handlers.upload_on_demand_prices import upload_on_demand_prices
from shared.contracts.v1.pricing import (
    OfferingQuotes,
    OnDemandPricesUploaded,
    PriceOrigin,
    QuoteOfferings,
    RefusedPrice,
    UploadedPrice,
    UploadOnDemandPrices,
)
from tests.builders import make_instance_type
from tests.fakes.clock import FakeClock
from tests.fakes.ids import CountedIds
from tests.fakes.pricing import InMemoryPricing
from tests.fakes.pricing_outside import FakePriceList

pytestmark = pytest.mark.looptime

REGION = "us-east-1"
DAY = timedelta(days=1)


class Stage:
    def __init__(self) -> None:
        self.clock, self.ids, self.store = FakeClock(), CountedIds(), InMemoryPricing()

    async def offer(self, *names: str) -> None:
        await self.store.offerings.replace_catalogue(
            REGION,
            zone_ids={"us-east-1a": "use1-az1"},
            instance_types=[make_instance_type(name) for name in names],
            offered=frozenset((name, "us-east-1a") for name in names),
        )

    async def upload(
        self,
        prices: dict[str, str],
        *,
        ago: timedelta = 10 * DAY,
        region: str = REGION,
        refused: tuple[RefusedPrice, ...] = (),
    ) -> OnDemandPricesUploaded:
        request = UploadOnDemandPrices.make(
            scope=region,
            clock=self.clock,
            ids=self.ids,
            prices=tuple(
                UploadedPrice(instance_type=name, usd_per_hour=Decimal(usd)) for name, usd in prices.items()
            ),
            published_at=self.clock.now() - ago,
            refused=refused,
        )
        return await upload_on_demand_prices(
            request,
            regions=frozenset({REGION}),
            unit_of_work=self.store.unit_of_work,
            clock=self.clock,
            ids=self.ids,
        )

    async def quoted(self) -> dict[str, tuple[Decimal, bool, int]]:
        return {
            q.pool.instance_type: (q.usd_per_hour, q.is_stale, q.age_seconds // 86400)
            for q in (await self.answer()).quotes
        }

    async def answer(self) -> OfferingQuotes:
        return await quote_offerings(
            QuoteOfferings.make(scope=REGION, clock=self.clock, ids=self.ids),
            unit_of_work=self.store.unit_of_work,
            clock=self.clock,
            spot_fresh_for=timedelta(minutes=30),
            on_demand_fresh_for=3 * DAY,
        )


@pytest.fixture
async def stage() -> Stage:
    stage = Stage()
    await stage.offer("m5.large", "c5.large", "r5.large")
    return stage


async def test_a_file_is_used_as_old_as_it_is(stage: Stage) -> None:
    done = await stage.upload({"m5.large": "0.1", "c5.large": "0.2"})
    assert (done.types, done.changed, done.refused) == (2, 2, 0)
    [source] = (await stage.answer()).sources
    assert (source.name, source.origin) == ("price_list", PriceOrigin.UPLOAD)
    assert await stage.quoted() == {
        "m5.large": (Decimal("0.110"), True, 10),
        "c5.large": (Decimal("0.220"), True, 10),
    }
    assert stage.store.offerings.origins[REGION, "price_list"] is Origin.UPLOAD
    again = await stage.upload({"m5.large": "0.1", "c5.large": "0.2"})
    assert (again.types, again.changed) == (2, 0)
    assert len(stage.store.sent) == 1


async def test_every_row_is_judged_and_the_good_ones_are_kept(stage: Stage) -> None:
    done = await stage.upload(
        {"m5.large": "-1", "c5.large": "0.2", "unheard.of": "0.3", "r5.large": "10001"},
        refused=(RefusedPrice(reason="another_currency", row="CNY"), RefusedPrice(reason="?", row="odd")),
    )
    assert (done.types, done.changed, done.refused) == (1, 1, 5)
    assert {row.reason for _, _, row in stage.store.sources.refused} == {
        RefusalReason.NOT_POSITIVE,
        RefusalReason.UNKNOWN_TYPE,
        RefusalReason.TOO_HIGH,
        RefusalReason.OTHER_CURRENCY,
        RefusalReason.MALFORMED,
    }


async def test_a_file_before_the_first_catalogue_is_used_when_that_comes(stage: Stage) -> None:
    stage.store = InMemoryPricing()
    assert (await stage.upload({"m5.large": "0.1"})).changed == 0
    await stage.offer("m5.large")
    assert (await stage.upload({"m5.large": "0.1"})).changed == 1


@pytest.mark.parametrize(
    ("prices", "ago", "region", "sentence"),
    [
        ({"m5.large": "0.1"}, -DAY, REGION, "in the future"),
        ({"m5.large": "0.1"}, DAY, "eu-west-1", "not priced here"),
        ({"m5.large": "0"}, DAY, REGION, "no believable price"),
        ({"unheard.of": "1"}, DAY, REGION, "no believable price"),
        ({}, DAY, REGION, "no believable price"),
        ({"m5.large": "0.1", "c5.large": "0.2", "r5.large": "0.3"}, 30 * DAY, REGION, "are known"),
        ({"m5.large": "0.1"}, DAY, REGION, "only 1 of the 3 types"),
    ],
)
async def test_what_will_not_do_is_refused_in_a_sentence_and_changes_nothing(
    stage: Stage, prices: dict[str, str], ago: timedelta, region: str, sentence: str
) -> None:
    await stage.upload({"m5.large": "0.5", "c5.large": "0.5", "r5.large": "0.5"})
    before = await stage.quoted()
    with pytest.raises(PriceFileError, match=sentence):
        await stage.upload(prices, ago=ago, region=region)
    assert await stage.quoted() == before


async def test_what_the_api_said_is_newer_than_a_file(stage: Stage) -> None:
    await refresh_on_demand_prices(
        region=REGION,
        sources=[FakePriceList({"m5.large": Decimal("0.1")})],
        unit_of_work=stage.store.unit_of_work,
        clock=stage.clock,
        ids=stage.ids,
    )
    with pytest.raises(PriceFileError, match="are known"):
        await stage.upload({"m5.large": "0.2"}, ago=DAY)
