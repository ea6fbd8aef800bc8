"""What is kept of pools, in memory and in Postgres."""

from datetime import timedelta

import pytest

from services.pricing.domain.pool_observations import Observation, ObservationKind, ObservedRisk
from services.pricing.ports import UnitOfWork
from shared.kernel.pools import CapacityType, PoolKey
from tests.builders import make_pool
from tests.fakes.clock import EPOCH

HOUR = timedelta(hours=1)
SPOT = make_pool(capacity_type=CapacityType.SPOT)
FAR = make_pool(region="eu-west-1", capacity_type=CapacityType.SPOT)
LAUNCHED, ENDED = ObservationKind.LAUNCHED, ObservationKind.ENDED
INTERRUPTED, INSUFFICIENT = ObservationKind.INTERRUPTED, ObservationKind.INSUFFICIENT


def seen(kind: ObservationKind, subject: str, *, hours: float, pool: PoolKey = SPOT) -> Observation:
    return Observation(pool, kind, subject, EPOCH + hours * HOUR)


HISTORY = (
    seen(LAUNCHED, "i-1", hours=0),
    seen(LAUNCHED, "i-2", hours=0),
    seen(ENDED, "i-2", hours=1),
    seen(LAUNCHED, "i-3", hours=1),
    seen(INTERRUPTED, "i-3", hours=5),
    seen(INSUFFICIENT, "m-1", hours=1),
    seen(INSUFFICIENT, "m-2", hours=6),
)


async def told(uow: UnitOfWork, *, since: float) -> set[tuple[str, str]]:
    found = await uow.observations.since(SPOT.region, since=EPOCH + since * HOUR)
    return {(o.kind.value, o.subject) for o in found}


async def keep(uow: UnitOfWork, *observations: Observation) -> None:
    for observation in observations:
        await uow.observations.add([observation])


async def test_the_same_thing_told_twice_is_one_and_the_first_to_tell_it_counts(uow: UnitOfWork) -> None:
    await keep(uow, seen(INTERRUPTED, "i-1", hours=1), seen(INTERRUPTED, "i-1", hours=2))

    assert await uow.observations.since(SPOT.region, since=EPOCH) == [seen(INTERRUPTED, "i-1", hours=1)]


async def test_instances_that_lived_then_are_told_with_what_came_after(uow: UnitOfWork) -> None:
    await keep(uow, *HISTORY, seen(INSUFFICIENT, "m-3", hours=6, pool=FAR))

    assert await told(uow, since=4) == {
        ("launched", "i-1"),
        ("launched", "i-3"),
        ("interrupted", "i-3"),
        ("insufficient", "m-2"),
    }
    assert len(await told(uow, since=0)) == len(HISTORY)


async def test_what_is_forgotten_is_not_needed_any_more(uow: UnitOfWork) -> None:
    await keep(uow, *HISTORY, seen(INSUFFICIENT, "m-3", hours=0, pool=FAR))
    before = await told(uow, since=4)

    await uow.observations.forget(SPOT.region, before=EPOCH + 4 * HOUR)

    assert await told(uow, since=0) == before == await told(uow, since=4)
    assert len(await uow.observations.since(FAR.region, since=EPOCH)) == 1


async def test_the_last_prediction_replaces_all_before_and_is_not_believed_for_ever(uow: UnitOfWork) -> None:
    other = make_pool(zone_id="use1-az9", capacity_type=CapacityType.SPOT)
    old, new, far = (
        ObservedRisk(pool, p, "observed") for pool, p in ((other, 0.5), (SPOT, 0.25), (FAR, 1.0))
    )
    await uow.observations.put_risks(SPOT.region, [old], as_of=EPOCH)
    await uow.observations.put_risks(FAR.region, [far], as_of=EPOCH)
    await uow.observations.put_risks(SPOT.region, [new], as_of=EPOCH + HOUR)

    assert await uow.observations.risks(SPOT.region, since=EPOCH) == {SPOT: new}
    assert await uow.observations.risks(SPOT.region, since=EPOCH + 2 * HOUR) == {}
    assert await uow.observations.risks(FAR.region, since=EPOCH) == {FAR: far}


async def test_no_observed_pool_leaves_no_risk(uow: UnitOfWork) -> None:
    await uow.observations.put_risks(SPOT.region, [ObservedRisk(SPOT, 0.5, "observed")], as_of=EPOCH)
    await uow.observations.put_risks(SPOT.region, [], as_of=EPOCH)

    assert await uow.observations.risks(SPOT.region, since=EPOCH) == {}


@pytest.mark.parametrize("kind", list(ObservationKind))
async def test_every_kind_comes_back_as_it_was(uow: UnitOfWork, kind: ObservationKind) -> None:
    await keep(uow, seen(kind, "s", hours=1))

    assert await uow.observations.since(SPOT.region, since=EPOCH) == [seen(kind, "s", hours=1)]
