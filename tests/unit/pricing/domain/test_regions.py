"""Which regions are priced: the operator's always, others while there is room and somebody asks."""

from dataclasses import replace
from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.pricing.domain import regions
from services.pricing.domain.regions import UsedRegion
from services.pricing.settings import PricingSettings
from tests.fakes.clock import EPOCH
from tests.fakes.pricing_regions import region_rules

DAY = timedelta(days=1)
RULES = region_rules("us-east-1")


def used(region: str, *, first: float = -30, last: float = -1, has_answered: bool = True) -> UsedRegion:
    """Days from now."""
    return UsedRegion(region, EPOCH + first * DAY, EPOCH + last * DAY, has_answered)


uses = st.builds(
    used,
    st.integers(0, 400).map(lambda n: f"eu-{'abcdefghij'[n % 10]}-{1 + n % 9}"),
    first=st.integers(-100, -50),
    last=st.integers(-49, 0),
    has_answered=st.booleans(),
)


@given(st.lists(uses, unique_by=lambda u: u.region), st.integers(1, 10), st.randoms())
def test_each_region_is_in_one_state_and_no_more_than_allowed_are_priced(
    rows: list[UsedRegion], most: int, random: object
) -> None:
    rules = replace(RULES, most=most)
    choice = regions.choose(rows, rules=rules, now=EPOCH)
    assert "us-east-1" in choice.priced
    assert len(choice.priced) <= most
    told = [*choice.priced, *choice.resting, *choice.left_out]
    assert sorted(told) == sorted({"us-east-1", *(u.region for u in rows)})
    assert not choice.left_out or len(choice.priced) == most
    shuffled = list(rows)
    random.shuffle(shuffled)  # type: ignore[attr-defined]
    assert regions.choose(shuffled, rules=rules, now=EPOCH) == choice


def test_the_operators_regions_are_priced_even_over_the_limit() -> None:
    rules = region_rules("us-east-1", "xx-made-up", most=1)
    choice = regions.choose([used("eu-west-1")], rules=rules, now=EPOCH)
    assert choice.priced == {"us-east-1", "xx-made-up"}
    assert choice.left_out == {"eu-west-1"}


def test_a_newcomer_takes_nobodys_place_and_a_name_without_a_region_keeps_none() -> None:
    rules = replace(RULES, most=2)
    old, new = used("eu-west-1", first=-20), used("eu-west-2", first=-1)
    assert regions.choose([new, old], rules=rules, now=EPOCH).priced == {"us-east-1", "eu-west-1"}
    made_up = used("eu-nowhere-1", first=-25, has_answered=False)
    just_registered = replace(new, has_answered=False)
    choice = regions.choose([made_up, just_registered], rules=rules, now=EPOCH)
    assert choice.priced == {"us-east-1", "eu-west-2"}
    assert choice.left_out == {"eu-nowhere-1"}


def test_a_region_rests_when_nobody_asked_for_long() -> None:
    choice = regions.choose(
        [used("eu-west-1", last=-14), used("eu-west-2", last=-13.9)], rules=RULES, now=EPOCH
    )
    assert choice.priced == {"us-east-1", "eu-west-2"}
    assert choice.resting == {"eu-west-1"}


def test_a_region_that_is_allowed_no_more_is_not_priced() -> None:
    assert regions.choose([used("ap-south-1")], rules=RULES, now=EPOCH).priced == {"us-east-1"}


@pytest.mark.parametrize(
    ("region", "is_allowed"),
    [
        *(
            (name, True)
            for name in ("us-east-1", "ap-southeast-7", "me-central-1", "af-south-1", "ca-west-1")
        ),
        *((name, True) for name in ("il-central-1", "eu-north-1", "sa-east-1", "mx-central-1")),
        *(
            (name, False)
            for name in ("us-gov-west-1", "cn-north-1", "us-east-12", "us--1", "us-east-1.evil.com")
        ),
        *((name, False) for name in ("", "US-EAST-1", "us-east-1\n", "us-mars-1")),
    ],
)
def test_only_names_like_awss_are_priced_as_shipped(
    region: str,
    is_allowed: bool,  # noqa: FBT001
) -> None:
    shipped = PricingSettings(_env_file=None)
    rules = replace(RULES, always=frozenset(), allowed=shipped.allowed_regions)
    assert rules.allows(region) is is_allowed
