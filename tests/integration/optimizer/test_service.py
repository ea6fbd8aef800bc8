"""The wired optimizer on a real Postgres and a real bus: what an agent says and pricing quotes becomes a plan, once."""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest

from services.optimizer import app
from services.optimizer.settings import OptimizerSettings
from shared.contracts.base import Message
from shared.contracts.subjects import subject_of
from shared.contracts.v1.agent import ClusterChanged, RequestResync, SnapshotChunkPublished
from shared.contracts.v1.gateway import CloudAccountRef, ClusterConfigured, ClusterRegistered
from shared.contracts.v1.optimizer import (
    ClusterSummary,
    GetClusterSummary,
    GetPlan,
    ListPlans,
    PlanProposed,
    PlanReply,
    Plans,
    ProposePlan,
)
from shared.contracts.v1.policy import CapacityStrategy, NodeTemplate, Policy, SubnetRef
from shared.contracts.v1.pricing import OfferingQuotes, Quote, QuoteOfferings, QuoteSource
from shared.kernel.workload import ClusterObjects
from shared.runtime import outbox
from shared.runtime.clock import SystemClock
from shared.runtime.cluster_store import encode_chunk
from shared.runtime.ids import UuidSeven
from shared.runtime.messaging import Bus
from shared.runtime.postgres import Database
from shared.runtime.service import Runtime
from tests.builders import make_pod, make_pool
from tests.quotes import make_quotes
from tests.runtimes import make_runtime
from tests.unit.optimizer.domain.market import PRICES, TYPES, ZONES, make_cluster, make_workload
from tests.waiting import until

pytestmark = [pytest.mark.postgres, pytest.mark.nats, pytest.mark.slow]

MakeDatabase = Callable[[str], Awaitable[Database]]
BusFor = Callable[[str, Database | None], Awaitable[Bus]]
CLOCK, IDS = SystemClock(), UuidSeven()
WASTEFUL = make_cluster(make_workload("web", 8, cpu=500), per_node=2)
SETTINGS = OptimizerSettings(
    look_period=timedelta(milliseconds=20), pending_settle=timedelta(milliseconds=50)
)


def told(message_class: type[Any], **fields: Any) -> Any:
    return message_class.make(scope="c1", clock=CLOCK, ids=IDS, **fields)


async def publish(bus: Bus, message: Message) -> None:
    await bus.js.publish(
        subject_of(message).for_scope(message.scope),
        message.model_dump_json().encode(),
        headers={"Nats-Msg-Id": str(message.id)},
    )


async def replica(name: str, database: Database, bus: Bus) -> Runtime:
    """A process of the optimizer; its loops are not running yet."""
    runtime = make_runtime("optimizer", database, bus, holder=name)
    await app.wiring(SETTINGS)(runtime)
    await bus.broker.start()
    return runtime


async def market(bus: Bus) -> None:
    """Pricing, as far as the optimizer asks it."""

    async def quotes(request: QuoteOfferings) -> OfferingQuotes:
        now = CLOCK.now()
        source = QuoteSource(name="price_list", as_of=now, age_seconds=0, confidence=1)
        return make_quotes(
            region=request.scope,
            as_of=now,
            instance_types=tuple(TYPES.values()),
            quotes=tuple(
                Quote(make_pool(name, zone_id=zone_id), Decimal(str(usd)), source)
                for name, usd in PRICES.items()
                for _, zone_id in ZONES
            ),
        )

    bus.serve(QuoteOfferings, quotes)
    await bus.broker.start()


def introduction() -> list[Message]:
    """What everybody hears of a cluster before its agent speaks."""
    account = CloudAccountRef(id="a1", account_number="123456789012", region="us-east-1")
    subnets = tuple(SubnetRef(subnet_id=f"s-{z}", zone=z, zone_id=zone_id) for z, zone_id in ZONES)
    return [
        told(ClusterRegistered, organization_id="o1", name="prod", cloud_account=account),
        told(
            ClusterConfigured,
            organization_id="o1",
            revision=1,
            policy=Policy(strategy=CapacityStrategy.ON_DEMAND),
            node_template=NodeTemplate(launch_template_id="lt", subnets=subnets),
        ),
    ]


def snapshot(objects: ClusterObjects, *, sequence: int = 0) -> SnapshotChunkPublished:
    chunk: SnapshotChunkPublished = told(
        SnapshotChunkPublished,
        epoch=1,
        sequence=sequence,
        index=0,
        count=1,
        as_of=CLOCK.now(),
        body=encode_chunk(objects),
    )
    return chunk


async def rows(database: Database, query: str) -> list[Any]:
    async with database.transaction() as transaction:
        return [row[0] for row in await transaction.connection.fetch(query)]


async def proposed(bus: Bus) -> int:
    subject = "optimizer.evt.v1.plan_proposed.>"
    info = await bus.js.stream_info("OPTIMIZER_EVT", subjects_filter=subject)
    return sum((info.state.subjects or {}).values())


async def test_two_replicas_make_one_plan_of_one_wish(make_database: MakeDatabase, bus_for: BusFor) -> None:
    database = await make_database("optimizer")
    replicas = [await replica(name, database, await bus_for("optimizer", database)) for name in ("a", "b")]
    other = await bus_for("pricing", None)
    await market(other)
    for message in (*introduction(), snapshot(WASTEFUL)):
        await publish(other, message)
    await until(
        lambda: rows(database, "select 1 from configs, clusters, cluster_marks where as_of is not null")
    )
    running = [
        asyncio.create_task(body(), name=name)
        for runtime in replicas
        for name, body in runtime._loops
        if name in ("planner", "gaps")
    ]
    running.append(asyncio.create_task(outbox.relay(database, replicas[0].bus)))
    try:
        command = told(ProposePlan, requested_by="u1")
        await publish(other, command)
        await until(lambda: proposed(other))
        await until(lambda: rows(database, "select 1 from wanted_plans"), is_=[])
        raw = await other.js.get_last_msg("OPTIMIZER_EVT", "optimizer.evt.v1.plan_proposed.c1")
        event = PlanProposed.model_validate_json(raw.data or b"")
        assert await rows(database, "select id from plans") == [event.plan.id]
        assert await proposed(other) == 1
        assert (event.plan.organization_id, event.plan.nodes_before) == ("o1", 4)
        assert event.plan.nodes_after < 4

        listed = await other.ask(told(ListPlans), Plans)
        assert [plan.id for plan in listed.plans] == [event.plan.id]
        reply = await other.ask(told(GetPlan, plan_id=event.plan.id), PlanReply)
        assert (reply.plan, reply.plan_sha256) == (event.plan, event.plan_sha256)
        elsewhere = told(GetPlan, plan_id=event.plan.id).model_copy(update={"scope": "c2"})
        assert (await other.ask(elsewhere, PlanReply)).plan is None
        summary = await other.ask(told(GetClusterSummary), ClusterSummary)
        assert (summary.nodes, summary.pods, summary.cost_usd_per_hour) == (4, 8, Decimal("1.536"))
    finally:
        for task in running:
            task.cancel()
        await asyncio.gather(*running, return_exceptions=True)


async def test_a_missing_delta_is_asked_for_and_a_pending_pod_gets_a_node(
    make_database: MakeDatabase, bus_for: BusFor
) -> None:
    database = await make_database("optimizer")
    bus = await bus_for("optimizer", database)
    runtime = await replica("a", database, bus)
    other = await bus_for("pricing", None)
    asked: list[bytes] = []
    await market(other)
    connection = other.broker.config.connection_state.connection

    async def note(raw: Any) -> None:
        asked.append(raw.data)

    await connection.subscribe(subject_of(RequestResync).for_scope("c1"), cb=note)
    await connection.flush()
    for message in (*introduction(), snapshot(WASTEFUL)):
        await publish(other, message)
    await until(
        lambda: rows(database, "select 1 from configs, clusters, cluster_marks where as_of is not null")
    )
    upserts = ClusterObjects(pods=(make_pod("big", cpu=15_000),))
    await publish(other, told(ClusterChanged, epoch=1, sequence=2, upserts=upserts))
    await until(lambda: rows(database, "select 1 from early_deltas"))
    async with database.transaction() as transaction:
        await transaction.connection.execute("update early_deltas set received_at = now() - interval '6 s'")
    loops = dict(runtime._loops)
    running = [asyncio.create_task(loops[name](), name=name) for name in ("gaps", "planner")]
    try:
        await until(lambda: asked)
        await publish(other, told(ClusterChanged, epoch=1, sequence=1, upserts=ClusterObjects()))
        plans = await until(lambda: rows(database, "select trigger from plans"))
        assert plans == ["pending_pods"]
    finally:
        for task in running:
            task.cancel()
        await asyncio.gather(*running, return_exceptions=True)
