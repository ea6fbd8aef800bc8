"""Safe mode's switch, with the difference between on and unreadable."""

from services.executor.ports import Switch
from shared.runtime.safe_mode import SafeMode


class KeyValueSwitch:
    """See ports.SafeModeSwitch."""

    def __init__(self, safe_mode: SafeMode) -> None:
        self._safe_mode = safe_mode

    async def read(self, *, organization_id: str, cluster_id: str) -> Switch:
        """See the port."""
        is_on = await self._safe_mode.read(organization_id=organization_id, cluster_id=cluster_id)
        if is_on is None:
            return Switch.UNREADABLE
        return Switch.ON if is_on else Switch.OFF
