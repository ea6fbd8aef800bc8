"""Recordings for tests: drawn from a process whose risk is known."""

import numpy as np

from services.pricing.domain.risk_model.traces import Trace, TraceKind


def make_trace(
    up: list[int] | np.ndarray, *, tick_seconds: float = 600.0, zone: str = "us-east-1a", name: str = "a"
) -> Trace:
    return Trace(
        name=name,
        kind=TraceKind.PREEMPTION,
        zone=zone,
        instance_type="p3.2xlarge",
        collection="c",
        tick_seconds=tick_seconds,
        up=np.array(up, dtype=np.int64),
    )


def drawn_up(hazard: float, *, ticks: int, seed: int, back: float = 0.3) -> np.ndarray:
    """Draw a pool that is lost with `hazard` a tick and comes back with `back`."""
    draws = np.random.default_rng(seed).random(ticks)
    up, state = np.ones(ticks, dtype=np.int64), 1
    for tick in range(1, ticks):
        state = int(draws[tick] >= hazard) if state else int(draws[tick] < back)
        up[tick] = state
    return up


def unlike_pools(*, ticks: int = 1_500) -> list[Trace]:
    """Give pools in three zones, calm and restless ones in each: only their own past tells them apart."""
    return [
        make_trace(
            drawn_up(hazard, ticks=ticks, seed=10 * number + place),
            zone=f"us-east-1{zone}",
            name=f"{zone}{place}",
        )
        for number, zone in enumerate("abc")
        for place, hazard in enumerate((0.01, 0.2))
    ]
