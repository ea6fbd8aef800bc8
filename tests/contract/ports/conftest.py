"""Every store twice: in memory and in Postgres."""

from collections.abc import AsyncIterator, Awaitable, Callable

import pytest

from services.pricing.adapters.unit_of_work import factory
from services.pricing.ports import UnitOfWork
from shared.runtime.postgres import Database
from tests.fakes.pricing import InMemoryPricing

MakeDatabase = Callable[[str], Awaitable[Database]]


@pytest.fixture(params=["memory", pytest.param("postgres", marks=pytest.mark.postgres)])
def make_any_database(request: pytest.FixtureRequest) -> MakeDatabase | None:
    """None for the store in memory."""
    if request.param == "memory":
        return None
    found: MakeDatabase = request.getfixturevalue("make_database")
    return found


@pytest.fixture
async def uow(make_any_database: MakeDatabase | None) -> AsyncIterator[UnitOfWork]:
    """An open transaction over an empty store of pricing; who tests another service has a fixture of that name."""
    unit_of_work = (
        InMemoryPricing().unit_of_work
        if make_any_database is None
        else factory(await make_any_database("pricing"))
    )
    async with unit_of_work() as opened:
        yield opened
