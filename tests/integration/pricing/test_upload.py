"""`spotopt prices upload` on a real bus and database: from AWS's file to what is quoted."""

import asyncio
import json
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest
from typer.testing import CliRunner

from deploy.cli.main import app
from deploy.local import nats_server
from services.pricing.adapters.unit_of_work import factory
from services.pricing.entrypoints.uploads import serve_uploads
from shared.runtime.clock import SystemClock
from shared.runtime.ids import UuidSeven
from shared.runtime.messaging import Bus
from shared.runtime.postgres import Database
from tests.builders import make_instance_type
from tests.fakes.pricing_regions import region_rules
from tests.unit.pricing.adapters import offer_files

pytestmark = [pytest.mark.postgres, pytest.mark.nats]

MakeDatabase = Callable[[str], Awaitable[Database]]
BusFor = Callable[[str, Database | None], Awaitable[Bus]]
REGION = offer_files.REGION


async def test_an_operators_file_becomes_prices(
    make_database: MakeDatabase,
    bus_for: BusFor,
    nats_process: nats_server.Server,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("SPOTOPT_HOME", str(tmp_path))
    monkeypatch.setenv("SPOTOPT_NATS_URL", nats_process.url)
    database = await make_database("pricing")
    names = offer_files.instance_types(30)
    async with factory(database)() as uow:
        await uow.offerings.replace_catalogue(
            REGION,
            zone_ids={"us-east-1a": "use1-az1", "us-east-1b": "use1-az2"},
            instance_types=[make_instance_type(name) for name in names],
            offered=frozenset((name, zone) for name in names for zone in ("us-east-1a", "us-east-1b")),
        )

    async def run(*arguments: str) -> tuple[int, str]:
        done = await asyncio.to_thread(CliRunner().invoke, app, ["prices", "upload", *arguments])
        return done.exit_code, done.output

    offers = tmp_path / "index.csv"
    offer_files.write_csv(offers, types=30)
    code, output = await run(str(offers), "--region", REGION)
    assert (code, "does not answer" in output) == (1, True), output

    bus = await bus_for("pricing", database)
    serve_uploads(
        bus,
        rules=region_rules(REGION),
        unit_of_work=factory(database),
        clock=SystemClock(),
        ids=UuidSeven(),
    )
    await bus.broker.start()
    for changed in (60, 0):
        code, output = await run(str(offers), "--region", REGION, "-o", "json")
        assert code == 0, output
        # The service runs in this process, and its log stands beside the command's answer.
        [done] = [json.loads(line) for line in output.splitlines() if line.startswith("{")]
        assert (done["types"], done["changed"], done["refused"]) == (30, changed, 0)
        assert done["as_of"] == offer_files.PUBLISHED
    async with database.transaction() as transaction:
        rows = await transaction.connection.fetch("select origin, as_of from source_states")
        prices = await transaction.connection.fetchval(
            "select count(distinct (instance_type, usd_per_hour)) from offerings"
        )
    assert [(row["origin"], f"{row['as_of']:%Y-%m-%d}") for row in rows] == [("upload", "2026-07-20")]
    assert prices == 30

    code, output = await run(str(offers), "--region", "eu-west-1")
    assert (code, "region eu-west-1" in output) == (2, True), output
    code, output = await run(str(offers), "--region", REGION, "--published-at", "2026-01-01")
    assert (code, "are known" in output) == (2, True), output
    code, output = await run(str(offers), "--region", REGION, "--published-at", "soon")
    assert (code, "is no date" in output) == (2, True), output
