"""From what happened to our own instances to a pool's past, as the risk model reads it.

A tick of 10 minutes is lost (0) when an instance was taken or a launch found no capacity in it, up (1) when we
held an instance and nothing of the kind happened, and else unknown: nobody looked. So an instance that we end
ourselves is no loss, and a pool in which we hold nothing is neither safe nor risky.
"""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Final

import numpy as np

from services.pricing.domain.risk_model.traces import UNKNOWN, Trace, TraceKind, with_siblings
from shared.kernel.pools import PoolKey

TICK: Final = timedelta(minutes=10)
LOOK_BACK: Final = timedelta(days=7)
TICKS: Final = int(LOOK_BACK / TICK)


class ObservationKind(StrEnum):
    """What happened."""

    LAUNCHED = "launched"
    ENDED = "ended"
    """By us."""
    INTERRUPTED = "interrupted"
    INSUFFICIENT = "insufficient"
    """EC2 had no capacity."""


@dataclass(frozen=True, slots=True)
class Observation:
    """One thing that happened in a spot pool."""

    pool: PoolKey
    kind: ObservationKind
    subject: str
    """The instance, or what told of the lack of capacity: the same thing told twice is one."""
    at: datetime


@dataclass(frozen=True, slots=True)
class ObservedRisk:
    """What we predicted for a pool that was observed."""

    pool: PoolKey
    interruption_probability: float
    """Within an hour, without what flags add."""
    source: str


def pasts(observations: Iterable[Observation], *, now: datetime) -> dict[PoolKey, Trace]:
    """Give each observed pool's past up to `now`, with its siblings', on one clock; sorted by pool."""
    by_pool: dict[PoolKey, list[Observation]] = defaultdict(list)
    for observation in observations:
        if observation.at <= now:
            by_pool[observation.pool].append(observation)
    pools = sorted(by_pool)
    traces = with_siblings(_past(pool, by_pool[pool], now=now) for pool in pools)
    return {
        pool: trace for pool, trace in zip(pools, traces, strict=True) if bool((trace.up > UNKNOWN).any())
    }


def _past(pool: PoolKey, observations: Sequence[Observation], *, now: datetime) -> Trace:
    up = np.full(TICKS, UNKNOWN, dtype=np.int64)
    ended: dict[str, datetime] = {}
    for seen in observations:
        if seen.kind in (ObservationKind.ENDED, ObservationKind.INTERRUPTED):
            ended[seen.subject] = min(seen.at, ended.get(seen.subject, seen.at))
    for seen in observations:
        if seen.kind is ObservationKind.LAUNCHED:
            end = ended.get(seen.subject)
            last = TICKS if end is None else _tick(end, now)
            up[max(_tick(seen.at, now), 0) : max(last, 0)] = 1
    for seen in observations:
        is_loss = seen.kind in (ObservationKind.INTERRUPTED, ObservationKind.INSUFFICIENT)
        if is_loss and _tick(seen.at, now) >= 0:
            up[_tick(seen.at, now)] = 0
    return Trace(
        name=str(pool),
        kind=TraceKind.PREEMPTION,
        zone=pool.zone_id,
        instance_type=pool.instance_type,
        collection=pool.region,
        tick_seconds=TICK.total_seconds(),
        up=up,
    )


def _tick(at: datetime, now: datetime) -> int:
    """Number the tick that holds an instant; the last one ends now, and one before the first is negative."""
    return TICKS - 1 - int((now - at) / TICK)
