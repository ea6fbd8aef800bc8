"""What is known of a pool: how many instances were up, tick by tick.

The recordings say nothing about single instances, only how many were up. With one instance a drop is its
loss. With several, a drop of d loses d of them, and which of them came back cannot be seen.
"""

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Final

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Integers = npt.NDArray[np.int64]

UNKNOWN: Final = -1
"""A tick nobody recorded: a gap."""

HORIZON_SECONDS: Final = {"15m": 900, "1h": 3_600, "6h": 21_600, "24h": 86_400}


class TraceKind(StrEnum):
    """What a drop in a recording means."""

    PREEMPTION = "preemption"
    """An instance that was held is lost."""
    AVAILABILITY = "availability"
    """A probe for new capacity finds none."""


@dataclass(frozen=True, slots=True, eq=False)
class Trace:
    """One pool's recording."""

    name: str
    kind: TraceKind
    zone: str
    instance_type: str
    collection: str
    """Recorded together, on one clock: their days are resampled together."""
    tick_seconds: float
    up: Integers
    """Instances up at each tick; UNKNOWN in a gap."""
    prices_usd_per_hour: Floats | None = None
    siblings_up: Floats | None = None
    """Share of the siblings (same family, other sizes and zones) that were up at each tick."""

    @property
    def seconds(self) -> float:
        return len(self.up) * self.tick_seconds


def with_siblings(traces: Iterable[Trace]) -> list[Trace]:
    """Tell every trace how its siblings did: those of its family, recorded with it on one clock."""
    together: dict[tuple[str, str, float, int], list[Trace]] = defaultdict(list)
    ordered = list(traces)
    for trace in ordered:
        together[_clock_and_family(trace)].append(trace)
    found = []
    for trace in ordered:
        siblings = [other for other in together[_clock_and_family(trace)] if other is not trace]
        found.append(replace(trace, siblings_up=_share_up(siblings) if siblings else None))
    return found


def _share_up(traces: list[Trace]) -> Floats:
    """Give the share of those seen that were up; where none was seen, nothing is held against them."""
    seen = np.sum([trace.up > UNKNOWN for trace in traces], axis=0)
    found = np.sum([trace.up > 0 for trace in traces], axis=0)
    return np.asarray(np.where(seen > 0, found / np.maximum(seen, 1), 1.0), dtype=np.float64)


def _clock_and_family(trace: Trace) -> tuple[str, str, float, int]:
    family = trace.instance_type.partition(".")[0]
    return trace.collection, family, trace.tick_seconds, len(trace.up)
