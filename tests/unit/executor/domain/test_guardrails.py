"""Whether a node may be disrupted, by example."""

from datetime import UTC, datetime, time, timedelta

import pytest

from services.executor.domain import guardrails
from services.executor.domain.guardrails import Window
from shared.kernel.workload import ClusterObjects, Owner, PodPhase
from tests.builders import make_node, make_pod

NOW = datetime(2026, 3, 6, 23, 30, tzinfo=UTC)
"""A Friday."""


@pytest.mark.parametrize(
    ("window", "is_open"),
    [
        pytest.param(Window("UTC", (4,), time(23), timedelta(hours=1)), True, id="within"),
        pytest.param(Window("UTC", (3,), time(23), timedelta(hours=1)), False, id="another day"),
        pytest.param(Window("UTC", (4,), time(22), timedelta(minutes=90)), False, id="the end is outside"),
        pytest.param(
            Window("UTC", (3,), time(23, 45), timedelta(hours=24)), True, id="since yesterday, past midnight"
        ),
        pytest.param(
            Window("Asia/Tokyo", (5,), time(8), timedelta(hours=1)), True, id="Saturday morning in Tokyo"
        ),
    ],
)
def test_windows(window: Window, is_open: bool) -> None:  # noqa: FBT001
    assert guardrails.is_open([window], now=NOW) is is_open


def test_without_windows_it_is_always_open() -> None:
    assert guardrails.is_open([], now=NOW)


def test_what_goes_with_its_node_does_not_keep_it() -> None:
    pods = (
        make_pod("a", node="n"),
        make_pod("daemon", node="n", owner=Owner("DaemonSet", "d")),
        make_pod("mirror", node="n", is_mirror=True),
        make_pod("done", node="n", phase=PodPhase.SUCCEEDED),
        make_pod("other", node="m"),
    )
    assert [p.name for p in guardrails.pods_left(ClusterObjects(pods=pods), "n")] == ["a"]


@pytest.mark.parametrize(
    ("node", "pod", "reason"),
    [
        pytest.param({}, {}, None, id="nothing against it"),
        pytest.param({"instance_id": "i-other"}, {}, "another instance", id="replaced meanwhile"),
        pytest.param({"instance_id": None}, {}, "not an EC2 instance", id="not ours"),
        pytest.param({"do_not_disrupt": True}, {}, "do-not-disrupt", id="marked node"),
        pytest.param({}, {"do_not_disrupt": True}, "do-not-disrupt", id="marked pod"),
        pytest.param({}, {"namespace": "bank"}, "excluded namespace", id="excluded namespace"),
        pytest.param({}, {"owner": None}, "no controller", id="bare pod"),
    ],
)
def test_objections(node: dict[str, object], pod: dict[str, object], reason: str | None) -> None:
    objects = ClusterObjects(
        nodes=(make_node("n", **{"instance_id": "i-1"} | node),),  # type: ignore[arg-type]
        pods=(make_pod("p", node="n", **pod),),  # type: ignore[arg-type]
    )
    found = guardrails.objection(objects, "n", instance_id="i-1", excluded_namespaces=("bank",))
    assert (found is None) if reason is None else (found is not None and reason in found)


def test_a_node_that_is_gone_is_an_objection() -> None:
    found = guardrails.objection(ClusterObjects(), "n", instance_id=None, excluded_namespaces=())
    assert found == "node n is gone"


def test_pods_that_wait_already_take_the_room_first() -> None:
    nodes = (make_node("a", cpu=2000), make_node("b", cpu=2000))
    mine = make_pod("mine", cpu=1000, node="a")
    assert guardrails.without_room(ClusterObjects(nodes=nodes, pods=(mine,)), ["a"]) is None
    waiting = (make_pod("w1", cpu=1500),)
    reason = guardrails.without_room(ClusterObjects(nodes=nodes, pods=(mine, *waiting)), ["a"])
    assert reason is not None
    assert "shop/mine" in reason


def test_the_plans_own_placement_is_proof_enough() -> None:
    """Largest first on the first node leaves no room for the last pod; the plan knew better."""
    nodes = (make_node("old"), make_node("b", cpu=4000), make_node("a", cpu=5000))
    sizes = {"p1": 3000, "p2": 2000, "p3": 2000, "p4": 2000}
    pods = tuple(make_pod(name, cpu=cpu, gib=1, node="old") for name, cpu in sizes.items())
    objects = ClusterObjects(nodes=nodes, pods=pods)
    assert guardrails.without_room(objects, ["old"]) is not None
    meant_for = {"shop/p1": "a", "shop/p2": "a", "shop/p3": "b", "shop/p4": "b"}
    assert guardrails.without_room(objects, ["old"], meant_for=meant_for) is None


def test_a_pod_that_never_fits_is_not_the_moves_fault() -> None:
    nodes = (make_node("a", cpu=2000), make_node("b", cpu=2000))
    pods = (make_pod("mine", cpu=1000, node="a"), make_pod("giant", cpu=64000))
    assert guardrails.without_room(ClusterObjects(nodes=nodes, pods=pods), ["a"]) is None


def test_cordoned_and_unready_nodes_give_no_room() -> None:
    pods = (make_pod("mine", node="a"),)
    for fields in ({"is_unschedulable": True}, {"is_ready": False}):
        objects = ClusterObjects(nodes=(make_node("a"), make_node("b", **fields)), pods=pods)  # type: ignore[arg-type]
        assert guardrails.without_room(objects, ["a"]) is not None


def test_only_pods_made_since_the_drain_are_waited_for_and_until_they_run() -> None:
    later = NOW + timedelta(seconds=1)
    pods = (
        make_pod("new", created_at=later),
        make_pod("same-second", created_at=NOW.replace(microsecond=0) - timedelta(seconds=1)),
        make_pod("starting", node="n", phase=PodPhase.PENDING, created_at=later),
        make_pod("going", created_at=later, is_terminating=True),
        make_pod("old", created_at=NOW - timedelta(hours=1)),
        make_pod("other", created_at=later, owner=Owner("Deployment", "other")),
        make_pod("placed", node="n", created_at=later),
    )
    owners = guardrails.owners_of([make_pod("was")])
    found = guardrails.unsettled(ClusterObjects(pods=pods), owners=owners, since=NOW)
    assert found == ("shop/new", "shop/same-second", "shop/starting")
