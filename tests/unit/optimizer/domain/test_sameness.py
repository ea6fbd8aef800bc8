"""What counts as a change since a plan was carried out."""

from dataclasses import replace
from datetime import timedelta

from hypothesis import given
from hypothesis import strategies as st

from services.optimizer.domain import sameness
from services.optimizer.domain.offers import Offer
from shared.kernel.workload import Pod
from tests.builders import make_node, make_pod
from tests.fakes.clock import EPOCH
from tests.unit.optimizer.domain.market import make_market, make_workload

OFFERS = make_market().offers
PODS = (*make_workload("web", 3), *make_workload("api", 2, cpu=900))
KNOWN = sameness.digest(PODS, OFFERS, policy_revision=1)


@given(st.permutations(PODS), st.permutations(OFFERS[:12]))
def test_neither_order_nor_names_nor_nodes_of_pods_count(pods: list[Pod], offers: list[Offer]) -> None:
    renamed = [replace(p, name=f"{p.name}-x", uid="new", node_name="elsewhere") for p in pods]
    assert sameness.digest(renamed, [*OFFERS[12:], *offers], policy_revision=1) == KNOWN


def test_a_probability_alone_is_no_change_and_a_flag_is() -> None:
    likelier = [replace(o, interruption_probability=0.2) if o.is_spot else o for o in OFFERS]
    assert sameness.digest(PODS, likelier, policy_revision=1) == KNOWN
    flagged = [replace(OFFERS[0], flagged_since=EPOCH), *OFFERS[1:]]
    assert sameness.digest(PODS, flagged, policy_revision=1) != KNOWN


def test_pods_prices_and_policy_count() -> None:
    larger = (replace(PODS[0], requests=PODS[-1].requests), *PODS[1:])
    dearer = (replace(OFFERS[0], usd_per_hour=OFFERS[0].usd_per_hour * 1.01), *OFFERS[1:])
    assert sameness.digest(larger, OFFERS, policy_revision=1) != KNOWN
    assert sameness.digest(PODS[1:], OFFERS, policy_revision=1) != KNOWN
    assert sameness.digest(PODS, dearer, policy_revision=1) != KNOWN
    assert sameness.digest(PODS, OFFERS, policy_revision=2) != KNOWN
    bare = make_pod("alone", owner=None)
    assert sameness.digest((*PODS, bare), OFFERS, policy_revision=1) != KNOWN


def test_a_fleet_is_the_plans_when_nobody_came_after_it() -> None:
    nodes = [make_node(f"n{i}", created_at=EPOCH) for i in range(2)]
    assert sameness.is_fleet_of(nodes, expected=2, since=EPOCH)
    assert not sameness.is_fleet_of(nodes, expected=3, since=EPOCH)
    late = replace(nodes[0], created_at=EPOCH + timedelta(seconds=1))
    assert not sameness.is_fleet_of([late, nodes[1]], expected=2, since=EPOCH)
    unknown = replace(nodes[0], created_at=None)
    assert not sameness.is_fleet_of([unknown, nodes[1]], expected=2, since=EPOCH)
