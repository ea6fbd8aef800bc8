"""Who is logged in."""

from dataclasses import dataclass

from services.gateway.domain.access import Caller
from services.gateway.domain.people import Organization, User
from services.gateway.errors import NotAuthenticatedError
from services.gateway.ports import UnitOfWorkFactory


@dataclass(frozen=True, slots=True)
class Me:
    """A user in an organization."""

    user: User
    organization: Organization


async def show_caller(*, caller: Caller, unit_of_work: UnitOfWorkFactory) -> Me:
    """Return the caller's user and organization.

    Raises:
        NotAuthenticatedError: either is gone.
    """
    async with unit_of_work() as uow:
        await uow.act_for(caller.organization_id)
        user = await uow.users.get(caller.user_id)
        organization = await uow.organizations.get(caller.organization_id)
    if user is None or organization is None:
        raise NotAuthenticatedError("This account is gone.")
    return Me(user, organization)
