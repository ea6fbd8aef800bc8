"""The AWS accounts of an organization."""

from collections.abc import Sequence

from services.gateway.domain.access import Caller
from services.gateway.domain.cloud_accounts import CloudAccount
from services.gateway.ports import UnitOfWorkFactory


async def list_accounts(*, caller: Caller, unit_of_work: UnitOfWorkFactory) -> Sequence[CloudAccount]:
    """Return the caller's accounts."""
    async with unit_of_work() as uow:
        await uow.act_for(caller.organization_id)
        return await uow.accounts.list()
