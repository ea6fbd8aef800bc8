"""Notices from the queue, and flags on pools: told once, and never at another's cost."""

import json
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from services.pricing import metrics
from services.pricing.domain import notices
from services.pricing.domain.pool_observations import LOOK_BACK, Observation, ObservationKind, pasts
from services.pricing.domain.risk_model.traces import UNKNOWN
from services.pricing.entrypoints.notice_queue import QUEUE_PAUSE_SECONDS, watch_queue
from services.pricing.errors import SourceForbiddenError
from services.pricing.handlers import flag_pool
from services.pricing.handlers.receive_notices import receive_notices
from shared.contracts.v1.executor import CapacityInsufficient, InstanceLaunched, NodeInterrupted
from shared.contracts.v1.pricing import FlagReason, InstanceNoticeReceived, PoolFlagged
from shared.kernel.errors import UnavailableError
from shared.kernel.interruption import InterruptionKind
from shared.kernel.pool_flags import FLAG_LIFETIME
from shared.kernel.pools import CapacityType
from tests.builders import make_pool
from tests.fakes.clock import FakeClock
from tests.fakes.ids import CountedIds
from tests.fakes.pricing import InMemoryPricing
from tests.fakes.pricing_outside import FakeNoticeGrave, FakeNoticeQueue, QueueDrainedError

pytestmark = pytest.mark.looptime

SPOT = make_pool(capacity_type=CapacityType.SPOT)
WARNING = "EC2 Spot Instance Interruption Warning"
REBALANCE = "EC2 Instance Rebalance Recommendation"


STATE_CHANGE = "EC2 Instance State-change Notification"


def body(
    instance_id: str = "i-1", *, detail_type: str = WARNING, number: int = 1, state: str | None = None
) -> str:
    return json.dumps(
        {
            "version": "0",
            "id": f"event-{number}",
            "detail-type": detail_type,
            "source": "aws.ec2",
            "account": "123456789012",
            "time": "2026-01-01T00:00:00Z",
            "region": "us-east-1",
            "detail": {"instance-id": instance_id} | ({} if state is None else {"state": state}),
        }
    )


class Stage:
    def __init__(self) -> None:
        self.clock = FakeClock()
        self.ids = CountedIds()
        self.store = InMemoryPricing()
        self.grave = FakeNoticeGrave()

    async def receive(self, text: str) -> int:
        return await receive_notices(
            notices.parse(text), unit_of_work=self.store.unit_of_work, clock=self.clock, ids=self.ids
        )

    async def watch(self, *batches: list[str] | Exception) -> list[str]:
        queue = FakeNoticeQueue(list(batches))
        with pytest.raises(QueueDrainedError):
            await watch_queue(
                queue,
                grave=self.grave,
                unit_of_work=self.store.unit_of_work,
                clock=self.clock,
                ids=self.ids,
            )
        return queue.deleted

    def message(self, message_class: type[Any], **fields: Any) -> Any:
        return message_class.make(scope="c1", clock=self.clock, ids=self.ids, organization_id="o1", **fields)

    def interrupted(self, **fields: Any) -> NodeInterrupted:
        given = {"kind": InterruptionKind.SPOT_INTERRUPTION, "pool": SPOT} | fields
        message: NodeInterrupted = self.message(NodeInterrupted, node_name="n", instance_id="i-1", **given)
        return message

    @property
    def told(self) -> list[str]:
        return [type(message).__name__ for message in self.store.sent]


@pytest.fixture
async def stage() -> Stage:
    return Stage()


async def test_a_notice_is_passed_on_once_however_often_it_comes(stage: Stage) -> None:
    assert [await stage.receive(body()) for _ in range(3)] == [1, 0, 0]
    [told] = stage.store.sent
    assert isinstance(told, InstanceNoticeReceived)
    assert (told.scope, told.instance_id, told.account) == ("us-east-1", "i-1", "123456789012")


async def test_what_could_not_be_stored_is_new_when_it_comes_again(stage: Stage) -> None:
    stage.store.next_error = UnavailableError()
    with pytest.raises(UnavailableError):
        await stage.receive(body())
    assert stage.told == []
    assert await stage.receive(body()) == 1


@pytest.mark.parametrize(
    ("detail_type", "told"),
    [(WARNING, ["InstanceNoticeReceived", "PoolFlagged"]), (REBALANCE, ["InstanceNoticeReceived"])],
)
async def test_an_interruption_in_a_known_pool_flags_it(
    stage: Stage, detail_type: str, told: list[str]
) -> None:
    launched = stage.message(
        InstanceLaunched,
        execution_id=stage.ids.new(),
        instance_id="i-1",
        pool=SPOT,
        usd_per_hour="0.1",
    )
    async with stage.store.unit_of_work() as uow:
        await flag_pool.keep_instance_pool(launched, uow=uow)
    await stage.receive(body(detail_type=detail_type))
    assert stage.told == told


async def test_notices_of_one_poll_are_kept_together_each_once_and_a_pool_is_flagged_once(
    stage: Stage,
) -> None:
    for name in ("i-1", "i-2"):
        await stage.store.risk.put_instance_pool(name, SPOT)
    one, two = body("i-1", number=1), body("i-2", number=2)
    unknown = body("i-3", number=3, detail_type=REBALANCE)
    assert await stage.watch([one, two, one, unknown]) == [one, two, one, unknown]
    assert stage.told == [*["InstanceNoticeReceived"] * 3, "PoolFlagged"]
    notices_of = [m.instance_id for m in stage.store.sent if isinstance(m, InstanceNoticeReceived)]
    assert notices_of == ["i-1", "i-2", "i-3"]
    [flagged] = [m for m in stage.store.sent if isinstance(m, PoolFlagged)]
    assert flagged.causation_id == stage.store.sent[0].id
    seen = await stage.store.observations.since(SPOT.region, since=stage.clock.now() - LOOK_BACK)
    assert [(o.kind, o.subject) for o in seen] == [
        (ObservationKind.INTERRUPTED, "i-1"),
        (ObservationKind.INTERRUPTED, "i-2"),
    ]


@pytest.mark.parametrize("is_warning_last", [False, True])
async def test_an_instance_ended_with_its_first_notice_whatever_the_order_in_a_poll(
    stage: Stage, *, is_warning_last: bool
) -> None:
    await stage.store.risk.put_instance_pool("i-1", SPOT)
    [warning] = notices.parse(body(number=1))
    [gone] = notices.parse(body(number=2, detail_type=STATE_CHANGE, state="terminated"))
    poll = [warning, replace(gone, at=warning.at + timedelta(minutes=2))]
    await receive_notices(
        poll[::-1] if is_warning_last else poll,
        unit_of_work=stage.store.unit_of_work,
        clock=stage.clock,
        ids=stage.ids,
    )
    assert stage.store.instances.ended_at == {"i-1": warning.at}


@pytest.mark.parametrize(("minutes", "left"), [(0, 30), (20, 10), (31, None)])
async def test_a_notice_that_waited_in_the_queue_is_no_fresh_news(
    stage: Stage, minutes: int, left: int | None
) -> None:
    await stage.store.risk.put_instance_pool("i-1", SPOT)
    at = stage.clock.now()
    await stage.clock.sleep(60 * minutes)
    await stage.receive(body())
    flagged = [message for message in stage.store.sent if isinstance(message, PoolFlagged)]
    assert [flag.raised_at for flag in flagged] == ([] if left is None else [at])
    assert [flag.expires_at - stage.clock.now() for flag in flagged] == (
        [] if left is None else [timedelta(minutes=left)]
    )


async def test_an_instance_that_somebody_else_ended_is_not_taken_for_up_for_ever(stage: Stage) -> None:
    await stage.store.risk.put_instance_pool("i-1", SPOT)
    launched = Observation(SPOT, ObservationKind.LAUNCHED, "i-1", stage.clock.now() - timedelta(hours=1))
    await stage.store.observations.add([launched])
    await stage.receive(body(detail_type=STATE_CHANGE, state="terminated"))
    await stage.clock.sleep(3600)
    now = stage.clock.now()
    seen = await stage.store.observations.since(SPOT.region, since=now - LOOK_BACK)
    up = pasts(seen, now=now)[SPOT].up
    assert (up[-1], (up == 1).sum(), (up == 0).sum()) == (UNKNOWN, 6, 0)


REASONS = ("too_long", "not_one_document", "version", "malformed")


def refused() -> list[float]:
    return [metrics.notices_refused.labels(reason)._value.get() for reason in REASONS]


async def test_the_queue_survives_whatever_is_in_it_and_good_notices_beside_it_are_kept(stage: Stage) -> None:
    good = body("i-2", number=2)
    hostile = (
        "x" * 50 * 1024**2,
        "[" * 200_000,
        "not json",
        good + body("i-3", number=3),
        good.replace('"version": "0"', '"version": "1"'),
        body("i-1\0"),
        body("i-9", number=9).replace("us-east-1", "us.>"),
        "{}",
    )
    before = refused()
    deleted = await stage.watch([*hostile, good])
    assert deleted == [good, *hostile]
    assert stage.told == ["InstanceNoticeReceived"]
    assert [start for start, _ in stage.grave.buried] == [text[:64] for text in hostile]
    assert [after - was for was, after in zip(before, refused(), strict=True)] == [1, 3, 1, 3]


async def test_what_could_not_be_buried_is_not_deleted(stage: Stage) -> None:
    stage.grave.next_error = UnavailableError("no bus")
    assert await stage.watch([body(), "not json"], ["not json"]) == [body(), "not json"]
    assert len(stage.grave.buried) == 1


async def test_a_queue_or_database_that_is_away_is_waited_for_and_nothing_is_deleted(stage: Stage) -> None:
    stage.store.next_error = UnavailableError("no database")
    began = stage.clock.now()
    deleted = await stage.watch(SourceForbiddenError("no key"), [body()], [body()])
    assert deleted == [body()], "the first time it was not stored"
    assert stage.told == ["InstanceNoticeReceived"]
    assert (stage.clock.now() - began).total_seconds() == 2 * QUEUE_PAUSE_SECONDS


async def test_a_notice_that_fails_for_a_reason_of_its_own_holds_up_no_other(stage: Stage) -> None:
    stage.store.risk.refused = frozenset({"event-2:i-2"})
    bodies = [body(f"i-{number}", number=number) for number in (1, 2, 3)]
    assert await stage.watch(bodies) == [bodies[0], bodies[2]]
    assert stage.told == ["InstanceNoticeReceived"] * 2


async def test_a_flag_that_was_not_stored_is_not_counted(stage: Stage) -> None:
    def counted() -> int:
        return int(metrics.pools_flagged.labels(FlagReason.INTERRUPTION.value)._value.get())

    async def interrupt() -> None:
        async with stage.store.unit_of_work() as uow:
            await flag_pool.flag_interrupted_pool(
                stage.interrupted(), uow=uow, clock=stage.clock, ids=stage.ids
            )

    before = counted()
    stage.store.next_error = UnavailableError()
    with pytest.raises(UnavailableError):
        await interrupt()
    assert (stage.told, counted()) == ([], before)
    await interrupt()
    assert (stage.told, counted()) == (["PoolFlagged"], before + 1)


async def test_a_pool_is_flagged_once_in_a_while(stage: Stage) -> None:
    async def interrupt() -> None:
        async with stage.store.unit_of_work() as uow:
            await flag_pool.flag_interrupted_pool(
                stage.interrupted(), uow=uow, clock=stage.clock, ids=stage.ids
            )

    await interrupt()
    await interrupt()
    [flagged] = stage.store.sent
    assert isinstance(flagged, PoolFlagged)
    assert (flagged.scope, flagged.pool, flagged.reason) == ("us-east-1", SPOT, FlagReason.INTERRUPTION)
    assert flagged.expires_at == stage.clock.now() + FLAG_LIFETIME
    assert flagged.causation_id is not None
    assert "o1" not in flagged.model_dump_json(), "who saw it is not told"
    await stage.clock.sleep(60)
    await interrupt()
    assert len(stage.store.sent) == 2, "prolonged by a later incident"


@pytest.mark.parametrize(
    "changes",
    [
        {"pool": None},
        {"kind": InterruptionKind.REBALANCE_RECOMMENDATION},
        {"kind": InterruptionKind.SCHEDULED_CHANGE},
        {"pool": make_pool()},
    ],
)
async def test_what_says_nothing_about_a_spot_pool_flags_none(stage: Stage, changes: dict[str, Any]) -> None:
    async with stage.store.unit_of_work() as uow:
        await flag_pool.flag_interrupted_pool(
            stage.interrupted(**changes), uow=uow, clock=stage.clock, ids=stage.ids
        )
    assert stage.told == []


async def test_an_empty_pool_is_flagged_whatever_its_capacity_type(stage: Stage) -> None:
    for pool in (SPOT, make_pool()):
        message = stage.message(CapacityInsufficient, pool=pool)
        async with stage.store.unit_of_work() as uow:
            await flag_pool.flag_insufficient_pool(message, uow=uow, clock=stage.clock, ids=stage.ids)
    assert stage.told == ["PoolFlagged", "PoolFlagged"]
