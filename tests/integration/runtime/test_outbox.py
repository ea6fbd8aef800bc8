"""From a committed transaction to a handled message, across crashes: nothing lost, nothing done twice, in order."""

import asyncio
from collections.abc import Awaitable, Callable

import pytest
import structlog
from nats.js.errors import NoStreamResponseError

from shared.contracts.v1.executor import NodeInterrupted
from shared.contracts.v1.pricing import ListFlags
from shared.runtime import outbox, payloads
from shared.runtime.clock import SystemClock
from shared.runtime.ids import UuidSeven
from shared.runtime.messaging import Bus
from shared.runtime.postgres import Database, Transaction
from tests.waiting import until

pytestmark = [pytest.mark.nats, pytest.mark.postgres]

MakeDatabase = Callable[[str], Awaitable[Database]]
BusFor = Callable[..., Awaitable[Bus]]


def interrupted(node_name: str) -> NodeInterrupted:
    return NodeInterrupted.make(
        scope="c1",
        clock=SystemClock(),
        ids=UuidSeven(),
        organization_id="o1",
        node_name=node_name,
        instance_id="i-1",
        kind="spot_interruption",
        pool=None,
    )


async def say(database: Database, *names: str) -> None:
    async with database.transaction() as transaction:
        for name in names:
            await transaction.add(interrupted(name))


async def waiting(database: Database) -> int:
    async with database.transaction() as transaction:
        return int(await transaction.connection.fetchval("select count(*) from outbox"))


async def listener(make_database: MakeDatabase, bus_for: BusFor) -> tuple[Bus, list[str]]:
    """A consumer that notes whom it heard of."""
    heard: list[str] = []
    bus = await bus_for("pricing", await make_database("pricing"))

    async def note(message: NodeInterrupted, _transaction: Transaction) -> None:
        heard.append(message.node_name)

    bus.consume(NodeInterrupted, note)
    await bus.broker.start()
    return bus, heard


async def settled(bus: Bus) -> bool:
    info = await bus.js.consumer_info("EXECUTOR_EVT", "pricing-node_interrupted")
    return not (info.num_pending or info.num_ack_pending)


async def test_messages_added_together_leave_in_their_order(
    make_database: MakeDatabase, bus_for: BusFor
) -> None:
    executor = await make_database("executor")
    names = [f"n{number}" for number in range(30)]
    async with executor.transaction() as transaction:
        messages = [interrupted(name) for name in names]
        await transaction.add_all(messages)
        await transaction.add_all([])
        await transaction.add(messages[0])
        question = ListFlags.make(scope="us-east-1", clock=SystemClock(), ids=UuidSeven())
        with pytest.raises(ValueError, match="not stored in a stream"):
            await transaction.add_all([interrupted("none"), question])
    _bus, heard = await listener(make_database, bus_for)
    assert await outbox.relay_once(executor, await bus_for("executor", executor)) == len(names)
    await until(lambda: heard == names)


async def test_a_crash_after_publishing_publishes_again_and_is_handled_once(
    make_database: MakeDatabase, bus_for: BusFor
) -> None:
    executor = await make_database("executor")
    bus, heard = await listener(make_database, bus_for)
    await say(executor, "a", "b")
    sender = await bus_for("executor", executor)
    async with executor.transaction() as transaction:
        rows = await transaction.connection.fetch("select subject, body from outbox order by position")
    for (
        row
    ) in rows:  # what the relay that crashed had sent; without its id, as if JetStream's window were over
        await sender.js.publish(row["subject"], row["body"])
    assert await outbox.relay_once(executor, sender) == 2
    assert await waiting(executor) == 0
    await until(lambda: settled(bus))
    assert heard == ["a", "b"]
    assert (await bus.js.stream_info("EXECUTOR_EVT")).state.messages == 4


async def test_within_its_window_the_bus_drops_the_repetition(
    make_database: MakeDatabase, bus_for: BusFor
) -> None:
    executor = await make_database("executor")
    sender = await bus_for("executor", executor)
    await say(executor, "a")

    class CrashError(Exception):
        """The process ends here."""

    async def crash_before_commit() -> None:
        async with executor.transaction() as transaction:
            row = await transaction.connection.fetchrow("select message_id, subject, body from outbox")
            assert row is not None
            headers = {"Nats-Msg-Id": str(row["message_id"])}
            await sender.js.publish(row["subject"], row["body"], headers=headers)
            await transaction.connection.execute("delete from outbox")
            raise CrashError

    with pytest.raises(CrashError):
        await crash_before_commit()
    assert await outbox.relay_once(executor, sender) == 1
    assert (await sender.js.stream_info("EXECUTOR_EVT")).state.messages == 1


async def test_order_is_kept_over_several_batches(
    make_database: MakeDatabase, bus_for: BusFor, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(outbox, "BATCH", 3)
    executor = await make_database("executor")
    bus, heard = await listener(make_database, bus_for)
    sender = await bus_for("executor", executor)
    names = [f"n{number}" for number in range(8)]
    await say(executor, *names)
    assert [await outbox.relay_once(executor, sender) for _ in range(4)] == [3, 3, 2, 0]
    await until(lambda: heard, is_=names)
    await until(lambda: settled(bus))


async def test_what_cannot_be_published_stays(make_database: MakeDatabase, bus_for: BusFor) -> None:
    executor = await make_database("executor")
    sender = await bus_for("executor", executor)
    await say(executor, "a")
    await sender.js.delete_stream("EXECUTOR_EVT")
    with pytest.raises(NoStreamResponseError):
        await outbox.relay_once(executor, sender)
    assert await waiting(executor) == 1


async def test_one_relay_of_a_service_works_at_a_time(make_database: MakeDatabase, bus_for: BusFor) -> None:
    executor = await make_database("executor")
    sender = await bus_for("executor", executor)
    await say(executor, *"abcdef")
    sent = await asyncio.gather(*(outbox.relay_once(executor, sender) for _ in range(3)))
    assert sum(sent) == 6
    assert (await sender.js.stream_info("EXECUTOR_EVT")).state.messages == 6


async def test_the_relay_sends_at_once_and_outlives_a_bus_that_fails(
    make_database: MakeDatabase, bus_for: BusFor, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(outbox, "LOOK_AGAIN_SECONDS", 0.02)
    executor = await make_database("executor")
    bus, heard = await listener(make_database, bus_for)
    sender = await bus_for("executor", executor)
    config = (await sender.js.stream_info("PRICING_EVT")).config
    relay = asyncio.create_task(outbox.relay(executor, sender))
    try:
        await say(executor, "a")
        await until(lambda: heard, is_=["a"])
        async with executor.transaction() as transaction:
            await transaction.connection.execute(
                "insert into outbox (message_id, subject, body) values (gen_random_uuid(), 'pricing.evt.v1.x.r', 'x')"
            )
            await sender.js.delete_stream("PRICING_EVT")
        await say(executor, "b")
        await until(lambda: waiting(executor), is_=2)
        await sender.js.add_stream(config)
        await until(lambda: heard, is_=["a", "b"])
    finally:
        relay.cancel()
    await until(lambda: settled(bus))


async def test_a_body_too_large_for_the_bus_goes_through_the_object_store(
    make_database: MakeDatabase, bus_for: BusFor, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(payloads, "REFER_ABOVE_BYTES", 1024)
    executor = await make_database("executor")
    bus, heard = await listener(make_database, bus_for)
    sender = await bus_for("executor", executor)
    name = "".join(f"{number:x}-" for number in range(20_000))
    await say(executor, name)
    await outbox.relay_once(executor, sender)
    stored = await sender.js.get_msg("EXECUTOR_EVT", seq=1)
    assert stored.data in (None, b"")
    assert (stored.headers or {})[payloads.REFERENCE]
    await until(lambda: heard, is_=[name])
    await until(lambda: settled(bus))


async def test_old_inbox_rows_are_forgotten_and_young_ones_kept(make_database: MakeDatabase) -> None:
    database = await make_database("pricing")
    async with database.transaction() as transaction:
        await transaction.connection.execute(
            "insert into inbox (consumer, message_id, received_at)"
            " values ('c', gen_random_uuid(), now() - make_interval(days => 15)), ('c', gen_random_uuid(), now())"
        )
    assert await outbox.forget_old(database) == 1
    assert await outbox.forget_old(database) == 0


async def test_what_counts_is_told_once_all_is_kept_and_never_when_it_is_not(
    make_database: MakeDatabase,
) -> None:
    database = await make_database("pricing")
    told: list[str] = []

    async def keep(name: str, *, failing: bool) -> None:
        async with database.transaction() as transaction:
            await transaction.connection.execute("insert into inbox values ($1, gen_random_uuid())", name)
            transaction.on_commit(lambda: told.append(name))
            assert name not in told
            if failing:
                raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await keep("lost", failing=True)
    await keep("kept", failing=False)
    async with database.transaction() as transaction:
        kept = [r["consumer"] for r in await transaction.connection.fetch("select consumer from inbox")]
    assert told == kept == ["kept"]


async def test_what_fails_after_the_commit_is_logged_and_undoes_nothing(make_database: MakeDatabase) -> None:
    database = await make_database("pricing")
    told: list[str] = []

    def fail() -> None:
        raise ZeroDivisionError

    with structlog.testing.capture_logs() as logs:
        async with database.transaction() as transaction:
            await transaction.connection.execute("insert into inbox values ('kept', gen_random_uuid())")
            transaction.on_commit(fail)
            transaction.on_commit(lambda: told.append("later"))
    async with database.transaction() as transaction:
        kept = [r["consumer"] for r in await transaction.connection.fetch("select consumer from inbox")]
    assert (kept, told) == (["kept"], ["later"])
    assert [log["event"] for log in logs] == ["on_commit_failed"]
