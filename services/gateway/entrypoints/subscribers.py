"""What the bus brings: agents' heartbeats and requests, the optimizer's plans, other services' need of credentials."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from services.gateway.handlers.note_heartbeat import note_heartbeat
from services.gateway.handlers.receive_plan import receive_plan
from services.gateway.ports import UnitOfWork
from shared.contracts.v1.agent import HeartbeatSent
from shared.contracts.v1.gateway import AgentEnrolled, EnrollAgent, LendCredentials, LentCredentials
from shared.contracts.v1.optimizer import PlanProposed
from shared.kernel.clock import Clock
from shared.kernel.ids import Ids
from shared.runtime.messaging import Bus
from shared.runtime.postgres import Transaction


@dataclass(frozen=True, slots=True, kw_only=True)
class Door:
    """What agents and services may ask the gateway for."""

    enroll: Callable[[EnrollAgent], Awaitable[AgentEnrolled]]
    lend: Callable[[LendCredentials], Awaitable[LentCredentials]]


def subscribe(
    bus: Bus,
    *,
    unit_of_work_in: Callable[[Transaction], UnitOfWork],
    door: Door,
    clock: Clock,
    ids: Ids,
) -> None:
    """Register every subscriber and server."""

    async def on_heartbeat(event: HeartbeatSent, transaction: Transaction) -> None:
        await note_heartbeat(event, uow=unit_of_work_in(transaction), clock=clock)

    async def on_plan(event: PlanProposed, transaction: Transaction) -> None:
        await receive_plan(event, uow=unit_of_work_in(transaction), clock=clock, ids=ids)

    bus.consume(HeartbeatSent, on_heartbeat)
    bus.consume(PlanProposed, on_plan)
    bus.serve(EnrollAgent, door.enroll)
    bus.serve(LendCredentials, door.lend)
