"""Messages in: each is handled once, in the transaction that holds its inbox row."""

from collections.abc import Awaitable, Callable
from typing import TypeVar

from services.reporting.errors import UnknownClusterError
from services.reporting.handlers.append_audit import append_finished, append_recorded, append_started
from services.reporting.handlers.begin_baseline import begin_baseline
from services.reporting.handlers.keep_prices import Heard, keep_prices
from services.reporting.handlers.observe_cluster import note_heartbeat, observe_delta, observe_snapshot
from services.reporting.handlers.register_cluster import register_cluster
from services.reporting.handlers.show_activity import show_activity
from services.reporting.handlers.show_audit import show_audit
from services.reporting.handlers.show_savings import show_savings
from services.reporting.handlers.tell_activity import tell_activity
from services.reporting.ports import UnitOfWork, UnitOfWorkFactory
from shared.contracts.base import Message
from shared.contracts.v1.agent import ClusterChanged, HeartbeatSent, SnapshotChunkPublished
from shared.contracts.v1.executor import (
    CapacityInsufficient,
    ExecutionFinished,
    ExecutionStarted,
    InstanceLaunched,
    InstanceTerminated,
    NodeInterrupted,
    StepChanged,
)
from shared.contracts.v1.gateway import AuditRecorded, ClusterRegistered, PlanApproved
from shared.contracts.v1.optimizer import PlanningSkipped, PlanProposed
from shared.contracts.v1.pricing import OfferingPricesChanged
from shared.contracts.v1.reporting import GetActivity, GetAudit, GetSavings
from shared.kernel.clock import Clock
from shared.runtime.messaging import Bus
from shared.runtime.postgres import Transaction

M = TypeVar("M", bound=Message)


def subscribe(
    bus: Bus,
    *,
    unit_of_work: UnitOfWorkFactory,
    work_in: Callable[[Transaction], UnitOfWork],
    clock: Clock,
    heard: Heard,
) -> None:
    """Register every consumer and every answer."""

    def on(message_class: type[M], *handlers: Callable[[M, UnitOfWork], Awaitable[None]]) -> None:
        async def handle(message: M, transaction: Transaction) -> None:
            uow = work_in(transaction)
            for handler in handlers:
                await handler(message, uow)

        bus.consume(message_class, handle)

    on(ClusterRegistered, lambda m, uow: register_cluster(m, uow=uow), _tell)
    on(SnapshotChunkPublished, lambda m, uow: observe_snapshot(m, uow=uow, clock=clock))
    on(ClusterChanged, lambda m, uow: observe_delta(m, uow=uow, clock=clock))
    on(HeartbeatSent, lambda m, uow: note_heartbeat(m, uow=uow))
    on(OfferingPricesChanged, lambda m, uow: keep_prices(m, uow=uow, heard=heard))
    on(AuditRecorded, lambda m, uow: append_recorded(m, uow=uow))
    on(PlanProposed, _tell)
    on(PlanningSkipped, _tell)
    on(PlanApproved, _tell)
    on(
        ExecutionStarted,
        lambda m, uow: begin_baseline(m, uow=uow),
        lambda m, uow: append_started(m, uow=uow),
        _tell,
    )
    on(StepChanged, _tell)
    on(ExecutionFinished, lambda m, uow: append_finished(m, uow=uow), _tell)
    on(InstanceLaunched, _keep_launch, _tell)
    on(InstanceTerminated, _tell)
    on(NodeInterrupted, _tell)
    on(CapacityInsufficient, _tell)

    bus.serve(GetSavings, lambda request: show_savings(request, unit_of_work=unit_of_work))
    bus.serve(GetActivity, lambda request: show_activity(request, unit_of_work=unit_of_work))
    bus.serve(GetAudit, lambda request: show_audit(request, unit_of_work=unit_of_work))


async def _tell(message: Message, uow: UnitOfWork) -> None:
    """Tell the organization whose cluster it is, which is never taken from the message itself."""
    cluster = await uow.clusters.cluster(message.scope)
    if cluster is None:
        raise UnknownClusterError(f"cluster {message.scope} is not registered yet")
    await tell_activity(message, organization_id=cluster.organization_id, uow=uow)


async def _keep_launch(message: InstanceLaunched, uow: UnitOfWork) -> None:
    await uow.act_for(message.organization_id)
    await uow.presence.put_launch(message.scope, message.instance_id, message.pool)
