"""nats-server asks whether to let an agent in, and what it may do then."""

from datetime import timedelta

from services.gateway.domain import tokens
from services.gateway.errors import AgentRefusedError
from services.gateway.ports import BusGrant, UnitOfWorkFactory
from shared.kernel.clock import Clock

ENROLMENT_CONNECTION_LIFETIME = timedelta(minutes=10)
"""Enrolling takes a second; the agent then connects anew with its credential."""


async def admit_agent(
    *,
    presented: str,
    unit_of_work: UnitOfWorkFactory,
    clock: Clock,
    install_token_lifetime: timedelta,
    install_token_reuse: timedelta,
    connection_lifetime: timedelta,
) -> BusGrant:
    """Hold a token against what is kept of its cluster.

    Raises:
        AgentRefusedError: it is unknown, used up or revoked.
    """
    token = tokens.read_token(presented)
    if token is None or token.kind is tokens.TokenKind.REFRESH:
        raise AgentRefusedError("this is no agent's token")
    cluster_id, now = token.subject_id, clock.now()
    async with unit_of_work() as uow:
        if await uow.act_for_cluster(cluster_id) is None:
            raise AgentRefusedError
        if token.kind is tokens.TokenKind.INSTALL:
            found = tokens.matching_install_token(
                token.secret,
                await uow.agents.install_tokens(cluster_id),
                now=now,
                lifetime=install_token_lifetime,
                reuse=install_token_reuse,
            )
            if found is None:
                raise AgentRefusedError
            return BusGrant(
                cluster_id=cluster_id, is_enrolled=False, expires_at=now + ENROLMENT_CONNECTION_LIFETIME
            )
        credentials = await uow.agents.credentials(cluster_id)
    if not any(tokens.is_match(token.secret, credential.secret_sha256) for credential in credentials):
        raise AgentRefusedError
    return BusGrant(cluster_id=cluster_id, is_enrolled=True, expires_at=now + connection_lifetime)
