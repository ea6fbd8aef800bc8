"""What a policy names and nothing is called is told, whether it is a typo or not there yet."""

from dataclasses import replace

import pytest

from services.optimizer.domain import unmatched
from services.optimizer.domain.offers import Market
from services.optimizer.domain.planning import plan
from services.optimizer.domain.rules import (
    Commitments,
    OnDemandFloor,
    PlanRules,
    ReservedInstances,
    SavingsPlan,
)
from shared.kernel.workload import Workload
from tests.unit.optimizer.domain.market import TEMPLATE, make_cluster, make_market, make_workload


def reserved(instance_type: str, zone: str | None = None) -> Commitments:
    return Commitments(
        reserved_instances=(ReservedInstances(instance_type=instance_type, count=1, zone=zone),)
    )


def saving(*, rates: dict[str, float], family: str) -> Commitments:
    return Commitments(savings_plans=(SavingsPlan(usd_per_hour=1.0, rates=rates, instance_family=family),))


@pytest.mark.parametrize(
    ("rules", "note"),
    [
        pytest.param(
            PlanRules(on_demand_floors=(OnDemandFloor("shop/nope", 2),)),
            "on_demand_floors: no workload matches shop/nope.",
            id="a floor",
        ),
        pytest.param(
            PlanRules(spot_workloads=("nope/*", "shop/*", "also/*")),
            "spot_workloads: no workload matches also/*, nope/*.",
            id="two of three patterns",
        ),
        pytest.param(
            PlanRules(on_demand_workloads=tuple(f"n{i}/*" for i in range(5))),
            "on_demand_workloads: no workload matches n0/*, n1/*, n2/* and 2 others.",
            id="many",
        ),
        pytest.param(
            PlanRules(excluded_namespaces=frozenset({"shop", "shp"})),
            "excluded_namespaces: no pod is in shp.",
            id="a namespace",
        ),
        pytest.param(
            PlanRules(instance_families=frozenset({"m5", "m55"})),
            "instance_families: EC2 describes no type of family m55.",
            id="a family",
        ),
        pytest.param(
            PlanRules(instance_sizes=frozenset({"xlrge"})),
            "instance_sizes: EC2 describes no type of size xlrge.",
            id="a size",
        ),
        pytest.param(
            PlanRules(excluded_instance_types=frozenset({"m5.xlrge"})),
            "excluded_instance_types: EC2 describes no type called m5.xlrge.",
            id="a type",
        ),
        pytest.param(
            PlanRules(zones=frozenset({"us-east-1a", "use1-az2", "us-east-1q"})),
            "zones: nodes may not be launched in us-east-1q.",
            id="a zone among names and ids",
        ),
        pytest.param(
            PlanRules(commitments=reserved("m5.lrage")),
            "reserved_instances: EC2 describes no type called m5.lrage.",
            id="a reserved type",
        ),
        pytest.param(
            PlanRules(commitments=reserved("m5.large", "us-east-1q")),
            "reserved_instances: nodes may not be launched in us-east-1q.",
            id="a reserved zone",
        ),
        pytest.param(
            PlanRules(architectures=frozenset({"amd64", "arm46"})),
            "architectures: EC2 describes no type that is arm46.",
            id="an architecture",
        ),
        pytest.param(
            PlanRules(commitments=saving(rates={"m55.large": 0.05, "mac2.metal": 1.0}, family="m5")),
            "savings_plans: EC2 describes no type called m55.large.",
            id="a rate, beside one of macOS",
        ),
        pytest.param(
            PlanRules(commitments=saving(rates={}, family="m55")),
            "savings_plans: EC2 describes no type of family m55.",
            id="a family of a Savings Plan",
        ),
    ],
)
def test_what_is_named_in_vain_is_told(rules: PlanRules, note: str) -> None:
    objects = make_cluster(make_workload("web", 2))
    assert unmatched.notes(objects, make_market(), rules, TEMPLATE) == (note,)
    assert note in plan(objects, make_market(), rules, TEMPLATE).notes


def test_a_workload_without_pods_is_there_all_the_same() -> None:
    objects = replace(
        make_cluster(make_workload("web", 2)), workloads=(Workload("jobs", "Deployment", "nightly"),)
    )
    rules = PlanRules(spot_workloads=("jobs/nightly",), on_demand_workloads=("shop/web",))
    assert unmatched.notes(objects, make_market(), rules, TEMPLATE) == ()


def test_where_no_type_is_described_nothing_is_said_of_names() -> None:
    rules = PlanRules(instance_families=frozenset({"m5"}))
    assert unmatched.notes(make_cluster([]), Market({}, ()), rules, TEMPLATE) == ()
