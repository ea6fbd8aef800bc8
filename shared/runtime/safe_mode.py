"""Safe mode: while it is on, every write to a cloud or a cluster is a logged dry run.

JetStream KV is the truth, read before each step. Unreadable means on: nobody may write because a server is down.
"""

import asyncio
from typing import Protocol

import structlog
from nats.js import JetStreamContext
from nats.js.errors import KeyNotFoundError

from shared.runtime.streams import SAFE_MODE_BUCKET

log = structlog.get_logger(__name__)

ON = b"on"
OFF = b"off"
READ_TIMEOUT_SECONDS = 2.0


class JetStreamSource(Protocol):
    """Whatever holds a connection to the bus."""

    @property
    def js(self) -> JetStreamContext:
        """The connection's JetStream."""
        ...


class SafeMode:
    """Reads and sets the switch, globally, per organization and per cluster."""

    def __init__(self, bus: JetStreamSource) -> None:
        self._bus = bus

    async def is_on(self, *, organization_id: str, cluster_id: str) -> bool:
        """Whether writes for this cluster are dry runs now; unreadable counts as on."""
        return await self.read(organization_id=organization_id, cluster_id=cluster_id) is not False

    async def read(self, *, organization_id: str, cluster_id: str) -> bool | None:
        """Whether the switch is on; None when nobody can say, for callers that would rather wait."""
        try:
            async with asyncio.timeout(READ_TIMEOUT_SECONDS):
                bucket = await self._bus.js.key_value(SAFE_MODE_BUCKET)
                for key in keys_of(organization_id=organization_id, cluster_id=cluster_id):
                    try:
                        entry = await bucket.get(key)
                    except KeyNotFoundError:
                        continue
                    if entry.value != OFF:
                        return True
        except Exception as error:
            log.warning("safe_mode_unreadable", error=repr(error))
            return None
        return False

    async def put(self, key: str, *, on: bool) -> None:
        """Turn the switch of one key (see `keys_of`)."""
        bucket = await self._bus.js.key_value(SAFE_MODE_BUCKET)
        await bucket.put(key, ON if on else OFF)


def keys_of(*, organization_id: str, cluster_id: str) -> tuple[str, str, str]:
    """Give the keys that hold for a cluster, the widest first."""
    return "global", f"organization.{organization_id}", f"cluster.{cluster_id}"
