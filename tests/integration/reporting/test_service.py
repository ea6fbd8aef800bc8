"""The wired service on a real bus: what is published comes back as answers."""

import asyncio
import json
from collections.abc import Awaitable, Callable
from datetime import timedelta
from decimal import Decimal
from functools import partial

import pytest

from services.reporting import app
from services.reporting.settings import ReportingSettings
from shared.contracts.base import Message
from shared.contracts.subjects import subject_of
from shared.contracts.v1.agent import HeartbeatSent, SnapshotChunkPublished
from shared.contracts.v1.executor import ExecutionStarted
from shared.contracts.v1.gateway import AuditRecorded, CloudAccountRef, ClusterRegistered
from shared.contracts.v1.plan import BaselineRate
from shared.contracts.v1.pricing import OfferingPrice, OfferingPricesChanged
from shared.contracts.v1.reporting import Activity, Audit, GetActivity, GetAudit, GetSavings, Savings
from shared.kernel.pools import CapacityType
from shared.kernel.workload import ClusterObjects
from shared.runtime.cluster_store import encode_chunk
from shared.runtime.messaging import Bus
from shared.runtime.postgres import Database
from shared.runtime.service import Runtime
from tests.builders import make_node, make_pod, make_pool
from tests.runtimes import make_runtime
from tests.waiting import until

pytestmark = [pytest.mark.postgres, pytest.mark.nats, pytest.mark.slow]

MakeDatabase = Callable[[str], Awaitable[Database]]
BusFor = Callable[[str, Database | None], Awaitable[Bus]]


@pytest.fixture
async def runtime(make_database: MakeDatabase, bus_for: BusFor) -> Runtime:
    database = await make_database("reporting")
    bus = await bus_for("reporting", database)
    return make_runtime("reporting", database, bus)


async def publish(bus: Bus, message: Message) -> None:
    await bus.js.publish(
        subject_of(message).for_scope(message.scope),
        message.model_dump_json().encode(),
        headers={"Nats-Msg-Id": str(message.id)},
    )


async def test_from_messages_to_answers(runtime: Runtime, bus_for: BusFor) -> None:
    clock, ids = runtime.clock, runtime.ids
    settings = ReportingSettings(slice=timedelta(milliseconds=200), settle=timedelta(0))
    await app.wiring(settings)(runtime)
    work = dict(runtime._loops)
    assert sorted(work) == ["forget_prices", "gaps", "prices", "slices"]
    await runtime.bus.broker.start()
    others = await bus_for("gateway", None)
    await others.broker.start()
    pool = make_pool(capacity_type=CapacityType.SPOT)
    node = make_node(capacity_type=CapacityType.SPOT)
    account = CloudAccountRef(id="a1", account_number="123456789012", region=pool.region)
    now = clock.now()
    body = encode_chunk(ClusterObjects(nodes=(node,), pods=(make_pod(node=node.name, cpu=4000, gib=8),)))
    rate = BaselineRate(usd_per_vcpu_hour=Decimal("1"), usd_per_gib_hour=Decimal("1"))
    price = OfferingPrice(pool=pool, usd_per_hour=Decimal("0.06"), effective_at=now - timedelta(hours=1))
    for message in (
        ClusterRegistered.make(
            scope="c1", clock=clock, ids=ids, organization_id="acme", name="prod", cloud_account=account
        ),
        OfferingPricesChanged.make(
            scope=pool.region, clock=clock, ids=ids, sequence=1, prices=(price,), as_of=now
        ),
        AuditRecorded.make(
            scope="acme", clock=clock, ids=ids, actor="user-1", action="log_in", target="user-1"
        ),
    ):
        await publish(others, message)

    async def count(table: str) -> int:
        async with runtime.database.transaction() as transaction:
            await transaction.connection.execute("select set_config('app.organization_id', 'acme', true)")
            return int(await transaction.connection.fetchval(f"select count(*) from {table}"))

    for table in ("clusters", "prices", "audit_log"):
        await until(partial(count, table))
    snapshot = SnapshotChunkPublished.make(
        scope="c1", clock=clock, ids=ids, epoch=1, sequence=3, index=0, count=1, as_of=clock.now(), body=body
    )
    await publish(others, snapshot)
    await until(lambda: count("node_presence"))
    started = ExecutionStarted.make(
        scope="c1",
        clock=clock,
        ids=ids,
        organization_id="acme",
        execution_id=ids.new(),
        plan_id=ids.new(),
        trigger="timer",
        steps=3,
        baseline_rate=rate,
    )
    await publish(others, started)
    await until(lambda: count("baselines"))

    async def booked() -> Savings | None:
        beat = HeartbeatSent.make(scope="c1", clock=clock, ids=ids, agent_version="1", epoch=1, sequence=3)
        await publish(others, beat)
        answer = await others.ask(GetSavings.make(scope="acme", clock=clock, ids=ids), Savings)
        return answer if answer.clusters and answer.clusters[0].slices else None

    ticking = asyncio.create_task(work["slices"]())
    try:
        answer = await until(booked)
    finally:
        ticking.cancel()
    assert isinstance(answer, Savings)
    assert answer.total_savings_usd > 0
    assert answer.clusters[0].cluster_id == "c1"
    activity = await others.ask(GetActivity.make(scope="acme", clock=clock, ids=ids), Activity)
    assert [entry.kind for entry in activity.entries] == ["execution_started", "cluster_registered"]
    audit = await others.ask(GetAudit.make(scope="acme", clock=clock, ids=ids), Audit)
    assert audit.is_chain_intact
    assert [entry.action for entry in audit.entries] == ["log_in", "start_execution"]
    async with runtime.database.transaction() as transaction:
        row = await transaction.connection.fetchrow("select subject, body from outbox limit 1")
    assert row is not None
    assert row["subject"] == "reporting.evt.v1.savings_booked.c1"
    assert json.loads(row["body"])["organization_id"] == "acme"
