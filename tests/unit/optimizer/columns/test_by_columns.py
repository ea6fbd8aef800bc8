"""A packing's demand as the column solver sees it, and its pods dealt out to the nodes it chose."""

import numpy as np

from services.optimizer.domain.packing import by_columns, merging
from services.optimizer.domain.packing.classes import UNLIMITED, NodeLimit
from services.optimizer.domain.packing.demand import Demand, Supply

GIB = 1024**3


def supply() -> Supply:
    return Supply(
        room=np.array([[1930, 6 * GIB, 17 * GIB, 29], [3920, 13 * GIB, 17 * GIB, 58]], dtype=np.int64),
        micro_usd=np.array([96_000, 60_000], dtype=np.int64),
        chance=np.array([0.0, 0.0127]),
        is_spot=np.array([False, True]),
    )


def demand(
    *counts: int,
    per_spot_pool: int = UNLIMITED,
    may_use_spot: bool = True,
    limits: tuple[tuple[NodeLimit, ...], ...] = (),
    millicores: tuple[int, ...] = (),
) -> Demand:
    """One class for each count, a workload each, of half a core and a GiB."""
    n = len(counts)
    cpu = millicores or (500,) * n
    return Demand(
        requests=np.array([[c, GIB, 0, 1] for c in cpu], dtype=np.int64),
        counts=np.array(counts, dtype=np.int64),
        allowed=np.array([[True] * n, [may_use_spot] * n]),
        per_spot_pool=np.full(n, per_spot_pool, dtype=np.int64),
        workload=np.arange(n, dtype=np.int64) if per_spot_pool < UNLIMITED else np.full(n, -1),
        node_limits=limits or ((),) * n,
        counted=((),) * n,
        used=np.zeros((2, n), dtype=np.int64),
    )


def test_the_cheapest_nodes_are_given_as_loads() -> None:
    found = by_columns.loads(supply(), demand(6))
    assert [(load.offer, load.counts.tolist()) for load in found.nodes] == [(1, [6])]
    assert found.left.tolist() == [0]


def test_pods_that_may_not_be_interrupted_stay_off_spot() -> None:
    found = by_columns.loads(supply(), demand(6, may_use_spot=False, per_spot_pool=1))
    assert {load.offer for load in found.nodes} == {0}
    assert found.left.tolist() == [0]


def test_no_spot_pool_holds_more_of_a_workload_than_its_limit() -> None:
    found = by_columns.loads(supply(), demand(6, 4, per_spot_pool=3))
    held = np.sum([load.counts for load in found.nodes if load.offer == 1], axis=0)
    assert held.tolist() == [3, 3]
    assert found.left.tolist() == [0, 0]


def test_classes_that_ask_for_the_same_are_one_shape() -> None:
    asked = merging.merged(supply(), demand(3, 4, 5))
    assert asked.members == ((0, 1, 2),)
    assert asked.problem.counts.tolist() == [12]


def test_pods_that_keep_apart_need_a_node_each_whatever_their_size() -> None:
    apart = NodeLimit("apart", 1)
    asked = demand(3, 2, limits=((apart,), (apart,)), millicores=(500, 250))
    found = by_columns.loads(supply(), asked)
    assert len(found.nodes) == 5
    assert all(load.counts.sum() == 1 for load in found.nodes)


def test_workloads_that_keep_apart_each_for_itself_share_nodes() -> None:
    limits = tuple((NodeLimit(name, 1),) for name in "abc")
    found = by_columns.loads(supply(), demand(2, 2, 2, limits=limits))
    assert len(found.nodes) == 2
    assert all(load.counts.max() == 1 for load in found.nodes)
    assert found.left.tolist() == [0, 0, 0]
