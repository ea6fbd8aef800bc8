"""Begin a log-in: an access token, and the first refresh token of a family."""

from dataclasses import dataclass, field
from datetime import timedelta

from services.gateway.domain import tokens
from services.gateway.domain.people import Membership, Organization, Session
from services.gateway.ports import AccessTokens, SecretSource, UnitOfWork
from shared.kernel.clock import Clock
from shared.kernel.ids import Ids


@dataclass(frozen=True, slots=True, kw_only=True)
class LoggedIn:
    """What a person gets for a password, or for a refresh token."""

    access_token: str = field(repr=False)
    refresh_token: str = field(repr=False)
    expires_in: int
    """Seconds the access token works."""
    organization: Organization


async def start_session(
    uow: UnitOfWork,
    *,
    membership: Membership,
    organization: Organization,
    access_tokens: AccessTokens,
    secret_source: SecretSource,
    lifetime: timedelta,
    clock: Clock,
    ids: Ids,
) -> LoggedIn:
    """Keep a new session of a member."""
    now = clock.now()
    refresh = tokens.Token(tokens.TokenKind.REFRESH, str(ids.new()), secret_source.new())
    session = Session(
        id=refresh.subject_id,
        organization_id=membership.organization_id,
        user_id=membership.user_id,
        created_at=now,
        expires_at=now + lifetime,
    )
    await uow.sessions.add(session, tokens.digest(refresh.secret))
    access = access_tokens.issue(
        user_id=membership.user_id,
        organization_id=membership.organization_id,
        role=membership.role,
        session_id=session.id,
    )
    return LoggedIn(
        access_token=access,
        refresh_token=str(refresh),
        expires_in=access_tokens.lifetime_seconds,
        organization=organization,
    )
