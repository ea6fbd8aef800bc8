"""A packing's demand as the column solver sees it."""

import numpy as np

from services.optimizer.domain.packing import by_columns
from services.optimizer.domain.packing.classes import UNLIMITED
from services.optimizer.domain.packing.fill import Demand, Supply

GIB = 1024**3


def supply() -> Supply:
    return Supply(
        room=np.array([[1930, 6 * GIB, 17 * GIB, 29], [3920, 13 * GIB, 17 * GIB, 58]], dtype=np.int64),
        micro_usd=np.array([96_000, 60_000], dtype=np.int64),
        risk_micro_usd=np.array([0.0, 12.7]),
        is_spot=np.array([False, True]),
    )


def demand(*, per_spot_pool: int = UNLIMITED, may_use_spot: bool = True) -> Demand:
    return Demand(
        requests=np.array([[500, GIB, 0, 1]], dtype=np.int64),
        counts=np.array([6], dtype=np.int64),
        allowed=np.array([[True], [may_use_spot]]),
        per_node=np.array([UNLIMITED], dtype=np.int64),
        per_spot_pool=np.array([per_spot_pool], dtype=np.int64),
        workload=np.array([-1], dtype=np.int64),
    )


def test_the_cheapest_nodes_are_given_as_loads() -> None:
    found = by_columns.loads(supply(), demand())
    assert found is not None
    chosen, unplaced = found
    assert [(load.offer, load.counts.tolist()) for load in chosen] == [(1, [6])]
    assert unplaced.tolist() == [0]


def test_pods_that_may_not_be_interrupted_stay_off_spot() -> None:
    found = by_columns.loads(supply(), demand(may_use_spot=False, per_spot_pool=1))
    assert found is not None
    assert {load.offer for load in found[0]} == {0}


def test_nothing_is_asked_where_a_limit_per_pool_may_bind() -> None:
    assert by_columns.loads(supply(), demand(per_spot_pool=3)) is None
