"""A stage for each test."""

from collections.abc import AsyncIterator, Awaitable, Callable

import pytest

from shared.runtime.postgres import Database
from tests.integration.gateway.stage import Stage


@pytest.fixture
async def stage(make_database: Callable[[str], Awaitable[Database]]) -> AsyncIterator[Stage]:
    """The API on a database of its own."""
    opened = Stage(await make_database("gateway"))
    await opened.open()
    yield opened
    await opened.close()
