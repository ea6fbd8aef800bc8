"""Remember what happens to our own instances in spot pools: what a pool's risk is told from."""

from datetime import datetime

from services.pricing.domain.pool_observations import Observation, ObservationKind
from services.pricing.ports import UnitOfWork
from shared.contracts.v1.executor import (
    CapacityInsufficient,
    InstanceLaunched,
    InstanceTerminated,
    NodeInterrupted,
)
from shared.kernel.interruption import InterruptionKind
from shared.kernel.pools import CapacityType

ENDS = frozenset({ObservationKind.ENDED, ObservationKind.INTERRUPTED})


async def keep(*observations: Observation, uow: UnitOfWork) -> None:
    """Keep what happened in spot pools, for on-demand instances are not interrupted, and which instances ended."""
    ends: dict[str, datetime] = {}
    for seen in observations:
        if seen.kind in ENDS:  # a warning, and the end that it warned of, may come together in any order
            ends[seen.subject] = min(seen.at, ends.get(seen.subject, seen.at))
    if ends:
        await uow.instances.note_ends(ends)
    of_spot = [seen for seen in observations if seen.pool.capacity_type is CapacityType.SPOT]
    if of_spot:
        await uow.observations.add(of_spot)


async def keep_launch(message: InstanceLaunched, *, uow: UnitOfWork) -> None:
    """An instance of ours is up from now on."""
    await keep(
        Observation(message.pool, ObservationKind.LAUNCHED, message.instance_id, message.occurred_at), uow=uow
    )


async def keep_end(message: InstanceTerminated, *, uow: UnitOfWork) -> None:
    """We ended an instance; one that we did not launch is in no pool that we know of."""
    pools = await uow.risk.instance_pools([message.instance_id])
    for pool in pools.values():
        await keep(
            Observation(pool, ObservationKind.ENDED, message.instance_id, message.occurred_at), uow=uow
        )


OBSERVATIONS = {
    InterruptionKind.SPOT_INTERRUPTION: ObservationKind.INTERRUPTED,
    InterruptionKind.INSTANCE_TERMINATED: ObservationKind.ENDED,
}
"""What a notice says of an instance's pool. An instance whose end is not kept would be taken for up for ever."""


async def keep_interruption(message: NodeInterrupted, *, uow: UnitOfWork) -> None:
    """EC2 takes an instance, or it is gone already: then nobody knows why, and that is no loss."""
    happened = OBSERVATIONS.get(message.kind)
    if message.pool is not None and happened is not None:
        await keep(
            Observation(message.pool, happened, message.instance_id, message.occurred_at),
            uow=uow,
        )


async def keep_no_capacity(message: CapacityInsufficient, *, uow: UnitOfWork) -> None:
    """A launch found no capacity."""
    await keep(
        Observation(message.pool, ObservationKind.INSUFFICIENT, str(message.id), message.occurred_at), uow=uow
    )
