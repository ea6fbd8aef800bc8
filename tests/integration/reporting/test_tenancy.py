"""Each organization sees its own books, and the database itself sees to it."""

import asyncpg
import pytest

from tests.integration.reporting.world import NODE, NOON, PODS, SLICE, MakeDatabase, World

pytestmark = pytest.mark.postgres


@pytest.fixture
async def world(make_database: MakeDatabase) -> World:
    return await World.opened(make_database)


async def test_an_organization_sees_its_own_rows_only(world: World) -> None:
    await world.register("c2", "other")
    await world.price("0.06", at=NOON - SLICE)
    await world.snapshot((NODE,), PODS)
    await world.snapshot((NODE,), PODS, scope="c2")
    await world.execution()
    world.clock.move(SLICE)
    await world.heartbeat()
    await world.close()
    assert [s.cluster_id for s in await world.savings()] == ["c1"]
    assert await world.rows("select * from node_hours", "other") == []
    assert len(await world.rows("select * from node_presence", "other")) == 1
    assert await world.rows("select * from savings", "") == []
    with pytest.raises(asyncpg.InsufficientPrivilegeError):
        await world.rows(
            "insert into activity values ('acme', gen_random_uuid(), now(), null, 'x', 'x')", "other"
        )


async def test_every_table_with_an_organization_is_forced_to_row_level_security(world: World) -> None:
    rows = await world.rows(
        "select relname, relrowsecurity and relforcerowsecurity from pg_class c"
        " join pg_attribute a on a.attrelid = c.oid and a.attname = 'organization_id'"
        " where relkind = 'r' and relnamespace = 'reporting'::regnamespace"
    )
    assert len(rows) > 10
    # The one that says whose a cluster is, which must be known before anybody can act for its organization.
    assert {name for name, is_forced in rows if not is_forced} == {"clusters"}
    passes = "select rolsuper or rolbypassrls from pg_roles where rolname = current_user"
    assert await world.rows(passes) == [(False,)]
