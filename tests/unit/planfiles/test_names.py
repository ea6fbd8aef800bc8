"""A policy that names what there is not is refused, and told what was probably meant."""

import re
from pathlib import Path

import pytest

from deploy.planfiles.documents import PlanFileError
from deploy.planfiles.markets import MarketFiles, read_market
from deploy.planfiles.names import KnownNames, check_names, known_names
from services.optimizer.domain.rules import Commitments, PlanRules, ReservedInstances, SavingsPlan

POLICY, BOUGHT = Path("policy.yaml"), Path("bought.yaml")


@pytest.fixture(scope="module")
def known() -> KnownNames:
    read = read_market(MarketFiles("us-east-1"), ())
    return known_names("us-east-1", read.market, read.template)


def reserved(instance_type: str = "m5.large", zone: str | None = None) -> PlanRules:
    one = ReservedInstances(instance_type=instance_type, count=1, zone=zone)
    return PlanRules(commitments=Commitments(reserved_instances=(one,)))


def saving(family: str | None = None, **rates: float) -> PlanRules:
    told = {name.replace("_", "."): rate for name, rate in rates.items()}
    plan = SavingsPlan(usd_per_hour=1, rates=told, instance_family=family)
    return PlanRules(commitments=Commitments(savings_plans=(plan,)))


@pytest.mark.parametrize(
    ("rules", "sentence"),
    [
        (
            PlanRules(excluded_instance_types=frozenset({"m5.large", "m5.xlrge"})),
            "policy.yaml: excluded_instance_types: there is no instance type m5.xlrge; did you mean m5.xlarge?",
        ),
        (
            PlanRules(instance_families=frozenset({"m55"})),
            "policy.yaml: instance_families: there is no instance family m55; did you mean m5?",
        ),
        (
            PlanRules(instance_families=frozenset({"m5.large"})),
            "policy.yaml: instance_families: m5.large is an instance type, not a family; its family is m5.",
        ),
        (
            PlanRules(instance_sizes=frozenset({"xlrge"})),
            "policy.yaml: instance_sizes: no instance type is of size xlrge; did you mean xlarge?",
        ),
        (
            PlanRules(gpu_families=frozenset({"m5"})),
            "policy.yaml: gpu_families: no instance type of family m5 has GPUs.",
        ),
        (
            PlanRules(architectures=frozenset({"x86_64"})),
            "policy.yaml: architectures: no instance type is x86_64; they are amd64 and arm64.",
        ),
        (
            PlanRules(zones=frozenset({"use1-az1", "us-east-1a", "us-east-1q"})),
            (
                "policy.yaml: zones: us-east-1 has no zone us-east-1q; it has us-east-1a, us-east-1b, us-east-1c,"
                " us-east-1d, us-east-1e, us-east-1f."
            ),
        ),
        (
            reserved("m5.lrage"),
            "bought.yaml: reserved_instances: there is no instance type m5.lrage; did you mean m5.large?",
        ),
        (
            reserved(zone="us-east-1q"),
            "bought.yaml: reserved_instances: us-east-1 has no zone us-east-1q; it has",
        ),
        (
            saving(m5_lrage=0.06),
            "bought.yaml: savings_plans: there is no instance type m5.lrage; did you mean m5.large?",
        ),
        (
            saving("mm5", m5_large=0.06),
            "bought.yaml: savings_plans: there is no instance family mm5; did you mean m5?",
        ),
    ],
)
def test_a_name_of_nothing_is_refused_with_what_is_near(
    known: KnownNames, rules: PlanRules, sentence: str
) -> None:
    with pytest.raises(PlanFileError, match=f"^{re.escape(sentence)}"):
        check_names(rules, known, policy=POLICY, commitments=BOUGHT)


def test_the_commitments_of_a_policy_are_looked_for_in_it(known: KnownNames) -> None:
    with pytest.raises(PlanFileError, match=r"^policy.yaml: reserved_instances"):
        check_names(reserved("m5.lrage"), known, policy=POLICY, commitments=None)


@pytest.mark.parametrize(
    "rules",
    [
        PlanRules(),
        PlanRules(
            instance_families=frozenset({"m5", "c7i-flex", "u-6tb1"}), instance_sizes=frozenset({"metal"})
        ),
        pytest.param(PlanRules(instance_families=frozenset({"m10g"})), id="the next generation"),
        pytest.param(
            PlanRules(excluded_instance_types=frozenset({"m9q.large"})), id="a new kind of the newest"
        ),
        pytest.param(PlanRules(excluded_instance_types=frozenset({"p2.xlarge"})), id="old, and only priced"),
        pytest.param(PlanRules(gpu_families=frozenset({"g5", "p5"})), id="families with GPUs"),
        pytest.param(saving("m5", mac1_metal=1.0, m5_large=0.06), id="a list of rates with Mac"),
        pytest.param(reserved(zone="use1-az4"), id="a zone by its id"),
    ],
)
def test_what_is_there_or_may_be_newer_than_the_catalogue_passes(known: KnownNames, rules: PlanRules) -> None:
    check_names(rules, known, policy=POLICY, commitments=BOUGHT)


def test_of_a_region_that_is_not_in_the_catalogue_no_zone_is_refused(known: KnownNames) -> None:
    elsewhere = KnownNames("mars-1", known.types, known.gpu_families, known.architectures, {})
    check_names(PlanRules(zones=frozenset({"mars-1a"})), elsewhere, policy=POLICY, commitments=None)
