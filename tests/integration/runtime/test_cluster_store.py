"""A copy of a cluster always shows a state the cluster was in, whatever becomes of the messages on the way."""

from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from datetime import datetime, timedelta
from typing import Any

import pytest
import zstandard
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from shared.contracts.v1.agent import ClusterChanged, HeartbeatSent, SnapshotChunkPublished
from shared.contracts.v1.gateway import CloudAccountRef, ClusterRegistered
from shared.kernel.cluster_state import Position, Verdict
from shared.kernel.workload import ClusterObjects, ObjectKind, ObjectRef, Pod
from shared.runtime import cluster_store
from shared.runtime.cluster_store import ClusterStore, DecodedCopy, MalformedChunkError, encode_chunk
from shared.runtime.ids import UuidSeven
from shared.runtime.postgres import Database
from tests.builders import make_node, make_pod
from tests.fakes.clock import EPOCH

pytestmark = pytest.mark.postgres

MakeDatabase = Callable[[str], Awaitable[Database]]
Message = SnapshotChunkPublished | ClusterChanged
IDS = UuidSeven()
MINUTE = timedelta(minutes=1)


def envelope(at: datetime = EPOCH, *, scope: str = "c1") -> dict[str, Any]:
    own = IDS.new()
    return {"id": own, "correlation_id": own, "occurred_at": at, "scope": scope}


def chunks(
    objects: ClusterObjects, position: Position, *, at: datetime = EPOCH, count: int = 1
) -> list[SnapshotChunkPublished]:
    return [
        SnapshotChunkPublished(
            **envelope(at),
            epoch=position.epoch,
            sequence=position.sequence,
            index=index,
            count=count,
            as_of=at,
            body=encode_chunk(ClusterObjects(pods=objects.pods[index::count])),
        )
        for index in range(count)
    ]


def delta(position: Position, *pods: Pod, gone: Sequence[str] = (), at: datetime = EPOCH) -> ClusterChanged:
    return ClusterChanged(
        **envelope(at),
        epoch=position.epoch,
        sequence=position.sequence,
        upserts=ClusterObjects(pods=pods),
        deletes=tuple(ObjectRef(ObjectKind.POD, f"shop/{name}") for name in gone),
    )


def heartbeat(position: Position, *, at: datetime) -> HeartbeatSent:
    return HeartbeatSent(**envelope(at), agent_version="1", epoch=position.epoch, sequence=position.sequence)


class Undo(Exception):  # noqa: N818 - ends a transaction, is no failure
    """Leave no trace."""


@asynccontextmanager
async def store_in(database: Database) -> AsyncIterator[ClusterStore]:
    """A store in a transaction that is undone, so that each example begins with nothing."""
    try:
        async with database.transaction() as transaction:
            yield ClusterStore(transaction.connection)
            raise Undo
    except Undo:
        pass


async def give(store: ClusterStore, message: Message) -> object:
    if isinstance(message, SnapshotChunkPublished):
        return await store.add_chunk(message)
    return await store.apply(message)


class Agent:
    """What an agent says while pods come, change and go; and which state it was in at each position."""

    def __init__(self) -> None:
        self.state: dict[str, Pod] = {}
        self.at = Position(0, 0)
        self.states: dict[Position, dict[str, Pod]] = {}
        self.said: list[Message] = []

    def start(self, *, count: int) -> None:
        """A new epoch, or for the first time one at all."""
        self.at = Position(self.at.epoch + 1, 0)
        self.states[self.at] = dict(self.state)
        self.snapshot(count=count)

    def snapshot(self, *, count: int) -> None:
        objects = ClusterObjects(pods=tuple(self.state[name] for name in sorted(self.state)))
        self.said += chunks(objects, self.at, at=EPOCH + timedelta(seconds=len(self.said)), count=count)

    def change(self, name: str, cpu: int | None) -> None:
        self.at = Position(self.at.epoch, self.at.sequence + 1)
        if cpu is None:
            self.state.pop(name, None)
            self.said.append(delta(self.at, gone=[name]))
        else:
            self.state[name] = make_pod(name, cpu=cpu)
            self.said.append(delta(self.at, self.state[name]))
        self.states[self.at] = dict(self.state)


@st.composite
def histories(draw: st.DrawFn) -> Agent:
    """An agent that starts, changes things, starts again and publishes its whole state now and then."""
    agent = Agent()
    agent.start(count=draw(st.integers(1, 3)))
    doing = st.one_of(
        st.tuples(st.sampled_from("abc"), st.none() | st.integers(1, 3)),
        st.tuples(st.sampled_from(["restart", "snapshot"]), st.integers(1, 2)),
    )
    for what, number in draw(st.lists(doing, max_size=10)):
        if what == "restart":
            agent.start(count=number or 1)
        elif what == "snapshot":
            agent.snapshot(count=number or 1)
        else:
            agent.change(what, number)
    return agent


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(agent=histories(), data=st.data())
async def test_any_order_any_loss_any_repetition(
    make_database: MakeDatabase, agent: Agent, data: st.DataObject
) -> None:
    database = await _one(make_database)
    arrives = data.draw(
        st.lists(st.sampled_from(agent.said), max_size=2 * len(agent.said))
        | st.permutations([*agent.said, *agent.said[::3]])
    )
    async with store_in(database) as store:
        reached = Position(0, 0)
        for message in arrives:
            await give(store, message)
            copy = await store.copy("c1")
            if copy is not None:
                assert copy.position >= reached, "a copy never goes back"
                reached = copy.position
                assert {pod.name: pod for pod in copy.objects.pods} == agent.states[reached]
        later = EPOCH + 2 * MINUTE
        await store.note_heartbeat(heartbeat(agent.at, at=later))
        is_there = reached == agent.at
        assert is_there or await store.gaps(now=later) == (["c1"] if arrives else [])
        for message in chunks(
            ClusterObjects(pods=tuple(agent.state[n] for n in sorted(agent.state))),
            agent.at,
            at=later,
            count=2,
        ):
            await store.add_chunk(message)
        healed = await store.copy("c1")
        assert healed is not None
        assert {pod.name: pod for pod in healed.objects.pods} == agent.state
        assert healed.position == agent.at


_databases: dict[int, Database] = {}


async def _one(make_database: MakeDatabase) -> Database:
    """One database for all examples of a test: the fixture is the same object for each of them."""
    found = _databases.get(id(make_database))
    if found is None:
        _databases.clear()
        found = _databases[id(make_database)] = await make_database("optimizer")
    return found


async def test_early_deltas_are_applied_once_what_lies_between_has_come(make_database: MakeDatabase) -> None:
    async with store_in(await make_database("optimizer")) as store:
        at = [EPOCH + timedelta(seconds=s) for s in range(5)]
        assert await store.apply(delta(Position(7, 3), make_pod("c"), at=at[3])) is Verdict.WAIT
        assert await store.copy("c1") is None, "nothing is known before a snapshot"
        assert await store.add_chunk(chunks(ClusterObjects(), Position(7, 0))[0])
        assert await store.apply(delta(Position(7, 2), make_pod("b"), at=at[2])) is Verdict.WAIT
        assert await store.apply(delta(Position(7, 1), make_pod("a"), at=at[1])) is Verdict.APPLY
        copy = await store.copy("c1")
        assert copy is not None
        assert [pod.name for pod in copy.objects.pods] == ["a", "b", "c"]
        assert (copy.position, copy.as_of) == (Position(7, 3), at[3])
        assert await store.apply(delta(Position(7, 2), gone=["b"])) is Verdict.IGNORE


async def test_a_snapshot_older_than_the_copy_changes_nothing(make_database: MakeDatabase) -> None:
    async with store_in(await make_database("optimizer")) as store:
        await store.add_chunk(chunks(ClusterObjects(pods=(make_pod("new"),)), Position(2, 4))[0])
        for older in (Position(2, 3), Position(1, 99)):
            assert not await store.add_chunk(chunks(ClusterObjects(), older)[0])
        copy = await store.copy("c1")
        assert copy is not None
        assert [pod.name for pod in copy.objects.pods] == ["new"]
        assert copy.position == Position(2, 4)


async def test_a_new_epoch_replaces_what_waited_of_the_old_one(make_database: MakeDatabase) -> None:
    async with store_in(await make_database("optimizer")) as store:
        await store.add_chunk(chunks(ClusterObjects(), Position(1, 0))[0])
        await store.apply(delta(Position(1, 5), make_pod("never")))
        await store.add_chunk(chunks(ClusterObjects(), Position(2, 0), at=EPOCH + MINUTE)[0])
        now = EPOCH + MINUTE + timedelta(seconds=30)
        assert await store.gaps(now=now) == [], "the old epoch's gap is nobody's concern any more"
        assert await store.apply(delta(Position(2, 1), make_pod("now"))) is Verdict.APPLY


async def test_a_snapshot_takes_effect_with_its_last_chunk(make_database: MakeDatabase) -> None:
    pods = tuple(make_pod(name) for name in "abcde")
    first, second, third = chunks(ClusterObjects(pods=pods), Position(1, 0), count=3)
    async with store_in(await make_database("optimizer")) as store:
        assert not await store.add_chunk(third)
        assert not await store.add_chunk(third)
        assert not await store.add_chunk(first)
        assert await store.copy("c1") is None
        assert await store.add_chunk(second)
        copy = await store.copy("c1")
        assert copy is not None
        assert copy.objects.pods == pods


async def test_two_snapshots_at_one_position_are_not_mixed(make_database: MakeDatabase) -> None:
    """Nothing changed between them, but they were cut differently; a part of the first was lost."""
    pods = tuple(make_pod(name) for name in "abcd")
    lost = chunks(ClusterObjects(pods=pods), Position(1, 0), count=3)
    again = chunks(ClusterObjects(pods=pods[::-1]), Position(1, 0), at=EPOCH + MINUTE, count=3)
    fewer = chunks(ClusterObjects(pods=pods), Position(1, 0), at=EPOCH + 2 * MINUTE, count=2)
    async with store_in(await make_database("optimizer")) as store:
        assert [await store.add_chunk(c) for c in (lost[0], lost[1], again[2])] == [False] * 3
        assert await store.copy("c1") is None
        assert [await store.add_chunk(c) for c in fewer] == [False, True]
        copy = await store.copy("c1")
        assert copy is not None
        assert copy.objects.pods == pods


async def test_gaps_are_asked_about_once_a_minute(make_database: MakeDatabase) -> None:
    database = await make_database("optimizer")
    async with database.transaction() as transaction:
        store = ClusterStore(transaction.connection)
        await store.add_chunk(chunks(ClusterObjects(), Position(1, 0))[0])
        await store.apply(delta(Position(1, 2), make_pod("early")))
        received = await transaction.connection.fetchval("select received_at from early_deltas")
        await store.note_heartbeat(heartbeat(Position(1, 0), at=received))
        soon = received + timedelta(seconds=4)
        late = received + timedelta(seconds=6)
        assert await store.gaps(now=soon) == [], "deltas may still be on their way"
        assert await store.gaps(now=late) == ["c1"]
        assert await store.gaps(now=late + timedelta(seconds=59)) == []
        assert await store.gaps(now=late + timedelta(seconds=61)) == ["c1"]


async def test_the_last_delta_of_a_quiet_cluster_was_lost(make_database: MakeDatabase) -> None:
    """Nothing follows it that could wait in the table; the heartbeats name a position never reached."""
    async with store_in(await make_database("optimizer")) as store:
        await store.add_chunk(chunks(ClusterObjects(), Position(1, 0))[0])
        assert await store.note_heartbeat(heartbeat(Position(1, 0), at=EPOCH + MINUTE))
        assert await store.gaps(now=EPOCH + 1.9 * MINUTE) == []
        assert not await store.note_heartbeat(heartbeat(Position(1, 1), at=EPOCH + 2 * MINUTE))
        assert await store.gaps(now=EPOCH + 2.1 * MINUTE) == ["c1"]


async def test_a_registered_cluster_without_a_snapshot_is_asked_for_one(make_database: MakeDatabase) -> None:
    async with store_in(await make_database("optimizer")) as store:
        await store.register(registered())
        assert await store.gaps(now=EPOCH) == ["c1"]
        assert await store.gaps(now=EPOCH) == []


async def test_a_cluster_belongs_to_whom_the_gateway_said_last(make_database: MakeDatabase) -> None:
    async with store_in(await make_database("optimizer")) as store:
        assert await store.cluster("c1") is None
        await store.register(registered("o1"))
        await store.register(registered("o2"))
        [found] = await store.clusters()
        assert found == await store.cluster("c1")
        assert (found.organization_id, found.account.region) == ("o2", "us-east-1")


async def test_every_kind_of_object_comes_back_as_it_was(make_database: MakeDatabase) -> None:
    objects = ClusterObjects(nodes=(make_node("n1", gpu=1),), pods=(make_pod("p1", node="n1"),))
    chunk = chunks(objects, Position(1, 0))[0].model_copy(update={"body": encode_chunk(objects)})
    async with store_in(await make_database("optimizer")) as store:
        await store.add_chunk(chunk)
        copy = await store.copy("c1")
        assert copy is not None
        assert copy.objects == objects


async def test_a_chunk_that_is_none_is_refused_and_leaves_nothing(make_database: MakeDatabase) -> None:
    good = chunks(ClusterObjects(), Position(1, 0))[0]
    async with store_in(await make_database("optimizer")) as store:
        for body in (b"", b"no zstd", zstandard.compress(b'{"pods": 3}'), zstandard.compress(b"{")):
            with pytest.raises(MalformedChunkError):
                await store.add_chunk(good.model_copy(update={"body": body}))
        assert await store.copy("c1") is None


def test_a_small_chunk_cannot_fill_the_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    """zstd's frame names its own size, and the library's limit does not hold for such a frame."""
    monkeypatch.setattr(cluster_store, "LARGEST_CHUNK_BYTES", 1000)
    with pytest.raises(MalformedChunkError, match="1000 bytes"):
        cluster_store.decode_chunk(zstandard.compress(b" " * 2000 + b"{}"))


def registered(organization_id: str = "o1") -> ClusterRegistered:
    return ClusterRegistered(
        **envelope(),
        organization_id=organization_id,
        name="production",
        cloud_account=CloudAccountRef(id="a1", account_number="123456789012", region="us-east-1"),
    )


async def test_a_decoded_copy_reads_only_what_was_written_since_and_never_differs(
    make_database: MakeDatabase,
) -> None:
    database = await make_database("optimizer")
    held = DecodedCopy()

    async def write(*messages: Message) -> tuple[Pod, ...]:
        async with database.transaction() as transaction:
            for message in messages:
                store = ClusterStore(transaction.connection)
                if isinstance(message, ClusterChanged):
                    await store.apply(message)
                else:
                    await store.add_chunk(message)
        async with database.transaction() as transaction:
            look = await held.look(transaction.connection, "c1")
            assert look == await ClusterStore(transaction.connection).copy("c1")
        assert look is not None
        return look.objects.pods

    async with database.transaction() as transaction:
        assert await held.look(transaction.connection, "c1") is None
    pods = [make_pod(f"web-{n}") for n in range(4)]
    first = await write(*chunks(ClusterObjects(pods=tuple(pods)), Position(1, 0)))
    changed = make_pod("web-1", node="n1")
    second = await write(delta(Position(1, 1), changed, make_pod("another"), gone=["web-2"]))
    assert [pod.name for pod in second] == ["another", "web-0", "web-1", "web-3"]
    assert second[2] == changed
    assert second[1] is first[0], "what was not written is not decoded again"
    third = await write(*chunks(ClusterObjects(pods=(pods[2],)), Position(2, 0)))
    assert [pod.name for pod in third] == ["web-2"]
    fourth = await write(delta(Position(2, 1), gone=["web-2"]), delta(Position(2, 2), pods[2]))
    assert [pod.name for pod in fourth] == ["web-2"]
