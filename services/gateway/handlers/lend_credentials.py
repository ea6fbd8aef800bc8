"""Lend AWS session credentials of a cluster's account, narrowed to what they are for."""

from pydantic import SecretStr

from services.gateway.domain.cloud_accounts import Purpose
from services.gateway.errors import InvalidInputError, UnknownClusterError
from services.gateway.ports import CloudAccess, UnitOfWorkFactory, Vault
from shared.contracts.v1.gateway import LendCredentials, LentCredentials


async def lend_credentials(
    request: LendCredentials, *, unit_of_work: UnitOfWorkFactory, vault: Vault, cloud: CloudAccess
) -> LentCredentials:
    """Assume the role of the cluster's account; nothing of the answer is kept.

    Raises:
        InvalidInputError: the purpose is neither read nor write.
        UnknownClusterError: no organization has the cluster.
        RoleRefusedError: AWS refuses.
        AwsUnavailableError: AWS does not answer.
    """
    try:
        purpose = Purpose(request.purpose)
    except ValueError as error:
        raise InvalidInputError(f"{request.purpose} is no purpose: read or write") from error
    async with unit_of_work() as uow:
        organization_id = await uow.act_for_cluster(request.scope)
        cluster = await uow.clusters.get(request.scope)
        account = None if cluster is None else await uow.accounts.get(cluster.account_id)
    if organization_id is None or account is None:
        raise UnknownClusterError(f"no organization has cluster {request.scope}")
    session = await cloud.assume(
        account, external_id=vault.open(account.sealed_external_id, row_id=account.id), purpose=purpose
    )
    return LentCredentials(
        access_key_id=session.access_key_id,
        secret_access_key=SecretStr(session.secret_access_key),
        session_token=SecretStr(session.session_token),
        expires_at=session.expires_at,
        account_number=account.account_number,
        region=account.region,
    )
