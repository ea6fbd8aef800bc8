"""What happens to messages while the bus itself fails, and when too many of them die."""

from collections.abc import Awaitable, Callable

import pytest

from shared.contracts.v1.agent import HeartbeatSent
from shared.contracts.v1.executor import NodeInterrupted
from shared.kernel.errors import PermanentError, UnavailableError
from shared.runtime import dead_letters, messaging, streams
from shared.runtime.clock import SystemClock
from shared.runtime.ids import UuidSeven
from shared.runtime.messaging import Bus
from shared.runtime.postgres import Database, Transaction
from tests.waiting import until

pytestmark = [pytest.mark.nats, pytest.mark.postgres]

MakeDatabase = Callable[[str], Awaitable[Database]]
BusFor = Callable[..., Awaitable[Bus]]
CONSUMER = "pricing-node_interrupted"


def interrupted(detail: str = "n1") -> NodeInterrupted:
    return NodeInterrupted.make(
        scope="c1",
        clock=SystemClock(),
        ids=UuidSeven(),
        organization_id="o1",
        node_name=detail,
        instance_id="i-1",
        kind="spot_interruption",
        pool=None,
    )


async def publish(bus: Bus, message: NodeInterrupted) -> None:
    await bus.js.publish("executor.evt.v1.node_interrupted.c1", message.model_dump_json().encode())


async def unacknowledged(bus: Bus) -> int:
    info = await bus.js.consumer_info("EXECUTOR_EVT", CONSUMER)
    return (info.num_pending or 0) + (info.num_ack_pending or 0)


async def test_a_dead_letter_that_cannot_be_stored_is_not_lost(
    make_database: MakeDatabase, bus_for: BusFor, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(messaging, "UNAVAILABLE_PAUSES_SECONDS", (0.01,))
    bus = await bus_for("pricing", await make_database("pricing"))
    tries = 0

    async def refuse(_message: NodeInterrupted, _transaction: Transaction) -> None:
        nonlocal tries
        tries += 1
        raise PermanentError("never")

    bus.consume(NodeInterrupted, refuse)
    await bus.js.delete_stream(streams.DLQ_STREAM)
    await bus.broker.start()
    await publish(bus, interrupted())
    await until(lambda: tries >= 2)
    assert await unacknowledged(bus) == 1
    await streams.ensure(bus.js)
    await until(lambda: unacknowledged(bus), is_=0)
    assert [letter.error async for letter in dead_letters.listed(bus.js)] == ["PermanentError: never"]


async def test_too_many_dead_letters_stop_the_consumer_and_nothing_more_is_lost(
    make_database: MakeDatabase, bus_for: BusFor
) -> None:
    bus = await bus_for("pricing", await make_database("pricing"))

    async def refuse(_message: NodeInterrupted, _transaction: Transaction) -> None:
        raise PermanentError

    bus.consume(NodeInterrupted, refuse)
    await bus.broker.start()
    for _ in range(messaging.DEAD_LETTERS_A_MINUTE + 5):
        await publish(bus, interrupted())

    async def is_stopped() -> bool:
        return "stopped" in (await bus._health.reasons()).get(CONSUMER, "")

    await until(is_stopped)
    died = [letter async for letter in dead_letters.listed(bus.js)]
    assert len(died) == messaging.DEAD_LETTERS_A_MINUTE + 1
    assert await unacknowledged(bus) == 4
    await bus.stop()  # must not wait for the consumer that stands still


async def test_rubbish_of_one_agent_does_not_stop_what_everybody_needs(
    make_database: MakeDatabase, bus_for: BusFor
) -> None:
    bus = await bus_for("gateway", await make_database("gateway"))
    heard: list[str] = []

    async def hear(message: HeartbeatSent, _transaction: Transaction) -> None:
        heard.append(message.scope)

    bus.consume(HeartbeatSent, hear)
    await bus.broker.start()
    for _ in range(messaging.DEAD_LETTERS_A_MINUTE + 5):
        await bus.js.publish("agent.evt.v1.heartbeat_sent.evil", b"rubbish")
    good = HeartbeatSent.make(
        scope="c1", clock=SystemClock(), ids=UuidSeven(), agent_version="1", epoch=1, sequence=1
    )
    await bus.js.publish("agent.evt.v1.heartbeat_sent.c1", good.model_dump_json().encode())
    await until(lambda: heard, is_=["c1"])


async def test_a_waiting_consumer_ends_with_its_process(make_database: MakeDatabase, bus_for: BusFor) -> None:
    database = await make_database("pricing")
    bus = await bus_for("pricing", database)
    calls = 0

    async def wait(_message: NodeInterrupted, _transaction: Transaction) -> None:
        nonlocal calls
        calls += 1
        raise UnavailableError("AWS is away")

    bus.consume(NodeInterrupted, wait)
    await bus.broker.start()
    await publish(bus, interrupted())
    await until(lambda: calls)
    assert await bus._health.reasons() == {CONSUMER: "waiting: AWS is away"}
    await bus.stop()
    other = await bus_for("pricing", database)
    assert await unacknowledged(other) == 1


async def test_a_value_that_the_database_cannot_hold_is_the_messages_fault(
    make_database: MakeDatabase, bus_for: BusFor, monkeypatch: pytest.MonkeyPatch
) -> None:
    """asyncpg's own DataError is an InterfaceError, like a connection that broke; waiting would never end."""
    monkeypatch.setattr(messaging, "RETRY_DELAYS_SECONDS", (0.01,))
    bus = await bus_for("pricing", await make_database("pricing"))

    async def store(_message: NodeInterrupted, transaction: Transaction) -> None:
        await transaction.connection.execute("select $1::int", 2**40)

    bus.consume(NodeInterrupted, store)
    await bus.broker.start()
    await publish(bus, interrupted())
    await until(lambda: unacknowledged(bus), is_=0)
    [letter] = [letter async for letter in dead_letters.listed(bus.js)]
    assert (letter.attempts, letter.consumer) == (2, CONSUMER)


async def test_an_error_text_cannot_break_the_dead_letters_headers(
    make_database: MakeDatabase, bus_for: BusFor
) -> None:
    bus = await bus_for("pricing", await make_database("pricing"))

    async def refuse(_message: NodeInterrupted, _transaction: Transaction) -> None:
        raise PermanentError("first\r\nSpot-Consumer: somebody else\r\n\r\nünïcode")

    bus.consume(NodeInterrupted, refuse)
    await bus.broker.start()
    await publish(bus, interrupted())
    await until(lambda: unacknowledged(bus), is_=0)
    [letter] = [letter async for letter in dead_letters.listed(bus.js)]
    assert letter.consumer == CONSUMER
    assert letter.error.startswith("PermanentError: first")


async def test_a_dropped_letter_is_gone_and_a_replayed_one_is_handled_by_who_gave_it_up(
    make_database: MakeDatabase, bus_for: BusFor
) -> None:
    bus = await bus_for("pricing", await make_database("pricing"))
    is_fixed = False
    seen: list[str] = []

    async def handle(message: NodeInterrupted, _transaction: Transaction) -> None:
        if not is_fixed:
            raise PermanentError
        seen.append(message.node_name)

    bus.consume(NodeInterrupted, handle)
    await bus.broker.start()
    for name in ("dropped", "replayed"):
        await publish(bus, interrupted(name))
    await until(lambda: unacknowledged(bus), is_=0)
    first, second = [letter async for letter in dead_letters.listed(bus.js)]
    is_fixed = True
    await dead_letters.drop(bus.js, first.sequence)
    await dead_letters.replay(bus.js, second)
    await until(lambda: seen, is_=["replayed"])
    assert [letter async for letter in dead_letters.listed(bus.js)] == []
    assert await dead_letters.get(bus.js, first.sequence) is None
