"""Two ways to put pods on nodes that stay, which kube-scheduler must agree with: filling by numbers, and placing."""

from dataclasses import replace

import pytest

from services.optimizer.domain.daemons import daemon_sets
from services.optimizer.domain.fleet_state import FleetState, read_state
from services.optimizer.domain.offers import Market, Offer
from services.optimizer.domain.packing.fleet import Packer
from services.optimizer.domain.packing.grouping import Grouper, selectors_meant
from services.optimizer.domain.packing.shelf import build_shelf
from services.optimizer.domain.placing import Placer
from services.optimizer.domain.planning import PlanMode, plan
from services.optimizer.domain.rules import Template
from services.optimizer.domain.spot_tolerance import spot_judge
from shared.kernel.scheduling import ClusterView
from shared.kernel.workload import ClusterObjects, Node, Pod, Taint, TaintEffect
from tests.builders import evenly, make_instance_type, make_node, make_pod, make_pool, near
from tests.unit.optimizer.domain.market import ON_DEMAND, TEMPLATE, ZONES, make_market

GPU = make_instance_type("g4dn.xlarge", vcpus=4, gib=16, gpus={"nvidia.com/gpu": 1})
MARKET = make_market(spot_ratio=None)
WITH_GPUS = Market(
    {**MARKET.instance_types, GPU.name: GPU},
    (*MARKET.offers, Offer(make_pool(GPU.name), 0.526)),
    as_of=MARKET.as_of,
)


def _state(objects: ClusterObjects) -> tuple[FleetState, Packer, Placer]:
    judge = spot_judge(objects, ON_DEMAND)
    packer = Packer(
        build_shelf(WITH_GPUS, ON_DEMAND, TEMPLATE, daemon_sets(objects)),
        Grouper(ON_DEMAND, TEMPLATE, judge, selectors_meant(objects.pods)),
    )
    return read_state(objects, WITH_GPUS, ON_DEMAND, TEMPLATE, judge), packer, Placer(packer, judge)


def _filled(objects: ClusterObjects) -> int:
    state, packer, _ = _state(objects)
    return len(packer.squeeze(state.pending, state.without(())).onto_kept)


def _placed(objects: ClusterObjects) -> int:
    state, _, placer = _state(objects)
    packing = placer.place(state, frozenset(), (), prefix="new-")
    assert packing is not None
    return len(packing.onto_kept)


def _scheduled(objects: ClusterObjects) -> int:
    view = ClusterView.of(objects)
    waiting = [p for p in objects.pods if p.node_name is None]
    for pod in waiting:
        name = view.first_fit(pod, view.node_names)
        if name is not None:
            view.place(pod, name)
    return sum(view.node_of(p.key) is not None for p in waiting)


def test_a_node_with_devices_that_stays_is_open_to_pods_that_ask_for_none() -> None:
    node = make_node(cpu=3900, gib=14, gpu=1, instance_type=GPU.name)
    running = make_pod("render-0", gpu=1, node=node.name)
    objects = ClusterObjects(nodes=(node,), pods=(running, make_pod("web-1")))
    assert _filled(objects) == _placed(objects) == _scheduled(objects) == 1
    assert plan(objects, WITH_GPUS, ON_DEMAND, TEMPLATE, mode=PlanMode.PENDING).moves == ()


def test_a_node_with_devices_to_launch_is_kept_for_pods_that_ask_for_them() -> None:
    waiting = [make_pod("render-0", gpu=1), make_pod("web-1")]
    state, packer, placer = _state(ClusterObjects(pods=tuple(waiting)))
    packing = packer.pack(state.pending, state.without(()), prefix="new-")
    assert sorted([p.name for p in n.pods] for n in packing.new) == [["render-0"], ["web-1"]]
    (row,) = (at for at, offer in enumerate(packer.shelf.offers) if offer.pool.instance_type == GPU.name)
    placed = placer.place(state, frozenset(), (row,), prefix="new-")
    assert placed is not None
    assert [p.name for n in placed.new for p in n.pods] == ["render-0"]
    assert [p.name for p in placed.unplaced] == ["web-1"]


def test_a_pod_waits_rather_than_take_a_launched_node_from_who_asks_for_its_devices_and_is_told_so() -> None:
    only = Market({GPU.name: GPU}, (Offer(make_pool(GPU.name), 0.526),), as_of=MARKET.as_of)
    pods = (make_pod("render-0", gpu=1), make_pod("web-1"))
    stays = make_node(cpu=3900, gib=14, gpu=1, instance_type=GPU.name)
    draft = plan(ClusterObjects(pods=pods), only, ON_DEMAND, TEMPLATE, mode=PlanMode.PENDING)
    (left,) = draft.unplaced
    assert (left.pod, draft.nodes_after) == ("shop/web-1", 1)
    assert "1 of 1 nodes: kept for pods that ask for devices" in left.reasons
    beside = ClusterObjects(nodes=(stays,), pods=(make_pod("render-0", gpu=1, node=stays.name), pods[1]))
    assert plan(beside, only, ON_DEMAND, TEMPLATE, mode=PlanMode.PENDING).unplaced == ()


def _zones(*counted: int) -> tuple[list[Node], list[Pod]]:
    nodes = [
        make_node(f"in-{zone_id}", zone=zone, zone_id=zone_id)
        for (zone, zone_id), _ in zip(ZONES, counted, strict=False)
    ]
    pods = [
        make_pod(f"db-{at}-{i}", app="db", cpu=100, gib=0.1, node=node.name)
        for at, (node, number) in enumerate(zip(nodes, counted, strict=True))
        for i in range(number)
    ]
    return nodes, pods


@pytest.mark.parametrize(
    ("counted", "fitting"),
    [
        pytest.param((2, 1), 2, id="as far ahead as the skew lets it be"),
        pytest.param((3, 1), 0, id="further ahead"),
        pytest.param((1, 1), 2, id="level"),
    ],
)
def test_a_pod_that_its_own_spread_does_not_count_adds_nothing_to_the_skew(
    counted: tuple[int, int], fitting: int
) -> None:
    nodes, standing = _zones(*counted)
    # Only the first zone has room: whether it is too far ahead decides.
    full = [nodes[0], replace(nodes[1], max_pods=counted[1])]
    waiting = [make_pod(f"probe-{i}", app="probe", topology_spread=(evenly("db"),)) for i in range(2)]
    objects = ClusterObjects(nodes=tuple(full), pods=(*standing, *waiting))
    assert _filled(objects) == _placed(objects) == _scheduled(objects) == fitting


def test_a_pod_that_its_own_spread_counts_adds_one_to_the_skew() -> None:
    nodes, standing = _zones(2, 1)
    full = [nodes[0], replace(nodes[1], max_pods=1)]
    own = make_pod("db-new", app="db", topology_spread=(evenly("db"),))
    objects = ClusterObjects(nodes=tuple(full), pods=(*standing, own))
    assert _filled(objects) == _placed(objects) == _scheduled(objects) == 0


@pytest.mark.parametrize("topology_key", ["topology.kubernetes.io/zone", "kubernetes.io/hostname"])
def test_new_nodes_hold_pods_whose_spread_is_about_others_alone(topology_key: str) -> None:
    spread = (evenly("db", topology_key=topology_key),)
    pods = [make_pod(f"db-{i}", app="db", cpu=1000) for i in range(7)]
    pods += [make_pod(f"probe-{i}", app="probe", cpu=900, topology_spread=spread) for i in range(9)]
    objects = ClusterObjects(pods=tuple(pods))
    draft = plan(objects, MARKET, ON_DEMAND, TEMPLATE, mode=PlanMode.GREENFIELD)
    assert draft.unplaced == ()
    # Those that are counted came first: then each of the others must be let in where it lies.
    view = ClusterView.of(ClusterObjects(nodes=tuple(n.node for n in draft.nodes)))
    where = {key: n.node.name for n in draft.nodes for key in n.pods}
    for pod in pods:
        assert view.fits(pod, where[pod.key])
        view.place(pod, where[pod.key])


def test_pods_spread_over_nodes_fill_these_evenly_however_many_each_gets() -> None:
    nodes = [make_node(f"node-{i}") for i in range(3)]
    spread = (evenly("web", topology_key="kubernetes.io/hostname"),)
    waiting = [make_pod(f"web-{i}", cpu=100, topology_spread=spread) for i in range(7)]
    objects = ClusterObjects(nodes=tuple(nodes), pods=tuple(waiting))
    assert _filled(objects) == _placed(objects) == _scheduled(objects) == 7


def test_a_node_that_a_neighbour_closes_does_not_close_its_zone() -> None:
    nodes = [make_node("taken"), make_node("free")]
    alone = make_pod(
        "hermit",
        app="hermit",
        node="taken",
        pod_anti_affinity=(near("db", topology_key="kubernetes.io/hostname"),),
    )
    waiting = make_pod("db-0", app="db", topology_spread=(evenly("db"),))
    objects = ClusterObjects(nodes=tuple(nodes), pods=(alone, waiting))
    assert _filled(objects) == _placed(objects) == _scheduled(objects) == 1


def test_what_is_launched_in_another_zone_opens_a_node_of_today_to_pods_that_are_spread() -> None:
    nodes, _ = _zones(0, 0)
    closed = replace(nodes[1], taints=(Taint("dedicated", TaintEffect.NO_SCHEDULE),))
    waiting = [
        make_pod(f"db-{i}", cpu=100, gib=0.1, app="db", topology_spread=(evenly("db"),)) for i in range(3)
    ]
    objects = ClusterObjects(nodes=(nodes[0], closed), pods=tuple(waiting))
    two = Template(TEMPLATE.zones[:2])
    draft = plan(objects, make_market(), ON_DEMAND, two, mode=PlanMode.PENDING)
    new = [n for n in draft.nodes if not n.existing]
    assert not draft.unplaced
    assert [n.node.zone_id for n in new] == [closed.zone_id]
    assert len(new[0].pods) == 1
