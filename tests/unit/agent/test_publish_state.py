"""Snapshots and deltas make a sequence without gaps, whatever is lost on the way."""

from datetime import timedelta

from agent.domain.mirror import Mirror, WatchedKind
from agent.domain.numbering import Numbering, new_epoch
from agent.handlers.publish_state import StatePublisher
from shared.contracts.v1.agent import ClusterChanged, SnapshotChunkPublished
from shared.runtime.cluster_store import decode_chunk, encode_chunk
from tests.fakes.agent import START, CountingIds, InMemoryOutbox, SkippingClock
from tests.unit.agent.test_mirror import pod_json


class World:
    def __init__(self) -> None:
        self.mirror, self.outbox, self.clock = Mirror(), InMemoryOutbox(), SkippingClock()
        self.publisher = StatePublisher(
            cluster_id="c1",
            mirror=self.mirror,
            numbering=Numbering(7),
            outbox=self.outbox,
            encode=encode_chunk,
            clock=self.clock,
            ids=CountingIds(),
            resync_period=timedelta(hours=1),
            resync_at_most_every=timedelta(seconds=5),
        )

    async def pass_time(self, seconds: float) -> None:
        await self.clock.sleep(seconds)
        self.publisher.turn()

    def put(self, name: str) -> None:
        self.mirror.put(WatchedKind.POD, pod_json(name))

    def positions(self) -> list[tuple[str, int]]:
        told = []
        for event in self.outbox.events:
            assert isinstance(event, SnapshotChunkPublished | ClusterChanged)
            told.append((type(event).__name__[:8], event.sequence))
        return told


def pods_of(event: object) -> list[str]:
    assert isinstance(event, SnapshotChunkPublished)
    return [pod.name for pod in decode_chunk(event.body).pods]


def test_the_first_turn_is_a_snapshot_then_come_deltas() -> None:
    world = World()
    world.put("a")
    world.publisher.turn()
    world.publisher.turn()
    world.put("b")
    world.publisher.turn()
    assert world.positions() == [("Snapshot", 0), ("ClusterC", 1)]
    assert pods_of(world.outbox.events[0]) == ["a"]


async def test_requests_for_snapshots_are_gathered() -> None:
    world = World()
    world.publisher.turn()
    for _ in range(3):
        world.publisher.ask_snapshot("gap")
        await world.pass_time(1)
    assert world.positions() == [("Snapshot", 0)]
    await world.pass_time(3)
    assert world.positions() == [("Snapshot", 0)] * 2
    await world.pass_time(100)
    assert world.positions() == [("Snapshot", 0)] * 2


async def test_a_snapshot_comes_by_itself_every_hour() -> None:
    world = World()
    world.publisher.turn()
    await world.pass_time(3601)
    assert len(world.outbox.events) == 2


def test_lost_deltas_are_replaced_by_a_snapshot_at_a_position_of_its_own() -> None:
    world = World()
    world.publisher.turn()
    world.put("a")
    world.publisher.turn()
    world.outbox.has_lost_state, world.outbox.has_room = True, False
    world.put("b")
    world.publisher.turn()
    assert world.positions() == [("Snapshot", 0), ("ClusterC", 1)]
    world.outbox.has_room = True
    world.publisher.turn()
    world.put("c")
    world.publisher.turn()
    assert world.positions()[2:] == [("Snapshot", 2), ("ClusterC", 3)]
    assert pods_of(world.outbox.events[2]) == ["a", "b"]


def test_an_epoch_is_above_the_last_even_when_the_clock_went_back() -> None:
    usual = new_epoch(now=START, last=0)
    assert new_epoch(now=START - timedelta(days=1), last=usual) == usual + 1
