"""Spot placement scores: what EC2 itself thinks of a request's chances, when it may be asked.

A score is of a request, not of a pool: EC2 rates any of several types together, and rates fewer than three low.
So a family is asked about as a whole, at one size of request, and its score is a feature of all its pools.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta

from shared.kernel.capacity import InstanceType

SHOWN_FOR = timedelta(days=1)
"""A score that is older is shown to nobody: EC2 rates the capacity of the moment."""
MOST_TYPES = 20
"""Types named in one request; a family's smaller ones are the likelier fleet."""


@dataclass(frozen=True, slots=True)
class PlacementScore:
    """1 (unlikely to succeed) to 10 (likely), for `target_vcpus` of the family in the zone at `as_of`."""

    family: str
    zone_id: str
    score: int
    target_vcpus: int
    as_of: datetime


def family_of(instance_type: str) -> str:
    """Give the family in whose name a type's scores are kept."""
    return instance_type.partition(".")[0]


def types_of(family: str, types: Iterable[InstanceType]) -> list[str]:
    """Name the family's spot types to ask about, smallest first."""
    own = sorted(
        (t for t in types if t.family == family and t.supports_spot), key=lambda t: (t.vcpus, t.name)
    )
    return [t.name for t in own[:MOST_TYPES]]
