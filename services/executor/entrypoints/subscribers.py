"""Messages in: each becomes one call, in the transaction that holds its inbox row."""

from collections.abc import Awaitable, Callable
from typing import Protocol, TypeVar

from services.executor.domain.offering_choice import Flag
from services.executor.handlers.begin_execution import begin_execution
from services.executor.handlers.keep_plan import keep_plan
from services.executor.handlers.respond_to_notice import respond_to_notice
from services.executor.handlers.scene import Tools
from services.executor.handlers.settle_command import settle_command
from services.executor.handlers.show_executions import get_execution, get_signing_keys, list_executions
from services.executor.handlers.stop_execution import stop_execution
from services.executor.ports import SigningKeys, UnitOfWork
from shared.contracts.base import Message
from shared.contracts.v1.agent import ClusterChanged, CommandFinished, HeartbeatSent, SnapshotChunkPublished
from shared.contracts.v1.executor import GetExecution, GetSigningKeys, ListExecutions
from shared.contracts.v1.gateway import (
    ClusterConfigured,
    ClusterRegistered,
    ExecutionStopRequested,
    PlanApproved,
)
from shared.contracts.v1.optimizer import PlanProposed
from shared.contracts.v1.pricing import InstanceNoticeReceived, PoolFlagged
from shared.runtime.messaging import Bus
from shared.runtime.postgres import Transaction

M = TypeVar("M", bound=Message)


class Within(Protocol):
    """Gives the unit of work of a transaction."""

    def __call__(self, transaction: Transaction) -> UnitOfWork:
        """Wrap it."""
        ...


def subscribe(bus: Bus, *, within: Within, tools: Tools, signing_keys: SigningKeys) -> None:
    """Register every consumer and server of the executor."""
    clock, ids, safe_mode = tools.clock, tools.ids, tools.safe_mode

    def consume(
        message_class: type[M], handle: Callable[[M, UnitOfWork], Awaitable[None]], *, at_once: int = 1
    ) -> None:
        async def deliver(message: M, transaction: Transaction) -> None:
            await handle(message, within(transaction))

        bus.consume(message_class, deliver, at_once=at_once)

    consume(ClusterRegistered, lambda m, uow: uow.clusters.register(m))
    consume(ClusterConfigured, lambda m, uow: uow.clusters.configure(m))
    consume(SnapshotChunkPublished, lambda m, uow: uow.clusters.add_chunk(m))
    consume(ClusterChanged, lambda m, uow: uow.clusters.apply(m))
    consume(HeartbeatSent, lambda m, uow: uow.clusters.note_heartbeat(m))
    # They may come by the hundred, and of one pool's the last to expire stays, whatever their order.
    consume(PoolFlagged, lambda m, uow: uow.flags.put(Flag(m.pool, m.expires_at)), at_once=4)
    consume(PlanProposed, lambda m, uow: keep_plan(m, uow=uow))
    consume(
        PlanApproved, lambda m, uow: begin_execution(m, uow=uow, safe_mode=safe_mode, clock=clock, ids=ids)
    )
    consume(ExecutionStopRequested, lambda m, uow: stop_execution(m, uow=uow))
    consume(CommandFinished, lambda m, uow: settle_command(m, uow=uow, clock=clock, ids=ids))
    consume(
        InstanceNoticeReceived,
        lambda m, uow: respond_to_notice(m, uow=uow, safe_mode=safe_mode, clock=clock, ids=ids),
    )
    bus.serve(ListExecutions, lambda r: list_executions(r, unit_of_work=tools.unit_of_work))
    bus.serve(GetExecution, lambda r: get_execution(r, unit_of_work=tools.unit_of_work))
    bus.serve(GetSigningKeys, lambda r: get_signing_keys(r, signing_keys=signing_keys))
