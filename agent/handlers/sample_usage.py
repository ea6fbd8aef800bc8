"""Publish what pods use."""

from datetime import timedelta

from agent.ports import Outbox, UsageSource
from shared.contracts.v1.agent import PodUsage, UsageSampled
from shared.kernel.clock import Clock
from shared.kernel.ids import Ids

PODS_A_MESSAGE = 5_000
"""About 100 bytes each; the bus takes a megabyte."""


async def sample_usage(
    *, cluster_id: str, source: UsageSource, outbox: Outbox, clock: Clock, ids: Ids, period: timedelta
) -> bool:
    """Read usage once; return whether the cluster has a metrics API."""
    sampled_at = clock.now()
    found = await source.usage()
    if found is None:
        return False
    pods = [
        PodUsage(pod=usage.pod, cpu_millicores=usage.cpu_millicores, memory_bytes=usage.memory_bytes)
        for usage in found
    ]
    for start in range(0, len(pods), PODS_A_MESSAGE):
        event = UsageSampled.make(
            scope=cluster_id,
            clock=clock,
            ids=ids,
            sampled_at=sampled_at,
            window_seconds=int(period.total_seconds()),
            pods=tuple(pods[start : start + PODS_A_MESSAGE]),
        )
        outbox.add(event)
    return True
