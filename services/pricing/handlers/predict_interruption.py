"""Answer contract v1: how likely is it that an instance of this pool, running now, is interrupted?"""

from datetime import datetime, timedelta

import numpy as np

from services.pricing.domain import interruption_risk, placement, pool_observations
from services.pricing.domain.interruption_risk import ADVISOR_FRESH_FOR
from services.pricing.domain.pool_observations import LOOK_BACK
from services.pricing.domain.risk_model import contract
from services.pricing.domain.risk_model.contract import FlagState, PricePoint, RiskQuestion
from services.pricing.domain.risk_model.traces import UNKNOWN, Trace, TraceKind
from services.pricing.handlers.ask_risk_model import DRIFT, Heard, ask
from services.pricing.handlers.list_flags import shown_score
from services.pricing.handlers.refresh_pool_risks import prior_by_horizon
from services.pricing.handlers.refresh_ratings import SOURCE as ADVISOR
from services.pricing.ports import RiskModelStore, UnitOfWorkFactory
from shared.contracts.v1.pricing import (
    InterruptionPrediction,
    PoolHistory,
    PredictInterruption,
    RecommendedAction,
)
from shared.kernel.clock import Clock
from shared.kernel.ids import Ids
from shared.kernel.pool_flags import AVOID_LEVEL, PoolFlag
from shared.kernel.pools import CapacityType, PoolKey

DRIFT_REMEMBERED_FOR = timedelta(minutes=30)
"""How long the last look at a region's pools says whether they drifted; there is one every few minutes."""
DRIFTS = f"{contract.STAND_IN}:{DRIFT}"


async def predict_interruption(
    request: PredictInterruption,
    *,
    model: RiskModelStore | None,
    unit_of_work: UnitOfWorkFactory,
    clock: Clock,
    ids: Ids,
    advisor_fresh_for: timedelta = ADVISOR_FRESH_FOR,
) -> InterruptionPrediction:
    """Predict from the pool's past, as told or as seen by us, with Spot Advisor's figure and live flags.

    A model that loads, restarts or is busy is not waited for; the source says that the heuristic stands in.

    Raises:
        RiskQuestionError: a price is no price.
    """
    region, now = request.scope, clock.now()
    async with unit_of_work() as uow:
        zones = await uow.offerings.zone_ids(region)
        zone_id = zones.get(request.availability_zone, request.availability_zone)
        pool = PoolKey(region, request.instance_type, zone_id, CapacityType.SPOT)
        advice = interruption_risk.advice(
            await uow.risk.ratings(region),
            as_of=await uow.offerings.source_as_of(region, ADVISOR),
            now=now,
            fresh_for=advisor_fresh_for,
        )
        flags = await uow.risk.live_flags(region, now=now)
        seen = [] if request.pool_history else await uow.observations.since(region, since=now - LOOK_BACK)
        lately = await uow.observations.risks(region, since=now - DRIFT_REMEMBERED_FOR)
        scores = await uow.sources.placement_scores(region, since=now - placement.SHOWN_FOR)
    past = (
        _told(request.pool_history, pool)
        if request.pool_history
        else pool_observations.pasts(seen, now=now).get(pool)
    )
    prior = advice.of(request.instance_type)
    question = RiskQuestion(
        instance_type=request.instance_type,
        availability_zone=zone_id,
        spot_price_history=tuple(
            PricePoint(point.at, float(point.usd_per_hour)) for point in request.spot_price_history
        ),
        hour_of_day=request.hour_of_day,
        day_of_week=request.day_of_week,
        past=past,
        prior_by_horizon=prior_by_horizon(prior),
        prior_source=prior.source if prior else "",
        is_prior_old=advice.is_old,
        flag=_flag_state(flags.get(pool), now=now),
    )
    # What was found of the region's pools holds for them; a told past is of none that we compared.
    is_drifting = not request.pool_history and any(risk.source.endswith(DRIFTS) for risk in lately.values())
    if past is None:
        heard = Heard()
    elif is_drifting:
        heard = Heard(why_not=DRIFT)
    else:
        (heard,) = await ask(model, [past], can_wait=False)
    prediction_id = ids.new()
    told = contract.predict(
        question,
        prediction_id=str(prediction_id),
        opinion=heard.opinion,
        model_name=model.name if model else "",
        why_not=heard.why_not,
    )
    score = scores.get((placement.family_of(request.instance_type), zone_id))
    return InterruptionPrediction(
        prediction_id=prediction_id,
        interruption_probability=told.interruption_probability,
        horizon_seconds=told.horizon_seconds,
        confidence_score=told.confidence_score,
        recommended_action=RecommendedAction(told.recommended_action.value),
        probability_by_horizon=dict(told.probability_by_horizon),
        hazard_per_hour=told.hazard_per_hour,
        source=told.source,
        placement_score=score and shown_score(score, now=now),
    )


def _told(history: PoolHistory, pool: PoolKey) -> Trace | None:
    """Read a past that the asker has; None when nobody looked at any tick."""
    up = np.array([UNKNOWN if count is None else count for count in history.up], dtype=np.int64)
    if not (up > UNKNOWN).any():
        return None
    return Trace(
        name=str(pool),
        kind=TraceKind.PREEMPTION,
        zone=pool.zone_id,
        instance_type=pool.instance_type,
        collection=pool.region,
        tick_seconds=history.tick_seconds,
        up=up,
    )


def _flag_state(flag: PoolFlag | None, *, now: datetime) -> FlagState:
    """A flag keeps launches away while its level is high; then it has decayed."""
    if flag is None:
        return FlagState.NONE
    return FlagState.FRESH if flag.level(now) > AVOID_LEVEL else FlagState.DECAYED
