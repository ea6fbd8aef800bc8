"""A person proves who they are; guessing is limited per address, in the database, so for all replicas together."""

from datetime import timedelta

from services.gateway.domain.people import normalized_email
from services.gateway.errors import TooManyAttemptsError, WrongPasswordError
from services.gateway.handlers.record_audit import record_audit
from services.gateway.handlers.start_session import LoggedIn, start_session
from services.gateway.ports import AccessTokens, Passwords, SecretSource, UnitOfWorkFactory
from shared.kernel.clock import Clock
from shared.kernel.ids import Ids


async def log_in(
    *,
    email: str,
    password: str,
    remote_address: str | None,
    unit_of_work: UnitOfWorkFactory,
    passwords: Passwords,
    access_tokens: AccessTokens,
    secret_source: SecretSource,
    session_lifetime: timedelta,
    attempts: int,
    window: timedelta,
    clock: Clock,
    ids: Ids,
) -> LoggedIn:
    """Begin a session in the organization the user joined first.

    Raises:
        TooManyAttemptsError: `attempts` failed within `window`; the right password does not help either.
        WrongPasswordError: no account has this address and password.
    """
    address = normalized_email(email)
    if address is None:
        raise WrongPasswordError
    now = clock.now()
    # Counted before the slow comparison and in a transaction of its own: what fails must stay counted.
    async with unit_of_work() as uow:
        is_allowed = await uow.users.begin_attempt(address, now=now, since=now - window, limit=attempts)
        user = await uow.users.by_email(address) if is_allowed else None
    if not is_allowed:
        raise TooManyAttemptsError(
            "Too many log-ins with this address failed; wait a while.",
            retry_after_seconds=window.total_seconds(),
        )
    is_match = await passwords.is_match(password, user.password_hash if user else None)
    if user is None or not is_match:
        raise WrongPasswordError
    async with unit_of_work() as uow:
        await uow.users.forget_attempts(address)
        await uow.act_as_user(user.id)
        memberships = await uow.organizations.memberships(user.id)
        if not memberships:
            raise WrongPasswordError("This account belongs to no organization any more.")
        membership = memberships[0]
        await uow.act_for(membership.organization_id)
        organization = await uow.organizations.get(membership.organization_id)
        assert organization is not None  # a membership refers to it
        await record_audit(
            uow,
            organization_id=organization.id,
            actor=user.id,
            action="log_in",
            target=user.id,
            remote_address=remote_address,
            clock=clock,
            ids=ids,
        )
        return await start_session(
            uow,
            membership=membership,
            organization=organization,
            access_tokens=access_tokens,
            secret_source=secret_source,
            lifetime=session_lifetime,
            clock=clock,
            ids=ids,
        )
