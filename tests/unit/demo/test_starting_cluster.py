"""The starting cluster: first-fit-decreasing on a few families, as its owner would have it."""

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from deploy.demo import starting_cluster as starting
from deploy.demo import workloads
from deploy.demo.errors import DemoInputError
from deploy.demo.starting_cluster import Need, Type

GIB = 1024**3
ZONES = ("a", "b", "c", "d")
TYPES = [
    Type("c5.large", 1_900, 3 * GIB, 29, 0, 0.085, ZONES),
    Type("m5.large", 1_900, 7 * GIB, 29, 0, 0.096, ZONES),
    Type("r5.large", 1_900, 14 * GIB, 29, 0, 0.126, ZONES),
    Type("m5.4xlarge", 15_800, 58 * GIB, 234, 0, 0.768, ZONES),
    Type("g4dn.xlarge", 3_900, 14 * GIB, 29, 1, 0.526, ("b",)),
    Type("x1.32xlarge", 127_000, 1_800 * GIB, 234, 0, 13.3, ZONES),
]

needs = st.lists(
    st.builds(
        Need,
        st.just("w"),
        st.integers(1, 15_000),
        st.integers(1, 50 * GIB),
    ),
    min_size=1,
    max_size=60,
)


@given(needs)
def test_the_nodes_hold_what_is_requested(asked: list[Need]) -> None:
    nodes = starting.pack(asked, TYPES, idle_share=0)
    assert sum(n.cpu for n in asked) <= sum(t.cpu for t in nodes)
    assert sum(n.memory for n in asked) <= sum(t.memory for t in nodes)
    assert len(asked) <= sum(t.pods for t in nodes)


@given(needs)
def test_the_order_of_the_pods_changes_nothing(asked: list[Need]) -> None:
    there = Counter(t.name for t in starting.pack(asked, TYPES, idle_share=0))
    back = Counter(t.name for t in starting.pack(asked[::-1], TYPES, idle_share=0))
    assert there == back


def test_slack_is_added_as_asked() -> None:
    asked = [Need(f"w{i}", 900, GIB) for i in range(20)]
    assert len(starting.pack(asked, TYPES, idle_share=0.5)) == 2 * len(
        starting.pack(asked, TYPES, idle_share=0)
    )


def test_a_pod_with_a_gpu_gets_the_cheapest_g4dn_and_a_large_one_the_cheapest_that_holds_it() -> None:
    nodes = starting.pack([Need("gpu", 100, GIB, 1), Need("huge", 100_000, GIB)], TYPES, idle_share=0)
    assert sorted(t.name for t in nodes) == ["g4dn.xlarge", "x1.32xlarge"]


def test_a_pod_that_nothing_holds_is_named() -> None:
    with pytest.raises(DemoInputError, match="giant requests 900000 millicores"):
        starting.pack([Need("giant", 900_000, GIB)], TYPES, idle_share=0)


def test_nodes_lie_only_in_zones_that_offer_them_spread_evenly() -> None:
    zones = Counter((i["instance_type"], i["zone"]) for i in starting.placed([TYPES[0]] * 6 + [TYPES[4]] * 2))
    assert zones == {
        ("c5.large", "a"): 2,
        ("c5.large", "b"): 2,
        ("c5.large", "c"): 2,
        ("g4dn.xlarge", "b"): 2,
    }


def test_daemons_come_first_then_the_largest() -> None:
    mix = workloads.built_in(40, seed=1)
    ordered = starting.largest_first(mix.manifests)
    kinds = [m["kind"] for m in ordered]
    assert kinds[:2] == ["DaemonSet", "DaemonSet"]
    assert set(kinds[2:]) - {"Deployment", "StatefulSet"} == {"PodDisruptionBudget"}
    first, _ = starting.needs_of([ordered[2]])
    everything, _ = starting.needs_of(mix.manifests)
    assert first[0].cpu == max(need.cpu for need in everything)


def test_needs_count_replicas_and_keep_daemons_apart() -> None:
    mix = workloads.built_in(40, seed=1)
    asked, daemons = starting.needs_of(mix.manifests)
    assert len(asked) == 40
    assert (daemons.cpu, daemons.memory) == (150, 192 * 2**20)
