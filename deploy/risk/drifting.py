"""How far recordings are from what a model learnt from, and how often chance alone would look like drift."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, Final

import numpy as np

from deploy.risk.training import Progress
from services.pricing.domain.risk_model import drift
from services.pricing.domain.risk_model.drift import Drift
from services.pricing.domain.risk_model.model import RiskModel
from services.pricing.domain.risk_model.traces import HORIZON_SECONDS, Trace, with_siblings

COUNTS: Final = (3, 5, 10, 20, 40)
"""Pools in a draw."""
WEEKS: Final = 90
"""Pasts that are drawn from."""
DRAWS: Final = 500


def compare(
    model: RiskModel, traces: Sequence[Trace], *, progress: Progress, seed: int = 42
) -> dict[str, Any]:
    """Give the index of every feature over the recordings, and the share of draws of few pools that look like drift."""
    pasts = _weeks(traces, np.random.default_rng(seed))
    progress(f"reading {len(pasts)} weeks")
    whole = model.drift(pasts)
    return {
        "pools": len(pasts),
        "is_drift": whole.is_drift,
        "index": dict(whole.index_by_feature),
        "by_chance": _by_chance(model, pasts, np.random.default_rng(seed)),
    }


def _weeks(traces: Sequence[Trace], rng: np.random.Generator) -> list[Trace]:
    """Cut weeks out of the recordings in turn, each somewhere."""
    told = with_siblings(traces)
    pasts = []
    for number in range(WEEKS):
        trace = told[number % len(told)]
        length = round(drift.LOOK_BACK_SECONDS / trace.tick_seconds)
        first = int(rng.integers(max(1, len(trace.up) - length + 1)))
        siblings = trace.siblings_up
        pasts.append(
            replace(
                trace,
                up=trace.up[first : first + length],
                prices_usd_per_hour=None,
                siblings_up=None if siblings is None else siblings[first : first + length],
            )
        )
    return pasts


def _by_chance(model: RiskModel, pasts: Sequence[Trace], rng: np.random.Generator) -> list[dict[str, Any]]:
    """Draw pools again and again, and count how often they would be taken for drift, were so many enough to tell."""
    spread = {
        name: (
            np.array(
                [
                    horizon.histogram.counted(
                        drift.rows_of(past, HORIZON_SECONDS[name], prior=horizon.whole.prior)
                    )
                    for past in pasts
                ]
            ),
            horizon.histogram.shares,
            np.flatnonzero(horizon.whole.weights),
        )
        for name, horizon in model.horizons.items()
        if horizon.histogram is not None
    }
    found = []
    for count in COUNTS:
        means, alarms = [], 0
        for _ in range(DRAWS):
            chosen = rng.integers(len(pasts), size=count)
            index = {
                f"{name}/{n}": float(value)
                for name, (counted, shares, used) in spread.items()
                for n, value in zip(
                    used, drift.index(counted[chosen].mean(axis=0), shares)[used], strict=True
                )
            }
            means.append(np.mean(list(index.values())))
            alarms += Drift(drift.LEAST_POOLS, index).is_drift
        found.append({"pools": count, "mean_index": float(np.mean(means)), "alarms": alarms / DRAWS})
    return found
