"""What comes over the bus."""

from collections.abc import Callable
from datetime import timedelta

from services.pricing.handlers import flag_pool
from services.pricing.handlers.list_flags import list_flags
from services.pricing.handlers.quote_offerings import quote_offerings
from services.pricing.ports import FlagWriter, UnitOfWork, UnitOfWorkFactory
from shared.contracts.v1.executor import CapacityInsufficient, InstanceLaunched, NodeInterrupted
from shared.contracts.v1.pricing import (
    Flags,
    ListFlags,
    LiveFlag,
    OfferingQuotes,
    PoolFlagged,
    QuoteOfferings,
)
from shared.kernel.clock import Clock
from shared.kernel.ids import Ids
from shared.runtime.messaging import Bus
from shared.runtime.postgres import Transaction


def subscribe(
    bus: Bus,
    *,
    within: Callable[[Transaction], UnitOfWork],
    unit_of_work: UnitOfWorkFactory,
    board: FlagWriter,
    clock: Clock,
    ids: Ids,
    spot_fresh_for: timedelta,
    on_demand_fresh_for: timedelta,
) -> None:
    """Bind every subject that pricing reads or serves."""

    async def node_interrupted(message: NodeInterrupted, transaction: Transaction) -> None:
        await flag_pool.flag_interrupted_pool(message, uow=within(transaction), clock=clock, ids=ids)

    async def capacity_insufficient(message: CapacityInsufficient, transaction: Transaction) -> None:
        await flag_pool.flag_insufficient_pool(message, uow=within(transaction), clock=clock, ids=ids)

    async def instance_launched(message: InstanceLaunched, transaction: Transaction) -> None:
        await flag_pool.keep_instance_pool(message, uow=within(transaction))

    async def pool_flagged(message: PoolFlagged, _transaction: Transaction) -> None:
        # The event is what committed with the flag; writing it down again changes nothing.
        await board.put(
            LiveFlag(
                pool=message.pool,
                reason=message.reason,
                raised_at=message.raised_at,
                expires_at=message.expires_at,
            )
        )

    async def answer_flags(request: ListFlags) -> Flags:
        return await list_flags(request, unit_of_work=unit_of_work, clock=clock)

    async def answer_quotes(request: QuoteOfferings) -> OfferingQuotes:
        return await quote_offerings(
            request,
            unit_of_work=unit_of_work,
            clock=clock,
            spot_fresh_for=spot_fresh_for,
            on_demand_fresh_for=on_demand_fresh_for,
        )

    bus.consume(NodeInterrupted, node_interrupted)
    bus.consume(CapacityInsufficient, capacity_insufficient)
    bus.consume(InstanceLaunched, instance_launched)
    bus.consume(PoolFlagged, pool_flagged)
    bus.serve(ListFlags, answer_flags)
    bus.serve(QuoteOfferings, answer_quotes)
