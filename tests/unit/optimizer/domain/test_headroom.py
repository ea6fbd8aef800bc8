"""Room that is kept free."""

from services.optimizer.domain import headroom
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
