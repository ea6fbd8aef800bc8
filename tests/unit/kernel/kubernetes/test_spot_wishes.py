"""What annotations say about spot."""

import pytest

from shared.kernel.kubernetes.pods import parse_pod
from shared.kernel.kubernetes.spot_wishes import EVERY_REPLICA, NO_WISH, parse_spot_wish
from shared.kernel.kubernetes.workloads import parse_workload
from shared.kernel.workload import SpotWish

ANNOTATIONS = {
    "spot-optimizer.io/spot": "true",
    "spot-optimizer.io/on-demand-min-replicas": "2",
    "spot-optimizer.io/interruption-cost-usd": "0.25",
}
WISH = SpotWish(allowed=True, on_demand_min_replicas=2, interruption_cost_usd=0.25)


def test_a_pod_and_a_workload_carry_what_their_annotations_say() -> None:
    metadata = {"name": "web", "namespace": "shop", "annotations": {**ANNOTATIONS, "secret.io/token": "x"}}
    pod = parse_pod({"metadata": metadata, "spec": {"containers": []}})
    workload = parse_workload({"kind": "Deployment", "metadata": metadata, "spec": {"replicas": 3}})
    assert pod.spot_wish == WISH
    assert workload.spot_wish == WISH
    assert "token" not in repr(pod)


def test_without_annotations_nothing_is_said() -> None:
    assert parse_spot_wish({"other": "true"}) == NO_WISH


@pytest.mark.parametrize(
    ("text", "allowed"), [("true", True), (" True ", True), ("false", False), ("yes", False)]
)
def test_spot_is_allowed_by_true_only(*, text: str, allowed: bool) -> None:
    assert parse_spot_wish({"spot-optimizer.io/spot": text}).allowed is allowed


@pytest.mark.parametrize("text", ["all", "", "-1", "1.5", "²"])
def test_an_unreadable_number_of_replicas_keeps_all_of_them_on_demand(text: str) -> None:
    wish = parse_spot_wish({"spot-optimizer.io/on-demand-min-replicas": text})
    assert wish.on_demand_min_replicas == EVERY_REPLICA


@pytest.mark.parametrize("text", ["much", "nan", "inf", "-1"])
def test_an_unreadable_cost_is_not_stated(text: str) -> None:
    assert parse_spot_wish({"spot-optimizer.io/interruption-cost-usd": text}).interruption_cost_usd is None
