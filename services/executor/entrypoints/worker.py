"""The worker: every execution under way gets a turn, each under its own lease, none waiting for another."""

import asyncio
import contextlib
import functools
from datetime import timedelta
from uuid import UUID

import structlog

from services.executor.errors import LeaseLostError
from services.executor.handlers.advance_execution import InFlight, State, advance_execution
from services.executor.handlers.scene import Tools
from shared.contracts.v1.agent import RequestResync
from shared.kernel.errors import UnavailableError
from shared.runtime.leases import Lease, Leases
from shared.runtime.messaging import Bus

log = structlog.get_logger(__name__)


class Worker:
    """Starts a turn for each execution that has none running."""

    def __init__(self, *, tools: Tools, leases: Leases, lifetime: timedelta) -> None:
        self._tools = tools
        self._leases = leases
        self._lifetime = lifetime
        self._turns: dict[UUID, asyncio.Task[None]] = {}
        self._held: dict[UUID, Lease] = {}
        self._in_flight: dict[UUID, InFlight] = {}
        self._seen: dict[UUID, State] = {}
        """What the last turn saw."""

    async def tick(self) -> None:
        """Look which executions are under way, and give each a turn."""
        async with self._tools.unit_of_work() as uow:
            running = await uow.executions.running()
        ids = {execution.id for execution in running}
        self._held = {key: lease for key, lease in self._held.items() if key in ids}
        self._seen = {key: state for key, state in self._seen.items() if key in ids}
        for key in self._in_flight.keys() - ids - self._turns.keys():
            self._drop(key)
        for execution in running:
            if execution.id not in self._turns:
                task = asyncio.create_task(self._turn(execution.id), name=f"execution {execution.id}")
                self._turns[execution.id] = task
                task.add_done_callback(functools.partial(self._end, execution.id))

    async def close(self) -> None:
        """Stop at once: whatever a turn was at is repeated by whoever comes next."""
        turns = [*self._turns.values(), *(t for tasks in self._in_flight.values() for t in tasks.values())]
        for turn in turns:
            turn.cancel()
        await asyncio.gather(*turns, return_exceptions=True)
        with contextlib.suppress(UnavailableError):  # then they expire by themselves
            for lease in self._held.values():
                await self._leases.release(lease)

    def _drop(self, execution_id: UUID) -> None:
        """Stop waiting for what was begun for an execution that is over, or somebody else's now."""
        for task in self._in_flight.pop(execution_id, {}).values():
            task.cancel()

    def _end(self, execution_id: UUID, _task: "asyncio.Task[None]") -> None:
        self._turns.pop(execution_id, None)

    async def _turn(self, execution_id: UUID) -> None:
        """Give turns until one changes nothing: one step follows another without waiting for the next tick."""
        try:
            while (
                lease := await self._leases.acquire(f"execution:{execution_id}", lifetime=self._lifetime)
            ) is not None:
                self._held[execution_id] = lease
                state = await advance_execution(
                    execution_id,
                    token=lease.token,
                    tools=self._tools,
                    in_flight=self._in_flight.setdefault(execution_id, {}),
                )
                if state is None or state == self._seen.get(execution_id):
                    return
                self._seen[execution_id] = state
            self._drop(execution_id)
        except LeaseLostError:
            self._drop(execution_id)
            log.warning("lease_lost", execution_id=str(execution_id))
        except UnavailableError as error:
            log.warning("execution_waits", execution_id=str(execution_id), error=str(error))
        except Exception:
            log.exception("turn_failed", execution_id=str(execution_id))


async def ask_for_gaps(bus: Bus, *, tools: Tools) -> None:
    """Ask agents for a snapshot where our copy is behind."""
    async with tools.unit_of_work() as uow:
        behind = await uow.clusters.gaps(now=tools.clock.now())
    for cluster_id in behind:
        await bus.tell(
            RequestResync.make(
                scope=cluster_id, clock=tools.clock, ids=tools.ids, reason="the executor's copy is behind"
            )
        )
        log.info("resync_requested", cluster_id=cluster_id)
