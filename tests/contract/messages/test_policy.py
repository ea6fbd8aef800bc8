"""A cluster that nobody has looked at yet is safe under the defaults."""

import pytest
from pydantic import ValidationError

from shared.contracts.v1 import policy
from shared.contracts.v1.policy import NodeTemplate, Policy


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
