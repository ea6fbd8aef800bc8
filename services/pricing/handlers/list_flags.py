"""Say which pools are flagged now, and what that does."""

from services.pricing.handlers.quote_offerings import live_flag
from services.pricing.ports import UnitOfWorkFactory
from shared.contracts.v1.pricing import Flags, ListFlags, RaisedFlag
from shared.kernel.clock import Clock
from shared.kernel.pool_flags import AVOID_LEVEL


async def list_flags(request: ListFlags, *, unit_of_work: UnitOfWorkFactory, clock: Clock) -> Flags:
    """Give the live flags of a region by pool; who saw what is not known here."""
    now = clock.now()
    async with unit_of_work() as uow:
        flags = await uow.risk.live_flags(request.scope, now=now)
    levels = [(flags[pool], flags[pool].level(now)) for pool in sorted(flags)]
    return Flags(
        flags=tuple(
            RaisedFlag(flag=live_flag(flag), level=round(level, 4), is_avoided=level > AVOID_LEVEL)
            for flag, level in levels
        )
    )
