"""A cluster that nobody has looked at yet is safe under the defaults."""

from pathlib import Path

import pytest
import yaml
from pydantic import ValidationError

from shared.contracts.v1 import policy
from shared.contracts.v1.policy import Commitments, NodeTemplate, Policy


def test_the_defaults_touch_nothing_without_a_person() -> None:
    defaults = Policy()
    assert defaults.approval is policy.Approval.MANUAL
    assert defaults.strategy is policy.CapacityStrategy.HYBRID
    assert defaults.on_demand_fallback
    assert defaults.max_disrupted_nodes_ratio <= 0.25
    assert defaults.max_pool_share_ratio <= 0.5
    assert defaults.min_savings_ratio > 0
    assert defaults.min_move_savings_usd_per_hour > 0
    assert defaults.stabilization_seconds >= 300
    assert defaults.drain_deadline_seconds >= 600
    assert defaults.price_max_age_seconds <= 6 * 3600


def test_the_defaults_choose_no_surprising_instance() -> None:
    defaults = Policy()
    assert defaults.architectures == ("amd64",)
    assert not defaults.allow_burstable
    assert not defaults.allow_bare_metal


def test_every_field_of_a_policy_has_a_default() -> None:
    assert [name for name, field in Policy.model_fields.items() if field.is_required()] == []


@pytest.mark.parametrize(
    "wrong",
    [
        {"min_savings_ratio": 5},
        {"min_savings_ratio": "NaN"},
        {"max_disrupted_nodes_ratio": 0},
        {"max_disrupted_nodes_ratio": 1.1},
        {"max_usd_per_hour": -1},
        {"max_usd_per_hour": "Infinity"},
        {"drain_deadline_seconds": 0},
        {"stabilization_seconds": -1},
        {"stabilization_seconds": 10**30},
        {"drain_deadline_seconds": 10**30},
        {"node_ready_deadline_seconds": 10**30},
        {"approval": "always"},
        {"strategy": "ondemand"},
        {"maintenance_windows": [{"start": "24:00"}]},
        {"maintenance_windows": [{"duration_seconds": 0}]},
    ],
    ids=str,
)
def test_a_policy_that_makes_no_sense_is_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        Policy.model_validate(wrong)


def test_a_template_without_a_subnet_launches_nowhere_and_is_refused() -> None:
    with pytest.raises(ValidationError):
        NodeTemplate(launch_template_id="lt-1", subnets=())


def test_the_page_names_every_field_with_its_default() -> None:
    page = (Path(__file__).parents[3] / "docs" / "policy.md").read_text()
    rows = [[cell.strip() for cell in line.split("|")[1:-1]] for line in page.splitlines() if "|" in line]
    said = {
        name.strip("` "): row[2].strip("`")
        for row in rows
        if len(row) == 4 and row[0].startswith("`")
        for name in row[0].split(",")
    }
    defaults = Policy().model_dump(mode="json")
    assert said.keys() == defaults.keys()
    for name, text in said.items():
        written = yaml.safe_load(text)
        own = Policy.model_validate({name: written}).model_dump(mode="json")[name]
        assert own == defaults[name], name


def test_the_examples_of_the_page_are_policies() -> None:
    page = (Path(__file__).parents[3] / "docs" / "policy.md").read_text()
    blocks = [block.partition("```")[0] for block in page.split("```yaml\n")[1:]]
    Policy.model_validate(yaml.safe_load(blocks[0]), extra="forbid")
    Commitments.model_validate(yaml.safe_load(blocks[1]), extra="forbid")


@pytest.mark.parametrize(
    "wrong",
    [
        {"objective": "cheapest"},
        {"architectures": []},
        {"min_vcpus": 8, "max_vcpus": 4},
        {"min_memory_bytes": 2, "max_memory_bytes": 1},
        {"allow_gpu": False, "gpu_families": ["g5"]},
        {"spot_workloads": ["shop"]},
        {"spot_workloads": ["shop/web"], "on_demand_workloads": ["shop/web"]},
        {"on_demand_floors": [{"workload": "shop/web", "replicas": 0}]},
        {"headroom": [{"cpu_millicores": 0, "memory_bytes": 0, "count": 1}]},
        {"min_nodes": -1},
        {"max_zone_share_ratio": 0},
        {"unknown_interruption_probability": 2},
        {
            "commitments": {
                "reserved_instances": [
                    {"instance_type": "m5.large", "count": 1, "zone": "a", "is_size_flexible": True}
                ]
            }
        },
        {"commitments": {"savings_plans": [{"usd_per_hour": 1, "rates": {"m5.large": 0}}]}},
    ],
    ids=str,
)
def test_fields_that_contradict_each_other_are_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        Policy.model_validate(wrong)
