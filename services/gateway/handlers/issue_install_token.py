"""Install tokens: shown once, kept as a digest, ended when the next one is issued."""

from services.gateway.domain import tokens
from services.gateway.domain.access import Caller
from services.gateway.errors import NotFoundError
from services.gateway.handlers.record_audit import record_audit
from services.gateway.ports import SecretSource, UnitOfWork, UnitOfWorkFactory
from shared.kernel.clock import Clock
from shared.kernel.ids import Ids


async def issue_install_token(
    *,
    caller: Caller,
    cluster_id: str,
    unit_of_work: UnitOfWorkFactory,
    secret_source: SecretSource,
    clock: Clock,
    ids: Ids,
) -> tokens.Token:
    """End the cluster's install tokens and give a new one; an enrolled agent goes on working.

    Raises:
        NotFoundError: the organization has no such cluster.
    """
    async with unit_of_work() as uow:
        await uow.act_for(caller.organization_id)
        if await uow.clusters.locked(cluster_id) is None:
            raise NotFoundError("There is no such cluster.")
        await uow.agents.end_install_tokens(cluster_id, now=clock.now())
        token = await add_install_token(uow, cluster_id, secret_source=secret_source, clock=clock, ids=ids)
        await record_audit(
            uow,
            organization_id=caller.organization_id,
            actor=caller.user_id,
            action="issue_install_token",
            target=cluster_id,
            remote_address=caller.remote_address,
            clock=clock,
            ids=ids,
        )
    return token


async def add_install_token(
    uow: UnitOfWork, cluster_id: str, *, secret_source: SecretSource, clock: Clock, ids: Ids
) -> tokens.Token:
    """Keep a new install token of a cluster."""
    token = tokens.Token(tokens.TokenKind.INSTALL, cluster_id, secret_source.new())
    await uow.agents.add_install_token(
        cluster_id,
        tokens.InstallToken(
            id=str(ids.new()), secret_sha256=tokens.digest(token.secret), created_at=clock.now()
        ),
    )
    return token
