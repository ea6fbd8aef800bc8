"""Predict the risk of every pool in which something was seen, and keep it for the quotes."""

from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import timedelta

from services.pricing import metrics
from services.pricing.domain import interruption_risk, pool_observations
from services.pricing.domain.interruption_risk import ADVISOR_FRESH_FOR, RiskEstimate
from services.pricing.domain.pool_observations import LOOK_BACK, ObservedRisk
from services.pricing.domain.risk_model import contract
from services.pricing.domain.risk_model.contract import RiskQuestion
from services.pricing.domain.risk_model.traces import HORIZON_SECONDS
from services.pricing.handlers.ask_risk_model import DRIFT, Heard, ask, drifts
from services.pricing.handlers.refresh_ratings import SOURCE as ADVISOR
from services.pricing.ports import RiskModelStore, UnitOfWorkFactory
from shared.kernel.clock import Clock

SCARCE_ABOVE = 0.5
"""Probability of being a scarce pool from which on one counts among those that may have drifted."""


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
    # Without a prior nothing tells a scarce pool from an ordinary one; what is unknown stays unknown.
    questions = [
        (
            pool,
            RiskQuestion(
                instance_type=pool.instance_type,
                availability_zone=pool.zone_id,
                spot_price_history=(),
                hour_of_day=now.hour,
                day_of_week=now.weekday(),
                past=past,
                prior_by_horizon=prior_by_horizon(prior),
                prior_source=prior.source,
                is_prior_old=advice.is_old,
            ),
            past,
        )
        for pool, past in pasts.items()
        if (prior := advice.of(pool.instance_type)) is not None
    ]
    # The model speaks for scarce pools only: of calm ones it was shown none, and they are judged without it anyway.
    scarce = [past for _, question, past in questions if contract.scarcity(question) > SCARCE_ABOVE]
    if await drifts(model, scarce, region=region):
        heard: Sequence[Heard] = [Heard(why_not=DRIFT)] * len(questions)
    else:
        heard = await ask(model, [past for _, _, past in questions])
    model_name = model.name if model else ""
    risks = []
    for (pool, question, _), one in zip(questions, heard, strict=True):
        told = contract.predict(
            question,
            prediction_id="",
            opinion=one.opinion,
            model_name=model_name,
            why_not=one.why_not,
        )
        risks.append(ObservedRisk(pool, told.probability_by_horizon["1h"], told.source))
    async with unit_of_work() as uow:
        await uow.observations.put_risks(region, risks, as_of=now)
    by_model = Counter("model" if "model:" in risk.source else "heuristic" for risk in risks)
    for source in ("model", "heuristic"):
        metrics.observed_pools.labels(region, source).set(by_model[source])
    return len(risks)


def prior_by_horizon(prior: RiskEstimate | None) -> Mapping[str, float] | None:
    """Spread an estimate over the horizons; None where nothing is known."""
    if prior is None:
        return None
    return {name: interruption_risk.over(prior, seconds=seconds) for name, seconds in HORIZON_SECONDS.items()}
