"""Which offers a policy allows, and the reason of each refusal."""

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.optimizer.domain import selection
from services.optimizer.domain.offers import Market, Offer
from services.optimizer.domain.rules import PlanRules, Strategy, Template, Zone
from shared.kernel.capacity import InstanceType
from shared.kernel.pools import CapacityType
from tests.builders import GIB, make_instance_type, make_pool
from tests.unit.optimizer.domain.market import TEMPLATE, make_market

XLARGE = make_instance_type("m5.xlarge", vcpus=4, gib=16)
GPU = make_instance_type("g5.xlarge", vcpus=4, gib=16, gpus={"nvidia.com/gpu": 1})


def offer(name: str, *, spot: bool = False, **fields: Any) -> Offer:
    capacity_type = CapacityType.SPOT if spot else CapacityType.ON_DEMAND
    return Offer(
        make_pool(name, capacity_type=capacity_type),
        fields.pop("usd_per_hour", 0.2),
        **{"age_seconds": 0, **fields},
    )


def refusal(kind: InstanceType, *, spot: bool = False, fields: Any = None, **rules: Any) -> str | None:
    return selection.refusal(
        offer(kind.name, spot=spot, **(fields or {})), kind, PlanRules(**rules), TEMPLATE
    )


@pytest.mark.parametrize(
    ("kind", "rules", "why"),
    [
        (XLARGE, {"instance_families": frozenset({"c5"})}, "the policy does not list family m5"),
        (XLARGE, {"instance_sizes": frozenset({"large"})}, "the policy does not list size xlarge"),
        (XLARGE, {"excluded_instance_types": frozenset({"m5.xlarge"})}, "the policy excludes m5.xlarge"),
        (XLARGE, {"zones": frozenset({"us-east-1b"})}, "the policy does not list zone us-east-1a"),
        (XLARGE, {"architectures": frozenset({"arm64"})}, "the policy does not allow architecture amd64"),
        (XLARGE, {"min_vcpus": 8}, "the policy asks for at least 8 vCPU"),
        (XLARGE, {"max_vcpus": 2}, "the policy allows at most 2 vCPU"),
        (XLARGE, {"min_memory_bytes": 32 * GIB}, "the policy asks for at least 32 GiB of memory"),
        (XLARGE, {"max_memory_bytes": 8 * GIB}, "the policy allows at most 8 GiB of memory"),
        (XLARGE, {"max_usd_per_hour": 0.1}, "the policy allows at most 0.1 USD/h for an instance"),
        (XLARGE, {"strategy": Strategy.SPOT}, "the policy allows spot only"),
        (GPU, {"allow_gpu": False}, "the policy does not allow types with GPUs"),
        (
            GPU,
            {"gpu_families": frozenset({"g6"})},
            "the policy does not list g5 among the families with GPUs",
        ),
        (replace(XLARGE, is_burstable=True), {}, "the policy does not allow burstable types"),
        (replace(XLARGE, is_bare_metal=True), {}, "the policy does not allow bare metal"),
    ],
)
def test_each_refusal_says_which_rule_it_was(kind: InstanceType, rules: dict[str, Any], why: str) -> None:
    assert refusal(kind, **rules) == why


@pytest.mark.parametrize(
    "rules",
    [
        {"zones": frozenset({"us-east-1a"})},
        {"zones": frozenset({"use1-az1"})},
        {"instance_sizes": frozenset({"xlarge"})},
        {"min_vcpus": 4, "max_vcpus": 4},
        {"min_memory_bytes": 16 * GIB, "max_memory_bytes": 16 * GIB},
        {"gpu_families": frozenset({"g5"})},
        {"max_usd_per_hour": 0.2},
    ],
)
def test_what_meets_a_rule_exactly_is_allowed(rules: dict[str, Any]) -> None:
    assert refusal(GPU, **rules) is None
    assert rules.get("gpu_families") or refusal(XLARGE, **rules) is None


def test_an_on_demand_policy_and_an_old_price_refuse_spot() -> None:
    assert refusal(XLARGE, spot=True, strategy=Strategy.ON_DEMAND) == "the policy allows on-demand only"
    assert refusal(XLARGE, spot=True, fields={"age_seconds": 3601}) == "its spot price is too old"
    assert refusal(XLARGE, spot=True, fields={"age_seconds": 3600}) is None
    why = refusal(XLARGE, spot=True, fields={"age_seconds": None})
    assert why == "nobody knows how old its spot price is"
    assert refusal(XLARGE, fields={"age_seconds": None}) is None
    assert refusal(replace(XLARGE, supports_spot=False), spot=True) == "the type is not sold as spot"


def test_what_ec2_does_not_describe_or_has_no_subnet_is_refused() -> None:
    elsewhere = Template((Zone("us-east-1b", "use1-az2"),))
    assert selection.refusal(offer("m5.xlarge"), None, PlanRules(), TEMPLATE) is not None
    assert (
        selection.refusal(offer("m5.xlarge"), XLARGE, PlanRules(), elsewhere) == "no subnet in zone use1-az1"
    )


@given(
    st.sets(st.sampled_from(["c5", "m5", "r5"])),
    st.sets(st.sampled_from(["large", "xlarge", "2xlarge", "4xlarge"])),
    st.sets(st.sampled_from(["us-east-1a", "use1-az2"])),
    st.one_of(st.none(), st.integers(1, 16)),
    st.sampled_from(Strategy),
)
def test_every_offer_is_allowed_or_counted_under_one_reason(
    families: set[str], sizes: set[str], zones: set[str], most: int | None, strategy: Strategy
) -> None:
    market = make_market()
    rules = PlanRules(
        instance_families=frozenset(families),
        instance_sizes=frozenset(sizes),
        zones=frozenset(zones),
        max_vcpus=most,
        strategy=strategy,
    )
    allowed = selection.allowed(market, rules, TEMPLATE)
    found = selection.narrowing(market, rules, TEMPLATE)
    assert found.allowed == len(allowed)
    assert found.allowed + sum(number for _, number in found.refused) == found.known == len(market.offers)
    for offer in allowed:
        kind = market.instance_types[offer.pool.instance_type]
        assert not families or kind.family in families
        assert not sizes or kind.size in sizes
        assert most is None or kind.vcpus <= most
        assert offer.is_spot or strategy is not Strategy.SPOT
        assert not offer.is_spot or strategy is not Strategy.ON_DEMAND


@pytest.mark.parametrize("most", [0, 1, 2, 10])
def test_what_is_out_adds_up_however_many_reasons_are_shown(most: int) -> None:
    rules = PlanRules(
        instance_families=frozenset({"m5"}),
        zones=frozenset({"us-east-1a"}),
        excluded_instance_types=frozenset({"m5.large"}),
    )
    found = selection.narrowing(make_market(), rules, TEMPLATE)
    told = found.sentences(most)
    assert sum(int(line.split()[0]) for line in told) == found.known - found.allowed
    assert len(told) == min(most, len(found.refused)) + (most < len(found.refused))


def test_when_nothing_is_left_the_rule_that_forbids_most_is_named() -> None:
    rules = PlanRules(instance_families=frozenset({"m55"}), zones=frozenset({"us-east-1a"}))
    (note,) = selection.nothing_left_notes(make_market(), rules, TEMPLATE)
    assert note == (
        "Nothing can be launched: of 72 offers that are known, 48 are out since the policy does not list their zones;"
        " 24 are out since the policy does not list their families."
    )
    assert selection.nothing_left_notes(make_market(), PlanRules(), TEMPLATE) == ()
    assert selection.nothing_left_notes(Market({}, ()), PlanRules(), TEMPLATE) == (
        "Nothing can be launched: no prices are known.",
    )
