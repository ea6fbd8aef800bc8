"""Join the executor's ports to their adapters."""

from collections.abc import Awaitable, Callable
from datetime import timedelta

from services.executor.adapters.agent_commands import BusAgents
from services.executor.adapters.credentials import LentSessions
from services.executor.adapters.ec2 import Ec2Cloud
from services.executor.adapters.postgres import PostgresUnitOfWorkFactory
from services.executor.adapters.pricing_client import BusQuotes
from services.executor.adapters.retention import forget_old
from services.executor.adapters.safe_mode import KeyValueSwitch
from services.executor.adapters.signing_keys import StoredSigningKeys, secrets_key
from services.executor.entrypoints.subscribers import subscribe
from services.executor.entrypoints.worker import Worker, ask_for_gaps
from services.executor.handlers.scene import Pace, Tools
from services.executor.settings import ExecutorSettings
from shared.runtime.service import Runtime

GAPS_PERIOD = timedelta(seconds=2)
RETENTION_PERIOD = timedelta(hours=6)


def wiring(settings: ExecutorSettings) -> Callable[[Runtime], Awaitable[None]]:
    """Give the function that wires the executor with these settings."""

    async def wire(runtime: Runtime) -> None:
        sealing_key = secrets_key(settings.secrets_key.get_secret_value())
        keys = StoredSigningKeys(runtime.database, sealing_key=sealing_key, clock=runtime.clock)
        await keys.ensure()
        units = PostgresUnitOfWorkFactory(runtime.database)
        tools = Tools(
            unit_of_work=units,
            cloud=Ec2Cloud(LentSessions(runtime.bus, clock=runtime.clock, ids=runtime.ids)),
            agents=BusAgents(
                runtime.bus,
                keys=keys,
                clock=runtime.clock,
                ids=runtime.ids,
                timeout=settings.agent_timeout,
            ),
            quotes=BusQuotes(runtime.bus, clock=runtime.clock, ids=runtime.ids),
            safe_mode=KeyValueSwitch(runtime.safe_mode),
            clock=runtime.clock,
            ids=runtime.ids,
            pace=Pace(
                max_launches_in_flight=settings.max_launches_in_flight,
                copy_max_age=settings.copy_max_age,
                command_lifetime=settings.command_lifetime,
                verify_deadline=settings.verify_deadline,
                cloud_pause=settings.cloud_pause,
                capacity_flag_lifetime=settings.capacity_flag_lifetime,
            ),
        )
        subscribe(runtime.bus, within=units.within, tools=tools, signing_keys=keys)
        worker = Worker(tools=tools, leases=runtime.leases, lifetime=settings.lease_lifetime)
        runtime.every("worker", settings.tick_period, worker.tick)
        runtime.every("gaps", GAPS_PERIOD, lambda: ask_for_gaps(runtime.bus, tools=tools))
        runtime.every(
            "retention",
            RETENTION_PERIOD,
            lambda: forget_old(runtime.database, clock=runtime.clock, kept=settings.history_kept),
            first=False,
        )
        runtime.on_close(worker.close)

    return wire
