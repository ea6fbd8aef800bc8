"""Reading the sources: what is kept, what is told, and what a failure leaves behind."""

from collections import Counter
from datetime import timedelta
from decimal import Decimal

import pytest

from services.pricing.domain.interruption_risk import AdvisorBand
from services.pricing.domain.offerings import PricePoint
from services.pricing.domain.refusals import RefusalReason
from services.pricing.errors import (
    NoPriceSourceError,
    SourceForbiddenError,
    SourceThrottledError,
    SourceUnavailableError,
)
from services.pricing.handlers.quote_offerings import Shelf, quote_offerings
from services.pricing.handlers.refresh_catalogue import refresh_catalogue
from services.pricing.handlers.refresh_on_demand_prices import refresh_on_demand_prices
from services.pricing.handlers.refresh_prices import refresh_prices
from services.pricing.handlers.refresh_ratings import refresh_ratings
from services.pricing.handlers.store_on_demand_prices import READ
from shared.contracts.v1.pricing import (
    InterruptionRiskChanged,
    OfferingPricesChanged,
    OfferingQuotes,
    Quote,
    QuoteOfferings,
)
from shared.kernel.errors import SpotError
from shared.kernel.pools import CapacityType, PoolKey
from tests.builders import make_instance_type, make_pool
from tests.fakes.clock import EPOCH, FakeClock
from tests.fakes.ids import CountedIds
from tests.fakes.pricing import (
    FakeAdvisor,
    FakeCatalogue,
    FakePriceList,
    FakeSpotPriceSource,
    InMemoryPricing,
)

pytestmark = pytest.mark.looptime

REGION = "us-east-1"
HOUR = timedelta(hours=1)
MINUTE = timedelta(minutes=1)
ZONES = {"us-east-1a": "use1-az1", "us-east-1b": "use1-az2"}
TYPES = [make_instance_type("m5.xlarge"), make_instance_type("c5.xlarge", gib=8)]


def spot(zone_id: str = "use1-az1", name: str = "m5.xlarge") -> PoolKey:
    return make_pool(name, zone_id=zone_id, capacity_type=CapacityType.SPOT)


class Stage:
    """Pricing with its sources, in memory, in a time that tests move."""

    def __init__(self) -> None:
        self.clock = FakeClock()
        self.ids = CountedIds()
        self.store = InMemoryPricing()
        self.catalogue = FakeCatalogue(ZONES, TYPES)
        self.price_list = FakePriceList({"m5.xlarge": Decimal("0.192"), "c5.xlarge": Decimal("0.17")})
        self.bulk_file = FakePriceList({})
        self.spot = FakeSpotPriceSource()
        self.shelf: Shelf = {}

    async def read_catalogue(self) -> int:
        changed = await refresh_catalogue(
            region=REGION,
            catalogue=self.catalogue,
            unit_of_work=self.store.unit_of_work,
            clock=self.clock,
            ids=self.ids,
        )
        return changed + await self.read_on_demand()

    def spot_points(self) -> list[PricePoint]:
        points = self.store.offerings.points.values()
        return [p for p in points if p.pool.capacity_type is CapacityType.SPOT]

    async def read_on_demand(self) -> int:
        return await refresh_on_demand_prices(
            region=REGION,
            sources=[self.price_list, self.bulk_file],
            unit_of_work=self.store.unit_of_work,
            clock=self.clock,
            ids=self.ids,
        )

    async def read_prices(self) -> int:
        return await refresh_prices(
            region=REGION,
            source=self.spot,
            unit_of_work=self.store.unit_of_work,
            clock=self.clock,
            ids=self.ids,
            first_look_back=48 * HOUR,
            overlap=10 * MINUTE,
            history_kept=400 * 24 * HOUR,
            unconfirmed_kept=24 * HOUR,
        )

    async def quotes(self, *names: str) -> OfferingQuotes:
        request = QuoteOfferings.make(scope=REGION, clock=self.clock, ids=self.ids, instance_types=names)
        return await quote_offerings(
            request,
            unit_of_work=self.store.unit_of_work,
            clock=self.clock,
            spot_fresh_for=30 * MINUTE,
            on_demand_fresh_for=72 * HOUR,
            shelf=self.shelf,
        )

    def point(self, usd: str, *, ago: timedelta = HOUR, pool: PoolKey | None = None) -> PricePoint:
        return PricePoint(pool or spot(), Decimal(usd), self.clock.now() - ago)


@pytest.fixture
async def stage() -> Stage:
    return Stage()


async def test_the_catalogue_brings_on_demand_prices_once(stage: Stage) -> None:
    assert await stage.read_catalogue() == 4
    [told] = stage.store.sent
    assert isinstance(told, OfferingPricesChanged)
    assert (told.scope, len(told.prices)) == (REGION, 4)
    assert {p.pool.capacity_type for p in told.prices} == {CapacityType.ON_DEMAND}
    await stage.clock.sleep(86400)
    assert await stage.read_catalogue() == 0
    assert len(stage.store.sent) == 1
    stage.price_list.prices["m5.xlarge"] = Decimal("0.2")
    assert await stage.read_catalogue() == 2, "one price, in two zones"


@pytest.mark.parametrize("usd", ["0", "-1", "NaN", "Infinity"])
async def test_a_price_nobody_believes_is_no_price(stage: Stage, usd: str) -> None:
    stage.price_list.prices = {"m5.xlarge": Decimal(usd)}
    with pytest.raises(NoPriceSourceError, match="no believable price of us-east-1 among 1 refused rows"):
        await stage.read_catalogue()
    assert (await stage.quotes()).quotes == ()
    assert stage.store.sources.refused.total() == 1
    assert [t.name for t in await stage.store.offerings.instance_types(REGION)] == ["c5.xlarge", "m5.xlarge"]


async def test_a_failing_source_leaves_everything_as_it_was(stage: Stage) -> None:
    await stage.read_catalogue()
    before = await stage.quotes()
    stage.catalogue.next_error = SourceUnavailableError()
    with pytest.raises(SourceUnavailableError):
        await stage.read_catalogue()
    stage.store.next_error = ZeroDivisionError()
    stage.price_list.prices["m5.xlarge"] = Decimal(9)
    with pytest.raises(ZeroDivisionError):
        await stage.read_on_demand()
    assert await stage.quotes() == before
    assert len(stage.store.sent) == 1


async def test_where_the_api_may_not_be_asked_the_file_is_and_where_neither_may_what_is_known_grows_old(
    stage: Stage,
) -> None:
    stage.price_list.next_error = SourceForbiddenError("no pricing:GetProducts")
    stage.bulk_file.next_error = SourceUnavailableError("no route")
    with pytest.raises(NoPriceSourceError, match=r"no pricing:GetProducts; no route.*prices upload"):
        await stage.read_catalogue()
    stage.price_list.next_error = SourceForbiddenError()
    stage.bulk_file.prices = {"m5.xlarge": Decimal("0.192")}
    assert await stage.read_on_demand() == 2
    await stage.clock.sleep(4 * 86400)
    stage.price_list.next_error, stage.bulk_file.next_error = SourceForbiddenError(), SourceUnavailableError()
    assert await stage.read_on_demand() == 0
    assert {q.usd_per_hour for q in (await stage.quotes()).quotes} == {Decimal("0.192") * Decimal("1.10")}


async def test_a_type_that_is_priced_no_longer_is_not_quoted_and_a_torn_answer_is_not_believed(
    stage: Stage,
) -> None:
    names = [f"m{number}.large" for number in range(4)]
    stage.catalogue.types = [make_instance_type(name) for name in names]
    stage.price_list.prices = dict.fromkeys(names, Decimal(1))
    await stage.read_catalogue()
    del stage.price_list.prices["m0.large"]
    await stage.read_on_demand()
    assert {q.pool.instance_type for q in (await stage.quotes()).quotes} == set(names[1:])
    before = await stage.quotes()
    stage.price_list.prices = {"m1.large": Decimal(9)}
    await stage.read_on_demand()
    assert await stage.quotes() == before


async def test_a_zone_that_is_offered_later_has_its_on_demand_price_at_once(stage: Stage) -> None:
    stage.catalogue.zones = {"us-east-1a": "use1-az1"}
    await stage.read_catalogue()
    stage.catalogue.zones = ZONES
    stage.price_list.next_error = stage.bulk_file.next_error = SourceUnavailableError()
    assert await stage.read_catalogue() == 2
    assert {q.pool.zone_id for q in (await stage.quotes()).quotes} == set(ZONES.values())


async def test_a_change_that_comes_late_makes_a_change_of_the_price_that_followed(stage: Stage) -> None:
    await stage.read_catalogue()
    stage.spot.history = [stage.point("0.08", ago=3 * HOUR), stage.point("0.08", ago=HOUR)]
    await stage.read_prices()
    assert len(stage.spot_points()) == 1, "the second says what the first said"
    stage.spot.history.append(stage.point("0.05", ago=2 * HOUR))
    assert await stage.read_prices() == 0, "what is in force did not move"
    assert sorted((p.effective_at, p.usd_per_hour) for p in stage.spot_points()) == [
        (stage.clock.now() - 3 * HOUR, Decimal("0.08")),
        (stage.clock.now() - 2 * HOUR, Decimal("0.05")),
        (stage.clock.now() - 1 * HOUR, Decimal("0.08")),
    ]


async def test_a_cursor_older_than_ec2_answers_asks_for_what_there_is(stage: Stage) -> None:
    await stage.read_catalogue()
    await stage.read_prices()
    await stage.clock.sleep(100 * 86400)
    await stage.read_prices()
    assert stage.spot.asked[-1][0] == stage.clock.now() - 90 * 24 * HOUR


async def test_each_poll_begins_where_the_last_one_ended(stage: Stage) -> None:
    await stage.read_catalogue()
    began = stage.clock.now()
    stage.spot.history = [stage.point("0.07")]
    assert await stage.read_prices() == 1
    await stage.clock.sleep(300)
    assert await stage.read_prices() == 0
    assert stage.spot.asked == [
        (began - 48 * HOUR, began),
        (began - 10 * MINUTE, began + 5 * MINUTE),
    ]


async def test_before_the_zones_are_known_nothing_is_asked_and_the_cursor_stays(stage: Stage) -> None:
    assert await stage.read_prices() == 0
    assert stage.spot.asked == []
    assert await stage.store.offerings.source_as_of(REGION, "spot_price_history") is None


async def test_an_older_point_that_comes_late_is_history_not_the_price(stage: Stage) -> None:
    await stage.read_catalogue()
    stage.spot.history = [stage.point("0.08", ago=HOUR)]
    await stage.read_prices()
    stage.spot.history = [stage.point("0.05", ago=2 * HOUR), stage.point("0.08", ago=HOUR)]
    assert await stage.read_prices() == 0
    [quote] = [q for q in (await stage.quotes()).quotes if q.pool == spot()]
    assert quote.usd_per_hour == Decimal("0.08")
    assert len(stage.spot_points()) == 2


async def test_an_unchanged_price_that_is_published_again_is_no_news(stage: Stage) -> None:
    await stage.read_catalogue()
    stage.spot.history = [stage.point("0.08", ago=2 * HOUR)]
    await stage.read_prices()
    told = len(stage.store.sent)
    stage.spot.history.append(stage.point("0.08", ago=MINUTE))
    assert await stage.read_prices() == 0
    assert len(stage.store.sent) == told
    stage.spot.history.append(stage.point("0.09", ago=MINUTE / 2))
    assert await stage.read_prices() == 1


async def test_one_bad_row_spoils_no_good_one(stage: Stage) -> None:
    await stage.read_catalogue()
    stage.spot.history = [
        stage.point("NaN"),
        stage.point("0"),
        stage.point("0.07", ago=-HOUR),
        stage.point("0.06", pool=spot("use1-az2")),
        stage.point("0.01", pool=spot("a zone we do not know")),
        stage.point("0.01", pool=spot(name="unheard.of")),
        stage.point("0.06", pool=spot("use1-az2")),
    ]
    assert await stage.read_prices() == 1
    assert Counter(row.reason for _, _, row in stage.store.sources.refused) == dict.fromkeys(
        [
            RefusalReason.NOT_A_NUMBER,
            RefusalReason.NOT_POSITIVE,
            RefusalReason.IN_FUTURE,
            RefusalReason.UNKNOWN_ZONE,
            RefusalReason.UNKNOWN_TYPE,
            RefusalReason.DUPLICATE,
        ],
        1,
    )
    quoted = {
        q.pool: q.usd_per_hour for q in (await stage.quotes()).quotes if q.interruption_probability is None
    }
    assert quoted[spot("use1-az2")] == Decimal("0.06")
    assert spot() not in quoted


async def test_a_poll_that_breaks_off_keeps_nothing_and_is_made_again(stage: Stage) -> None:
    await stage.read_catalogue()
    stage.spot.history = [stage.point(f"0.0{n}", ago=n * HOUR) for n in range(1, 6)]
    stage.spot.fails_after_pages, stage.spot.error = 1, SourceThrottledError()
    with pytest.raises(SpotError):
        await stage.read_prices()
    assert stage.spot_points() == []
    stage.spot.fails_after_pages = None
    await stage.read_prices()
    assert stage.spot.asked[0][0] == stage.spot.asked[1][0], (
        "the window is the same: the cursor had not moved"
    )
    assert len(stage.spot_points()) == 5


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
