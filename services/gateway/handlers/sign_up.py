"""A person founds an organization."""

from datetime import timedelta

from services.gateway.domain.access import Role
from services.gateway.domain.people import Membership, Organization, User, normalized_email, password_problem
from services.gateway.errors import InvalidInputError
from services.gateway.handlers.record_audit import record_audit
from services.gateway.handlers.start_session import LoggedIn, start_session
from services.gateway.ports import AccessTokens, Passwords, SecretSource, UnitOfWorkFactory
from shared.kernel.clock import Clock
from shared.kernel.ids import Ids


async def sign_up(
    *,
    email: str,
    password: str,
    organization: str,
    remote_address: str | None,
    unit_of_work: UnitOfWorkFactory,
    passwords: Passwords,
    access_tokens: AccessTokens,
    secret_source: SecretSource,
    session_lifetime: timedelta,
    clock: Clock,
    ids: Ids,
) -> LoggedIn:
    """Keep the user as owner of a new organization, and log them in.

    Raises:
        InvalidInputError: the address or the password will not do.
        ConflictError: the address has an account.
    """
    address = normalized_email(email)
    if address is None:
        raise InvalidInputError("This is no e-mail address.", fields={"email": "is no e-mail address"})
    problem = password_problem(password, email=address)
    if problem is not None:
        raise InvalidInputError(f"The password {problem}.", fields={"password": problem})
    password_hash = await passwords.hash(password)
    now = clock.now()
    user = User(id=str(ids.new()), email=address, password_hash=password_hash, created_at=now)
    founded = Organization(id=str(ids.new()), name=organization, created_at=now)
    owner = Membership(organization_id=founded.id, user_id=user.id, role=Role.OWNER, created_at=now)
    async with unit_of_work() as uow:
        await uow.act_for(founded.id)
        await uow.users.add(user)
        await uow.organizations.add(founded, owner)
        await record_audit(
            uow,
            organization_id=founded.id,
            actor=user.id,
            action="sign_up",
            target=founded.id,
            remote_address=remote_address,
            clock=clock,
            ids=ids,
        )
        return await start_session(
            uow,
            membership=owner,
            organization=founded,
            access_tokens=access_tokens,
            secret_source=secret_source,
            lifetime=session_lifetime,
            clock=clock,
            ids=ids,
        )
