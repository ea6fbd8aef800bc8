"""Say inside the cluster that the platform is out of reach: its people look there, and not into our log."""

from dataclasses import dataclass
from datetime import datetime, timedelta

import structlog

from agent.ports import Cluster
from shared.kernel.clock import Clock

log = structlog.get_logger(__name__)


@dataclass(slots=True)
class Silence:
    """Since when the platform was not heard, and whether that was said."""

    last_heard_at: datetime
    is_told: bool = False


async def report_silence(
    silence: Silence, *, is_connected: bool, cluster: Cluster, clock: Clock, patience: timedelta
) -> None:
    """Write one Kubernetes Event a silence, once it lasts longer than the patience."""
    now = clock.now()
    if is_connected:
        silence.last_heard_at, silence.is_told = now, False
        return
    if silence.is_told or now - silence.last_heard_at < patience:
        return
    since = silence.last_heard_at.isoformat(timespec="seconds")
    message = f"the platform has not been reached since {since}: nothing new is carried out in this cluster"
    await cluster.note(node_name=None, reason="PlatformUnreachable", message=message)
    log.warning("platform_unreachable", since=since)
    silence.is_told = True
