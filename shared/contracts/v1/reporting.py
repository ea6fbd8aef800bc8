"""Messages owned by reporting: what was spent, what was saved, who did what."""

from decimal import Decimal
from typing import ClassVar

from pydantic import AwareDatetime

from shared.contracts.base import Event, Reply, Request, Usd, Value


class SavingsBooked(Event):
    """A slice of time was closed. Scope: cluster."""

    type: ClassVar[str] = "reporting.evt.v1.savings_booked"

    organization_id: str
    slice_start_at: AwareDatetime
    slice_end_at: AwareDatetime
    cost_usd: Usd
    baseline_cost_usd: Usd
    savings_usd: Usd
    """Baseline rate times the requests that ran, less what the nodes cost; negative is booked too."""


class GetSavings(Request):
    """Scope: organization."""

    type: ClassVar[str] = "reporting.rpc.v1.get_savings"

    cluster_id: str | None = None
    """Null: all of the organization's."""
    since: AwareDatetime | None = None
    until: AwareDatetime | None = None


class ClusterSavings(Value):
    """Sums of one cluster's closed slices."""

    cluster_id: str
    cost_usd: Usd
    """Of the time with a baseline: cost and savings add up to the baseline's cost."""
    baseline_cost_usd: Usd
    savings_usd: Usd
    node_hours: float
    """Of all slices, with a baseline or without."""
    slices: int
    """With a baseline."""
    cost_without_baseline_usd: Usd = Decimal(0)
    """Of the time before the first baseline: spent, and compared with nothing."""
    unpriced_node_hours: float = 0.0
    """Node-hours whose price nobody knew: in no sum above."""
    first_at: AwareDatetime | None = None
    last_at: AwareDatetime | None = None


class Savings(Reply):
    """Answer to GetSavings."""

    clusters: tuple[ClusterSavings, ...]
    total_savings_usd: Usd
    total_cost_usd: Usd


class GetActivity(Request):
    """Newest first. Scope: organization."""

    type: ClassVar[str] = "reporting.rpc.v1.get_activity"

    cluster_id: str | None = None
    limit: int = 50


class ActivityEntry(Value):
    """One line of the feed."""

    at: AwareDatetime
    cluster_id: str | None
    kind: str
    text: str
    """A sentence."""


class Activity(Reply):
    """Answer to GetActivity."""

    entries: tuple[ActivityEntry, ...]


class GetAudit(Request):
    """Oldest first, from a position. Scope: organization."""

    type: ClassVar[str] = "reporting.rpc.v1.get_audit"

    after: int = 0
    limit: int = 100


class AuditEntry(Value):
    """One link of the hash chain."""

    position: int
    at: AwareDatetime
    actor: str
    action: str
    target: str
    detail: dict[str, str]
    previous_sha256: str
    sha256: str


class Audit(Reply):
    """Answer to GetAudit."""

    entries: tuple[AuditEntry, ...]
    is_chain_intact: bool
