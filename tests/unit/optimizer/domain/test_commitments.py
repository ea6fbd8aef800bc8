"""What reservations and savings plans pay for already."""

from dataclasses import replace
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.optimizer.domain import commitments
from services.optimizer.domain.fleet_state import StandingNode
from services.optimizer.domain.offers import Offer
from services.optimizer.domain.planning import plan
from services.optimizer.domain.rules import Commitments, ReservedInstances, SavingsPlan
from shared.kernel.pools import CapacityType
from tests.builders import make_node, make_pod, make_pool
from tests.unit.optimizer.domain.market import (
    ON_DEMAND,
    TEMPLATE,
    make_cluster,
    make_market,
    make_workload,
)

LIST = {"m5.large": 0.096, "m5.xlarge": 0.192, "m5.2xlarge": 0.384, "c5.large": 0.085}


def node(
    name: str,
    instance_type: str = "m5.large",
    *,
    capacity_type: CapacityType = CapacityType.ON_DEMAND,
    zone: str = "a",
) -> StandingNode:
    zone_id = f"use1-az{'abc'.index(zone) + 1}"
    pool = make_pool(instance_type, zone_id=zone_id, capacity_type=capacity_type)
    raw = make_node(
        name,
        instance_type=instance_type,
        zone=f"us-east-1{zone}",
        zone_id=zone_id,
        capacity_type=capacity_type,
    )
    return StandingNode(raw, Offer(pool, LIST[instance_type]), (), None)


def reserved(instance_type: str, count: int, **fields: object) -> Commitments:
    kind = ReservedInstances(instance_type=instance_type, count=count, **fields)  # type: ignore[arg-type]
    return Commitments(reserved_instances=(kind,))


def plans(*given: SavingsPlan) -> Commitments:
    return Commitments(savings_plans=given)


def test_a_reserved_instance_costs_nothing_more_and_others_their_price() -> None:
    found = commitments.bill([node("a"), node("b"), node("c", "m5.xlarge")], reserved("m5.large", 1))
    assert found.extra_micro_usd == {"a": 0}
    assert found.unused == ()


def test_spot_is_never_covered() -> None:
    spot = node("a", capacity_type=CapacityType.SPOT)
    found = commitments.bill([spot], reserved("m5.large", 2))
    assert found.extra_micro_usd == {}
    assert found.unused[0].count == 2


@pytest.mark.parametrize("zone", ["us-east-1b", "use1-az2"])
def test_a_zonal_reservation_covers_its_zone_only(zone: str) -> None:
    found = commitments.bill([node("a"), node("b", zone="b")], reserved("m5.large", 2, zone=zone))
    assert found.extra_micro_usd == {"b": 0}
    assert found.unused[0].count == 1


def test_a_size_flexible_one_covers_two_of_half_the_size_or_half_of_twice_the_size() -> None:
    medium = reserved("m5.xlarge", 1, is_size_flexible=True)
    two = commitments.bill([node("a"), node("b"), node("c")], medium)
    assert two.extra_micro_usd == {"a": 0, "b": 0}
    half = commitments.bill([node("a", "m5.2xlarge")], medium)
    assert half.extra_micro_usd == {"a": 192_000}


def test_the_smallest_instances_are_covered_first() -> None:
    found = commitments.bill(
        [node("a", "m5.2xlarge"), node("b")], reserved("m5.xlarge", 1, is_size_flexible=True)
    )
    # Four units for the large one, the other four are a quarter of the 2xlarge.
    assert found.extra_micro_usd == {"a": 288_000, "b": 0}


@pytest.mark.parametrize(
    ("instance_type", "units"),
    [
        ("m5.large", 4),
        ("m5.12xlarge", 96),
        ("t3.nano", Fraction(1, 4)),
        ("g5.xlarge", None),
        ("m5.metal", None),
    ],
)
def test_normalization_factors(instance_type: str, units: object) -> None:
    assert commitments.factor(instance_type) == units


def test_a_savings_plan_takes_the_highest_saving_first_until_its_dollars_are_used_up() -> None:
    plan = SavingsPlan(usd_per_hour=0.1, rates={"m5.large": 0.06, "c5.large": 0.06, "m5.xlarge": 0.08})
    found = commitments.bill([node("a"), node("b", "m5.xlarge"), node("c", "c5.large")], plans(plan))
    # The xlarge saves most (0.08 of 0.10 USD); what is left is a third of the large one.
    assert found.extra_micro_usd == {"b": 0, "a": 64_000}
    assert found.unused_usd_per_hour == 0


def test_the_plan_of_a_family_goes_before_a_compute_plan_and_reservations_before_both() -> None:
    both = Commitments(
        reserved_instances=(ReservedInstances(instance_type="m5.large", count=1),),
        savings_plans=(
            SavingsPlan(usd_per_hour=0.06, rates={"m5.large": 0.06}),
            SavingsPlan(usd_per_hour=0.05, rates={"m5.large": 0.05}, instance_family="m5"),
        ),
    )
    found = commitments.bill([node(n) for n in "abcd"], both)
    assert found.extra_micro_usd == {"a": 0, "b": 0, "c": 0}
    left = commitments.bill([node("a")], both)
    assert left.unused_usd_per_hour == pytest.approx(0.11)


def test_what_is_unused_is_offered_for_nothing_so_many_times_in_one_zone() -> None:
    market = make_market()
    left = commitments.bill([node("a")], reserved("m5.large", 3)).unused
    found = commitments.limited_offers(left, market, TEMPLATE)
    assert [(x.offer.pool.zone_id, x.offer.micro_usd, x.copies) for x in found] == [("use1-az1", 0, 2)]
    zonal = (ReservedInstances(instance_type="m5.large", count=3, zone="us-east-1c"),)
    assert [
        (x.offer.pool.zone_id, x.copies) for x in commitments.limited_offers(zonal, market, TEMPLATE)
    ] == [("use1-az3", 3)]
    unsold = (ReservedInstances(instance_type="x9.large", count=3),)
    assert commitments.limited_offers(unsold, market, TEMPLATE) == ()


@pytest.mark.parametrize(
    "bought",
    [
        pytest.param(reserved("m5.large", 2), id="reserved"),
        pytest.param(reserved("m5.large", 2, is_size_flexible=True), id="size-flexible"),
        pytest.param(plans(SavingsPlan(usd_per_hour=0.12, rates={"m5.large": 0.06})), id="Savings Plan"),
    ],
)
def test_of_nodes_that_are_alike_those_that_stay_are_covered_and_then_the_fullest(
    bought: Commitments,
) -> None:
    empty, full, stays = node("a"), replace(node("b"), pods=(make_pod("web"),)), node("c")
    fleet = [empty, full, replace(stays, kept_because="it must stay")]
    assert commitments.bill(fleet, bought).extra_micro_usd == {"b": 0, "c": 0}
    assert commitments.bill(fleet[:2], bought).extra_micro_usd == {"a": 0, "b": 0}


@pytest.mark.parametrize(
    "bought",
    [reserved("m5.2xlarge", 1), plans(SavingsPlan(usd_per_hour=0.23, rates={"m5.2xlarge": 0.23}))],
    ids=["reserved", "Savings Plan"],
)
def test_what_a_node_that_goes_sets_free_pays_for_one_that_stays(bought: Commitments) -> None:
    objects = make_cluster(make_workload("web", 4, cpu=900), per_node=2)
    pods = tuple(replace(p, do_not_disrupt=p.node_name == "node-001") for p in objects.pods)
    draft = plan(
        replace(objects, pods=pods),
        make_market(spot_ratio=None),
        replace(ON_DEMAND, commitments=bought),
        TEMPLATE,
    )
    assert [m.drains for m in draft.moves] == [("node-000",)]
    assert (draft.cost_before_usd_per_hour, draft.cost_after_usd_per_hour) == (0.384, 0)


def test_each_plan_tells_what_it_has_left() -> None:
    family = SavingsPlan(usd_per_hour=0.05, rates={"m5.large": 0.05}, instance_family="m5")
    compute = SavingsPlan(usd_per_hour=0.2, rates={"m5.large": 0.06})
    found = commitments.bill([node("a"), node("b")], plans(compute, family))
    assert [p.instance_family for p in found.unspent] == [None]
    assert found.unspent[0].usd_per_hour == pytest.approx(0.14)


def test_the_lowest_rate_counts_and_one_that_saves_nothing_does_not() -> None:
    family = SavingsPlan(usd_per_hour=1, rates={"m5.large": 0.05, "c5.large": 0.01}, instance_family="m5")
    compute = SavingsPlan(usd_per_hour=1, rates={"m5.large": 0.06, "c5.large": 0.085})
    offers = [node("a").offer, node("c", "c5.large").offer, node("s", capacity_type=CapacityType.SPOT).offer]
    rates = [commitments.rate(o, (family, compute)) for o in offers if o is not None]
    assert rates == [50_000, None, None]


def test_without_commitments_prices_stay_what_they_are() -> None:
    fleet = (node("a"), node("b"))
    assert commitments.priced(fleet, Commitments()) == fleet


def test_covered_nodes_are_priced_at_what_they_add_to_the_bill() -> None:
    fleet = commitments.priced([node("a"), node("b")], reserved("m5.large", 1))
    assert [n.micro_usd for n in fleet] == [0, 96_000]


@given(
    st.lists(st.sampled_from(sorted(LIST)), max_size=12),
    st.lists(st.tuples(st.sampled_from(sorted(LIST)), st.integers(1, 5), st.booleans()), max_size=3),
    st.lists(st.floats(0.01, 2), max_size=2),
    st.randoms(use_true_random=False),
)
def test_nothing_is_covered_twice_or_beyond_what_was_bought(
    types: list[str], kinds: list[tuple[str, int, bool]], dollars: list[float], rng: object
) -> None:
    fleet = [node(f"n{i:02d}", t) for i, t in enumerate(types)]
    bought = Commitments(
        reserved_instances=tuple(
            ReservedInstances(instance_type=t, count=c, is_size_flexible=f) for t, c, f in kinds
        ),
        savings_plans=tuple(
            SavingsPlan(usd_per_hour=d, rates={t: p * 0.7 for t, p in LIST.items()}) for d in dollars
        ),
    )
    found = commitments.bill(fleet, bought)
    listed = {n.node.name: n.micro_usd for n in fleet}
    assert all(0 <= extra <= listed[name] for name, extra in found.extra_micro_usd.items())
    saved = sum(listed[name] - extra for name, extra in found.extra_micro_usd.items())
    most = sum(LIST[t] * c for t, c, _ in kinds) * 1e6 + sum(dollars) / 0.7 * 1e6
    assert saved <= most + 10
    shuffled = list(fleet)
    rng.shuffle(shuffled)  # type: ignore[attr-defined]
    assert commitments.bill(shuffled, bought) == found
