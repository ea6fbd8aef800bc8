"""What a service is wired into, over a test's database and bus; its loops do not run yet."""

from shared.runtime.clock import SystemClock
from shared.runtime.health import Health
from shared.runtime.ids import UuidSeven
from shared.runtime.leases import Leases
from shared.runtime.messaging import Bus
from shared.runtime.postgres import Database
from shared.runtime.safe_mode import SafeMode
from shared.runtime.service import Runtime


def make_runtime(name: str, database: Database, bus: Bus, *, holder: str = "test") -> Runtime:
    """A process of the service; `holder` tells replicas apart."""
    return Runtime(
        name=name,
        clock=SystemClock(),
        ids=UuidSeven(),
        health=Health(),
        database=database,
        bus=bus,
        leases=Leases(database, holder=holder),
        safe_mode=SafeMode(bus),
    )
