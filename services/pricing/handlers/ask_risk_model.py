"""Ask the model about pools, and say of which pools it is not listened to, and why."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import structlog

from services.pricing import metrics
from services.pricing.domain.risk_model import drift
from services.pricing.domain.risk_model.contract import Opinion
from services.pricing.domain.risk_model.traces import Trace
from services.pricing.errors import RiskModelUnavailableError
from services.pricing.ports import RiskModelStore

log = structlog.get_logger(__name__)

MOST_STRANGE: Final = 0.25
"""Share of features out of all that training saw, above which the model is not listened to."""
STRANGE: Final = "strange_pool"
DRIFT: Final = "drift"
"""Beside the reasons of RiskModelUnavailableError."""


@dataclass(frozen=True, slots=True)
class Heard:
    """What came of asking about one pool."""

    opinion: Opinion | None = None
    """None: the model has nothing to say of it, or is not listened to."""
    why_not: str = ""
    """Why it is not listened to, in a word."""


async def ask(
    model: RiskModelStore | None, pasts: Sequence[Trace], *, can_wait: bool = True
) -> Sequence[Heard]:
    """Ask about each pool; without a model nothing is said of any."""
    if model is None or not pasts:
        return [Heard()] * len(pasts)
    try:
        said = await model.opinions(pasts, can_wait=can_wait)
    except RiskModelUnavailableError as error:
        # The store tells the log, once for each attempt; while it rests there is nothing new to tell.
        metrics.model_failures.labels(error.reason).inc()
        return [Heard(why_not=error.reason)] * len(pasts)
    heard = [
        Heard(why_not=STRANGE) if opinion and opinion.strange_share > MOST_STRANGE else Heard(opinion)
        for opinion in said
    ]
    strange = sum(one.why_not == STRANGE for one in heard)
    if strange:
        metrics.strange_pools.inc(strange)
        log.warning("risk_model_meets_strange_pools", strange=strange, asked=len(pasts), model=model.name)
    return heard


async def drifts(model: RiskModelStore | None, pasts: Sequence[Trace], *, region: str) -> bool:
    """Compare the scarce pools of a region with what the model learnt from; False where there are too few to tell."""
    if model is None or len(pasts) < drift.LEAST_POOLS:
        metrics.model_drift.labels(region).set(float("nan"))
        return False
    try:
        found = await model.drift(pasts)
    except RiskModelUnavailableError as error:
        metrics.model_failures.labels(error.reason).inc()
        metrics.model_drift.labels(region).set(float("nan"))
        return False
    share = len(found.drifted) / len(found.index_by_feature) if found.is_known else float("nan")
    metrics.model_drift.labels(region).set(share)
    if found.is_drift:
        log.warning(
            "risk_model_drifts",
            region=region,
            pools=found.pools,
            model=model.name,
            index={name: round(found.index_by_feature[name], 2) for name in found.drifted[:5]},
        )
    return found.is_drift
