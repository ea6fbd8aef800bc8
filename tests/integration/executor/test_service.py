"""The wired executor on a real bus, a real Postgres and the sandbox's EC2: an approved plan, then an interruption."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import timedelta
from decimal import Decimal
from pathlib import Path

import pytest
from pydantic import SecretStr

from deploy.sandbox.aws.world import AwsConfig, AwsWorld
from services.executor import app
from services.executor.adapters.credentials import LentSessions
from services.executor.adapters.ec2 import Ec2Cloud
from services.executor.settings import ExecutorSettings
from shared.contracts.base import Message
from shared.contracts.digest import plan_sha256
from shared.contracts.v1.executor import (
    ExecutionReply,
    Executions,
    ExecutionStatus,
    ExecutionView,
    GetExecution,
    ListExecutions,
    StepKind,
)
from shared.contracts.v1.gateway import CloudAccountRef, ClusterConfigured, ClusterRegistered
from shared.contracts.v1.optimizer import PlanProposed
from shared.contracts.v1.plan import Launch, Move, OfferingChoice
from shared.contracts.v1.policy import NodeTemplate, Policy, SubnetRef
from shared.contracts.v1.pricing import InstanceNoticeReceived
from shared.kernel.interruption import InterruptionKind
from shared.kernel.pools import CapacityType
from shared.runtime.messaging import Bus
from shared.runtime.outbox import relay
from shared.runtime.postgres import Database
from shared.runtime.service import Runtime
from tests.builders import make_node, make_pod, make_pool
from tests.integration.executor.customer import Customer, publish
from tests.runtimes import make_runtime
from tests.unit.executor.scenes import approval, make_plan, replace_move
from tests.waiting import until

pytestmark = [pytest.mark.postgres, pytest.mark.nats, pytest.mark.sandbox, pytest.mark.slow]

MakeDatabase = Callable[[str], Awaitable[Database]]
BusFor = Callable[[str, Database | None], Awaitable[Bus]]


@pytest.fixture
async def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[AwsWorld]:
    started = await AwsWorld.start(AwsConfig(state_dir=tmp_path, clock_factor=1.0))
    monkeypatch.setenv("AWS_ENDPOINT_URL", started.url)
    yield started
    await started.stop()


@pytest.fixture
async def runtime(make_database: MakeDatabase, bus_for: BusFor) -> Runtime:
    database = await make_database("executor")
    bus = await bus_for("executor", database)
    return make_runtime("executor", database, bus)


@asynccontextmanager
async def running(runtime: Runtime, others: Bus, world: AwsWorld, old: int) -> AsyncIterator[Customer]:
    """The executor at work for a cluster of `old` nodes, named old-0 and so on, each almost full with its pod."""
    settings = ExecutorSettings(secrets_key=SecretStr("ab" * 32), tick_period=timedelta(milliseconds=50))
    pods = [make_pod(f"web-{n}", cpu=3000, node=f"old-{n}") for n in range(old)]
    customer = Customer(others, world, clock=runtime.clock, ids=runtime.ids, pods=pods)
    for number in range(old):
        instance = await world.launch("m5.xlarge", "us-east-1a")
        customer.nodes[f"old-{number}"] = make_node(f"old-{number}", instance_id=instance.id)
    await app.wiring(settings)(runtime)
    await runtime.bus.broker.start()
    await others.broker.start()
    loops = [asyncio.create_task(body()) for _, body in runtime._loops]
    loops.append(asyncio.create_task(relay(runtime.database, runtime.bus)))
    try:
        await customer.trust()
        await _introduce(others, world, runtime)
        await customer.publish_snapshot()
        loops.append(asyncio.create_task(customer.follow_instances()))
        yield customer
    finally:
        for loop in loops:
            loop.cancel()
        await asyncio.gather(*loops, return_exceptions=True)
        for close in runtime._closers:
            await close()


async def test_a_plan_and_an_interruption_from_message_to_message(
    runtime: Runtime, bus_for: BusFor, world: AwsWorld
) -> None:
    others = await bus_for("gateway", None)
    async with running(runtime, others, world, 2) as customer:
        await _plan_to_its_end(others, world, runtime)
        assert "old-0" not in customer.nodes
        spot = next(n for n in customer.nodes.values() if n.capacity_type is CapacityType.SPOT)
        await _interruption_to_its_end(others, world, runtime, instance_id=spot.instance_id or "")
        assert spot.name not in customer.nodes
        await until(lambda: all(pod.node_name in customer.nodes for pod in customer.pods.values()))
        assert customer.lent == 2, "a session is asked for once by each who keeps one"
        assert {command.fencing_token for command in customer.commands} == {1}


async def test_with_two_pools_dry_at_once_launches_go_on_to_the_third_and_then_to_on_demand(
    runtime: Runtime, bus_for: BusFor, world: AwsWorld
) -> None:
    others = await bus_for("gateway", None)
    ids = {zone: zone_id for _, zone, zone_id in world.seed.subnets}
    spot = CapacityType.SPOT
    first, second = (make_pool(zone_id=ids[z], capacity_type=spot) for z in ("us-east-1a", "us-east-1b"))
    third = make_pool("m5.2xlarge", zone_id=ids["us-east-1a"], capacity_type=spot)
    sure = make_pool(zone_id=ids["us-east-1b"])
    moves = [
        replace_move(1, "old-0", pools=(first, second, third, sure)),
        replace_move(2, "old-1", pools=(first, second, sure)),
        replace_move(3, "old-2", pools=(second, first)),
    ]
    for zone in ("us-east-1a", "us-east-1b"):
        world.fault("ice", instance_type="m5.xlarge", zone=zone, capacity_type="spot")
    async with running(runtime, others, world, 3) as customer:
        view = await _carried_out(others, runtime, *moves)
        assert view.status is ExecutionStatus.PARTLY
        reply = await others.ask(
            GetExecution.make(scope="c1", clock=runtime.clock, ids=runtime.ids, execution_id=view.id),
            ExecutionReply,
        )
        launches = {s.move_id: s for s in reply.steps if s.kind is StepKind.LAUNCH}
        where = {i.tags.get("spot-optimizer/step"): i for i in world.instances()}
        got = {m: where.get(str(step.id)) for m, step in launches.items()}
        assert [
            (i.instance_type, i.zone, i.capacity_type) if i else None for _, i in sorted(got.items())
        ] == [
            ("m5.2xlarge", "us-east-1a", "spot"),
            ("m5.xlarge", "us-east-1b", "on-demand"),
            None,
        ]
        assert "every offering was tried" in launches["m3"].detail
        assert customer.nodes.keys() >= {"old-2"}, "what nothing came for is left alone"
        assert not {"old-0", "old-1"} & customer.nodes.keys()
        await until(lambda: all(pod.node_name in customer.nodes for pod in customer.pods.values()))
    async with runtime.database.transaction() as transaction:
        flagged = await transaction.connection.fetch(
            "select instance_type, zone_id, capacity_type from pool_flags"
        )
    assert {tuple(row) for row in flagged} == {(p.instance_type, p.zone_id, "spot") for p in (first, second)}


async def _introduce(bus: Bus, world: AwsWorld, runtime: Runtime) -> None:
    account = CloudAccountRef(id="a1", account_number=world.seed.customer_account, region=world.config.region)
    template = NodeTemplate(
        launch_template_id=world.seed.launch_template_id,
        subnets=tuple(SubnetRef(subnet_id=s, zone=z, zone_id=i) for s, z, i in world.seed.subnets),
    )
    events: tuple[Message, ...] = (
        ClusterRegistered.make(
            scope="c1",
            clock=runtime.clock,
            ids=runtime.ids,
            organization_id="org1",
            name="prod",
            cloud_account=account,
        ),
        *(
            ClusterConfigured.make(
                scope="c1",
                clock=runtime.clock,
                ids=runtime.ids,
                organization_id="org1",
                revision=revision,
                policy=Policy(drain_deadline_seconds=30 * revision),
                node_template=template,
            )
            for revision in (2, 1)
        ),
    )
    for event in events:
        await publish(bus, event)

    async def is_known() -> bool:
        async with runtime.database.transaction() as transaction:
            row = await transaction.connection.fetchrow(
                "select (select count(*) from clusters) as clusters, (select max(revision) from configs) as revision"
            )
        return row is not None and (row["clusters"], row["revision"]) == (1, 2)

    await until(is_known)


async def _plan_to_its_end(bus: Bus, world: AwsWorld, runtime: Runtime) -> None:
    zone_ids = {zone: zone_id for _, zone, zone_id in world.seed.subnets}
    pools = [
        make_pool(zone_id=zone_ids[zone], capacity_type=CapacityType.SPOT)
        for zone in ("us-east-1a", "us-east-1b")
    ]
    world.fault("ice", instance_type="m5.xlarge", zone="us-east-1a", capacity_type="spot")
    world.fault("unavailable", action="CreateFleet", count=1)
    move = replace_move(1, "old-0").model_copy(
        update={
            "launches": (
                Launch(
                    id="l1",
                    offerings=tuple(OfferingChoice(pool=p, usd_per_hour=Decimal("0.05")) for p in pools),
                ),
            )
        }
    )
    assert isinstance(move, Move)
    view = await _carried_out(bus, runtime, move)
    reply = await bus.ask(
        GetExecution.make(scope="c1", clock=runtime.clock, ids=runtime.ids, execution_id=view.id),
        ExecutionReply,
    )
    assert view.status is ExecutionStatus.SUCCEEDED, reply
    launch = next(s for s in reply.steps if s.kind is StepKind.LAUNCH)
    assert launch.attempts == 2, "the first pool was dry"
    launched = [i for i in world.instances() if i.tags.get("spot-optimizer/step") == str(launch.id)]
    assert [(i.zone, i.capacity_type) for i in launched] == [("us-east-1b", "spot")]
    cloud = Ec2Cloud(LentSessions(runtime.bus, clock=runtime.clock, ids=runtime.ids))
    assert await cloud.launched_for("c1", view.id) == {launched[0].id: str(launch.id)}
    assert not await cloud.is_gone("c1", launched[0].id)
    assert await cloud.is_gone("c1", "i-0123456789abcdef0")
    await cloud.terminate("c1", "i-0123456789abcdef0")


async def _carried_out(bus: Bus, runtime: Runtime, *moves: Move) -> ExecutionView:
    """Propose and approve a plan, and give what came of it."""
    plan = make_plan(runtime.clock, *moves, id=runtime.ids.new())
    await publish(
        bus,
        PlanProposed.make(
            scope="c1", clock=runtime.clock, ids=runtime.ids, plan=plan, plan_sha256=plan_sha256(plan)
        ),
    )
    approved = approval(plan, runtime.clock).model_copy(update={"id": runtime.ids.new()})
    await publish(bus, approved)
    view = await _finished(bus, runtime, count=1)
    assert view.plan_id == plan.id
    return view


async def _interruption_to_its_end(bus: Bus, world: AwsWorld, runtime: Runtime, *, instance_id: str) -> None:
    notice = InstanceNoticeReceived.make(
        scope=world.config.region,
        clock=runtime.clock,
        ids=runtime.ids,
        instance_id=instance_id,
        account=world.seed.customer_account,
        kind=InterruptionKind.SPOT_INTERRUPTION,
        notice_at=runtime.clock.now(),
    )
    await publish(bus, notice)
    view = await _finished(bus, runtime, count=2)
    assert (view.trigger, view.status) == ("interrupted", ExecutionStatus.SUCCEEDED)
    newest = world.instances()[-1]
    assert (newest.instance_type, newest.capacity_type) == ("m5.xlarge", "on-demand"), "pricing is away"


async def _finished(bus: Bus, runtime: Runtime, *, count: int) -> ExecutionView:
    async def newest() -> ExecutionView | None:
        request = ListExecutions.make(scope="c1", clock=runtime.clock, ids=runtime.ids)
        found = (await bus.ask(request, Executions)).executions
        is_over = len(found) == count and found[0].status is not ExecutionStatus.RUNNING
        return found[0] if is_over else None

    view = await until(newest, seconds=40)
    assert isinstance(view, ExecutionView)
    return view
