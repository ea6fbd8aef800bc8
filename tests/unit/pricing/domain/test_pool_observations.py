from datetime import UTC, datetime, timedelta

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from services.pricing.domain import pool_observations
from services.pricing.domain.pool_observations import LOOK_BACK, TICK, TICKS, Observation, ObservationKind
from services.pricing.domain.risk_model.traces import UNKNOWN
from shared.kernel.pools import CapacityType, PoolKey

NOW = datetime(2026, 1, 8, tzinfo=UTC)
POOL = PoolKey("us-east-1", "c6i.large", "use1-az1", CapacityType.SPOT)
SIBLING = PoolKey("us-east-1", "c6i.large", "use1-az2", CapacityType.SPOT)
KINDS = st.sampled_from(list(ObservationKind))


def seen(
    kind: ObservationKind, ticks_ago: float, *, subject: str = "i-1", pool: PoolKey = POOL
) -> Observation:
    return Observation(pool, kind, subject, NOW - ticks_ago * TICK)


def last(count: int, *observations: Observation) -> list[int]:
    up = pool_observations.pasts(observations, now=NOW)[POOL].up
    assert len(up) == TICKS
    return [int(n) for n in up[-count:]]


def test_a_pool_is_up_while_we_hold_an_instance_and_unknown_before() -> None:
    assert last(4, seen(ObservationKind.LAUNCHED, 1.5)) == [UNKNOWN, UNKNOWN, 1, 1]


def test_an_instance_that_we_end_is_no_loss() -> None:
    assert last(4, seen(ObservationKind.LAUNCHED, 3.5), seen(ObservationKind.ENDED, 1.5)) == [
        1,
        1,
        UNKNOWN,
        UNKNOWN,
    ]


def test_an_interruption_is_a_loss_whatever_else_we_hold() -> None:
    told = (
        seen(ObservationKind.LAUNCHED, 3.5),
        seen(ObservationKind.LAUNCHED, 3.5, subject="i-2"),
        seen(ObservationKind.INTERRUPTED, 1.5),
    )

    assert last(4, *told) == [1, 1, 0, 1]


def test_a_lack_of_capacity_is_a_loss_without_an_instance() -> None:
    assert last(3, seen(ObservationKind.INSUFFICIENT, 0.5, subject="m")) == [UNKNOWN, UNKNOWN, 0]


def test_an_instance_launched_before_all_we_look_at_is_still_up() -> None:
    launched = Observation(POOL, ObservationKind.LAUNCHED, "i-1", NOW - 3 * LOOK_BACK)

    assert (pool_observations.pasts([launched], now=NOW)[POOL].up == 1).all()


def test_siblings_are_told_of_each_other() -> None:
    past = pool_observations.pasts(
        [
            seen(ObservationKind.LAUNCHED, 5),
            seen(ObservationKind.INSUFFICIENT, 0.5, subject="m", pool=SIBLING),
        ],
        now=NOW,
    )[POOL]

    assert past.siblings_up is not None
    assert past.siblings_up[-2:].tolist() == [1.0, 0.0]


def test_a_pool_of_which_nothing_is_known_any_more_is_left_out() -> None:
    long_ago = seen(ObservationKind.INSUFFICIENT, TICKS + 5.0, subject="m")
    to_come = Observation(SIBLING, ObservationKind.LAUNCHED, "i-2", NOW + timedelta(seconds=1))

    assert pool_observations.pasts([long_ago, to_come], now=NOW) == {}


@given(
    told=st.lists(
        st.builds(seen, KINDS, st.floats(-3, TICKS + 9), subject=st.sampled_from("ab")), max_size=12
    ).flatmap(lambda told: st.tuples(st.just(told), st.permutations(told)))
)
def test_the_order_in_which_things_are_told_does_not_matter(
    told: tuple[list[Observation], list[Observation]],
) -> None:
    one, two = (pool_observations.pasts(observations, now=NOW) for observations in told)

    assert one.keys() == two.keys()
    assert all(np.array_equal(one[pool].up, two[pool].up) for pool in one)
