"""Safe mode's switch, with the difference between on and unreadable."""

import structlog
from nats.js.errors import KeyNotFoundError

from services.executor.ports import Switch
from shared.runtime.safe_mode import OFF, JetStreamSource, keys_of
from shared.runtime.streams import SAFE_MODE_BUCKET

log = structlog.get_logger(__name__)


class KeyValueSwitch:
    """See ports.SafeModeSwitch."""

    def __init__(self, bus: JetStreamSource) -> None:
        self._bus = bus

    async def read(self, *, organization_id: str, cluster_id: str) -> Switch:
        """See the port."""
        try:
            bucket = await self._bus.js.key_value(SAFE_MODE_BUCKET)
            for key in keys_of(organization_id=organization_id, cluster_id=cluster_id):
                try:
                    entry = await bucket.get(key)
                except KeyNotFoundError:
                    continue
                if entry.value != OFF:
                    return Switch.ON
        except Exception as error:
            log.warning("safe_mode_unreadable", error=repr(error))
            return Switch.UNREADABLE
        return Switch.OFF
