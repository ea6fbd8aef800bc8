"""What annotations of pods and workloads say about spot: three named ones, and nothing else of them.

Whoever writes something unreadable means to be careful: it is read as the answer that keeps pods off spot.
"""

import math
from collections.abc import Mapping
from typing import Any

from shared.kernel.workload import SpotWish

SPOT_ANNOTATION = "spot-optimizer.io/spot"
ON_DEMAND_MIN_REPLICAS_ANNOTATION = "spot-optimizer.io/on-demand-min-replicas"
INTERRUPTION_COST_ANNOTATION = "spot-optimizer.io/interruption-cost-usd"

EVERY_REPLICA = 2**31 - 1
"""In place of a number that cannot be read; no workload has more."""
NO_WISH = SpotWish()


def parse_spot_wish(annotations: Mapping[str, Any]) -> SpotWish:
    """Give what the annotations say; an unreadable cost is left out, since the policy has one."""
    spot = annotations.get(SPOT_ANNOTATION)
    least = annotations.get(ON_DEMAND_MIN_REPLICAS_ANNOTATION)
    cost = annotations.get(INTERRUPTION_COST_ANNOTATION)
    if spot is None and least is None and cost is None:
        return NO_WISH
    return SpotWish(
        allowed=None if spot is None else str(spot).strip().lower() == "true",
        on_demand_min_replicas=None if least is None else _replicas(str(least).strip()),
        interruption_cost_usd=None if cost is None else _usd(str(cost)),
    )


def _replicas(text: str) -> int:
    return min(int(text), EVERY_REPLICA) if text.isascii() and text.isdigit() else EVERY_REPLICA


def _usd(text: str) -> float | None:
    try:
        amount = float(text)
    except ValueError:
        return None
    return amount if math.isfinite(amount) and amount >= 0 else None
