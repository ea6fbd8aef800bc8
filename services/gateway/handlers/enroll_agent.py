"""An agent trades its install token for a credential and the executor's public keys.

One credential of a cluster is live: enrolling again ends the one before, whose owner is either this very agent before
it crashed, or somebody who should not have it.
"""

from datetime import timedelta

from pydantic import SecretStr

from services.gateway.domain import tokens
from services.gateway.errors import AgentRefusedError
from services.gateway.handlers.record_audit import record_audit
from services.gateway.ports import OtherServices, SecretSource, UnitOfWorkFactory
from shared.contracts.base import GLOBAL
from shared.contracts.v1.executor import GetSigningKeys, SigningKeys
from shared.contracts.v1.gateway import AgentEnrolled, EnrollAgent
from shared.kernel.clock import Clock
from shared.kernel.ids import Ids


async def enroll_agent(
    request: EnrollAgent,
    *,
    unit_of_work: UnitOfWorkFactory,
    others: OtherServices,
    secret_source: SecretSource,
    install_token_lifetime: timedelta,
    install_token_reuse: timedelta,
    ask_timeout_seconds: float,
    clock: Clock,
    ids: Ids,
) -> AgentEnrolled:
    """Check the install token again, for the bus only knows that some token of the cluster was good.

    Raises:
        AgentRefusedError: the token is not this cluster's, or used up.
        UnavailableError: the executor does not answer; nothing was changed.
    """
    cluster_id, now = request.scope, clock.now()
    presented = tokens.read_token(request.install_token.get_secret_value())
    if presented is None or presented.kind is not tokens.TokenKind.INSTALL:
        raise AgentRefusedError("this is no install token")
    if presented.subject_id != cluster_id:
        raise AgentRefusedError("the install token is another cluster's")
    keys = await others.ask(
        GetSigningKeys.make(scope=GLOBAL, clock=clock, ids=ids, cause=request),
        SigningKeys,
        timeout_seconds=ask_timeout_seconds,
    )
    credential = tokens.Token(tokens.TokenKind.AGENT, cluster_id, secret_source.new())
    async with unit_of_work() as uow:
        organization_id = await uow.act_for_cluster(cluster_id)
        if organization_id is None:
            raise AgentRefusedError
        # The lock makes two enrolments of a cluster follow each other.
        await uow.clusters.locked(cluster_id)
        found = tokens.matching_install_token(
            presented.secret,
            await uow.agents.install_tokens(cluster_id),
            now=now,
            lifetime=install_token_lifetime,
            reuse=install_token_reuse,
        )
        if found is None:
            raise AgentRefusedError
        await uow.agents.note_use(found.id, now=now)
        await uow.agents.end_credentials(cluster_id, now=now)
        kept = tokens.AgentCredential(id=str(ids.new()), secret_sha256=tokens.digest(credential.secret))
        await uow.agents.add_credential(cluster_id, kept, now=now)
        await record_audit(
            uow,
            organization_id=organization_id,
            actor=f"agent:{cluster_id}",
            action="enroll_agent",
            target=cluster_id,
            detail={"agent_version": request.agent_version},
            clock=clock,
            ids=ids,
            cause=request,
        )
    return AgentEnrolled(cluster_id=cluster_id, credential=SecretStr(str(credential)), signing_keys=keys.keys)
