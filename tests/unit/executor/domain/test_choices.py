"""Steps, tokens, offerings and replacements: values in, values out."""

from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.executor.domain import interruption, tokens
from services.executor.domain.offering_choice import affordable, next_offering
from services.executor.domain.replacement import Quoted, Wanted, replacements, unquoted
from services.executor.domain.steps import Launch, Move, Offering, StepKind, by_move, steps_of
from shared.contracts.v1.policy import Policy
from shared.kernel.interruption import InterruptionKind
from shared.kernel.pools import CapacityType, PoolKey
from shared.kernel.resources import Resources
from tests.builders import make_instance_type, make_node, make_pool

EXECUTION = UUID(int=5)
SPOT = make_pool(capacity_type=CapacityType.SPOT)
ZONES = frozenset({"use1-az1", "use1-az2"})

pools = st.builds(
    PoolKey,
    st.just("us-east-1"),
    st.sampled_from(["m5.large", "m5.xlarge", "c5.large"]),
    st.sampled_from(["use1-az1", "use1-az2", "use1-az3"]),
    st.sampled_from([CapacityType.SPOT, CapacityType.ON_DEMAND]),
)
names = st.lists(st.text("abc", min_size=1, max_size=3), max_size=4, unique=True)


@st.composite
def moves(draw: st.DrawFn) -> list[Move]:
    drains = draw(names)
    launches = draw(names)
    cut = draw(st.integers(0, 4))
    return [
        Move("m1", tuple(Launch(n, ()) for n in launches[:cut]), tuple(drains[:cut])),
        Move("m2", tuple(Launch(n, ()) for n in launches[cut:]), tuple(drains[cut:])),
    ]


@given(moves())
def test_each_launch_is_two_steps_and_each_drain_four(planned: list[Move]) -> None:
    steps = steps_of(EXECUTION, planned)
    launches = sum(len(m.launches) for m in planned)
    drains = sum(len(m.drains) for m in planned)
    assert len(steps) == 2 * launches + 4 * drains
    assert len({s.id for s in steps}) == len(steps)
    assert steps == steps_of(EXECUTION, planned), "turning twice gives the same steps"
    assert steps_of(UUID(int=6), planned) == () or steps[0].id != steps_of(UUID(int=6), planned)[0].id


@given(moves())
def test_every_cordon_of_a_move_stands_before_its_first_drain(planned: list[Move]) -> None:
    for move in by_move(steps_of(EXECUTION, planned)):
        order = [s.position for s in move.of(StepKind.LAUNCH, StepKind.WAIT_READY)]
        order += [s.position for s in move.of(StepKind.CORDON)]
        order += [s.position for s in move.of(StepKind.DRAIN, StepKind.TERMINATE, StepKind.VERIFY)]
        assert order == sorted(order)


@given(st.uuids(), st.integers(1, 100), st.integers(1, 100))
def test_a_token_is_one_of_a_kind_for_each_attempt(step_id: UUID, one: int, other: int) -> None:
    token = tokens.client_token(step_id, one)
    assert len(token) == 64
    assert (token == tokens.client_token(step_id, other)) is (one == other)
    assert tokens.uncordon_id(step_id) != step_id


@given(st.lists(pools, unique=True), st.sets(pools), st.sets(pools))
def test_offerings_are_tried_in_order_the_flagged_ones_last(
    order: list[PoolKey], tried: set[PoolKey], flagged: set[PoolKey]
) -> None:
    offerings = [Offering(pool, Decimal(1)) for pool in order]
    chosen = next_offering(offerings, tried=tried, flagged=flagged, zone_ids=ZONES)
    left = [o for o in offerings if o.pool not in tried and o.pool.zone_id in ZONES]
    if chosen is None:
        assert left == []
    elif chosen.pool in flagged:
        assert all(o.pool in flagged for o in left)
    else:
        before = left[: left.index(chosen)]
        assert all(o.pool in flagged for o in before)


@pytest.mark.parametrize(
    ("extra", "kept"),
    [("0.10", "0.05 0.06 0.15"), ("0.0999", "0.05 0.06"), ("0", "0.05"), ("-1", "0.05")],
)
def test_only_what_a_move_can_spare_is_paid_for_another_offering(extra: str, kept: str) -> None:
    offerings = [Offering(SPOT, Decimal(usd)) for usd in ("0.05", "0.06", "0.15", "0.16")]
    found = affordable(offerings, extra_usd_per_hour=Decimal(extra))
    assert " ".join(str(o.usd_per_hour) for o in found) == kept


def test_a_price_that_nobody_knows_is_not_spared() -> None:
    known, unknown = Offering(SPOT, Decimal(1)), Offering(SPOT, None)
    assert affordable([known, unknown], extra_usd_per_hour=Decimal(9)) == (known,)
    assert affordable([unknown, known], extra_usd_per_hour=Decimal(9)) == (unknown, known)
    assert affordable([], extra_usd_per_hour=Decimal(9)) == ()


@pytest.mark.parametrize("kind", InterruptionKind)
@pytest.mark.parametrize("raised", [True, False])
def test_more_risk_never_means_less_action(kind: InterruptionKind, raised: bool) -> None:  # noqa: FBT001
    action = interruption.action_for(kind, risk_is_raised=raised)
    assert (
        action is interruption.Action.NO_ACTION
        or interruption.action_for(kind, risk_is_raised=True) is interruption.Action.CORDON_AND_DRAIN
    )


def test_a_two_minute_notice_leaves_110_seconds() -> None:
    now = datetime(2026, 1, 1, tzinfo=UTC)
    until = interruption.evict_by(InterruptionKind.SPOT_INTERRUPTION, notice_at=now)
    assert (until - now).total_seconds() == 110


TYPES = {
    t.name: t
    for t in (
        make_instance_type(),
        make_instance_type("m5.large", vcpus=2, gib=8),
        make_instance_type("m5.2xlarge", vcpus=8, gib=32),
        make_instance_type("t3.xlarge", is_burstable=True),
        make_instance_type("m6g.xlarge", architectures=("arm64",)),
        make_instance_type("m3.xlarge", is_current_generation=False),
    )
}
WANTED = Wanted(
    node=make_node(capacity_type=CapacityType.SPOT),
    zone_ids=ZONES,
    may_be_spot=True,
    may_be_on_demand=True,
    filters=Policy(),
)


def quotes() -> list[Quoted]:
    return [
        Quoted(make_pool(name, capacity_type=kind), Decimal(price), is_flagged=False)
        for price, name in enumerate(sorted(TYPES), start=1)
        for kind in (CapacityType.SPOT, CapacityType.ON_DEMAND)
    ]


def chosen(wanted: Wanted = WANTED, avoided: frozenset[PoolKey] = frozenset()) -> list[str]:
    found = replacements(wanted, quotes=quotes(), types=TYPES, avoided=avoided)
    return [f"{o.pool.capacity_type}:{o.pool.instance_type}" for o in found]


def test_spot_by_price_then_on_demand_and_nothing_smaller() -> None:
    assert chosen() == ["spot:m5.2xlarge", "spot:m5.xlarge", "on-demand:m5.2xlarge", "on-demand:m5.xlarge"]


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"may_be_spot": False}, ["on-demand:m5.2xlarge", "on-demand:m5.xlarge"]),
        ({"may_be_on_demand": False, "filters": Policy(max_vcpus=4)}, ["spot:m5.xlarge"]),
        ({"zone_ids": frozenset({"use1-az2"})}, []),
        ({"filters": Policy(excluded_instance_types=("m5.2xlarge", "m5.xlarge"))}, []),
        (
            {"filters": Policy(instance_families=("t3",), allow_burstable=True)},
            ["spot:t3.xlarge", "on-demand:t3.xlarge"],
        ),
        ({"max_usd_per_hour": 3.0, "may_be_spot": False}, ["on-demand:m5.2xlarge"]),
        ({"filters": Policy(instance_sizes=("xlarge",)), "may_be_spot": False}, ["on-demand:m5.xlarge"]),
        ({"filters": Policy(min_vcpus=8), "may_be_spot": False}, ["on-demand:m5.2xlarge"]),
        (
            {"filters": Policy(max_memory_bytes=16 * 2**30), "may_be_spot": False},
            ["on-demand:m5.xlarge"],
        ),
        ({"filters": Policy(min_memory_bytes=64 * 2**30)}, []),
        ({"filters": Policy(architectures=("arm64",))}, []),
        ({"filters": Policy(instance_families=("m3",))}, ["spot:m3.xlarge", "on-demand:m3.xlarge"]),
        (
            {
                "node": make_node(instance_type="m3.large", cpu=2000, gib=8),
                "filters": Policy(instance_sizes=("xlarge",)),
            },
            ["spot:m3.xlarge", "spot:m5.xlarge", "on-demand:m3.xlarge", "on-demand:m5.xlarge"],
        ),
    ],
)
def test_the_policy_holds_for_replacements_too(changes: dict[str, object], expected: list[str]) -> None:
    assert chosen(replace(WANTED, **changes)) == expected  # type: ignore[arg-type]


def test_the_pool_that_is_reclaimed_is_avoided() -> None:
    assert "spot:m5.xlarge" not in chosen(avoided=frozenset({SPOT}))


def test_without_prices_its_own_zone_comes_first() -> None:
    node = make_node(capacity_type=CapacityType.SPOT, zone_id="use1-az2")
    found = unquoted(replace(WANTED, node=node), region="us-east-1")
    assert [o.pool.zone_id for o in found] == ["use1-az2", "use1-az1"]
    assert {o.pool.capacity_type for o in found} == {CapacityType.ON_DEMAND}


GIB = 2**30


@pytest.mark.parametrize(
    ("policy", "node"),
    [
        ({"instance_families": ("c5",)}, {}),
        ({"instance_sizes": ("large",)}, {}),
        ({"excluded_instance_types": ("m5.xlarge",)}, {}),
        ({"architectures": ("arm64",)}, {}),
        ({"min_vcpus": 5}, {}),
        ({"max_vcpus": 3}, {}),
        ({"min_memory_bytes": 18 * GIB}, {}),
        ({"max_memory_bytes": 15 * GIB}, {}),
        # The node reports 15.5 GiB: the type may have 16 GiB, and 16.5 GiB for all that can be told.
        ({"max_memory_bytes": 16 * GIB}, {"gib": 15.5}),
        ({"min_memory_bytes": 16 * GIB}, {"gib": 15.5}),
        ({}, {"instance_type": "t3.xlarge"}),
        ({}, {"instance_type": "m5.metal"}),
        ({"allow_gpu": False}, {"instance_type": "g5.xlarge"}),
        ({"allow_gpu": False}, {"instance_type": "p6-b200.48xlarge"}),
        ({"gpu_families": ("p4d",)}, {"instance_type": "g5.xlarge"}),
        ({}, {"labels": {"kubernetes.io/arch": "arm64"}}),
        ({}, {"capacity": Resources()}),
    ],
)
def test_without_prices_nothing_is_launched_that_may_be_against_the_policy(
    policy: dict[str, Any], node: dict[str, Any]
) -> None:
    wanted = replace(WANTED, node=make_node(**node), filters=Policy(**policy))
    assert unquoted(wanted, region="us-east-1") == ()


@pytest.mark.parametrize(
    ("policy", "node"),
    [
        ({"instance_families": ("m5",), "instance_sizes": ("xlarge",)}, {}),
        ({"min_vcpus": 4, "max_vcpus": 4}, {}),
        ({"min_memory_bytes": 15 * GIB, "max_memory_bytes": 17 * GIB}, {"gib": 15.5}),
        ({"allow_burstable": True}, {"instance_type": "t3.xlarge"}),
        ({"allow_bare_metal": True}, {"instance_type": "m5.metal"}),
        ({"gpu_families": ("g5",)}, {"instance_type": "g5.xlarge"}),
        ({"allow_gpu": False}, {"instance_type": "m5.xlarge"}),
        ({}, {"instance_type": "m3.xlarge"}),
    ],
)
def test_without_prices_the_same_type_is_launched_where_the_policy_surely_allows_it(
    policy: dict[str, Any], node: dict[str, Any]
) -> None:
    wanted = replace(WANTED, node=make_node(**node), filters=Policy(**policy))
    assert [o.pool.zone_id for o in unquoted(wanted, region="us-east-1")] == ["use1-az1", "use1-az2"]


def test_what_is_known_of_a_type_goes_before_what_its_node_reports() -> None:
    wanted = replace(WANTED, node=make_node(gib=15.5), filters=Policy(max_memory_bytes=16 * GIB))
    assert unquoted(wanted, region="us-east-1") == ()
    assert unquoted(wanted, region="us-east-1", types=TYPES) != ()


def test_under_a_price_limit_only_what_has_a_price_is_launched() -> None:
    wanted = replace(WANTED, max_usd_per_hour=0.3)
    assert unquoted(wanted, region="us-east-1") == ()
    here, there = make_pool(), make_pool(zone_id="use1-az2")
    quotes = [Quoted(here, Decimal("0.31"), is_flagged=True), Quoted(there, Decimal("0.3"), is_flagged=True)]
    found = unquoted(wanted, region="us-east-1", quotes=quotes)
    assert found == (Offering(there, Decimal("0.3")),)
