"""What comes over the bus."""

from collections.abc import Callable
from datetime import datetime, timedelta

from services.pricing.domain.interruption_risk import ADVISOR_FRESH_FOR
from services.pricing.domain.regions import RegionRules
from services.pricing.handlers import flag_pool, keep_observation, keep_regions
from services.pricing.handlers.list_flags import list_flags
from services.pricing.handlers.predict_interruption import predict_interruption
from services.pricing.handlers.quote_offerings import RISK_FRESH_FOR, Shelf, quote_offerings
from services.pricing.ports import FlagWriter, RiskModelStore, UnitOfWork, UnitOfWorkFactory
from shared.contracts.v1.executor import (
    CapacityInsufficient,
    InstanceLaunched,
    InstanceTerminated,
    NodeInterrupted,
)
from shared.contracts.v1.gateway import ClusterRegistered
from shared.contracts.v1.pricing import (
    Flags,
    InterruptionPrediction,
    ListFlags,
    LiveFlag,
    OfferingQuotes,
    PoolFlagged,
    PredictInterruption,
    QuoteOfferings,
)
from shared.kernel.clock import Clock
from shared.kernel.ids import Ids
from shared.runtime.messaging import Bus
from shared.runtime.postgres import Transaction

FLAGS_AT_ONCE = 4
"""They may come by the hundred, each of a pool of its own; of one pool's the youngest stays, whatever their order."""


def subscribe(
    bus: Bus,
    *,
    within: Callable[[Transaction], UnitOfWork],
    unit_of_work: UnitOfWorkFactory,
    board: FlagWriter,
    rules: RegionRules,
    clock: Clock,
    ids: Ids,
    spot_fresh_for: timedelta,
    on_demand_fresh_for: timedelta,
    risk_fresh_for: timedelta = RISK_FRESH_FOR,
    advisor_fresh_for: timedelta = ADVISOR_FRESH_FOR,
    model: RiskModelStore | None = None,
) -> None:
    """Bind every subject that pricing reads or serves."""

    async def cluster_registered(message: ClusterRegistered, transaction: Transaction) -> None:
        await keep_regions.keep_region(message, rules=rules, uow=within(transaction), clock=clock)

    async def node_interrupted(message: NodeInterrupted, transaction: Transaction) -> None:
        uow = within(transaction)
        await keep_observation.keep_interruption(message, uow=uow)
        await flag_pool.flag_interrupted_pool(message, uow=uow, clock=clock, ids=ids)

    async def capacity_insufficient(message: CapacityInsufficient, transaction: Transaction) -> None:
        uow = within(transaction)
        await keep_observation.keep_no_capacity(message, uow=uow)
        await flag_pool.flag_insufficient_pool(message, uow=uow, clock=clock, ids=ids)

    async def instance_launched(message: InstanceLaunched, transaction: Transaction) -> None:
        uow = within(transaction)
        await flag_pool.keep_instance_pool(message, uow=uow)
        await keep_observation.keep_launch(message, uow=uow)

    async def instance_terminated(message: InstanceTerminated, transaction: Transaction) -> None:
        await keep_observation.keep_end(message, uow=within(transaction))

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

    async def answer_prediction(request: PredictInterruption) -> InterruptionPrediction:
        return await predict_interruption(
            request,
            model=model,
            unit_of_work=unit_of_work,
            clock=clock,
            ids=ids,
            advisor_fresh_for=advisor_fresh_for,
        )

    shelf: Shelf = {}
    next_question_at: dict[str, datetime] = {}

    async def answer_quotes(request: QuoteOfferings) -> OfferingQuotes:
        await keep_regions.note_question(
            request.scope, next_at=next_question_at, unit_of_work=unit_of_work, clock=clock
        )
        return await quote_offerings(
            request,
            unit_of_work=unit_of_work,
            clock=clock,
            spot_fresh_for=spot_fresh_for,
            on_demand_fresh_for=on_demand_fresh_for,
            shelf=shelf,
            risk_fresh_for=risk_fresh_for,
            advisor_fresh_for=advisor_fresh_for,
        )

    bus.consume(ClusterRegistered, cluster_registered)
    bus.consume(NodeInterrupted, node_interrupted)
    bus.consume(CapacityInsufficient, capacity_insufficient)
    bus.consume(InstanceLaunched, instance_launched)
    bus.consume(InstanceTerminated, instance_terminated)
    bus.consume(PoolFlagged, pool_flagged, at_once=FLAGS_AT_ONCE)
    bus.serve(PredictInterruption, answer_prediction)
    bus.serve(ListFlags, answer_flags)
    bus.serve(QuoteOfferings, answer_quotes)
