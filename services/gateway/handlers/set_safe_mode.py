"""Turn safe mode for a cluster or the whole organization."""

from enum import StrEnum

from services.gateway.domain.access import Caller
from services.gateway.errors import NotFoundError
from services.gateway.handlers.record_audit import record_audit
from services.gateway.ports import SafeModeSwitch, UnitOfWorkFactory
from shared.kernel.clock import Clock
from shared.kernel.ids import Ids


class SafeModeScope(StrEnum):
    """How far the switch reaches; also the first part of its key."""

    CLUSTER = "cluster"
    ORGANIZATION = "organization"


async def set_safe_mode(
    *,
    caller: Caller,
    scope: SafeModeScope,
    target_id: str,
    on: bool,
    unit_of_work: UnitOfWorkFactory,
    switch: SafeModeSwitch,
    clock: Clock,
    ids: Ids,
) -> None:
    """Turn the switch, then commit its audit entry.

    Raises:
        NotFoundError: it is not the caller's organization, nor a cluster of it.
    """
    async with unit_of_work() as uow:
        await uow.act_for(caller.organization_id)
        if scope is SafeModeScope.CLUSTER:
            is_own = await uow.clusters.get(target_id) is not None
        else:
            is_own = target_id == caller.organization_id
        if not is_own:
            raise NotFoundError(f"There is no such {scope.value}.")
        await record_audit(
            uow,
            organization_id=caller.organization_id,
            actor=caller.user_id,
            action="set_safe_mode",
            target=target_id,
            detail={"scope": scope.value, "on": "true" if on else "false"},
            remote_address=caller.remote_address,
            clock=clock,
            ids=ids,
        )
        # Last, so that a switch that cannot be turned leaves no entry saying that it was.
        await switch.put(f"{scope.value}.{target_id}", on=on)
