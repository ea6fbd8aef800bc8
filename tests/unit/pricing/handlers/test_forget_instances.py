"""Instances and notices are known for as long as somebody may ask about them, and no longer."""

from datetime import timedelta

import pytest

from services.pricing.domain.notices import Notice
from services.pricing.domain.pool_observations import Observation, ObservationKind
from services.pricing.handlers import forget_instances as forgetting
from services.pricing.handlers.forget_instances import forget_instances
from services.pricing.handlers.keep_observation import keep
from shared.kernel.interruption import InterruptionKind
from shared.kernel.pools import CapacityType
from tests.builders import make_pool
from tests.fakes.clock import EPOCH, FakeClock
from tests.fakes.pricing import InMemoryPricing

pytestmark = pytest.mark.looptime

DAY = timedelta(days=1)
SPOT = make_pool(capacity_type=CapacityType.SPOT)


async def forget(store: InMemoryPricing) -> tuple[int, int]:
    return await forget_instances(
        unit_of_work=store.unit_of_work,
        clock=FakeClock(),
        ended_kept=7 * DAY,
        longest_kept=400 * DAY,
        notices_kept=30 * DAY,
    )


@pytest.mark.parametrize("pool", [SPOT, make_pool()])
@pytest.mark.parametrize("kind", [ObservationKind.ENDED, ObservationKind.INTERRUPTED])
async def test_an_instance_is_forgotten_a_while_after_its_end(pool: object, kind: ObservationKind) -> None:
    store = InMemoryPricing()
    for name, days in (("i-old", 8), ("i-late", 6)):
        store.risk.pools[name] = pool  # type: ignore[assignment]
        async with store.unit_of_work() as uow:
            await keep(Observation(pool, kind, name, EPOCH - days * DAY), uow=uow)  # type: ignore[arg-type]
    store.risk.pools["i-up"] = SPOT
    assert await forget(store) == (1, 0)
    assert set(store.risk.pools) == {"i-late", "i-up"}


async def test_an_instance_that_runs_is_known_for_long_but_not_for_ever() -> None:
    store = InMemoryPricing()
    store.risk.pools |= {"i-old": SPOT, "i-older": SPOT}
    store.instances.seen_at = {"i-old": EPOCH - 399 * DAY, "i-older": EPOCH - 401 * DAY}
    assert await forget(store) == (1, 0)
    assert set(store.risk.pools) == {"i-old"}


async def test_more_than_a_batch_goes_batch_by_batch() -> None:
    store = InMemoryPricing()
    for number in range(2 * forgetting.MOST_AT_ONCE + 1):
        event = f"e-{number}"
        store.risk.notices[event] = Notice(
            event, "i-1", "123456789012", "us-east-1", InterruptionKind.SPOT_INTERRUPTION, EPOCH + 90 * DAY
        )
        store.instances.received_at[event] = EPOCH - 31 * DAY
    store.instances.received_at["e-0"] = EPOCH - 29 * DAY
    assert await forget(store) == (0, 2 * forgetting.MOST_AT_ONCE)
    assert set(store.risk.notices) == {"e-0"}, "kept by when it came, whatever time it names"
