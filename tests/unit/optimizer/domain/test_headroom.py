"""Room that is kept free."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from services.optimizer.domain import headroom
from services.optimizer.domain.fleet_state import StandingNode
from services.optimizer.domain.rules import HeadroomShape, PlanRules
from services.optimizer.domain.spot_tolerance import spot_judge
from shared.kernel.scheduling import ClusterView
from shared.kernel.workload import ClusterObjects
from tests.builders import GIB, make_node, make_pod

SMALL, LARGE = HeadroomShape(500, GIB, 2), HeadroomShape(4000, 8 * GIB, 1)
RULES = PlanRules(headroom=(SMALL, LARGE))


def test_each_shape_is_asked_for_so_many_times_at_the_lowest_priority() -> None:
    pods = headroom.placeholders(RULES)
    assert [(p.requests.cpu_millicores, p.requests.memory_bytes) for p in pods] == [
        (500, GIB),
        (500, GIB),
        (4000, 8 * GIB),
    ]
    assert all(p.priority < -(10**9) for p in pods)
    assert len({p.key for p in pods}) == 3


def test_a_placeholder_may_run_on_spot_and_is_never_a_real_pod() -> None:
    pods = headroom.placeholders(RULES)
    judge = spot_judge(ClusterObjects(pods=pods), RULES)
    assert [judge.refusal(p) for p in pods] == [None] * 3
    real = make_pod(namespace="headroom")
    assert headroom.without([*pods, real]) == (real,)


def test_what_is_still_pending_is_no_room() -> None:
    pods = headroom.placeholders(RULES)
    assert headroom.kept(RULES, [pods[1], make_pod()]) == (headroom.Kept(SMALL, 1), headroom.Kept(LARGE, 1))
    assert headroom.missing([pods[1], make_pod()]) == 1


def test_pods_for_a_number_of_nodes_stand_on_as_many_nodes() -> None:
    nodes = tuple(make_node(f"n{i}") for i in range(3))
    view = ClusterView.of(ClusterObjects(nodes=nodes))
    for pod in headroom.nodes_wanted(3):
        free = [n.name for n in nodes if view.fits(pod, n.name)]
        view.place(pod, free[0])
    assert [len(view.pods_on(n.name)) for n in nodes] == [1, 1, 1]


def test_a_plan_does_not_tell_of_placeholders() -> None:
    key = headroom.placeholders(RULES)[0].key
    assert headroom.told([key, "headroom/web-0"]) == ("headroom/web-0",)


AMOUNTS = st.tuples(st.integers(1, 6), st.integers(1, 6))


def _most(room: list[tuple[int, int, int]], asked: list[tuple[int, int]]) -> int:
    """Try everything."""
    if not asked:
        return 0
    cpu, memory = asked[0]
    found = _most(room, asked[1:])
    for at, (c, m, pods) in enumerate(room):
        if c >= cpu and m >= memory and pods > 0:
            rest = [*room[:at], (c - cpu, m - memory, pods - 1), *room[at + 1 :]]
            found = max(found, 1 + _most(rest, asked[1:]))
    return found


@given(
    st.lists(st.tuples(st.integers(0, 8), st.integers(0, 8), st.integers(0, 3)), min_size=1, max_size=3),
    st.lists(AMOUNTS, max_size=4),
)
def test_all_of_it_is_arranged_where_that_can_be_done_and_no_node_is_filled_beyond_its_room(
    room: list[tuple[int, int, int]], asked: list[tuple[int, int]]
) -> None:
    found = headroom.arranged(np.array(room, dtype=np.int64), asked)
    for at, (cpu, memory, pods) in enumerate(room):
        here = [asked[i] for i, place in enumerate(found) if place == at]
        assert len(here) <= pods
        assert sum(c for c, _ in here) <= cpu
        assert sum(m for _, m in here) <= memory
    if _most(room, asked) == len(asked):
        assert min(found, default=0) >= 0


def test_a_shape_does_not_take_the_only_room_of_another() -> None:
    # One that asks for a core would leave the first node fullest, and the other finds memory there alone.
    room = np.array([(1100, 5, 9), (2100, 2, 9), (2100, 2, 9)], dtype=np.int64)
    found = headroom.arranged(room, [(500, 3), *[(1000, 1)] * 4])
    assert (found[0], sorted(found[1:])) == (0, [1, 1, 2, 2])


def test_so_many_that_not_all_arrangements_are_tried_find_what_room_there_is() -> None:
    room = np.array([(4000, 40, 100)] * 10, dtype=np.int64)
    found = headroom.arranged(room, [(1000, 1)] * 60)
    assert sorted(found.count(at) for at in range(10)) == [4] * 10
    assert found.count(-1) == 20


def test_headroom_that_a_fleet_was_not_planned_to_hold_is_not_missed_in_it() -> None:
    small, _, large = headroom.placeholders(RULES)
    node = StandingNode(make_node("n"), None, (make_pod(), large.on("n")), None)
    assert headroom.planned([small, large, make_pod("late")], [node]) == [large]
    assert headroom.lost([small, large], np.array([(600, 9 * GIB, 5)], dtype=np.int64)) == (large,)
