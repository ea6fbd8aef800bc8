"""Heartbeats: the newest counts, and a stranger's harms nobody."""

from datetime import timedelta

from services.gateway.handlers.note_heartbeat import note_heartbeat
from shared.contracts.v1.agent import HeartbeatSent
from tests.fakes.gateway import START, InMemoryGateway, SetClock, SteadyIds
from tests.unit.gateway.handlers.test_receive_plan import gateway_with


async def beat(gateway: InMemoryGateway, *, version: str, ago: timedelta, cluster_id: str = "c1") -> None:
    event = HeartbeatSent.make(
        scope=cluster_id,
        clock=SetClock(START - ago),
        ids=SteadyIds(),
        agent_version=version,
        epoch=1,
        sequence=1,
    )
    async with gateway() as uow:
        await note_heartbeat(event, uow=uow, clock=SetClock(START))


async def test_the_newest_heartbeat_counts_whatever_comes_last() -> None:
    gateway = gateway_with()
    await beat(gateway, version="2", ago=timedelta(seconds=10))
    await beat(gateway, version="1", ago=timedelta(seconds=40))
    cluster = gateway.state.clusters["c1"]
    assert (cluster.agent_version, cluster.last_heartbeat_at) == ("2", START - timedelta(seconds=10))


async def test_a_heartbeat_of_no_cluster_changes_nothing() -> None:
    gateway = gateway_with()
    await beat(gateway, version="1", ago=timedelta(), cluster_id="gone")
    assert gateway.state.clusters["c1"].last_heartbeat_at is None


async def test_an_agent_whose_clock_runs_ahead_is_not_alive_for_ever() -> None:
    gateway = gateway_with()
    await beat(gateway, version="1", ago=timedelta(days=-365))
    assert gateway.state.clusters["c1"].last_heartbeat_at == START
