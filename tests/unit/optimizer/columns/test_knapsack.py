"""The most valuable load of one node, against trying every load."""

import itertools

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from services.optimizer.domain.columns import knapsack, limits, search
from services.optimizer.domain.columns import loads as loads_of


@st.composite
def sacks(draw: st.DrawFn) -> tuple[list[int], list[list[int]], list[int], list[int]]:
    n = draw(st.integers(1, 4))
    values = [draw(st.integers(-2, 40)) for _ in range(n)]
    weights = [[draw(st.integers(0, 9)), draw(st.integers(0, 9))] for _ in range(n)]
    most = [draw(st.integers(0, 4)) for _ in range(n)]
    return values, weights, most, [draw(st.integers(0, 25)), draw(st.integers(0, 25))]


def most_valuable(values: list[int], weights: list[list[int]], most: list[int], room: list[int]) -> int:
    best = 0
    for load in itertools.product(*(range(m + 1) for m in most)):
        used = [sum(c * w[r] for c, w in zip(load, weights, strict=True)) for r in range(2)]
        if used[0] <= room[0] and used[1] <= room[1]:
            best = max(best, sum(c * v for c, v in zip(load, values, strict=True)))
    return best


def solved(
    sack: tuple[list[int], list[list[int]], list[int], list[int]], *, floor: int, steps: int
) -> tuple[int, int, list[int]]:
    values, weights, most, room = (np.array(a, dtype=np.int64) for a in sack)
    load = np.zeros(len(values), dtype=np.int64)
    worth, bound = knapsack.best_load(values, weights, most, room, floor, steps, load)
    return int(worth), int(bound), load.tolist()


@given(sacks())
def test_a_search_with_steps_enough_finds_the_best_and_proves_it(
    sack: tuple[list[int], list[list[int]], list[int], list[int]],
) -> None:
    worth, bound, load = solved(sack, floor=0, steps=10**6)
    assert worth == bound == most_valuable(*sack)
    assert sum(c * v for c, v in zip(load, sack[0], strict=True)) == worth


@given(sacks(), st.integers(0, 120), st.sampled_from([0, 1, 5, 50]))
def test_the_bound_holds_however_short_the_search(
    sack: tuple[list[int], list[list[int]], list[int], list[int]], floor: int, steps: int
) -> None:
    worth, bound, load = solved(sack, floor=floor, steps=steps)
    best = most_valuable(*sack)
    assert worth <= best <= max(bound, floor) == bound
    for r in range(2):
        assert sum(c * w[r] for c, w in zip(load, sack[1], strict=True)) <= sack[3][r]


def test_a_hard_sack_of_nearly_equal_items_is_bounded_within_a_hundredth() -> None:
    room = [9973, 10007]
    weights = [[97 + 7 * i, 131 - 5 * i] for i in range(12)]
    values = [10 * (w[0] + w[1]) + i % 3 for i, w in enumerate(weights)]
    worth, bound, _ = solved((values, weights, [20] * 12, room), floor=0, steps=200_000)
    assert 0 <= bound - worth <= bound // 100


@given(sacks(), st.integers(1, 8), st.integers(4, 64))
def test_tables_cut_nothing_that_a_search_would_find(
    sack: tuple[list[int], list[list[int]], list[int], list[int]], devices: int, size: int
) -> None:
    values = np.array([v for v in sack[0] if v > 0], dtype=np.int64)
    n = len(values)
    weights = np.array([[*w, i % 3] for i, w in enumerate(sack[1][:n])], dtype=np.int64).reshape(n, 3)
    most, room = np.array(sack[2][:n], dtype=np.int64), np.array([*sack[3], devices], dtype=np.int64)
    prices = np.array([1, 2, 3], dtype=np.int64)
    losses = values - weights @ prices
    budget = int(prices @ room + (np.maximum(losses, 0) * most).sum()) + 1
    units = np.array([room[0] // size + 1, room[1] // size + 1], dtype=np.int64)
    tables = search.least_losses(losses, weights, most, prices, room, units, 2, size)
    found, best = [], np.zeros(n, dtype=np.int64)
    for used in (units[:0], units):
        lost, _, is_complete = search.searched(
            losses, weights, most, room, prices, budget, -1, 10**7, used, 2, size, tables, best
        )
        assert is_complete
        found.append(int(lost))
    assert found[0] == found[1]


def test_different_loads_share_no_item_and_each_is_worth_more_than_its_node() -> None:
    values = np.array([9, 8, 7, 1], dtype=np.int64)
    weights = np.array([[5], [5], [5], [5]], dtype=np.int64)
    loads, offers = np.zeros((8, 4), dtype=np.int64), np.zeros(8, dtype=np.int64)
    nothing = np.zeros(0, dtype=np.int64)
    none = np.zeros((0, 0), dtype=np.int64)
    counts, many = np.full(4, 2, dtype=np.int64), np.full(4, 1 << 60, dtype=np.int64)
    wanted = loads_of.Search(
        values=values,
        costs=none,
        weights=weights,
        counts=counts,
        per_node=many,
        room=np.array([[10]], dtype=np.int64),
        allowed=np.ones((1, 4), dtype=np.bool_),
        own=none,
        limits=limits.no_rows(4),
        is_bound=np.zeros(0, dtype=np.bool_),
        left=nothing,
        dues=nothing,
        floors=np.array([13], dtype=np.int64),
    )
    found = loads_of.different_loads(wanted, np.zeros(1, dtype=np.int64), 100, loads, offers)
    assert loads[:found].tolist() == [[2, 0, 0, 0], [0, 2, 0, 0], [0, 0, 2, 0]]
