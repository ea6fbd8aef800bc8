"""From an EC2 notice to what it obliges us to do."""

from datetime import datetime, timedelta
from enum import StrEnum

from shared.kernel.interruption import InterruptionKind

NOTICE_TO_EMPTY = timedelta(seconds=110)
"""EC2 takes the instance two minutes after its notice; ten seconds are left for pods to stop."""
PLANNED_NOTICE_TO_EMPTY = timedelta(minutes=15)
"""A rebalance recommendation or a scheduled change leaves more time, how much nobody says."""


class Action(StrEnum):
    """What follows."""

    CORDON_AND_DRAIN = "cordon_and_drain"
    NO_ACTION = "no_action"


def action_for(kind: InterruptionKind, *, risk_is_raised: bool) -> Action:
    """Say what to do with the node.

    A rebalance recommendation alone moves nothing: it counts when our own risk for the pool agrees. What is gone
    already cannot be drained.
    """
    match kind:
        case (
            InterruptionKind.SPOT_INTERRUPTION
            | InterruptionKind.SCHEDULED_CHANGE
            | InterruptionKind.INSTANCE_STATUS
        ):
            return Action.CORDON_AND_DRAIN
        case InterruptionKind.REBALANCE_RECOMMENDATION:
            return Action.CORDON_AND_DRAIN if risk_is_raised else Action.NO_ACTION
        case InterruptionKind.INSTANCE_TERMINATED:
            return Action.NO_ACTION


def evict_by(kind: InterruptionKind, *, notice_at: datetime) -> datetime:
    """Say until when the node must be empty."""
    if kind is InterruptionKind.SPOT_INTERRUPTION:
        return notice_at + NOTICE_TO_EMPTY
    return notice_at + PLANNED_NOTICE_TO_EMPTY
