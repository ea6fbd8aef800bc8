"""Failure rules on a real nats-server with a real outbox: an in-memory broker neither redelivers nor acknowledges."""

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from shared.contracts.v1.executor import NodeInterrupted
from shared.contracts.v1.optimizer import GetPlan, PlanReply
from shared.contracts.v1.pricing import InstanceNoticeReceived
from shared.contracts.v1.reporting import SavingsBooked
from shared.kernel.errors import PermanentError, RetryableError, UnavailableError
from shared.kernel.ids import Ids
from shared.runtime import dead_letters, messaging, outbox
from shared.runtime.clock import SystemClock
from shared.runtime.ids import UuidSeven
from shared.runtime.messaging import Bus, RefusedRequestError, ServerUnavailableError
from shared.runtime.postgres import Database, Transaction
from tests.waiting import until

pytestmark = [pytest.mark.nats, pytest.mark.postgres]

MakeDatabase = Callable[[str], Awaitable[Database]]
BusFor = Callable[..., Awaitable[Bus]]

IDS: Ids = UuidSeven()


def interrupted(scope: str = "c1") -> NodeInterrupted:
    return NodeInterrupted.make(
        scope=scope,
        clock=SystemClock(),
        ids=IDS,
        organization_id="o1",
        node_name="n1",
        instance_id="i-1",
        kind="spot_interruption",
        pool=None,
    )


@pytest.mark.parametrize(
    ("error", "attempts", "dead"),
    [
        pytest.param(None, 1, 0, id="handled"),
        pytest.param(RetryableError(), 3, 1, id="retryable: retried, then dead"),
        pytest.param(ValueError(), 3, 1, id="unexpected: retried, then dead"),
        pytest.param(PermanentError(), 1, 1, id="permanent: dead at once"),
    ],
)
async def test_what_becomes_of_a_message(
    make_database: MakeDatabase,
    bus_for: BusFor,
    monkeypatch: pytest.MonkeyPatch,
    error: Exception | None,
    attempts: int,
    dead: int,
) -> None:
    monkeypatch.setattr(messaging, "RETRY_DELAYS_SECONDS", (0.02, 0.02))
    database = await make_database("pricing")
    bus = await bus_for("pricing", database)
    seen: list[NodeInterrupted] = []

    async def handle(message: NodeInterrupted, _transaction: Transaction) -> None:
        seen.append(message)
        if error is not None:
            raise error

    bus.consume(NodeInterrupted, handle)
    await bus.broker.start()
    message = interrupted()
    await bus.js.publish("executor.evt.v1.node_interrupted.c1", message.model_dump_json().encode())

    await until(lambda: len(seen) == attempts)
    await until(_pending(bus), is_=0)
    assert [letter.error.split(":")[0] async for letter in dead_letters.listed(bus.js)] == [
        type(error).__name__
    ] * dead
    assert seen == [message] * attempts


@pytest.mark.parametrize("at_once", [1, 3])
async def test_only_so_many_messages_are_handled_side_by_side(
    make_database: MakeDatabase, bus_for: BusFor, at_once: int
) -> None:
    database = await make_database("pricing")
    bus = await bus_for("pricing", database)
    begun: list[str] = []
    may_end = asyncio.Event()

    async def handle(message: NodeInterrupted, _transaction: Transaction) -> None:
        begun.append(message.scope)
        await may_end.wait()

    bus.consume(NodeInterrupted, handle, at_once=at_once)
    await bus.broker.start()
    scopes = [f"c{number}" for number in range(6)]
    for scope in scopes:
        body = interrupted(scope).model_dump_json().encode()
        await bus.js.publish(f"executor.evt.v1.node_interrupted.{scope}", body)
    await until(lambda: len(begun), is_=at_once)
    await asyncio.sleep(0.1)
    assert len(begun) == at_once, "the others wait"
    may_end.set()
    await until(_pending(bus), is_=0)
    assert sorted(begun) == scopes
    assert at_once > 1 or begun == scopes, "one after the other, in their order"


async def test_a_malformed_body_is_dead_at_once_and_can_be_replayed(
    make_database: MakeDatabase, bus_for: BusFor
) -> None:
    database = await make_database("pricing")
    bus = await bus_for("pricing", database)
    bus.consume(NodeInterrupted, _must_not_be_called)
    await bus.broker.start()
    await bus.js.publish("executor.evt.v1.node_interrupted.c1", b'{"broken":')
    await bus.js.publish("executor.evt.v1.node_interrupted.c2", interrupted("c1").model_dump_json().encode())

    await until(_count_dead(bus), is_=2)
    letters = [letter async for letter in dead_letters.listed(bus.js)]
    assert letters[0].body == b'{"broken":'
    assert letters[0].consumer == "pricing-node_interrupted"
    assert "about c1" in letters[1].error
    await dead_letters.replay(bus.js, letters[0])
    await until(_count_dead(bus), is_=2)
    assert [letter.sequence async for letter in dead_letters.listed(bus.js)] == [2, 3]


async def test_a_message_that_comes_twice_is_handled_once(
    make_database: MakeDatabase, bus_for: BusFor
) -> None:
    database = await make_database("pricing")
    bus = await bus_for("pricing", database)
    seen: list[NodeInterrupted] = []

    async def handle(message: NodeInterrupted, _transaction: Transaction) -> None:
        seen.append(message)

    bus.consume(NodeInterrupted, handle)
    await bus.broker.start()
    first, last = interrupted(), interrupted()
    for message in (first, first, first, last):
        await bus.js.publish("executor.evt.v1.node_interrupted.c1", message.model_dump_json().encode())
    await until(_pending(bus), is_=0)
    assert seen == [first, last]


async def test_while_a_server_is_down_the_consumer_waits_and_loses_nothing(
    make_database: MakeDatabase, bus_for: BusFor, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(messaging, "UNAVAILABLE_PAUSES_SECONDS", (0.005,))
    monkeypatch.setattr(messaging, "RETRY_DELAYS_SECONDS", ())
    database = await make_database("pricing")
    bus = await bus_for("pricing", database)
    calls = 0

    async def handle(_message: NodeInterrupted, _transaction: Transaction) -> None:
        nonlocal calls
        calls += 1
        if calls < 20:
            raise UnavailableError

    bus.consume(NodeInterrupted, handle)
    await bus.broker.start()
    await bus.js.publish("executor.evt.v1.node_interrupted.c1", interrupted().model_dump_json().encode())
    await until(lambda: calls == 20)
    await until(_pending(bus), is_=0)
    assert [letter async for letter in dead_letters.listed(bus.js)] == []


async def test_what_a_rolled_back_transaction_wanted_to_say_is_never_said(
    make_database: MakeDatabase, bus_for: BusFor
) -> None:
    database = await make_database("executor")
    bus = await bus_for("executor", database)

    async def fail_after_saying_something() -> None:
        async with database.transaction() as transaction:
            await transaction.add(interrupted())
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await fail_after_saying_something()
    kept = interrupted("c9")
    async with database.transaction() as transaction:
        await transaction.add(kept)
    assert await outbox.relay_once(database, bus) == 1
    assert await outbox.relay_once(database, bus) == 0
    stored = await bus.js.get_msg("EXECUTOR_EVT", seq=1)
    assert stored.subject == "executor.evt.v1.node_interrupted.c9"
    assert (await bus.js.stream_info("EXECUTOR_EVT")).state.messages == 1


async def test_a_request_is_answered_refused_or_nobody_is_there(
    make_database: MakeDatabase, bus_for: BusFor
) -> None:
    server = await bus_for("optimizer", await make_database("optimizer"))
    asker = await bus_for("gateway", await make_database("gateway"))

    async def answer(request: GetPlan) -> PlanReply:
        if request.scope == "unknown":
            raise PermanentError("no such cluster")
        return PlanReply(plan=None, plan_sha256="x" * 2_000_000)

    server.serve(GetPlan, answer)

    def ask(scope: str) -> GetPlan:
        return GetPlan.make(scope=scope, clock=SystemClock(), ids=IDS, plan_id=IDS.new())

    with pytest.raises(ServerUnavailableError):
        await asker.ask(ask("c1"), PlanReply, timeout_seconds=0.2)
    await server.broker.start()
    reply = await asker.ask(ask("c1"), PlanReply)
    assert reply.plan_sha256 == "x" * 2_000_000
    with pytest.raises(RefusedRequestError, match="no such cluster"):
        await asker.ask(ask("unknown"), PlanReply)


async def test_a_message_without_a_stream_cannot_go_through_an_outbox(make_database: MakeDatabase) -> None:
    database = await make_database("gateway")
    async with database.transaction() as transaction:
        with pytest.raises(ValueError, match="not stored in a stream"):
            await transaction.add(GetPlan.make(scope="c", clock=SystemClock(), ids=IDS, plan_id=IDS.new()))


async def test_nobody_consumes_what_the_table_does_not_give_them(
    make_database: MakeDatabase, bus_for: BusFor
) -> None:
    bus = await bus_for("pricing", await make_database("pricing"))
    for message_class in (InstanceNoticeReceived, SavingsBooked):
        with pytest.raises(ValueError, match="does not let pricing consume"):
            bus.consume(message_class, _must_not_be_called)


def _pending(bus: Bus) -> Callable[[], Awaitable[int]]:
    async def count() -> int:
        info = await bus.js.consumer_info("EXECUTOR_EVT", "pricing-node_interrupted")
        return (info.num_pending or 0) + (info.num_ack_pending or 0)

    return count


def _count_dead(bus: Bus) -> Callable[[], Awaitable[int]]:
    async def count() -> int:
        return (await bus.js.stream_info("DLQ")).state.messages

    return count


async def _must_not_be_called(*_: object) -> None:
    raise AssertionError("must not be called")
