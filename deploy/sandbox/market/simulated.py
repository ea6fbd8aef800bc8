"""Spot prices that behave like recorded ones.

What recordings show since AWS smooths prices (268,519 rows of 2021 and 2024): the median ratio of spot to
on-demand is 0.34 to 0.45, the median gap between two events of a pool 6.6 h, no single step exceeds 7.1 %,
an unchanged price is published again every 24 h, and no price exceeds on-demand.
"""

from collections.abc import Iterable, Mapping

import numpy as np

from deploy.sandbox.market.history import Event, Pool, PriceHistory

MEDIAN_RATIO = 0.40
TYPE_SPREAD = 0.25
"""Standard deviation of the logarithm of the ratio between types."""
ZONE_SPREAD = 0.10
"""The same between the zones of one type."""
MEDIAN_GAP_SECONDS = 6.6 * 3600
REPUBLISH_SECONDS = 24 * 3600.0
LARGEST_STEP = 0.071
TYPICAL_STEP = 0.02
PULL_TO_MEAN = 0.05
"""Share of the distance to the pool's long-run price that one event takes back."""


def simulate(
    pools: Iterable[Pool], on_demand: Mapping[str, float], *, start: float, end: float, seed: int
) -> PriceHistory:
    """Draw every pool's events from `start` to `end`; the same arguments give the same prices."""
    rng = np.random.default_rng(seed)
    ordered = sorted(pools)
    type_level = {
        name: MEDIAN_RATIO * np.exp(TYPE_SPREAD * rng.standard_normal())
        for name in sorted({name for name, _ in ordered})
    }
    return PriceHistory.from_events(
        {pool: _events(rng, type_level[pool[0]], on_demand[pool[0]], start, end) for pool in ordered}
    )


def _events(
    rng: np.random.Generator, type_level: float, on_demand: float, start: float, end: float
) -> list[Event]:
    level = float(np.clip(type_level * np.exp(ZONE_SPREAD * rng.standard_normal()), 0.12, 0.95))
    mean_gap = MEDIAN_GAP_SECONDS / np.log(2.0)
    count = int((end - start) / mean_gap * 1.5) + 8
    gaps = rng.exponential(mean_gap, count)
    steps = np.clip(TYPICAL_STEP * rng.standard_normal(count), -0.07, 0.068)
    time, ratio = start - float(rng.uniform(0, REPUBLISH_SECONDS)), level
    events: list[Event] = []
    for gap, step in zip(gaps.tolist(), steps.tolist(), strict=True):
        if time > end:
            break
        price = max(round(on_demand * ratio, 6), 1e-6)
        events.append((time, price))
        republished = time + REPUBLISH_SECONDS
        while republished < min(time + gap, end):
            events.append((republished, price))
            republished += REPUBLISH_SECONDS
        time += gap
        pull = PULL_TO_MEAN * (level / ratio - 1.0)
        ratio = min(ratio * (1.0 + max(min(step + pull, 0.07), -0.07)), 1.0)
    return events
