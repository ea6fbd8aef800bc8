"""The life of a service: connect, check, wire, work, and stop in order.

A failure at start is one sentence and exit 1; a loop that dies takes the process with it, and a supervisor
starts a new one. Nothing limps on.
"""

import asyncio
import contextlib
import os
import signal
import socket
import sys
from collections.abc import Awaitable, Callable, Collection, Coroutine
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any, TypeVar

import structlog
from nats.errors import Error as NatsError
from pydantic import ValidationError

from shared.kernel.clock import Clock
from shared.kernel.errors import PermanentError, RetryableError, SpotError, UnavailableError
from shared.kernel.ids import Ids
from shared.runtime import logging, outbox, streams
from shared.runtime.clock import SystemClock
from shared.runtime.health import Health
from shared.runtime.ids import UuidSeven
from shared.runtime.leases import Leases
from shared.runtime.messaging import Bus
from shared.runtime.postgres import Database
from shared.runtime.safe_mode import SafeMode
from shared.runtime.settings import ServiceSettings, wrong_variables

log = structlog.get_logger(__name__)

S = TypeVar("S", bound=ServiceSettings)

START_ATTEMPTS = 120
START_PAUSE_SECONDS = 0.5
CANCEL_PAUSE_SECONDS = 0.5
LOOP_PAUSE_SECONDS = 2.0
"""Before a loop is cancelled again: what it has to put in order first takes milliseconds."""
LOOP_CANCELS = 5
"""How often: ten seconds in all, of the twenty after which the shortest of supervisors kills us."""
STUCK_EXIT_CODE = 70
FAILED_TICK_PAUSE = timedelta(seconds=30)
LONGEST_FIRST_PAUSE = timedelta(minutes=5)
"""Between tries of work that must succeed once: what fails for an hour is not asked 720 times."""
INBOX_CLEANING_PERIOD = timedelta(hours=6)


class NotMigratedError(SpotError):
    """Streams or consumers are missing; run `spotopt migrate` first."""


class BusRefusedError(PermanentError):
    """NATS answers, but does not let this user in; run `spotopt migrate` first."""


@dataclass(frozen=True, kw_only=True)
class Runtime:
    """What a composition root builds on."""

    name: str
    clock: Clock
    ids: Ids
    health: Health
    database: Database
    bus: Bus
    leases: Leases
    safe_mode: SafeMode
    _loops: list[tuple[str, Callable[[], Coroutine[Any, Any, None]]]] = field(default_factory=list)
    _closers: list[Callable[[], Awaitable[None]]] = field(default_factory=list)

    def loop(self, name: str, body: Callable[[], Coroutine[Any, Any, None]]) -> None:
        """Run this coroutine for the life of the service."""
        self._loops.append((name, body))

    def every(
        self, name: str, period: timedelta, work: Callable[[], Awaitable[object]], *, first: bool = True
    ) -> None:
        """Do this work again and again; a failure is logged, counted as a trouble, and tried again soon.

        Soon is after half a minute, or as late as the failure asks for, but no later than the next turn.
        """

        async def tick() -> None:
            if not first:
                await self.clock.sleep(period.total_seconds())
            while True:
                pause = period
                try:
                    await work()
                    self.health.trouble(name, None)
                except SpotError as error:
                    log.warning("tick_failed", loop=name, error=str(error))
                    self.health.trouble(name, str(error))
                    asked = error.retry_after_seconds if isinstance(error, RetryableError) else None
                    pause = min(period, max(FAILED_TICK_PAUSE, timedelta(seconds=asked or 0)))
                except Exception as error:
                    log.exception("tick_failed", loop=name)
                    self.health.trouble(name, repr(error))
                    pause = min(period, FAILED_TICK_PAUSE)
                await self.clock.sleep(pause.total_seconds())

        self.loop(name, tick)

    def once(self, name: str, pause: timedelta, work: Callable[[], Awaitable[object]]) -> None:
        """Do this work until it succeeds once, at first after `pause` and then less and less often.

        Until then the service is not ready.
        """

        async def until_done() -> None:
            self.health.trouble(name, "not done yet")
            wait = pause
            while True:
                try:
                    await work()
                except Exception as error:
                    log.warning(
                        "start_waits", loop=name, error=str(error), exc_info=not isinstance(error, SpotError)
                    )
                    self.health.trouble(name, str(error) or repr(error))
                    await self.clock.sleep(wait.total_seconds())
                    wait = min(2 * wait, max(pause, LONGEST_FIRST_PAUSE))
                else:
                    break
            self.health.trouble(name, None)
            await asyncio.Event().wait()

        self.loop(name, until_done)

    def on_close(self, close: Callable[[], Awaitable[None]]) -> None:
        """Call this when the service stops, the last registered first, before bus and database go."""
        self._closers.append(close)

    async def close(self) -> None:
        """Call what was registered, the last first; one that fails does not keep the others from it."""
        for close in reversed(self._closers):
            try:
                await close()
            except Exception:
                log.exception("close_failed")


async def run(
    name: str,
    settings: ServiceSettings,
    wire: Callable[[Runtime], Awaitable[None]],
    *,
    leave: Callable[[int], object] = os._exit,
) -> None:
    """Run a service until SIGTERM or SIGINT.

    `wire` joins ports to adapters and registers subscribers, servers and loops; nothing is delivered before it
    returned. `leave` ends the process at once with an exit code, where a loop does not end.

    Raises:
        SpotError: it cannot start, with the reason for people.
    """
    stop = asyncio.Event()
    running = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        running.add_signal_handler(number, stop.set)
    async with contextlib.AsyncExitStack() as closing:
        # The start may wait for a server for a minute: a signal ends it too.
        starting = asyncio.create_task(_start(name, settings, wire, closing))
        stopping: asyncio.Task[Any] = asyncio.create_task(stop.wait())
        await asyncio.wait({starting, stopping}, return_when=asyncio.FIRST_COMPLETED)
        if not starting.done():
            # Again and again: until Python 3.12, wait_for loses a cancellation that meets a refused connection.
            while not starting.done():
                starting.cancel()
                await asyncio.wait({starting}, timeout=CANCEL_PAUSE_SECONDS)
            log.info("service_not_started", reason="asked to stop")
            return
        if starting.exception() is not None:
            stopping.cancel()
        runtime = starting.result()
        tasks = [asyncio.create_task(body(), name=loop) for loop, body in runtime._loops]
        runtime.health.trouble("start", None)
        log.info("service_started", loops=len(tasks))
        done, _ = await asyncio.wait({*tasks, stopping}, return_when=asyncio.FIRST_COMPLETED)
        runtime.health.trouble("start", "stopping")
        stopping.cancel()
        stuck = await _cancelled(tasks)
        if stuck:
            log.error("loops_not_ended", loops=stuck)
    log.info("service_stopped")
    if stuck:
        for task in done - {stopping}:
            log.error("service_failed", loop=task.get_name(), error=_ending(task))
        # Python waits for them without end.
        leave(STUCK_EXIT_CODE)
    for task in done - {stopping}:
        task.result()


def _ending(task: asyncio.Task[Any]) -> str:
    """Say how a loop ended, which is meant to run for the life of the service."""
    if task.cancelled():
        return "it was cancelled"
    error = task.exception()
    return "it returned" if error is None else repr(error)


async def _cancelled(tasks: Collection[asyncio.Task[None]]) -> list[str]:
    """Cancel loops until they have ended, so and so often at most; name those that have not.

    Until Python 3.12, wait_for loses a cancellation that meets the end of what it waits for.
    """
    left = set(tasks)
    for _ in range(LOOP_CANCELS):
        if not left:
            break
        for task in left:
            task.cancel()
        _, left = await asyncio.wait(left, timeout=LOOP_PAUSE_SECONDS)
    await asyncio.gather(*(t for t in tasks if t.done()), return_exceptions=True)
    return sorted(t.get_name() for t in left)


async def _start(
    name: str,
    settings: ServiceSettings,
    wire: Callable[[Runtime], Awaitable[None]],
    closing: contextlib.AsyncExitStack,
) -> Runtime:
    """Connect, check and wire; what was opened is closed in the opposite order, however far the start came."""
    clock, ids, health = SystemClock(), UuidSeven(), Health()
    closing.push_async_callback(health.close)
    await health.serve(host=settings.health_host, port=settings.health_port)
    health.trouble("start", "starting")
    database = await Database.open(
        settings.database_url.get_secret_value(), schema=name, size=settings.database_pool_size
    )
    closing.push_async_callback(database.close)
    user, password = settings.nats_user or name, settings.nats_password.get_secret_value()
    await _await_bus(settings.nats_url, user=user, password=password, name=name)
    bus = Bus(
        service=name,
        url=settings.nats_url,
        user=user,
        password=password,
        clock=clock,
        health=health,
        database=database,
    )
    closing.push_async_callback(bus.stop)
    runtime = Runtime(
        name=name,
        clock=clock,
        ids=ids,
        health=health,
        database=database,
        bus=bus,
        leases=Leases(database, holder=f"{socket.gethostname()}:{os.getpid()}"),
        safe_mode=SafeMode(bus),
    )
    await bus.broker.connect()
    absent = await streams.missing(bus.js, service=name)
    if absent:
        raise NotMigratedError(
            f"{name}: {', '.join(absent)} missing on the bus; run `spotopt migrate` first."
        )
    health.check("database", database.ping)
    health.check("bus", bus.ping)
    closing.push_async_callback(runtime.close)
    await wire(runtime)
    await bus.broker.start()
    runtime.loop("outbox", lambda: outbox.relay(database, bus))
    runtime.every("inbox", INBOX_CLEANING_PERIOD, lambda: outbox.forget_old(database), first=False)
    return runtime


def main(
    name: str,
    settings_class: type[S],
    wiring: Callable[[S], Callable[[Runtime], Awaitable[None]]],
) -> None:
    """Run a service as this process; what goes wrong is one line, and exit 1, or 2 for a wrong variable."""
    try:
        settings = settings_class()
    except ValidationError as error:
        sys.stderr.write(f"error: {wrong_variables(error, prefix=name)}\n")
        sys.exit(2)
    logging.configure(service=name, level=settings.log_level, form=settings.log_format)
    try:
        asyncio.run(run(name, settings, wiring(settings)))
    except (SpotError, OSError) as error:
        log.error("service_failed", error=str(error))
        sys.exit(1)
    except KeyboardInterrupt:
        sys.exit(130)


async def _await_bus(url: str, *, user: str, password: str, name: str) -> None:
    """Wait for a server that is still starting, with a connection that gives up: the bus's own never does.

    Raises:
        UnavailableError: it never answered.
        BusRefusedError: it does not let this user in.
    """
    for attempt in range(START_ATTEMPTS):
        try:
            probe = await streams.connect(url, user=user, password=password, name=f"spot-{name}-start")
        except (OSError, NatsError) as error:
            if "authorization" in str(error).lower():
                raise BusRefusedError(f"NATS refuses the user {user}: {error}") from error
            if attempt == START_ATTEMPTS - 1:
                raise UnavailableError(f"connecting to NATS: {error!r}") from error
            if attempt == 0:
                log.warning("bus_awaited", error=repr(error))
            await asyncio.sleep(START_PAUSE_SECONDS)
        else:
            await probe.close()
            return
