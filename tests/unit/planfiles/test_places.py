"""Where a plan from files may launch: as named, else where the cluster is."""

import re
from dataclasses import replace
from typing import Any

import pytest

from deploy.planfiles.documents import PlanFileError
from deploy.planfiles.places import Places, places, region_for, region_of, zone_ids
from shared.kernel.workload import Node, NodeSelectorTerm, Operator, Requirement, Volume
from tests.builders import make_node

IDS = {f"us-east-1{letter}": f"use1-az{number}" for number, letter in enumerate("abcdef", start=1)}
REGION = "topology.kubernetes.io/region"


def in_zone(zone: str | None, name: str = "n", **more: Any) -> Node:
    return replace(make_node(name, **more), zone=zone)


def lying_in(*zones: str, key: str = "topology.ebs.csi.aws.com/zone", is_bound: bool = True) -> Volume:
    term = NodeSelectorTerm((Requirement(key, Operator.IN, zones),))
    return Volume("shop", "data", is_bound, node_affinity=(term,))


def chosen(
    nodes: tuple[Node, ...] = (), volumes: tuple[Volume, ...] = (), *named: str, are_in_policy: bool = False
) -> Places:
    return places(named, "us-east-1", dict(IDS), nodes, volumes, are_in_policy=are_in_policy)


def test_without_nodes_all_zones_are_open() -> None:
    assert chosen((), (lying_in("us-east-1a"),)) == Places(tuple(IDS))


def test_new_nodes_go_where_nodes_are_and_a_note_says_so() -> None:
    found = chosen((in_zone("us-east-1c"), in_zone("us-east-1a"), in_zone("eu-west-1a"), in_zone(None)))
    assert found.names == ("us-east-1a", "us-east-1c")
    (note,) = found.notes
    assert (
        "the zones of today's nodes (us-east-1a, us-east-1c); name zones in the policy or with --zones"
        in note
    )


def test_a_zone_in_which_a_volume_lies_counts() -> None:
    waiting = lying_in("us-east-1e", is_bound=False)
    found = chosen((in_zone("us-east-1a"),), (lying_in("us-east-1c"), lying_in("x", key="rack"), waiting))
    assert found.names == ("us-east-1a", "us-east-1c")
    assert "today's nodes and volumes" in found.notes[0]


def test_what_is_named_wins() -> None:
    nodes = (in_zone("us-east-1a"),)
    assert chosen(nodes, (), "use1-az4", "us-east-1b") == Places(("us-east-1b", "us-east-1d"))
    assert chosen(nodes, are_in_policy=True) == Places(tuple(IDS))


def test_nothing_is_said_where_nothing_is_left_out() -> None:
    assert chosen(tuple(in_zone(name) for name in IDS)) == Places(tuple(IDS))


def test_a_zone_that_is_not_there_is_refused() -> None:
    with pytest.raises(PlanFileError, match="'eu-west-1a' is not in us-east-1, which has us-east-1a, "):
        chosen((), (), "eu-west-1a")


@pytest.mark.parametrize(
    ("zone", "labels", "region"),
    [
        ("us-east-1a", {}, "us-east-1"),
        ("us-west-2-lax-1a", {}, "us-west-2"),
        ("us-gov-west-1b", {}, "us-gov-west-1"),
        ("hall-7", {REGION: "eu-west-1"}, "eu-west-1"),
        ("hall", {}, None),
        (None, {}, None),
    ],
)
def test_labels_tell_the_region(zone: str | None, labels: dict[str, str], region: str | None) -> None:
    assert region_of(in_zone(zone, labels=labels)) == region


def test_the_region_is_that_of_the_nodes() -> None:
    elsewhere = in_zone("eu-west-1a", instance_id=None)
    assert region_for(None, [in_zone("us-east-1a"), elsewhere], is_new=False) == ("us-east-1", ())
    assert region_for("us-east-1", [in_zone("us-east-1a")], is_new=False) == ("us-east-1", ())
    assert region_for("us-east-1", [], is_new=False) == ("us-east-1", ())


@pytest.mark.parametrize(
    ("given", "zones", "why"),
    [
        (None, [], "name it: --region us-east-1."),
        (None, ["us-east-1a", "eu-west-1a"], "several regions, eu-west-1 (1 node), us-east-1 (1 node)"),
        (
            "eu-west-1",
            ["us-east-1a"],
            "--region is eu-west-1, but by their labels the nodes run in us-east-1",
        ),
    ],
)
def test_a_region_that_cannot_be_meant_is_refused(given: str | None, zones: list[str], why: str) -> None:
    with pytest.raises(PlanFileError, match=re.escape(why)):
        region_for(given, [in_zone(zone) for zone in zones], is_new=False)


def test_a_region_where_not_all_nodes_are_is_noted() -> None:
    both = [in_zone("us-east-1a"), in_zone("eu-west-1a")]
    region, (note,) = region_for("eu-west-1", both, is_new=False)
    assert (region, "us-east-1 (1 node)" in note) == ("eu-west-1", True)


def test_a_new_fleet_may_be_planned_somewhere_else() -> None:
    region, (note,) = region_for("eu-west-1", [in_zone("us-east-1a")], is_new=True)
    assert region == "eu-west-1"
    assert "today's nodes run in us-east-1" in note


def test_zone_ids_of_nodes_count_first_and_each_goes_to_one_zone() -> None:
    swapped = [in_zone("us-east-1a", zone_id="use1-az2"), in_zone("eu-west-1a", zone_id="euw1-az1")]
    found = zone_ids("us-east-1", IDS, swapped)
    assert found["us-east-1a"] == "use1-az2"
    assert sorted(found.values()) == sorted(IDS.values())
    assert zone_ids("mars-1", None, [in_zone("mars-1a", zone_id=None)]) == {"mars-1a": "mars-1a"}
