"""What else a launch names: what the limits of diversification leave, and what shares a node."""

from collections import Counter
from collections.abc import Iterable
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.optimizer.domain.drafts import LaunchDraft, PlanDraft
from services.optimizer.domain.offers import Market, Offer
from services.optimizer.domain.planning import PlanMode, plan
from services.optimizer.domain.rules import PlanRules, Strategy
from services.optimizer.domain.spot_tolerance import CAPACITY_LABEL
from shared.kernel.pools import PoolKey
from shared.kernel.shares import share_of
from shared.kernel.workload import ClusterObjects, Owner, Pod
from tests.builders import make_instance_type, make_node, make_pod, make_pool
from tests.unit.optimizer.domain.market import TEMPLATE, TYPES, make_cluster, make_market, make_workload

GPU = make_instance_type("g4dn.xlarge", vcpus=4, gib=16, max_pods=29, gpus={"nvidia.com/gpu": 1})
DEARER_GPU = make_instance_type("g5.xlarge", vcpus=4, gib=16, max_pods=29, gpus={"nvidia.com/gpu": 1})


def launches(draft: PlanDraft) -> list[LaunchDraft]:
    return [launch for move in draft.moves for launch in move.launches]


def waiting(pods: Iterable[Pod], rules: PlanRules, market: Market | None = None) -> PlanDraft:
    objects = ClusterObjects(pods=tuple(replace(p, node_name=None) for p in pods))
    return plan(objects, market or make_market(), rules, TEMPLATE, mode=PlanMode.PENDING)


def held_when_dry(
    found: list[LaunchDraft], dry: PoolKey, where: PoolKey, weight: dict[str, int]
) -> Counter[str]:
    """Count what `where` holds when all launches planned in a dry pool go there that name it."""
    held: Counter[str] = Counter()
    for launch in found:
        planned = launch.offers[0].pool
        if planned == where or (planned == dry and where in {o.pool for o in launch.offers}):
            for pod in launch.pods:
                held[pod.rpartition("-")[0]] += 1
                held["millicores"] += weight[pod]
    return held


@settings(max_examples=25, deadline=None)
@given(
    replicas=st.lists(st.integers(4, 12), min_size=1, max_size=3),
    cpu=st.integers(300, 3000),
    percent=st.sampled_from([25, 34, 50]),
    cluster_percent=st.sampled_from([None, 30, 50]),
)
def test_no_pool_is_crowded_when_all_launches_of_a_dry_pool_fall_back(
    replicas: list[int], cpu: int, percent: int, cluster_percent: int | None
) -> None:
    pods = [p for n, count in enumerate(replicas) for p in make_workload(f"w{n}", count, cpu=cpu)]
    rules = PlanRules(
        max_pool_share_ratio=percent / 100,
        max_cluster_pool_share_ratio=None if cluster_percent is None else cluster_percent / 100,
    )
    found = launches(waiting(pods, rules))
    assert found
    weight = {p.key: p.requests.cpu_millicores for p in pods}
    planned = {launch.offers[0].pool for launch in found if launch.offers[0].is_spot}
    named = {o.pool for launch in found for o in launch.offers if o.is_spot}
    for dry in planned:
        for where in named - {dry}:
            held = held_when_dry(found, dry, where, weight)
            for n, count in enumerate(replicas):
                assert held[f"shop/w{n}"] <= share_of(percent / 100, count)
            if cluster_percent is not None:
                assert held["millicores"] <= share_of(cluster_percent / 100, sum(weight.values()))


def test_launches_of_two_full_pools_do_not_name_each_other() -> None:
    found = launches(waiting(make_workload("web", 8, cpu=1500), PlanRules(max_pool_share_ratio=0.25)))
    planned = Counter(launch.offers[0].pool for launch in found for _ in launch.pods)
    full = {pool for pool, pods in planned.items() if pods == 2}
    assert len(full) >= 3
    for launch in found:
        assert len(launch.offers) >= 3
        assert not full & {o.pool for o in launch.offers[1:] if o.is_spot}


def test_a_zone_takes_no_fallback_beyond_its_share() -> None:
    rules = PlanRules(strategy=Strategy.ON_DEMAND, max_zone_share_ratio=0.34)
    found = launches(waiting(make_workload("web", 9, cpu=1500), rules))
    assert {o.pool.zone_id for x in found for o in x.offers[:1]} == {"use1-az1", "use1-az2", "use1-az3"}
    for launch in found:
        assert len(launch.offers) > 1
        assert {o.pool.zone_id for o in launch.offers} == {launch.offers[0].pool.zone_id}


def test_a_node_for_a_gpu_that_ordinary_pods_share_has_fallbacks() -> None:
    market = make_market()
    large = make_instance_type("g5.2xlarge", vcpus=8, gib=32, gpus={"nvidia.com/gpu": 1})
    offers = [Offer(make_pool(t), price) for t, price in (("g4dn.xlarge", 0.526), ("g5.xlarge", 1.006))]
    offers.append(Offer(make_pool("g5.2xlarge"), 1.2))
    types = {**TYPES, GPU.name: GPU, DEARER_GPU.name: DEARER_GPU, large.name: large}
    dear = make_node("dear", cpu=7900, gib=29, gpu=1, instance_type="g5.2xlarge")
    render = make_pod("render", gpu=1, node="dear", app="render", owner=Owner("Deployment", "render"))
    cluster = make_cluster(make_workload("web", 4))
    objects = replace(cluster, nodes=(*cluster.nodes, dear), pods=(*cluster.pods, render))
    [shared] = launches(plan(objects, Market(types, (*market.offers, *offers)), PlanRules(), TEMPLATE))
    assert len(shared.pods) == 5, "the case is that others use what the GPU's pod leaves"
    assert [o.pool.instance_type for o in shared.offers] == ["g4dn.xlarge", "g5.xlarge", "g5.2xlarge"]


@pytest.mark.parametrize("asked", [("stub",), ()])
def test_a_policy_for_spot_names_on_demand_only_where_a_pod_asked_for_it(asked: tuple[str, ...]) -> None:
    web = make_workload("web", 2)
    selector = {CAPACITY_LABEL: "on-demand"} if asked else {}
    stub = replace(web[0], name="stub", owner=None, labels={}, node_selector=selector)
    bare = replace(web[0], name="bare", owner=None, labels={})
    rules = PlanRules(strategy=Strategy.SPOT)
    found = launches(waiting([stub, bare, *web], rules, make_market(spot_ratio=1.5)))
    for launch in found:
        is_asked = any(p.endswith(name) for p in launch.pods for name in asked)
        assert {o.is_spot for o in launch.offers} == {not is_asked}
        assert len(launch.offers) > 1
