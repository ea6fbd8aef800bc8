"""Connect an AWS account: a role that trusts us, guarded by an external id."""

from dataclasses import dataclass

from services.gateway.domain.access import Caller
from services.gateway.domain.cloud_accounts import CloudAccount, account_number_of
from services.gateway.errors import InvalidInputError
from services.gateway.handlers.record_audit import record_audit
from services.gateway.ports import CloudAccess, SecretSource, UnitOfWorkFactory, Vault
from shared.kernel.clock import Clock
from shared.kernel.ids import Ids


@dataclass(frozen=True, slots=True)
class ConnectedAccount:
    """An account, with the external id that its role's trust policy must name."""

    account: CloudAccount
    external_id: str

    def __repr__(self) -> str:
        return f"ConnectedAccount({self.account.id}, ***)"


async def connect_account(
    *,
    caller: Caller,
    name: str,
    account_number: str,
    role_arn: str,
    external_id: str | None,
    region: str,
    unit_of_work: UnitOfWorkFactory,
    vault: Vault,
    cloud: CloudAccess,
    secret_source: SecretSource,
    clock: Clock,
    ids: Ids,
) -> ConnectedAccount:
    """Keep the account; an external id is made when none is given.

    Raises:
        InvalidInputError: AWS has no such region, or the role is no role, or another account's.
        ConflictError: there is an account of this name.
    """
    if region not in cloud.regions():
        reason = f"AWS has no region {region}"
        raise InvalidInputError(f"{reason}.", fields={"region": reason})
    owner = account_number_of(role_arn)
    if owner is None:
        raise InvalidInputError("role_arn is no IAM role's ARN.", fields={"role_arn": "is no IAM role's ARN"})
    if owner != account_number:
        raise InvalidInputError(
            f"The role is in account {owner}, not {account_number}.",
            fields={"role_arn": f"is in account {owner}"},
        )
    external_id = external_id or secret_source.new()
    account_id = str(ids.new())
    account = CloudAccount(
        id=account_id,
        organization_id=caller.organization_id,
        name=name,
        account_number=account_number,
        role_arn=role_arn,
        sealed_external_id=vault.seal(external_id, row_id=account_id),
        region=region,
        created_at=clock.now(),
    )
    async with unit_of_work() as uow:
        await uow.act_for(caller.organization_id)
        await uow.accounts.add(account)
        await record_audit(
            uow,
            organization_id=caller.organization_id,
            actor=caller.user_id,
            action="connect_account",
            target=account_id,
            detail={"account_number": account_number, "role_arn": role_arn},
            remote_address=caller.remote_address,
            clock=clock,
            ids=ids,
        )
    return ConnectedAccount(account, external_id)
