"""The pool: what EC2 prices, and interrupts, together.

Zone ids (use1-az4) name the same place in every account; zone names (us-east-1a) differ from account to
account, so names stop at the edges and only ids are compared between clusters.
"""

from dataclasses import dataclass
from enum import StrEnum


class CapacityType(StrEnum):
    """How an instance is bought; spelled as Karpenter's label spells it."""

    SPOT = "spot"
    ON_DEMAND = "on-demand"
    RESERVED = "reserved"


@dataclass(frozen=True, slots=True, order=True)
class PoolKey:
    """Instances that share price and fate."""

    region: str
    instance_type: str
    zone_id: str
    capacity_type: CapacityType

    def __str__(self) -> str:
        return f"{self.capacity_type}:{self.instance_type}:{self.zone_id}"
