"""What was saved in a slice of time: what its requests would have cost at the baseline, less what its nodes cost.

The baseline is a rate per requested vCPU-hour and GiB-hour, measured before a plan was carried out. It holds until the
next one. Less than nothing is booked too; an estimate of a plan never is.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import ROUND_HALF_EVEN, Decimal

from services.reporting.domain.allocation import PodSpan, Requested, WorkloadKey, allocate, by_node, requested
from services.reporting.domain.ledger import PICO_USD, Charge


@dataclass(frozen=True, slots=True)
class Baseline:
    """What requests cost before a plan."""

    since: datetime
    usd_per_vcpu_hour: Decimal
    usd_per_gib_hour: Decimal


@dataclass(frozen=True, slots=True)
class Booking:
    """The savings of a slice."""

    baseline_cost_usd: Decimal
    savings_usd: Decimal


@dataclass(frozen=True, slots=True)
class ClosedSlice:
    """All that is written about one cluster's slice."""

    start: datetime
    end: datetime
    charges: tuple[Charge, ...]
    costs: dict[WorkloadKey, Decimal]
    requested: Requested
    cost_usd: Decimal
    """Of what is priced."""
    booking: Booking | None
    """None without a baseline."""

    @property
    def unpriced(self) -> tuple[Charge, ...]:
        """Stretches whose price nobody knew."""
        return tuple(charge for charge in self.charges if charge.usd_per_hour is None)


def baseline_at(baselines: Sequence[Baseline], at: datetime) -> Baseline | None:
    """Give the baseline in force: the newest that has begun; of two that began together the later in the list."""
    begun = sorted((b for b in baselines if b.since <= at), key=lambda b: b.since)
    return begun[-1] if begun else None


def book(cost_usd: Decimal, ran: Requested, baseline: Baseline) -> Booking:
    """Compare a slice with its baseline."""
    would_cost = (
        baseline.usd_per_vcpu_hour * ran.vcpu_hours + baseline.usd_per_gib_hour * ran.gib_hours
    ).quantize(PICO_USD, ROUND_HALF_EVEN)
    return Booking(would_cost, would_cost - cost_usd)


def close(
    *,
    start: datetime,
    end: datetime,
    charges: Sequence[Charge],
    pods: Sequence[PodSpan],
    baseline: Baseline | None,
) -> ClosedSlice:
    """Close [start, end), in which one baseline is in force throughout."""
    on_nodes = by_node(pods)
    cost = sum((c.cost_usd for c in charges if c.cost_usd is not None), Decimal(0))
    ran = requested(charges, on_nodes)
    return ClosedSlice(
        start=start,
        end=end,
        charges=tuple(charges),
        costs=allocate(charges, on_nodes),
        requested=ran,
        cost_usd=cost,
        booking=book(cost, ran, baseline) if baseline is not None else None,
    )
