"""Quotes: what is old says so, and what nobody says is not there."""

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from datetime import datetime, timedelta
from decimal import Decimal

import pytest

from services.pricing.domain.interruption_risk import AdvisorBand
from services.pricing.domain.offerings import PricePoint
from services.pricing.errors import (
    SourceForbiddenError,
)
from services.pricing.handlers.refresh_ratings import refresh_ratings
from services.pricing.handlers.store_on_demand_prices import READ
from shared.contracts.v1.pricing import (
    InterruptionRiskChanged,
    OfferingPricesChanged,
    OfferingQuotes,
    Quote,
)
from shared.kernel.pools import CapacityType
from tests.builders import make_pool
from tests.fakes.clock import EPOCH
from tests.fakes.pricing_outside import FakeAdvisor, FakeSpotPriceSource
from tests.unit.pricing.handlers.stage import HOUR, MINUTE, REGION, Stage, spot

pytestmark = pytest.mark.looptime


@pytest.fixture
async def stage() -> Stage:
    return Stage()


async def test_a_stale_price_is_dearer_and_says_so(stage: Stage) -> None:
    await stage.read_catalogue()
    stage.spot.history = [stage.point("0.10")]
    await stage.read_prices()
    await stage.clock.sleep(1800)
    fresh = {q.pool: q for q in (await stage.quotes()).quotes}
    assert (fresh[spot()].usd_per_hour, fresh[spot()].is_stale) == (Decimal("0.10"), False)
    await stage.clock.sleep(1)
    stale = {q.pool: q for q in (await stage.quotes()).quotes}
    assert (stale[spot()].usd_per_hour, stale[spot()].is_stale) == (Decimal("0.11"), True)
    assert stale[spot()].age_seconds == 1801
    assert not stale[make_pool()].is_stale, "on-demand prices are fresh for days"
    assert fresh[spot()].source.confidence == 0.5
    assert stale[spot()].source.confidence < 0.5 < stale[make_pool()].source.confidence


async def test_quotes_hold_the_facts_of_every_type_quoted_and_no_others(stage: Stage) -> None:
    del stage.price_list.prices["c5.xlarge"]
    await stage.read_catalogue()
    answer = await stage.quotes()
    assert [t.name for t in answer.instance_types] == ["m5.xlarge"]
    assert {q.pool.instance_type for q in answer.quotes} == {"m5.xlarge"}
    await stage.clock.sleep(60)
    stage.catalogue.types = []
    await stage.read_catalogue()
    assert await stage.quotes() == OfferingQuotes(region=REGION, as_of=stage.clock.now(), instance_types=())


async def test_tables_are_read_anew_when_a_price_or_the_catalogue_changed_only(stage: Stage) -> None:
    await stage.read_catalogue()
    stage.spot.history = [stage.point("0.10")]
    await stage.read_prices()
    first = {q.pool: q.usd_per_hour for q in (await stage.quotes()).quotes}
    [held] = stage.shelf.values()
    await stage.clock.sleep(300)
    await stage.read_prices()
    again = await stage.quotes()
    assert {q.pool: q.usd_per_hour for q in again.quotes} == first
    assert max(q.age_seconds for q in again.quotes if q.pool == spot()) == 0, "the source was asked since"
    assert stage.shelf[REGION] is held
    stage.spot.history = [stage.point("0.11", ago=MINUTE)]
    await stage.read_prices()
    assert {q.pool: q.usd_per_hour for q in (await stage.quotes()).quotes} == first | {
        spot(): Decimal("0.11")
    }


async def test_asking_for_some_types_gives_those(stage: Stage) -> None:
    await stage.read_catalogue()
    answer = await stage.quotes("c5.xlarge", "unheard.of")
    assert {q.pool.instance_type for q in answer.quotes} == {"c5.xlarge"}
    assert [t.name for t in answer.instance_types] == ["c5.xlarge"]


async def test_risk_is_of_spot_and_changes_are_told(stage: Stage) -> None:
    await stage.read_catalogue()
    stage.spot.history = [stage.point("0.07"), stage.point("0.06", pool=spot(name="c5.xlarge"))]
    await stage.read_prices()
    advisor = FakeAdvisor(
        {REGION: {"m5.xlarge": AdvisorBand(1), "x1.large": AdvisorBand(1)}, "elsewhere": {}}
    )
    stage.store.sent.clear()

    async def read() -> int:
        return await refresh_ratings(
            regions=frozenset({REGION, "unrated-1"}),
            advisor=advisor,
            unit_of_work=stage.store.unit_of_work,
            clock=stage.clock,
            ids=stage.ids,
        )

    assert await read() == 2
    assert await read() == 0
    [told] = stage.store.sent
    assert isinstance(told, InterruptionRiskChanged)
    assert [r.pool.zone_id for r in told.risks] == ["use1-az1", "use1-az2"], "x1 is offered nowhere here"
    by_pool = {q.pool: q for q in (await stage.quotes()).quotes}
    assert by_pool[spot()].risk_source == "spot_advisor"
    assert by_pool[spot(name="c5.xlarge")].risk_source == "regional_prior"
    assert by_pool[make_pool()].interruption_probability is None
    assert stage.clock.now() >= EPOCH


class OvertakenSource(FakeSpotPriceSource):
    """Answers after another replica was asked and stored what it was told."""

    def __init__(self, history: list[PricePoint], *, meanwhile: Callable[[], Awaitable[object]]) -> None:
        super().__init__(history)
        self._meanwhile = meanwhile

    async def price_points(
        self, *, region: str, since: datetime, until: datetime, zone_ids: Mapping[str, str]
    ) -> AsyncIterator[Sequence[PricePoint]]:
        await self._meanwhile()
        yield self.history


async def test_an_answer_that_another_replica_overtook_leaves_no_newer_pool_out(stage: Stage) -> None:
    await stage.read_catalogue()
    old, new = stage.point("0.10"), stage.point("0.20", pool=spot("use1-az2"))
    stage.spot.history = [old]
    await stage.read_prices()

    async def another_replica_polls() -> None:
        await stage.clock.sleep(1)
        stage.spot = FakeSpotPriceSource([old, new])
        await stage.read_prices()

    await stage.clock.sleep(300)
    stage.spot = OvertakenSource([old], meanwhile=another_replica_polls)
    await stage.read_prices()
    ages = {q.pool: q.age_seconds for q in (await stage.quotes()).quotes if q.pool in (old.pool, new.pool)}
    assert ages == {old.pool: 0, new.pool: 0}


async def test_a_pool_that_ec2_names_no_more_ages_alone_and_loses_its_quote(stage: Stage) -> None:
    await stage.read_catalogue()
    named, other = spot(), spot("use1-az2")
    stage.spot.history = [stage.point("0.10"), stage.point("0.20", pool=other)]
    await stage.read_prices()
    stage.store.sent.clear()
    stage.spot.history = stage.spot.history[:1]

    async def after(minutes: float) -> tuple[Quote, Quote | None]:
        await stage.clock.sleep(minutes * 60)
        await stage.read_prices()
        quotes = {q.pool: q for q in (await stage.quotes()).quotes}
        return quotes[named], quotes.get(other)

    for minutes in (5, 10, 15):
        fresh, missing = await after(5)
        assert missing is not None
        assert (fresh.age_seconds, fresh.is_stale) == (0, False)
        assert (missing.age_seconds, missing.is_stale) == (minutes * 60, False)
        assert missing.source.confidence < fresh.source.confidence == 1
    fresh, missing = await after(20)
    assert missing is not None
    assert (missing.usd_per_hour, missing.is_stale, missing.age_seconds) == (Decimal("0.22"), True, 35 * 60)
    assert (fresh.usd_per_hour, fresh.is_stale) == (Decimal("0.10"), False)
    assert stage.store.sent == [], "its last price is told already"
    assert (await after(24 * 60 - 36))[1] is not None
    assert (await after(1))[1] is None
    [told] = stage.store.sent
    assert isinstance(told, OfferingPricesChanged)
    assert (told.prices, told.gone) == ((), (other,))
    stage.spot.history.append(stage.point("0.20", pool=other))
    _, back = await after(5)
    assert back is not None
    assert (back.usd_per_hour, back.is_stale, back.age_seconds) == (Decimal("0.20"), False, 0)


async def test_a_pool_named_again_in_time_is_as_fresh_as_its_source(stage: Stage) -> None:
    await stage.read_catalogue()
    history = [stage.point("0.10"), stage.point("0.20", pool=spot("use1-az2"))]
    for given in (history, history[:1], history):
        stage.spot.history = given
        await stage.read_prices()
        await stage.clock.sleep(3_600)
    await stage.read_prices()
    sources = {q.source for q in (await stage.quotes()).quotes if q.pool.capacity_type is CapacityType.SPOT}
    assert [source.age_seconds for source in sources] == [0]


async def test_a_price_nobody_believes_confirms_nothing(stage: Stage) -> None:
    await stage.read_catalogue()
    stage.spot.history = [stage.point("0.10")]
    await stage.read_prices()
    await stage.clock.sleep(300)
    stage.spot.history = [stage.point("NaN")]
    await stage.read_prices()
    [quote] = [q for q in (await stage.quotes()).quotes if q.pool == spot()]
    assert (quote.usd_per_hour, quote.age_seconds) == (Decimal("0.10"), 300)


async def test_where_the_first_source_has_nothing_to_believe_the_next_is_asked(stage: Stage) -> None:
    stage.price_list.prices = {"m5.xlarge": Decimal(0)}
    stage.bulk_file.prices = {"m5.xlarge": Decimal("0.192")}
    assert await stage.read_catalogue() == 2
    assert stage.store.sources.refused.total() == 1


async def test_a_mirrors_file_is_as_old_as_it_says_and_not_asked_for_again_at_once(stage: Stage) -> None:
    stage.price_list.next_error = SourceForbiddenError()
    stage.bulk_file.prices = {"m5.xlarge": Decimal("0.192")}
    stage.bulk_file.published_at = stage.clock.now() - 100 * HOUR
    assert await stage.read_catalogue() == 2
    quote = (await stage.quotes()).quotes[0]
    assert (quote.age_seconds, quote.is_stale) == (360_000, True)
    assert quote.usd_per_hour == Decimal("0.192") * Decimal("1.10")
    assert await stage.store.offerings.source_as_of(REGION, READ) == stage.clock.now()
    stage.bulk_file.published_at = stage.clock.now() + HOUR
    stage.price_list.next_error = SourceForbiddenError()
    assert await stage.read_on_demand() == 0, "a file of the future is refused, and what is known stays"
    assert (await stage.quotes()).quotes[0] == quote


@pytest.mark.parametrize("days", [0, 3])
async def test_an_advisors_file_of_last_week_says_nothing_of_one_type_and_quotes_say_so(
    stage: Stage, days: float
) -> None:
    await stage.read_catalogue()
    stage.spot.history = [stage.point("0.07"), stage.point("0.06", pool=spot(name="c5.xlarge"))]
    await stage.read_prices()
    bands = {"m5.xlarge": AdvisorBand.OVER_20_PERCENT, "x1.large": AdvisorBand.UNDER_5_PERCENT}
    published_at = stage.clock.now() - timedelta(days=days)
    await refresh_ratings(
        regions=frozenset({REGION}),
        advisor=FakeAdvisor({REGION: bands}, published_at if days else None),
        unit_of_work=stage.store.unit_of_work,
        clock=stage.clock,
        ids=stage.ids,
    )

    async def risk() -> tuple[float | None, str | None]:
        [quote] = [q for q in (await stage.quotes()).quotes if q.pool == spot()]
        return quote.interruption_probability, quote.risk_source

    last_fresh = (7 - days) * 86_400
    await stage.clock.sleep(last_fresh)
    known = await risk()
    assert known[1] == "spot_advisor"
    await stage.clock.sleep(1)
    prior, source = await risk()
    assert source == "stale_regional_prior"
    assert prior is not None
    assert known[0] is not None
    assert prior < known[0], "the mean over the region"
