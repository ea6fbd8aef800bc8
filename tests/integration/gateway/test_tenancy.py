"""One organization never sees another's rows, not even through a query that forgot to ask whose they are."""

import asyncpg
import pytest

from services.gateway.adapters.postgres import factory
from shared.runtime.postgres import Connection
from tests.integration.gateway.stage import Stage

pytestmark = pytest.mark.postgres


async def tenant_tables(connection: Connection) -> list[str]:
    rows = await connection.fetch(
        "select table_name from information_schema.columns"
        " where table_schema = 'gateway' and column_name = 'organization_id'"
    )
    return [row["table_name"] for row in rows]


async def test_every_table_with_an_organization_is_forced_to_row_level_security(stage: Stage) -> None:
    async with stage.database.transaction() as transaction:
        rows = await transaction.connection.fetch(
            "select relname, relrowsecurity and relforcerowsecurity as forced, relowner::regrole::text as owner"
            " from pg_class where oid = any($1::regclass[])",
            await tenant_tables(transaction.connection),
        )
    assert len(rows) >= 8
    assert {row["forced"] for row in rows} == {True}
    assert {row["owner"] for row in rows} == {"gateway_owner"}


async def test_the_running_role_is_held_by_row_level_security(stage: Stage) -> None:
    async with stage.database.transaction() as transaction:
        role = await transaction.connection.fetchrow(
            "select rolname, rolsuper or rolbypassrls as passes from pg_roles where rolname = current_user"
        )
        reaches_owner = await transaction.connection.fetchval(
            "select pg_has_role(current_user, 'gateway_owner', 'member')"
        )
    assert role is not None
    assert (role["rolname"], role["passes"], reaches_owner) == ("gateway", False, False)


async def test_a_forgotten_where_gives_only_ones_own_rows(stage: Stage) -> None:
    ours, theirs = await stage.sign_up("ada@example.com"), await stage.sign_up("bob@example.com")
    for granted in (ours, theirs):
        await stage.connect_cluster(granted["access_token"])
    async with stage.database.transaction() as transaction:
        connection = transaction.connection
        tables = await tenant_tables(connection)
        for table in tables:
            assert await connection.fetchval(f'select count(*) from "{table}"') == 0, table
        await connection.execute(
            "select set_config('app.organization_id', $1, true)", ours["organization"]["id"]
        )
        seen = {
            row["organization_id"]
            for table in tables
            for row in await connection.fetch(f'select organization_id from "{table}"')
        }
        assert seen == {ours["organization"]["id"]}
        assert await connection.execute("update clusters set name = 'gone' where true") == "UPDATE 1"
        assert await connection.execute("delete from install_tokens where true") == "DELETE 1"
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await connection.execute(
                "insert into organizations values ($1, 'x', now())", theirs["organization"]["id"]
            )


async def test_the_organization_is_forgotten_when_the_transaction_ends(stage: Stage) -> None:
    granted = await stage.sign_up()
    unit_of_work = factory(stage.database)
    for _ in range(6):  # more often than the pool has connections
        async with unit_of_work() as uow:
            await uow.act_for(granted["organization"]["id"])
            assert await uow.organizations.get(granted["organization"]["id"]) is not None
    for _ in range(6):
        async with unit_of_work() as uow:
            assert await uow.organizations.get(granted["organization"]["id"]) is None


async def test_a_key_of_one_user_session_or_cluster_opens_nothing_else(stage: Stage) -> None:
    ours, theirs = await stage.sign_up("ada@example.com"), await stage.sign_up("bob@example.com")
    cluster = (await stage.connect_cluster(ours["access_token"]))["cluster"]["id"]
    other = (await stage.connect_cluster(theirs["access_token"]))["cluster"]["id"]
    async with stage.database.transaction() as transaction:
        connection = transaction.connection
        await connection.execute("select set_config('app.cluster_id', $1, true)", cluster)
        rows = await connection.fetch("select cluster_id from clusters")
        assert [row["cluster_id"] for row in rows] == [cluster]
        assert await connection.execute("update clusters set name = 'gone' where true") == "UPDATE 0"
        assert await connection.fetchval("select count(*) from cloud_accounts") == 0
    async with factory(stage.database)() as uow:
        assert await uow.act_for_cluster(other) == theirs["organization"]["id"]
        assert await uow.clusters.get(cluster) is None or cluster == other
        assert await uow.act_for_cluster("nobodys") is None


async def test_anothers_cluster_is_not_found(stage: Stage) -> None:
    ours, theirs = await stage.sign_up("ada@example.com"), await stage.sign_up("bob@example.com")
    cluster = (await stage.connect_cluster(ours["access_token"]))["cluster"]
    token = theirs["access_token"]
    path = f"/clusters/{cluster['id']}"
    nothing = "01900000-0000-7000-8000-000000000001"
    for method, address, body in [
        ("GET", path, None),
        ("GET", f"{path}/policy", None),
        ("POST", f"{path}/install-tokens", None),
        ("POST", f"{path}/revoke-agent", None),
        ("POST", f"{path}/optimize", None),
        ("GET", f"{path}/plans", None),
        ("GET", f"{path}/plans/{nothing}", None),
        ("POST", f"{path}/plans/{nothing}/approve", None),
        ("GET", f"{path}/executions", None),
        ("GET", f"{path}/executions/{nothing}", None),
        ("GET", f"{path}/executions/{nothing}/events", None),
        ("POST", f"{path}/executions/{nothing}/stop", None),
        ("GET", f"/savings?cluster_id={cluster['id']}", None),
        ("GET", f"/activity?cluster_id={cluster['id']}", None),
        ("PUT", "/safe-mode", {"scope": "cluster", "id": cluster["id"], "on": True}),
        ("PUT", "/safe-mode", {"scope": "organization", "id": ours["organization"]["id"], "on": True}),
        ("POST", f"/cloud-accounts/{cluster['cloud_account_id']}/test", None),
    ]:
        status, problem = await stage.call(method, address, body, token=token)
        assert status == 404, (method, address, problem)
    policy = {"approval": "autopilot"}
    status, _ = await stage.call("PUT", f"{path}/policy", policy, token=token, If_Match='"1"')
    assert status == 404
    body = {
        "name": "x",
        "cloud_account_id": cluster["cloud_account_id"],
        "node_template": cluster["node_template"],
    }
    assert (await stage.call("POST", "/clusters", body, token=token))[0] == 404
    assert stage.others.asked == []
    assert stage.switch.keys == {}
