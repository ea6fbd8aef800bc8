"""Headroom of small clusters: really free wherever kube-scheduler put the pods, and at no more than that costs."""

import random
from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import combinations_with_replacement

import pytest

from services.optimizer.domain.drafts import PlanDraft
from services.optimizer.domain.planning import PlanMode, plan
from services.optimizer.domain.rules import HeadroomShape, PlanRules, Strategy
from shared.kernel.workload import ClusterObjects, DisruptionBudget, Pod, PodPhase
from tests.builders import GIB, app_selector, make_node
from tests.unit.optimizer.domain.carrying_out import carry_out
from tests.unit.optimizer.domain.market import (
    PRICES,
    TEMPLATE,
    TYPES,
    YESTERDAY,
    ZONES,
    make_market,
    make_workload,
)

MARKET = make_market()
ALLOCATABLE = {"m5.large": (1930, 7), "m5.xlarge": (3920, 14), "m5.2xlarge": (7910, 29)}
Room = tuple[int, int]
"""Millicores and bytes."""


def _missing(room: Sequence[Room], shapes: Sequence[HeadroomShape]) -> int:
    """Count, by trying every arrangement, the headroom that does not fit."""
    asked = [(s.cpu_millicores, s.memory_bytes) for s in shapes for _ in range(s.count)]

    def fewest(at: int, free: tuple[Room, ...]) -> int:
        if at == len(asked):
            return 0
        cpu, memory = asked[at]
        best = 1 + fewest(at + 1, free) if not any(c >= cpu and m >= memory for c, m in free) else len(asked)
        for node in {n for n in free if n[0] >= cpu and n[1] >= memory}:
            rest = list(free)
            rest.remove(node)
            rest.append((node[0] - cpu, node[1] - memory))
            best = min(best, fewest(at + 1, tuple(sorted(rest))))
            if best == 0:
                break
        return best

    return fewest(0, tuple(sorted(room)))


def _missing_in(objects: ClusterObjects, rules: PlanRules) -> int:
    taken = {n.name: [0, 0] for n in objects.nodes}
    for pod in objects.pods:
        if pod.node_name is not None:
            taken[pod.node_name][0] += pod.requests.cpu_millicores
            taken[pod.node_name][1] += pod.requests.memory_bytes
    room = [
        (n.allocatable.cpu_millicores - taken[n.name][0], n.allocatable.memory_bytes - taken[n.name][1])
        for n in objects.nodes
    ]
    return _missing(room, rules.headroom)


def _spread(pods: Sequence[Room], nodes: Sequence[Room]) -> list[Room] | None:
    """Put each on the least allocated node, as kube-scheduler does; give what is left free, None: one fits nowhere."""
    free = list(nodes)
    for cpu, memory in pods:
        able = [i for i, (c, m) in enumerate(free) if c >= cpu and m >= memory]
        if not able:
            return None
        best = max(
            able,
            key=lambda i: (free[i][0] - cpu) / nodes[i][0] + (free[i][1] - memory) / nodes[i][1],
        )
        free[best] = (free[best][0] - cpu, free[best][1] - memory)
    return free


def _shop() -> ClusterObjects:
    pods = [
        *make_workload("web", 6, cpu=300, gib=0.5),
        *make_workload("api", 8, cpu=500, gib=1),
        *make_workload("db", 2, cpu=1000, gib=4),
    ]
    return _standing(8, "m5.xlarge", [(p, i % 8) for i, p in enumerate(pods)])


def _standing(number: int, kind: str, placed: Sequence[tuple[Pod, int]]) -> ClusterObjects:
    cpu, gib = ALLOCATABLE[kind]
    nodes = tuple(
        make_node(
            f"node-{i:03d}",
            cpu=cpu,
            gib=gib,
            zone=ZONES[i % 3][0],
            zone_id=ZONES[i % 3][1],
            instance_type=kind,
            created_at=YESTERDAY,
        )
        for i in range(number)
    )
    pods = tuple(
        replace(p, node_name=nodes[at].name, phase=PodPhase.RUNNING, is_ready=True) for p, at in placed
    )
    return ClusterObjects(nodes=nodes, pods=pods)


SHOP_RULES = PlanRules(headroom=(HeadroomShape(2000, 4 * GIB, 2),), strategy=Strategy.ON_DEMAND)


def _fleets(limit: float) -> Iterator[tuple[float, tuple[str, ...]]]:
    """Give fleets of one to three nodes below a price, the cheapest first."""
    some = [c for k in (1, 2, 3) for c in combinations_with_replacement(sorted(TYPES), k)]
    return iter(sorted((usd, c) for c in some if (usd := sum(PRICES[t] for t in c)) < limit - 1e-9))


def _sizes(draft: PlanDraft) -> dict[str, Room]:
    return {
        n.node.instance_type or "": (n.node.allocatable.cpu_millicores, n.node.allocatable.memory_bytes)
        for n in draft.nodes
    }


def _sizes_of_all() -> dict[str, Room]:
    """Give what a new node of each type has for pods, as plans that buy them say."""
    found: dict[str, Room] = {}
    for name in TYPES:
        rules = PlanRules(
            strategy=Strategy.ON_DEMAND,
            instance_families=frozenset({name.split(".")[0]}),
            instance_sizes=frozenset({name.split(".")[1]}),
        )
        one = make_workload("one", 1, cpu=100, gib=0.1)
        found |= _sizes(
            plan(ClusterObjects(pods=tuple(one)), MARKET, rules, TEMPLATE, mode=PlanMode.GREENFIELD)
        )
    return found


def test_no_cheaper_fleet_has_its_headroom_in_every_order_in_which_pods_come() -> None:
    objects = _shop()
    draft = plan(objects, MARKET, SHOP_RULES, TEMPLATE)
    sizes = _sizes_of_all()
    pods = [(p.requests.cpu_millicores, p.requests.memory_bytes) for p in objects.pods]
    orders = [random.Random(seed).sample(pods, len(pods)) for seed in range(60)]

    def has_headroom(fleet: Sequence[str]) -> bool:
        for order in orders:
            left = _spread(order, [sizes[t] for t in fleet])
            if left is None or _missing(left, SHOP_RULES.headroom):
                return False
        return True

    assert has_headroom([n.node.instance_type or "" for n in draft.nodes])
    assert draft.cost_after_usd_per_hour is not None
    cheaper = [fleet for _, fleet in _fleets(draft.cost_after_usd_per_hour)]
    assert len(cheaper) > 50
    assert [fleet for fleet in cheaper if has_headroom(fleet)] == []


def test_the_cheapest_fleet_on_paper_has_no_room_for_headroom_once_pods_are_spread() -> None:
    objects = replace(_shop(), nodes=())
    bare = replace(
        objects, pods=tuple(replace(p, node_name=None, phase=PodPhase.PENDING) for p in objects.pods)
    )
    fresh = plan(bare, MARKET, SHOP_RULES, TEMPLATE, mode=PlanMode.GREENFIELD)
    sizes = [(n.node.allocatable.cpu_millicores, n.node.allocatable.memory_bytes) for n in fresh.nodes]
    left = _spread([(p.requests.cpu_millicores, p.requests.memory_bytes) for p in bare.pods], sizes)
    assert left is None or _missing(left, SHOP_RULES.headroom)


def _drawn(seed: int) -> tuple[ClusterObjects, PlanRules]:
    """Draw a cluster of 3 to 12 nodes, pods spread on it, and headroom of one to three shapes."""
    rng = random.Random(seed)
    kind, number = rng.choice(sorted(ALLOCATABLE)), rng.randint(3, 12)
    cpu, gib = ALLOCATABLE[kind]
    free = [(cpu, gib * GIB)] * number
    placed: list[tuple[Pod, int]] = []
    for w in range(rng.randint(2, 8)):
        asked = rng.choice((100, 250, 500, 1000))
        for pod in make_workload(
            f"w{w}", rng.randint(1, 6), cpu=asked, gib=asked / 1000 * rng.choice((1, 2, 4))
        ):
            at = max(range(number), key=lambda i: free[i])
            if free[at][0] < asked or free[at][1] < pod.requests.memory_bytes:
                break
            free[at] = (free[at][0] - asked, free[at][1] - pod.requests.memory_bytes)
            placed.append((pod, at))
    shapes = []
    for _ in range(rng.randint(1, 3)):
        millicores = rng.choice((250, 500, 1000, 2000))
        memory = millicores * rng.choice((1, 2, 4)) * GIB // 1000
        shapes.append(HeadroomShape(millicores, memory, rng.randint(1, 3)))
    objects = _standing(number, kind, placed)
    if seed % 2:
        names = sorted({p.labels["app"] for p in objects.pods})
        budgets = (
            DisruptionBudget("shop", n, app_selector(n), max_unavailable="1", disruptions_allowed=1)
            for n in names
            if sum(p.labels["app"] == n for p in objects.pods) > 1
        )
        objects = replace(objects, budgets=tuple(budgets))
    return objects, PlanRules(headroom=tuple(shapes), strategy=Strategy.ON_DEMAND)


@pytest.mark.parametrize("seed", range(12))
def test_headroom_is_free_whatever_the_scheduler_does_and_no_plan_follows(seed: int) -> None:
    objects, rules = _drawn(seed)
    draft = plan(objects, MARKET, rules, TEMPLATE)
    before = _missing_in(objects, rules)
    for done in range(1, len(draft.moves) + 1):
        for ahead in (False, True):
            part = replace(draft, moves=draft.moves[:done])
            outcome = carry_out(objects, part, seed=seed + done, ahead=ahead)
            assert outcome.refused == ()
            assert outcome.homeless == ()
            assert _missing_in(outcome.objects, rules) <= (0 if done == len(draft.moves) else before)
            if done == len(draft.moves):
                for mode in (PlanMode.SAVE, PlanMode.PENDING):
                    assert plan(outcome.objects, MARKET, rules, TEMPLATE, mode=mode).moves == ()
