"""A cluster's region is priced within seconds, and its troubles are nobody else's."""

from collections import Counter
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from decimal import Decimal

import pytest
from prometheus_client import REGISTRY
from structlog.testing import capture_logs

from services.pricing.domain.interruption_risk import AdvisorBand
from services.pricing.domain.offerings import PricePoint
from services.pricing.domain.pool_observations import Observation, ObservationKind
from services.pricing.domain.price_list import OnDemandPrices
from services.pricing.entrypoints.new_regions import NewRegions
from services.pricing.entrypoints.ticker import Refreshers
from services.pricing.errors import SourceUnavailableError
from services.pricing.handlers.keep_observation import keep
from services.pricing.handlers.keep_regions import keep_region, note_question
from services.pricing.settings import PricingSettings
from shared.contracts.v1.gateway import CloudAccountRef, ClusterRegistered
from shared.kernel.capacity import InstanceType
from shared.kernel.errors import SpotError
from shared.kernel.pools import CapacityType, PoolKey
from tests.builders import make_instance_type
from tests.fakes.clock import FakeClock
from tests.fakes.ids import CountedIds
from tests.fakes.pricing import InMemoryPricing
from tests.fakes.pricing_outside import FakeAdvisor, FakeSpotPriceSource

pytestmark = pytest.mark.looptime

HOME, NEW = "us-east-1", "eu-west-1"
DAY = timedelta(days=1)


@dataclass
class FakeAws:
    """Every region has one type in one zone; those in `away` do not answer."""

    away: set[str] = field(default_factory=set)
    error: type[Exception] = SourceUnavailableError
    """Raised where one is away."""
    asked: Counter[tuple[str, str]] = field(default_factory=Counter)

    async def zone_ids(self, region: str) -> dict[str, str]:
        self._ask("catalogue", region)
        return {f"{region}a": f"{region}-az1"}

    async def instance_types(self, _region: str) -> list[InstanceType]:
        return [make_instance_type("m5.large")]

    async def offered(self, region: str) -> frozenset[tuple[str, str]]:
        return frozenset({("m5.large", f"{region}a")})

    async def on_demand_prices(self, region: str) -> OnDemandPrices:
        self._ask("on_demand", region)
        return OnDemandPrices(usd_per_hour={"m5.large": Decimal("0.1")})

    def _ask(self, what: str, region: str) -> None:
        self.asked[what, region] += 1
        if region in self.away:
            raise self.error(f"{region} does not answer")


class Stage:
    """Pricing with the regions of a fake AWS, in memory."""

    def __init__(self, **settings: object) -> None:
        self.clock, self.ids, self.store, self.aws = FakeClock(), CountedIds(), InMemoryPricing(), FakeAws()
        self.spot = FakeSpotPriceSource()
        self.refreshers = Refreshers(
            settings=PricingSettings(**{"regions": frozenset({HOME}), **settings}),  # type: ignore[arg-type]
            catalogue=self.aws,
            on_demand=[self.aws],
            spot_prices=self.spot,
            advisor=FakeAdvisor({NEW: {"m5.large": AdvisorBand.UNDER_5_PERCENT}}),
            unit_of_work=self.store.unit_of_work,
            clock=self.clock,
            ids=self.ids,
        )
        self.new = NewRegions(refreshers=self.refreshers)

    async def register(self, region: str = NEW) -> None:
        account = CloudAccountRef(id="a1", account_number="123456789012", region=region)
        event = ClusterRegistered.make(
            scope="c1",
            clock=self.clock,
            ids=self.ids,
            organization_id="o1",
            name="main",
            cloud_account=account,
        )
        async with self.store.unit_of_work() as uow:
            await keep_region(event, rules=self.refreshers.rules, uow=uow, clock=self.clock)

    async def tick(self, seconds: float = 5) -> None:
        await self.clock.sleep(seconds)
        pool = PoolKey(NEW, "m5.large", f"{NEW}-az1", CapacityType.SPOT)
        self.spot.history = [PricePoint(pool, Decimal("0.03"), self.clock.now())]
        await self.new.read()
        await self.new.read_on_demand()

    async def ask(self, region: str = NEW) -> None:
        await note_question(region, next_at={}, unit_of_work=self.store.unit_of_work, clock=self.clock)

    async def priced(self, region: str = NEW) -> set[CapacityType]:
        return set((await self.store.offerings.priced_pools(region)).capacity_type)


@pytest.fixture
async def stage() -> Stage:
    return Stage()


def refused(reason: str) -> float:
    return REGISTRY.get_sample_value("spot_pricing_regions_refused_total", {"reason": reason}) or 0


async def test_a_clusters_region_is_priced_at_the_next_tick_and_read_once(stage: Stage) -> None:
    await stage.tick()
    assert not stage.aws.asked, "the operator's regions are read at the start, not here"
    await stage.register()
    await stage.tick()
    assert await stage.priced() == {CapacityType.SPOT, CapacityType.ON_DEMAND}
    assert await stage.store.risk.ratings(NEW) == {"m5.large": AdvisorBand.UNDER_5_PERCENT}
    assert await stage.refreshers.regions() == [NEW, HOME]
    for _ in range(5):
        await stage.tick()
    assert set(stage.aws.asked.values()) == {1}
    again = NewRegions(refreshers=stage.refreshers)
    await again.read()
    assert set(stage.aws.asked.values()) == {1}, "a restart finds in the database what is known"


async def test_a_region_whose_catalogue_is_long_overdue_is_read_again(stage: Stage) -> None:
    await stage.register()
    await stage.tick()
    await stage.ask()
    await stage.tick(2 * 86_400)
    assert stage.aws.asked["catalogue", NEW] == 2


@pytest.mark.parametrize("error", [SourceUnavailableError, ValueError])
async def test_a_region_that_does_not_answer_is_asked_less_and_less_and_harms_no_other(
    stage: Stage, error: type[Exception]
) -> None:
    stage.aws.away, stage.aws.error = {NEW}, error
    await stage.register()
    await stage.register("eu-west-2")
    with capture_logs() as told:
        for _ in range(120):
            await stage.tick()
    waits = [t for t in told if t["event"] == "new_region_waits"]
    assert {t["region"] for t in waits} == {NEW}
    assert all(f"{NEW} does not answer" in t["error"] for t in waits)
    assert 4 <= stage.aws.asked["catalogue", NEW] <= 8
    assert stage.aws.asked["catalogue", "eu-west-2"] == 1
    await stage.refreshers.start_up()
    await stage.refreshers.refresh_catalogues()
    stage.aws.away, stage.aws.error = {HOME}, SourceUnavailableError
    with pytest.raises(SpotError, match=HOME):
        await stage.refreshers.refresh_catalogues()
    stage.aws.away = set()
    await stage.tick(1_000)
    assert await stage.priced() == {CapacityType.SPOT, CapacityType.ON_DEMAND}


async def test_a_name_that_no_region_has_is_refused_and_counted(stage: Stage) -> None:
    before = refused("not_allowed")
    await stage.register("eu-west-1.evil.example")
    assert refused("not_allowed") == before + 1
    assert await stage.store.regions.used() == []


async def test_over_the_limit_a_region_is_left_out_and_told_once() -> None:
    stage = Stage(most_regions=2)
    before = refused("limit")
    await stage.register()
    await stage.tick()
    await stage.register("eu-west-2")
    for _ in range(3):
        await stage.tick()
    assert await stage.refreshers.regions() == [NEW, HOME]
    assert refused("limit") == before + 1
    assert stage.aws.asked["catalogue", "eu-west-2"] == 0


async def test_a_region_rests_when_no_plan_asks_and_wakes_when_one_does(stage: Stage) -> None:
    await stage.register()
    await stage.tick()
    await stage.clock.sleep(10 * 86_400)
    await stage.ask()
    await stage.clock.sleep(10 * 86_400)
    assert await stage.refreshers.regions() == [NEW, HOME]
    await stage.clock.sleep(5 * 86_400)
    assert await stage.refreshers.regions() == [HOME]
    asked = stage.aws.asked["catalogue", NEW]
    await stage.refreshers.refresh_catalogues()
    assert stage.aws.asked["catalogue", NEW] == asked, "it is not polled"
    assert await stage.priced() == {CapacityType.SPOT, CapacityType.ON_DEMAND}, "what is known stays"
    await stage.ask("eu-west-3")
    await stage.ask()
    assert await stage.refreshers.regions() == [NEW, HOME], "a question alone brings no other region"
    await stage.tick()
    assert stage.aws.asked["catalogue", NEW] == asked + 1


async def test_that_prices_are_asked_for_is_written_down_once_an_hour(stage: Stage) -> None:
    await stage.register()
    noted: dict[str, object] = {}

    async def ask() -> object:
        await note_question(NEW, next_at=noted, unit_of_work=stage.store.unit_of_work, clock=stage.clock)  # type: ignore[arg-type]
        return (await stage.store.regions.used())[0].last_used_at

    first = await ask()
    await stage.clock.sleep(3_000)
    assert await ask() == first
    await stage.clock.sleep(700)
    assert await ask() == stage.clock.now()


async def test_what_was_seen_in_a_region_that_rests_is_forgotten_all_the_same(stage: Stage) -> None:
    await stage.register()
    pool = PoolKey(NEW, "m5.large", f"{NEW}-az1", CapacityType.SPOT)
    seen = Observation(pool, ObservationKind.INSUFFICIENT, "m-1", stage.clock.now())
    async with stage.store.unit_of_work() as uow:
        await keep(seen, uow=uow)
    await stage.refreshers.forget_instances()
    assert stage.store.observations.kept
    await stage.clock.sleep(20 * 86_400)
    await stage.refreshers.forget_instances()
    assert not stage.store.observations.kept


async def test_a_question_that_comes_before_the_cluster_is_noted_again_soon(stage: Stage) -> None:
    next_at: dict[str, datetime] = {}

    async def ask() -> None:
        await note_question(NEW, next_at=next_at, unit_of_work=stage.store.unit_of_work, clock=stage.clock)

    await ask()
    async with stage.store.unit_of_work() as uow:
        await uow.regions.use(NEW, at=stage.clock.now() - 90 * DAY)
    assert await stage.refreshers.regions() == [HOME], "registered long ago, and told only now"
    await stage.clock.sleep(60)
    await ask()
    assert await stage.refreshers.regions() == [NEW, HOME]
