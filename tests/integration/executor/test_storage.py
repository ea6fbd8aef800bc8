"""What only a real Postgres and a real bus can show."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import replace
from datetime import datetime, timedelta
from decimal import Decimal
from uuid import UUID

import asyncpg
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from pydantic import TypeAdapter

from services.executor.adapters.postgres import PostgresUnitOfWorkFactory
from services.executor.adapters.postgres_clusters import CLUSTERS_KEPT, PictureCache
from services.executor.adapters.retention import forget_old
from services.executor.adapters.safe_mode import KeyValueSwitch
from services.executor.adapters.signing_keys import StoredSigningKeys, secrets_key
from services.executor.domain.offering_choice import Flag
from services.executor.domain.steps import (
    INTERRUPTED,
    Attempt,
    Errand,
    Execution,
    ExecutionStatus,
    Launch,
    Move,
    Offering,
    StepKind,
    StepStatus,
    steps_of,
)
from services.executor.errors import LeaseLostError, SecretsKeyError
from services.executor.ports import Switch
from shared.contracts.v1.agent import ClusterChanged, SnapshotChunkPublished
from shared.contracts.v1.gateway import CloudAccountRef, ClusterRegistered
from shared.kernel.workload import ClusterObjects, Node
from shared.runtime.cluster_store import encode_chunk
from shared.runtime.messaging import Bus
from shared.runtime.postgres import Database
from shared.runtime.safe_mode import SafeMode
from tests.builders import make_node, make_pool
from tests.fakes.clock import EPOCH
from tests.fakes.executor import CountingIds

pytestmark = [pytest.mark.postgres]

MakeDatabase = Callable[[str], Awaitable[Database]]
BusFor = Callable[[str, Database | None], Awaitable[Bus]]
POOL = make_pool()
NODE_BODY = TypeAdapter(Node).dump_json(make_node("n1"))


class FixedClock:
    def now(self) -> datetime:
        return EPOCH

    async def sleep(self, seconds: float) -> None:
        raise AssertionError("Must not be called!")


CLOCK = FixedClock()


@pytest.fixture
async def database(make_database: MakeDatabase) -> Database:
    return await make_database("executor")


@pytest.fixture
def units(database: Database) -> PostgresUnitOfWorkFactory:
    return PostgresUnitOfWorkFactory(database)


def an_execution(number: int = 1, **fields: object) -> Execution:
    values: dict[str, object] = {
        "id": UUID(int=number),
        "organization_id": "org1",
        "cluster_id": "c1",
        "plan_id": UUID(int=1000 + number),
        "trigger": "timer",
        "is_main": True,
        "status": ExecutionStatus.RUNNING,
        "dry_run": False,
        "started_at": EPOCH + timedelta(minutes=number),
    }
    return Execution(**values | fields)  # type: ignore[arg-type]


MOVE = Move(
    "m1", (Launch("l1", (Offering(POOL, Decimal("0.1")), Offering(POOL, None)), ("shop/web-0",)),), ("n1",)
)


async def test_an_execution_with_its_steps_and_attempts_comes_back_as_it_was(
    units: PostgresUnitOfWorkFactory,
) -> None:
    execution = an_execution(expires_at=EPOCH, evict_by=EPOCH)
    steps = steps_of(execution.id, [MOVE])
    launch = steps[0]
    changed = replace(
        launch,
        status=StepStatus.RUNNING,
        attempts=1,
        detail="d",
        started_at=EPOCH,
        deadline_at=EPOCH,
        look_again_at=EPOCH,
        instance_id="i-1",
        owners=("a/b/c",),
        uncordon=Errand.WANTED,
    )
    attempt = Attempt(
        step_id=launch.id, number=1, offering=launch.offerings[1], request='{"a": 1}', made_at=EPOCH
    )
    async with units() as uow:
        await uow.executions.add(execution, steps)
        assert await uow.executions.change(launch, changed)
        assert not await uow.executions.change(launch, launch), "it is no longer what it was"
        await uow.executions.put_attempt(attempt)
        await uow.executions.put_attempt(replace(attempt, instance_id="i-1", release=Errand.DONE))
    async with units() as uow:
        assert await uow.executions.find(execution.id) == execution
        assert await uow.executions.steps(execution.id) == [changed, *steps[1:]]
        assert await uow.executions.attempts(execution.id) == [
            replace(attempt, instance_id="i-1", release=Errand.DONE)
        ]
        assert await uow.executions.was_terminated("i-1")
        assert not await uow.executions.was_terminated("i-2")
        assert await uow.executions.newest("c1", limit=5) == [(execution, 6, 0)]


async def test_a_holder_whose_lease_was_taken_writes_nothing(units: PostgresUnitOfWorkFactory) -> None:
    execution = an_execution()
    async with units() as uow:
        await uow.executions.add(execution, ())
        assert await uow.executions.fence(execution.id, 2) == execution
    async with units() as uow:
        with pytest.raises(LeaseLostError):
            await uow.executions.fence(execution.id, 1)


async def test_the_table_itself_allows_one_main_execution_a_cluster(units: PostgresUnitOfWorkFactory) -> None:
    async with units() as uow:
        await uow.executions.add(an_execution(1), ())
        await uow.executions.add(an_execution(2, is_main=False), ())
        await uow.executions.add(an_execution(3, cluster_id="c2"), ())
    with pytest.raises(asyncpg.UniqueViolationError):
        async with units() as uow:
            await uow.executions.add(an_execution(4), ())
    async with units() as uow:
        await uow.executions.finish(
            replace(an_execution(1), status=ExecutionStatus.PARTLY, finished_at=EPOCH, detail="x")
        )
        await uow.executions.request_stop(UUID(int=1))
        await uow.executions.add(an_execution(4), ())
        found = await uow.executions.find(UUID(int=1))
        assert found is not None
        assert (found.status, found.stop_requested) == (ExecutionStatus.PARTLY, False)
        assert await uow.executions.last_savings_at("c1") == EPOCH
        assert {e.id.int for e in await uow.executions.running()} == {2, 3, 4}


async def test_nodes_of_interruptions_and_awaited_instances(units: PostgresUnitOfWorkFactory) -> None:
    execution = an_execution(trigger=INTERRUPTED, plan_id=None, is_main=False)
    steps = steps_of(execution.id, [MOVE])
    wait = next(s for s in steps if s.kind is StepKind.WAIT_READY)
    async with units() as uow:
        await uow.executions.add(execution, steps)
        assert await uow.executions.interrupted_nodes("c1") == {"n1"}
        assert await uow.executions.interrupted_nodes("c2") == frozenset()
        assert await uow.executions.awaited("i-1") is None
        running = replace(wait, status=StepStatus.RUNNING, instance_id="i-1")
        await uow.executions.change(wait, running)
        assert await uow.executions.awaited("i-1") == (running, execution)


async def test_flags_expire_and_are_only_prolonged(units: PostgresUnitOfWorkFactory) -> None:
    async with units() as uow:
        for minutes in (10, 5):
            await uow.flags.put(Flag(POOL, EPOCH + timedelta(minutes=minutes)))
        assert await uow.flags.live(POOL.region, now=EPOCH + timedelta(minutes=7)) == {POOL}
        assert await uow.flags.live("eu-west-1", now=EPOCH) == frozenset()
        assert await uow.flags.live(POOL.region, now=EPOCH + timedelta(minutes=10)) == frozenset()


async def test_a_notice_counts_once_for_each_kind(units: PostgresUnitOfWorkFactory) -> None:
    async with units() as uow:
        assert await uow.notices.add("i-1", "spot_interruption", at=EPOCH)
        assert not await uow.notices.add("i-1", "spot_interruption", at=EPOCH)
        assert await uow.notices.add("i-1", "instance_terminated", at=EPOCH)
        assert await uow.notices.execution_of("i-1") is None
        await uow.notices.begun("i-1", "spot_interruption", UUID(int=9))
        assert await uow.notices.execution_of("i-1") == UUID(int=9)


async def test_an_instance_is_found_in_its_own_account_only(units: PostgresUnitOfWorkFactory) -> None:
    ids = CountingIds()
    account = CloudAccountRef(id="a1", account_number="111111111111", region="us-east-1")
    registered = ClusterRegistered.make(
        scope="c1", clock=CLOCK, ids=ids, organization_id="org1", name="prod", cloud_account=account
    )
    first, second = make_node("n1", instance_id="i-1"), make_node("n2", instance_id="i-2")
    chunk = SnapshotChunkPublished.make(
        scope="c1",
        clock=CLOCK,
        ids=ids,
        epoch=1,
        sequence=4,
        index=0,
        count=1,
        as_of=EPOCH,
        body=encode_chunk(ClusterObjects(nodes=(first,))),
    )
    delta = ClusterChanged.make(
        scope="c1", clock=CLOCK, ids=ids, epoch=1, sequence=5, upserts=ClusterObjects(nodes=(second,))
    )
    async with units() as uow:
        await uow.clusters.register(registered)
        assert await uow.clusters.gaps(now=EPOCH) == ["c1"], "nothing was ever heard"
        assert await uow.clusters.gaps(now=EPOCH) == [], "asked once a minute"
        assert await uow.clusters.picture("c1") is None
        await uow.clusters.add_chunk(chunk)
        picture = await uow.clusters.picture("c1")
        assert picture is not None
        assert picture.objects.nodes == (first,)
    async with units() as uow:
        await uow.clusters.apply(delta)
        picture = await uow.clusters.picture("c1")
        assert picture is not None
        assert picture.objects.nodes == (first, second)
        found = await uow.clusters.clusters_of_instance("i-2", account="111111111111")
        assert found == [("c1", "n2")]
        assert await uow.clusters.clusters_of_instance("i-2", account="222222222222") == []


async def test_replicas_that_start_together_make_one_key_and_it_is_sealed(database: Database) -> None:
    sealing = secrets_key("cd" * 32)
    replicas = [StoredSigningKeys(database, sealing_key=sealing, clock=CLOCK) for _ in range(3)]
    await asyncio.gather(*(keys.ensure() for keys in replicas))
    (public,) = await replicas[0].public_keys()
    for keys in replicas:
        key_id, signature = keys.sign(b"body")
        assert key_id == public.key_id
        Ed25519PublicKey.from_public_bytes(bytes.fromhex(public.public_key_hex)).verify(signature, b"body")
    other = StoredSigningKeys(database, sealing_key=secrets_key("ef" * 32), clock=CLOCK)
    with pytest.raises(SecretsKeyError, match="EXECUTOR_SECRETS_KEY"):
        await other.ensure()


@pytest.mark.parametrize("text", ["", "zz", "ab" * 31])
def test_a_secrets_key_that_is_none_is_refused(text: str) -> None:
    with pytest.raises(SecretsKeyError):
        secrets_key(text)


@pytest.mark.nats
async def test_safe_mode_is_told_from_a_bus_that_is_away(bus_for: BusFor) -> None:
    bus = await bus_for("executor", None)
    safe_mode = SafeMode(bus)
    switch = KeyValueSwitch(safe_mode)

    async def read() -> Switch:
        return await switch.read(organization_id="org1", cluster_id="c1")

    assert await read() is Switch.OFF
    await safe_mode.put("organization.org1", on=True)
    assert await read() is Switch.ON
    await safe_mode.put("organization.org1", on=False)
    assert await read() is Switch.OFF
    await bus.stop()
    assert await read() is Switch.UNREADABLE


async def test_what_nobody_asks_for_any_more_is_forgotten(
    database: Database, units: PostgresUnitOfWorkFactory
) -> None:
    def ended(number: int, days: int) -> Execution:
        at = EPOCH - timedelta(days=days)
        return an_execution(number, status=ExecutionStatus.SUCCEEDED, finished_at=at, is_main=False)

    running, old, recent = an_execution(1), ended(2, 500), ended(3, 100)
    async with units() as uow:
        for execution in (running, old, recent):
            await uow.executions.add(execution, steps_of(execution.id, [MOVE]))
        await uow.flags.put(Flag(POOL, EPOCH - timedelta(seconds=1)))
        await uow.notices.add("i-old", "spot_interruption", at=EPOCH - timedelta(days=500))
    async with database.transaction() as transaction:
        connection = transaction.connection
        for name, days in (("running", 10), ("gone", 10), ("fresh", 0)):
            subject = running.id if name == "running" else name
            await connection.execute(
                "insert into leases values ($1, 'h', 1, now() - make_interval(days => $2))",
                f"execution:{subject}",
                days,
            )
        for number, (status, days) in enumerate([("proposed", 8), ("proposed", 1), ("approved", 8)]):
            await connection.execute(
                "insert into approved_plans values ($1, 'c1', '', '', $2, $3)",
                UUID(int=number),
                status,
                EPOCH - timedelta(days=days),
            )
        await connection.execute(
            "insert into cluster_objects values ('c1', 'node', 'here', ''); "
            "insert into node_instances values ('i-here', 'c1', 'here'), ('i-gone', 'c1', 'gone')"
        )
    await forget_old(database, clock=CLOCK, kept=timedelta(days=400))
    async with units() as uow:
        assert await uow.executions.find(old.id) is None
        assert not await uow.executions.steps(old.id)
        assert await uow.executions.find(recent.id) is not None
        assert await uow.executions.find(running.id) is not None
    async with database.transaction() as transaction:

        async def left(table: str, column: str) -> list[str]:
            rows = await transaction.connection.fetch(f"select {column}::text as it from {table} order by 1")
            return [row["it"] for row in rows]

        assert await left("pool_flags", "region") == await left("notices", "kind") == []
        assert await left("leases", "name") == [f"execution:{running.id}", "execution:fresh"]
        assert await left("approved_plans", "plan_id") == [str(UUID(int=1)), str(UUID(int=2))]
        assert await left("node_instances", "instance_id") == ["i-here"]


async def test_decoded_copies_are_bounded_and_made_anew_when_needed(database: Database) -> None:
    cache = PictureCache()
    async with database.transaction() as transaction:
        for number in range(CLUSTERS_KEPT + 1):
            await transaction.connection.execute(
                "insert into cluster_marks values ($1, 1, 1, $2, null)", f"c{number}", EPOCH
            )
            await transaction.connection.execute(
                "insert into cluster_objects values ($1, 'node', 'n1', $2)", f"c{number}", NODE_BODY
            )
    async with database.transaction() as transaction:
        first = await cache.look(transaction.connection, "c0")
        again = await cache.look(transaction.connection, "c0")
        assert first is not None
        assert again is not None
        assert again.objects is first.objects
        for number in range(1, CLUSTERS_KEPT + 1):
            await cache.look(transaction.connection, f"c{number}")
        anew = await cache.look(transaction.connection, "c0")
    assert anew == first
    assert anew.objects is not first.objects
