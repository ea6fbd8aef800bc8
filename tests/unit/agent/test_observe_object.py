"""What cannot be read is left out, and said once."""

from structlog.testing import capture_logs

from agent.domain.mirror import Mirror, WatchedKind
from agent.domain.usage import Usage, parse_usage
from agent.handlers.observe_object import observe_object
from tests.unit.agent.test_mirror import pod_json


def test_an_unreadable_object_is_said_once_and_the_others_are_taken() -> None:
    mirror, complained = Mirror(), set[str]()
    broken = pod_json("broken")
    broken["spec"]["containers"][0]["resources"]["requests"]["cpu"] = "abc"
    with capture_logs() as logs:
        for obj in (broken, pod_json("good"), broken):
            observe_object(mirror=mirror, kind=WatchedKind.POD, obj=obj, complained=complained)
    assert [entry["object"] for entry in logs] == ["shop/broken"]
    delta = mirror.take_delta()
    assert delta is not None
    assert [ref.key for ref, _ in delta.upserts] == ["shop/good"]


def test_usage_is_summed_over_containers_and_nonsense_left_out() -> None:
    containers = [{"usage": {"cpu": "1500000n", "memory": "10Mi"}}, {"usage": {"cpu": "3m"}}]
    metrics = {"metadata": {"namespace": "shop", "name": "web-1"}, "containers": containers}
    assert parse_usage(metrics) == Usage("shop/web-1", 5, 10 * 2**20)
    assert parse_usage({**metrics, "containers": [{"usage": {"cpu": "abc"}}]}) is None
    assert parse_usage({"containers": containers}) is None
