"""Fencing against a real Postgres: its clock decides, its row lock orders those who come at once."""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import timedelta

import pytest

from shared.runtime.leases import Lease, Leases
from shared.runtime.postgres import Database

pytestmark = pytest.mark.postgres

MakeDatabase = Callable[[str], Awaitable[Database]]
MINUTE = timedelta(minutes=1)
EXPIRED = timedelta(seconds=-1)


async def test_one_of_many_gets_it(make_database: MakeDatabase) -> None:
    database = await make_database("executor")
    holders = [Leases(database, holder=f"h{number}") for number in range(8)]
    got = await asyncio.gather(*(leases.acquire("step", lifetime=MINUTE) for leases in holders))
    [lease] = [lease for lease in got if lease is not None]
    assert lease.token == 1


async def test_renewing_keeps_the_token_and_a_new_holder_raises_it(make_database: MakeDatabase) -> None:
    database = await make_database("executor")
    one, two = Leases(database, holder="one"), Leases(database, holder="two")
    assert await one.acquire("step", lifetime=MINUTE) == Lease("step", "one", 1)
    assert await one.acquire("step", lifetime=EXPIRED) == Lease("step", "one", 1)
    assert await two.acquire("step", lifetime=MINUTE) == Lease("step", "two", 2)
    assert await one.acquire("step", lifetime=MINUTE) is None
    assert await one.acquire("another", lifetime=MINUTE) == Lease("another", "one", 1)


async def test_a_late_release_does_not_take_the_lease_from_who_holds_it_now(
    make_database: MakeDatabase,
) -> None:
    database = await make_database("executor")
    one, two = Leases(database, holder="one"), Leases(database, holder="two")
    old = await one.acquire("step", lifetime=EXPIRED)
    assert old is not None
    await two.acquire("step", lifetime=EXPIRED)
    again = await one.acquire("step", lifetime=MINUTE)
    assert again is not None
    assert again.token == 3
    await one.release(old)
    assert await two.acquire("step", lifetime=MINUTE) is None
    await one.release(again)
    assert await two.acquire("step", lifetime=MINUTE) == Lease("step", "two", 4)


async def test_held_gives_it_back_even_when_the_work_fails(make_database: MakeDatabase) -> None:
    database = await make_database("executor")
    one, two = Leases(database, holder="one"), Leases(database, holder="two")

    async def fail() -> None:
        async with one.held("plan", lifetime=MINUTE) as lease:
            assert lease is not None
            async with two.held("plan", lifetime=MINUTE) as other:
                assert other is None
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await fail()
    assert await two.acquire("plan", lifetime=MINUTE) == Lease("plan", "two", 2)
