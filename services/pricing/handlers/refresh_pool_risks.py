"""Predict the risk of every pool in which something was seen, and keep it for the quotes."""

from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import timedelta

import structlog

from services.pricing import metrics
from services.pricing.domain import interruption_risk, pool_observations
from services.pricing.domain.interruption_risk import ADVISOR_FRESH_FOR, RiskEstimate
from services.pricing.domain.pool_observations import LOOK_BACK, ObservedRisk
from services.pricing.domain.risk_model import contract
from services.pricing.domain.risk_model.contract import Opinion, RiskQuestion
from services.pricing.domain.risk_model.traces import HORIZON_SECONDS, Trace
from services.pricing.errors import RiskModelUnavailableError
from services.pricing.handlers.refresh_ratings import SOURCE as ADVISOR
from services.pricing.ports import RiskModelStore, UnitOfWorkFactory
from shared.kernel.clock import Clock

log = structlog.get_logger(__name__)

MOST_STRANGE = 0.25
"""Share of features out of all that training saw, above which the model is not listened to."""


async def refresh_pool_risks(
    *,
    region: str,
    model: RiskModelStore | None,
    unit_of_work: UnitOfWorkFactory,
    clock: Clock,
    advisor_fresh_for: timedelta = ADVISOR_FRESH_FOR,
) -> int:
    """Predict anew for all observed pools of a region; return how many there are."""
    now = clock.now()
    async with unit_of_work() as uow:
        await uow.observations.forget(region, before=now - LOOK_BACK)
        seen = await uow.observations.since(region, since=now - LOOK_BACK)
        advice = interruption_risk.advice(
            await uow.risk.ratings(region),
            as_of=await uow.offerings.source_as_of(region, ADVISOR),
            now=now,
            fresh_for=advisor_fresh_for,
        )
    pasts = pool_observations.pasts(seen, now=now)
    said = await opinions(model, list(pasts.values()))
    risks = []
    for (pool, past), opinion in zip(pasts.items(), said, strict=True):
        prior = advice.of(pool.instance_type)
        if prior is None:
            # Nothing tells a scarce pool from an ordinary one then; what is unknown stays unknown.
            continue
        question = RiskQuestion(
            instance_type=pool.instance_type,
            availability_zone=pool.zone_id,
            spot_price_history=(),
            hour_of_day=now.hour,
            day_of_week=now.weekday(),
            past=past,
            prior_by_horizon=prior_by_horizon(prior),
            prior_source=prior.source,
            is_prior_old=advice.is_old,
        )
        told = contract.predict(
            question, prediction_id="", opinion=opinion, model_name=model.name if model else ""
        )
        risks.append(ObservedRisk(pool, told.probability_by_horizon["1h"], told.source))
    async with unit_of_work() as uow:
        await uow.observations.put_risks(region, risks, as_of=now)
    by_model = Counter("model" if "model:" in risk.source else "heuristic" for risk in risks)
    for source in ("model", "heuristic"):
        metrics.observed_pools.labels(region, source).set(by_model[source])
    return len(risks)


async def opinions(model: RiskModelStore | None, pasts: Sequence[Trace]) -> Sequence[Opinion | None]:
    """Ask the model; None where it says nothing, cannot be asked, or does not know such a pool."""
    if model is None or not pasts:
        return [None] * len(pasts)
    try:
        said = await model.opinions(pasts)
    except RiskModelUnavailableError as error:
        # The store tells the log, once for each attempt; while it rests there is nothing new to tell.
        metrics.model_failures.labels(error.reason).inc()
        return [None] * len(pasts)
    trusted = [opinion if opinion and opinion.strange_share <= MOST_STRANGE else None for opinion in said]
    strange = sum(opinion is not None for opinion in said) - sum(opinion is not None for opinion in trusted)
    if strange:
        metrics.strange_pools.inc(strange)
        log.warning("risk_model_drifts", strange=strange, asked=len(pasts), model=model.name)
    return trusted


def prior_by_horizon(prior: RiskEstimate | None) -> Mapping[str, float] | None:
    """Spread an estimate over the horizons; None where nothing is known."""
    if prior is None:
        return None
    return {name: interruption_risk.over(prior, seconds=seconds) for name, seconds in HORIZON_SECONDS.items()}
