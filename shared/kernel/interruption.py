"""What EC2 announces about an instance that is going to be taken away."""

from enum import StrEnum


class InterruptionKind(StrEnum):
    """The kinds of notice, in EventBridge's and AWS Health's words."""

    SPOT_INTERRUPTION = "spot_interruption"
    """The two-minute notice."""
    REBALANCE_RECOMMENDATION = "rebalance_recommendation"
    """The earlier hint that the risk is raised; nothing is certain."""
    SCHEDULED_CHANGE = "scheduled_change"
    INSTANCE_STATUS = "instance_status"
    INSTANCE_TERMINATED = "instance_terminated"
    """It is stopping, stopped, shutting down or gone already."""
