"""The risk of observed pools: with the model, without it, and as contract v1 tells it."""

from collections.abc import Sequence
from datetime import timedelta
from typing import Any

import pytest

from services.pricing.domain.interruption_risk import AdvisorBand
from services.pricing.domain.placement import PlacementScore
from services.pricing.domain.risk_model import drift
from services.pricing.domain.risk_model.contract import Opinion
from services.pricing.errors import RiskModelUnavailableError
from services.pricing.handlers import keep_observation
from services.pricing.handlers.list_flags import list_flags
from services.pricing.handlers.predict_interruption import predict_interruption
from services.pricing.handlers.refresh_pool_risks import refresh_pool_risks
from shared.contracts.v1.executor import (
    CapacityInsufficient,
    InstanceLaunched,
    InstanceTerminated,
    NodeInterrupted,
)
from shared.contracts.v1.pricing import (
    InterruptionPrediction,
    ListFlags,
    PoolHistory,
    PredictInterruption,
    RecommendedAction,
)
from shared.kernel.interruption import InterruptionKind
from shared.kernel.pool_flags import FLAG_LIFETIME, PoolFlag
from shared.kernel.pools import CapacityType, PoolKey
from tests.builders import make_pool
from tests.fakes.clock import EPOCH, FakeClock
from tests.fakes.ids import CountedIds
from tests.fakes.pricing import FakeRiskModelStore, InMemoryPricing

pytestmark = pytest.mark.looptime

SPOT = make_pool(capacity_type=CapacityType.SPOT)
HOURLY_OF_THE_ADVISOR = 0.0004
BAD = Opinion({"15m": 0.2, "1h": 0.5, "6h": 0.9, "24h": 0.99}, 0.0)


class Stage:
    def __init__(self) -> None:
        self.clock, self.ids, self.store = FakeClock(), CountedIds(), InMemoryPricing()
        self.model = FakeRiskModelStore()
        self.store.risk.bands[SPOT.region] = {SPOT.instance_type: AdvisorBand.OVER_20_PERCENT}
        self.store.offerings.sources[SPOT.region, "spot_advisor"] = EPOCH

    def message(self, message_class: type, **fields: object) -> object:
        return message_class.make(  # type: ignore[attr-defined]
            scope="c1", clock=self.clock, ids=self.ids, organization_id="o1", **fields
        )

    async def launch(self, instance_id: str = "i-1", *, pool: object = SPOT) -> None:
        message = self.message(
            InstanceLaunched,
            execution_id=self.ids.new(),
            instance_id=instance_id,
            pool=pool,
            usd_per_hour=None,
        )
        assert isinstance(message, InstanceLaunched)
        await keep_observation.keep_launch(message, uow=self.store)
        await self.store.risk.put_instance_pool(instance_id, message.pool)

    async def lose(self, instance_id: str, *, pool: PoolKey = SPOT) -> None:
        message = self.message(
            NodeInterrupted,
            node_name="n",
            instance_id=instance_id,
            kind=InterruptionKind.SPOT_INTERRUPTION,
            pool=pool,
        )
        assert isinstance(message, NodeInterrupted)
        await keep_observation.keep_interruption(message, uow=self.store)

    async def end(self, instance_id: str) -> None:
        message = self.message(
            InstanceTerminated, execution_id=self.ids.new(), instance_id=instance_id, node_name=None
        )
        assert isinstance(message, InstanceTerminated)
        await keep_observation.keep_end(message, uow=self.store)

    async def find_no_capacity(self) -> None:
        message = self.message(CapacityInsufficient, pool=SPOT)
        assert isinstance(message, CapacityInsufficient)
        await keep_observation.keep_no_capacity(message, uow=self.store)

    async def restless_hours(self, *, pools: Sequence[PoolKey] = (SPOT,)) -> None:
        for hour in range(5):
            for place, pool in enumerate(pools):
                if hour:
                    await self.lose(f"i-{hour - 1}-{place}", pool=pool)
                await self.launch(f"i-{hour}-{place}", pool=pool)
            await self.clock.sleep(3_600 if hour < 4 else 1_800)

    async def refresh(self) -> dict[str, object]:
        await refresh_pool_risks(
            region=SPOT.region, model=self.model, unit_of_work=self.store.unit_of_work, clock=self.clock
        )
        risks = await self.store.observations.risks(SPOT.region, since=self.clock.now() - timedelta(hours=1))
        risk = risks.get(SPOT)
        return {"p": risk.interruption_probability, "source": risk.source} if risk else {}

    async def predict(self, **fields: object) -> InterruptionPrediction:
        asked: dict[str, Any] = {
            "instance_type": SPOT.instance_type,
            "availability_zone": SPOT.zone_id,
            "hour_of_day": 3,
            "day_of_week": 4,
        }
        request = PredictInterruption.make(
            scope=SPOT.region, clock=self.clock, ids=self.ids, **(asked | fields)
        )
        return await predict_interruption(
            request,
            model=self.model,
            unit_of_work=self.store.unit_of_work,
            clock=self.clock,
            ids=self.ids,
        )


async def test_what_is_seen_of_a_pool_reaches_the_model_and_its_opinion_the_quotes() -> None:
    stage = Stage()
    stage.model.answers = [BAD]
    await stage.restless_hours()

    found = await stage.refresh()

    assert found["p"] == pytest.approx(0.5, abs=0.02)
    assert found["source"] == "spot_advisor+observed+model:m1"
    (asked,) = stage.model.asked
    assert asked.up[-1] == 1
    assert int((asked.up == 0).sum()) == 4


@pytest.mark.parametrize("reason", ["died", "timeout", "refused", "resting", "loading"])
async def test_without_the_model_the_pool_s_own_losses_say_it(reason: str) -> None:
    stage = Stage()
    stage.model.answers = RiskModelUnavailableError("away", reason=reason)
    await stage.restless_hours()

    found = await stage.refresh()

    assert found["source"] == f"spot_advisor+observed+heuristic:{reason}"
    assert 0.3 < float(str(found["p"])) < 0.6


async def test_a_pool_unlike_all_that_the_model_knows_is_judged_without_it() -> None:
    stage = Stage()
    stage.model.answers = [Opinion(BAD.probability_by_horizon, 0.5)]
    await stage.restless_hours()

    assert (await stage.refresh())["source"] == "spot_advisor+observed+heuristic:strange_pool"


async def test_a_quiet_pool_keeps_the_advisor_s_figure_whatever_the_model_says() -> None:
    stage = Stage()
    stage.model.answers = [BAD]
    await stage.launch()
    await stage.clock.sleep(48 * 3_600)

    assert float(str((await stage.refresh())["p"])) == pytest.approx(HOURLY_OF_THE_ADVISOR, rel=0.1)


async def test_an_instance_that_we_end_says_nothing_against_its_pool() -> None:
    stage = Stage()
    for number in range(4):
        await stage.launch(f"i-{number}")
        await stage.clock.sleep(3_600)
        await stage.end(f"i-{number}")

    assert float(str((await stage.refresh())["p"])) < 2 * HOURLY_OF_THE_ADVISOR


async def test_where_nothing_is_rated_the_unknown_stays_unknown() -> None:
    stage = Stage()
    stage.store.risk.bands.clear()
    await stage.restless_hours()

    assert await stage.refresh() == {}


async def test_old_observations_are_forgotten_but_not_living_instances() -> None:
    stage = Stage()
    await stage.launch("i-1")
    await stage.launch("i-2")
    await stage.end("i-2")
    await stage.find_no_capacity()
    await stage.clock.sleep(8 * 86_400)

    await stage.refresh()

    assert [o.subject for o in stage.store.observations.kept.values()] == ["i-1"]


async def test_on_demand_instances_are_not_observed() -> None:
    stage = Stage()
    await stage.launch(pool=make_pool(capacity_type=CapacityType.ON_DEMAND))

    assert stage.store.observations.kept == {}


async def test_a_pool_never_seen_is_predicted_from_the_advisor() -> None:
    stage = Stage()

    said = await stage.predict()

    assert said.source == "spot_advisor"
    assert said.probability_by_horizon["1h"] == pytest.approx(HOURLY_OF_THE_ADVISOR, rel=0.05)
    assert said.horizon_seconds == 86_400
    assert said.interruption_probability == said.probability_by_horizon["24h"]
    assert said.recommended_action is RecommendedAction.SAFE
    assert not stage.model.asked


async def test_a_told_history_takes_the_place_of_ours() -> None:
    stage = Stage()
    stage.model.answers = [BAD]

    said = await stage.predict(pool_history=PoolHistory(tick_seconds=600, up=(1, 1, 0, 1, 0, 1, None, 0, 1)))

    assert said.recommended_action is RecommendedAction.AVOID
    assert said.source.endswith("model:m1")
    assert stage.model.asked[0].up.tolist() == [1, 1, 0, 1, 0, 1, -1, 0, 1]


async def test_a_history_in_which_nobody_looked_is_none() -> None:
    stage = Stage()

    assert (
        await stage.predict(pool_history=PoolHistory(tick_seconds=600, up=(None,)))
    ).source == "spot_advisor"


@pytest.mark.parametrize(
    ("minutes", "action"),
    [(0, RecommendedAction.AVOID), (20, RecommendedAction.CAUTION), (31, RecommendedAction.SAFE)],
)
async def test_a_live_flag_raises_the_action(minutes: int, action: RecommendedAction) -> None:
    stage = Stage()
    now = stage.clock.now()
    await stage.store.risk.put_flags([PoolFlag(SPOT, "interruption", now, now + FLAG_LIFETIME)])
    await stage.clock.sleep(60 * minutes)

    assert (await stage.predict()).recommended_action is action


async def test_a_zone_may_be_called_by_its_name() -> None:
    stage = Stage()
    stage.store.offerings.zones[SPOT.region] = {"us-east-1x": SPOT.zone_id}
    now = stage.clock.now()
    await stage.store.risk.put_flags([PoolFlag(SPOT, "interruption", now, now + FLAG_LIFETIME)])

    said = await stage.predict(availability_zone="us-east-1x")

    assert said.recommended_action is RecommendedAction.AVOID


async def test_with_an_old_advisors_file_a_prediction_is_less_sure_and_says_so() -> None:
    stage = Stage()
    await stage.restless_hours()
    sure = await stage.predict()
    assert sure.source == "spot_advisor+observed"
    stage.store.offerings.sources[SPOT.region, "spot_advisor"] = EPOCH - timedelta(days=7)
    unsure = await stage.predict()
    assert unsure.source == "stale_regional_prior+observed"
    assert 0.5 <= unsure.confidence_score < sure.confidence_score
    assert (await stage.refresh())["source"] == "stale_regional_prior+observed"


async def test_a_prediction_does_not_wait_for_the_model_and_says_what_stands_in() -> None:
    stage = Stage()
    stage.model.answers = RiskModelUnavailableError("not yet", reason="loading")

    said = await stage.predict(pool_history=PoolHistory(tick_seconds=600, up=(1, 1, 0, 1, 0, 1)))

    assert stage.model.could_wait == [False]
    assert said.source == "spot_advisor+observed+heuristic:loading"
    assert said.probability_by_horizon["1h"] > HOURLY_OF_THE_ADVISOR


def many_pools(count: int) -> list[PoolKey]:
    return [
        make_pool(instance_type=f"m5.{number}xlarge", capacity_type=CapacityType.SPOT)
        for number in range(1, count + 1)
    ]


def drifting_stage(pools: Sequence[PoolKey]) -> Stage:
    stage = Stage()
    stage.store.risk.bands[SPOT.region] = dict.fromkeys(
        [pool.instance_type for pool in pools], AdvisorBand.OVER_20_PERCENT
    )
    stage.model.answers = [BAD] * len(pools)
    stage.model.index_by_feature = {"1h/log age": 0.9, "1h/own rate 2 h": 0.3, "1h/siblings down": 0.1}
    return stage


async def test_a_model_whose_pools_have_drifted_is_not_listened_to_and_quotes_say_so() -> None:
    pools = many_pools(drift.LEAST_POOLS)
    stage = drifting_stage(pools)
    await stage.restless_hours(pools=pools)

    await stage.refresh()

    risks = await stage.store.observations.risks(SPOT.region, since=stage.clock.now())
    assert {risk.source for risk in risks.values()} == {"spot_advisor+observed+heuristic:drift"}
    assert not stage.model.asked
    said = await stage.predict(instance_type=pools[0].instance_type)
    assert said.source == "spot_advisor+observed+heuristic:drift"
    # A told past is of no pool that was compared.
    told = await stage.predict(pool_history=PoolHistory(tick_seconds=600, up=(1, 0, 1)))
    assert told.source.endswith("model:m1")


async def test_once_nothing_drifts_any_more_the_model_is_listened_to_again() -> None:
    pools = many_pools(drift.LEAST_POOLS)
    stage = drifting_stage(pools)
    await stage.restless_hours(pools=pools)
    await stage.refresh()

    stage.model.index_by_feature = dict.fromkeys(stage.model.index_by_feature, 0.05)
    await stage.refresh()

    said = await stage.predict(instance_type=pools[0].instance_type)
    assert said.source == "spot_advisor+observed+model:m1"


async def test_of_few_pools_nobody_says_that_they_drifted() -> None:
    pools = many_pools(drift.LEAST_POOLS - 1)
    stage = drifting_stage(pools)
    await stage.restless_hours(pools=pools)

    await stage.refresh()

    assert not stage.model.compared
    said = await stage.predict(instance_type=pools[0].instance_type)
    assert said.source == "spot_advisor+observed+model:m1"


async def test_calm_pools_do_not_count_as_drift() -> None:
    pools = many_pools(drift.LEAST_POOLS)
    stage = drifting_stage(pools)
    for number, pool in enumerate(pools):
        await stage.launch(f"i-{number}", pool=pool)
    await stage.clock.sleep(48 * 3_600)

    await stage.refresh()

    assert not stage.model.compared
    assert len(stage.model.asked) == len(pools)


@pytest.mark.parametrize(("hours", "is_shown"), [(1, True), (25, False)])
async def test_a_placement_score_is_shown_and_moves_nothing(hours: int, *, is_shown: bool) -> None:
    stage = Stage()
    without = await stage.predict()
    given = stage.clock.now()
    await stage.store.sources.put_placement_scores(
        SPOT.region, [PlacementScore(SPOT.instance_type.partition(".")[0], SPOT.zone_id, 1, 64, given)]
    )
    await stage.clock.sleep(3_600 * hours)

    said = await stage.predict()

    assert (said.placement_score is not None) is is_shown
    if said.placement_score is not None:
        assert (said.placement_score.score, said.placement_score.age_seconds) == (1, 3_600)
    assert said.probability_by_horizon == without.probability_by_horizon
    assert said.confidence_score == without.confidence_score
    listed = await list_flags(
        ListFlags.make(scope=SPOT.region, clock=stage.clock, ids=stage.ids),
        unit_of_work=stage.store.unit_of_work,
        clock=stage.clock,
    )
    assert [score.score for score in listed.placement_scores] == ([1] if is_shown else [])
