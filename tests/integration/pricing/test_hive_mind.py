"""Interruptions on a real queue: told to every cluster within a second, whatever order and number they come in."""

import asyncio
import itertools
import json
import random
from collections.abc import Awaitable, Callable, Iterator
from typing import Any

import aioboto3
import pytest

from deploy.sandbox.aws.world import AwsConfig
from shared.runtime import dead_letters
from shared.runtime.messaging import Bus
from shared.runtime.postgres import Database
from tests import hive
from tests.integration.pricing.aws import World, running
from tests.waiting import until

pytestmark = [pytest.mark.sandbox, pytest.mark.postgres, pytest.mark.nats, pytest.mark.slow]

MakeDatabase = Callable[[str], Awaitable[Database]]
BusFor = Callable[[str, Database | None], Awaitable[Bus]]
EVENTS = 40
LONGEST_SECONDS = 1.0
_numbers = itertools.count()


@pytest.fixture(scope="module")
def aws(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    with running(AwsConfig(state_dir=tmp_path_factory.mktemp("aws"), clock_factor=1.0)) as world:
        yield world


@pytest.fixture(autouse=True)
def as_a_customer_of_aws(aws: World, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in aws.environment().items():
        monkeypatch.setenv(name, value)


@pytest.fixture
async def url() -> str:
    """A queue of the test's own: the sandbox gives the next message to a long poll that nobody waits for any more."""
    async with aioboto3.Session().client("sqs", region_name=hive.REGION) as sqs:
        return str((await sqs.create_queue(QueueName=f"test-{next(_numbers)}"))["QueueUrl"])


async def test_a_flag_reaches_optimizer_and_executor_within_a_second(
    url: str, make_database: MakeDatabase, bus_for: BusFor
) -> None:
    async with hive.hive(make_database=make_database, bus_for=bus_for, queue_url=url) as mind:
        ordered = await hive.latencies(mind, events=EVENTS, per_second=4)
        print(f"p50 {hive.percentile(ordered, 0.5):.3f} s, p99 {hive.percentile(ordered, 0.99):.3f} s")  # noqa: T201
        assert hive.percentile(ordered, 0.99) <= LONGEST_SECONDS
        async with mind.pricing.transaction() as transaction:
            rows = await transaction.connection.fetch("select * from pool_flags")
        assert len(rows) == EVENTS
        assert not any(hive.ACCOUNT in str(dict(row)) or "i-0" in str(dict(row)) for row in rows)


async def test_duplicates_any_order_and_rubbish_change_nothing(
    url: str, make_database: MakeDatabase, bus_for: BusFor
) -> None:
    bodies = [hive.warning(number) for number in range(20)]
    state = json.loads(bodies[3])
    state |= {
        "id": "gone",
        "detail-type": "EC2 Instance State-change Notification",
        "detail": state["detail"] | {"state": "terminated"},
    }
    bodies.append(json.dumps(state))
    rubbish = ["no event", bodies[0] + bodies[1], bodies[2].replace('"version": "0"', '"version": "7"'), "{}"]
    deliveries = [*bodies, *bodies, *rubbish, *bodies[5:9]]
    random.Random(7).shuffle(deliveries)
    async with hive.hive(make_database=make_database, bus_for=bus_for, queue_url=url) as mind:
        await mind.know_instances(range(20))
        async with aioboto3.Session().client("sqs", region_name=hive.REGION) as sqs:
            for text in deliveries:
                await sqs.send_message(QueueUrl=url, MessageBody=text)
            await until(lambda: _left(sqs, url), is_=0)
        await until(lambda: len(mind.seen_by_optimizer()), is_=20)
        assert await rows(mind.pricing, "select event_id from instance_notices order by 1") == sorted(
            [f"event-{number}:i-{number:017x}" for number in range(20)] + [f"gone:i-{3:017x}"]
        )
        assert len(await rows(mind.pricing, "select instance_type from pool_flags")) == 20
    admin = await bus_for("gateway", None)
    told = await admin.js.stream_info("PRICING_EVT", subjects_filter="pricing.evt.v1.>")
    assert told.state.subjects == {
        f"pricing.evt.v1.instance_notice_received.{hive.REGION}": 21,
        f"pricing.evt.v1.pool_flagged.{hive.REGION}": 20,
    }
    letters = [letter async for letter in dead_letters.listed(admin.js)]
    assert sorted(letter.body.decode() for letter in letters) == sorted(rubbish)
    assert {letter.subject for letter in letters} == {"pricing.queue.notices"}
    assert all(letter.error for letter in letters)


async def test_what_was_not_committed_is_not_deleted(
    url: str, make_database: MakeDatabase, bus_for: BusFor
) -> None:
    async with (
        aioboto3.Session().client("sqs", region_name=hive.REGION) as sqs,
        hive.hive(make_database=make_database, bus_for=bus_for, queue_url=url) as mind,
    ):
        await mind.know_instances([0])
        async with mind.pricing.transaction() as transaction:
            # Writers wait for this transaction: the notice is received, and cannot be kept yet.
            await transaction.connection.execute("lock table instance_notices")
            await sqs.send_message(QueueUrl=url, MessageBody=hive.warning(0))
            await until(lambda: _attribute(sqs, url, "ApproximateNumberOfMessagesNotVisible"), is_=1)
            await asyncio.sleep(0.2)
            assert await _left(sqs, url) == 1
        await until(lambda: _left(sqs, url), is_=0)
        await until(lambda: len(mind.seen_by_optimizer()), is_=1)


async def _attribute(sqs: Any, url: str, name: str) -> int:
    found = await sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["All"])
    return int(found["Attributes"][name])


async def _left(sqs: Any, url: str) -> int:
    found = await sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["All"])
    kept = found["Attributes"]
    return int(kept["ApproximateNumberOfMessages"]) + int(kept["ApproximateNumberOfMessagesNotVisible"])


async def rows(database: Database, query: str) -> list[str]:
    async with database.transaction() as transaction:
        return [row[0] for row in await transaction.connection.fetch(query)]
