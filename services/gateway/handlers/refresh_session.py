"""Trade a refresh token for the next one.

A token that comes a second time was copied: nobody can say which of the two is the thief, so the whole session ends.
"""

import structlog

from services.gateway.domain import tokens
from services.gateway.errors import NotAuthenticatedError
from services.gateway.handlers.record_audit import record_audit
from services.gateway.handlers.start_session import LoggedIn
from services.gateway.ports import AccessTokens, SecretSource, UnitOfWork, UnitOfWorkFactory
from shared.kernel.clock import Clock
from shared.kernel.ids import Ids

log = structlog.get_logger(__name__)


async def refresh_session(
    *,
    refresh_token: str,
    remote_address: str | None,
    unit_of_work: UnitOfWorkFactory,
    access_tokens: AccessTokens,
    secret_source: SecretSource,
    clock: Clock,
    ids: Ids,
) -> LoggedIn:
    """Rotate the session's refresh token.

    Raises:
        NotAuthenticatedError: it is no live session's, or was used before; then the session has ended.
    """
    token = tokens.read_token(refresh_token)
    if token is None or token.kind is not tokens.TokenKind.REFRESH:
        raise NotAuthenticatedError("This is no refresh token of ours; log in.")
    async with unit_of_work() as uow:
        fresh = await _rotate(
            uow,
            token,
            remote_address=remote_address,
            access_tokens=access_tokens,
            secret_source=secret_source,
            clock=clock,
            ids=ids,
        )
    # Raised only now: that the session ended must be committed.
    if fresh is None:
        raise NotAuthenticatedError("This session has ended; log in.")
    return fresh


async def _rotate(
    uow: UnitOfWork,
    token: tokens.Token,
    *,
    remote_address: str | None,
    access_tokens: AccessTokens,
    secret_source: SecretSource,
    clock: Clock,
    ids: Ids,
) -> LoggedIn | None:
    if await uow.act_in_session(token.subject_id) is None:
        return None
    session = await uow.sessions.locked(token.subject_id)
    used = tokens.digest(token.secret)
    is_used = await uow.sessions.is_used(token.subject_id, used)
    now = clock.now()
    if session is None or is_used is None or not session.is_live(now):
        return None
    if is_used:
        await uow.sessions.end(session.id, now=now)
        await record_audit(
            uow,
            organization_id=session.organization_id,
            actor=session.user_id,
            action="reuse_refresh",
            target=session.id,
            remote_address=remote_address,
            clock=clock,
            ids=ids,
        )
        log.warning("session_ended_by_reuse", session_id=session.id)
        return None
    memberships = await uow.organizations.memberships(session.user_id)
    membership = next((m for m in memberships if m.organization_id == session.organization_id), None)
    organization = await uow.organizations.get(session.organization_id)
    if membership is None or organization is None:
        return None
    fresh = tokens.Token(tokens.TokenKind.REFRESH, session.id, secret_source.new())
    await uow.sessions.rotate(session.id, used=used, fresh=tokens.digest(fresh.secret), now=now)
    access = access_tokens.issue(
        user_id=session.user_id,
        organization_id=session.organization_id,
        role=membership.role,
        session_id=session.id,
    )
    return LoggedIn(
        access_token=access,
        refresh_token=str(fresh),
        expires_in=access_tokens.lifetime_seconds,
        organization=organization,
    )
