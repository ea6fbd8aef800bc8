"""Streams, consumers and buckets on a real nats-server: made once, found by those who bind to them."""

from collections.abc import Awaitable, Callable

import pytest

from deploy.local.schemas import SERVICES
from shared.runtime import streams
from shared.runtime.messaging import Bus

pytestmark = pytest.mark.nats

BusFor = Callable[..., Awaitable[Bus]]


async def test_a_second_run_makes_nothing_and_restores_settings(bus_for: BusFor) -> None:
    js = (await bus_for("pricing")).js
    assert await streams.ensure(js) == [], "the fixture made everything already"
    config = (await js.stream_info("PRICING_EVT")).config
    config.max_age = 600
    await js.update_stream(config)
    assert await streams.ensure(js) == []
    assert (await js.stream_info("PRICING_EVT")).config.max_age == 72 * 3600


async def test_every_service_finds_its_consumers_until_one_is_gone(bus_for: BusFor) -> None:
    js = (await bus_for("optimizer")).js
    for service in SERVICES:
        assert await streams.missing(js, service=service) == []
    await js.delete_consumer("AGENT_EVT", "optimizer-cluster_changed")
    await js.delete_stream("OPTIMIZER_CMD")
    assert await streams.missing(js, service="optimizer") == [
        "optimizer-cluster_changed",
        "optimizer-propose_plan",
    ]
    assert await streams.missing(js, service="executor") == []
    assert await streams.ensure(js) == [
        "stream OPTIMIZER_CMD",
        "consumer optimizer-cluster_changed",
        "consumer optimizer-propose_plan",
    ]


async def test_no_two_streams_take_the_same_subject(bus_for: BusFor) -> None:
    js = (await bus_for("pricing")).js
    taken = [subject for info in await js.streams_info() for subject in info.config.subjects or ()]
    assert len(taken) == len(set(taken))
    for consumer in streams.consumers():
        info = await js.consumer_info(consumer.stream, consumer.durable)
        assert info.config.filter_subject == consumer.filter_subject
        assert (info.config.ack_wait, info.config.max_deliver) == (60, 1_000)
