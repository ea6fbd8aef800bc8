"""Try whether we can act in a connected AWS account."""

from dataclasses import dataclass

from services.gateway.domain.access import Caller
from services.gateway.domain.cloud_accounts import Purpose
from services.gateway.errors import NotFoundError, RoleRefusedError
from services.gateway.ports import CloudAccess, UnitOfWorkFactory, Vault


@dataclass(frozen=True, slots=True)
class AccountTrial:
    """What came of it."""

    is_ok: bool
    detail: str


async def try_account(
    *, caller: Caller, account_id: str, unit_of_work: UnitOfWorkFactory, vault: Vault, cloud: CloudAccess
) -> AccountTrial:
    """Assume the account's role, for reading.

    Raises:
        NotFoundError: the organization has no such account.
        AwsUnavailableError: AWS does not answer.
    """
    async with unit_of_work() as uow:
        await uow.act_for(caller.organization_id)
        account = await uow.accounts.get(account_id)
    if account is None:
        raise NotFoundError("There is no such cloud account.")
    external_id = vault.open(account.sealed_external_id, row_id=account.id)
    try:
        session = await cloud.assume(account, external_id=external_id, purpose=Purpose.READ)
    except RoleRefusedError as error:
        return AccountTrial(is_ok=False, detail=str(error))
    if session.assumed_account_number != account.account_number:
        return AccountTrial(is_ok=False, detail=f"The role is in account {session.assumed_account_number}.")
    return AccountTrial(is_ok=True, detail="The role can be assumed.")
