"""Joining what arrives in any order, and publishing real changes only."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.domain import publishing
from agent.domain.mirror import Delta, Entry, Mirror, WatchedKind
from shared.kernel.kubernetes import KubernetesObjectError
from shared.kernel.workload import ClusterObjects, ObjectKind, ObjectRef, Owner, Pod, Volume
from shared.runtime.cluster_store import decode_chunk, encode_chunk

Json = dict[str, Any]


def pod_json(name: str = "web-1", *, replica_set: str = "", node: str = "", **metadata: Any) -> Json:
    owners = [{"kind": "ReplicaSet", "name": replica_set, "controller": True}] if replica_set else []
    return {
        "metadata": {
            "name": name,
            "namespace": "shop",
            "uid": f"u-{name}",
            "ownerReferences": owners,
            **metadata,
        },
        "spec": {
            "nodeName": node,
            "containers": [
                {
                    "name": "app",
                    "image": "registry.example/secret-image",
                    "command": ["serve", "--password=hunter2"],
                    "env": [{"name": "TOKEN", "value": "hunter2"}],
                    "resources": {"requests": {"cpu": "100m", "memory": "64Mi"}},
                }
            ],
        },
        "status": {"phase": "Running"},
    }


def replica_set_json(name: str, *, deployment: str = "") -> Json:
    owners = [{"kind": "Deployment", "name": deployment, "controller": True}] if deployment else []
    return {
        "metadata": {"name": name, "namespace": "shop", "ownerReferences": owners},
        "spec": {"replicas": 1},
    }


def claim_json(name: str = "data", *, volume: str = "", storage_class: str = "gp3") -> Json:
    return {
        "metadata": {"name": name, "namespace": "shop"},
        "spec": {"volumeName": volume, "storageClassName": storage_class},
        "status": {"phase": "Bound" if volume else "Pending"},
    }


def current(mirror: Mirror, kind: ObjectKind, key: str) -> Any:
    mirror.take_delta()
    return dict(mirror.published()).get(ObjectRef(kind, key))


@pytest.mark.parametrize("first", ["pod", "replica set"])
def test_a_pods_owner_is_the_deployment_whichever_comes_first(first: str) -> None:
    mirror = Mirror()
    arrivals = [
        (WatchedKind.POD, pod_json(replica_set="rollout-abc")),
        (WatchedKind.REPLICA_SET, replica_set_json("rollout-abc", deployment="shop-front")),
    ]
    for kind, obj in arrivals if first == "pod" else reversed(arrivals):
        mirror.put(kind, obj)
    pod = current(mirror, ObjectKind.POD, "shop/web-1")
    assert pod.owner == Owner("Deployment", "shop-front")


def test_a_replica_set_of_its_own_is_a_workload_and_one_of_a_deployment_is_not() -> None:
    mirror = Mirror()
    mirror.put(WatchedKind.REPLICA_SET, replica_set_json("alone"))
    mirror.put(WatchedKind.REPLICA_SET, replica_set_json("web-abc", deployment="web"))
    delta = mirror.take_delta()
    assert delta is not None
    assert [ref.key for ref, _ in delta.upserts] == ["shop/ReplicaSet/alone"]


def test_a_claim_learns_its_zone_when_its_volume_comes_later() -> None:
    mirror = Mirror()
    mirror.put(WatchedKind.CLAIM, claim_json(volume="pv-1"))
    before = current(mirror, ObjectKind.VOLUME, "shop/data")
    zone = {"metadata": {"name": "pv-1", "labels": {"topology.kubernetes.io/zone": "us-east-1a"}}, "spec": {}}
    mirror.put(WatchedKind.PERSISTENT_VOLUME, zone)
    after = current(mirror, ObjectKind.VOLUME, "shop/data")
    assert isinstance(before, Volume)
    assert before.zone_labels == ()
    assert after.zone_labels[0].values == ("us-east-1a",)
    mirror.remove(WatchedKind.CLAIM, "shop/data")
    assert current(mirror, ObjectKind.VOLUME, "shop/data") is None


@pytest.mark.parametrize("first", ["node", "limits"])
def test_a_node_learns_its_attach_limits_whichever_comes_first(first: str) -> None:
    mirror = Mirror()
    node: Json = {"metadata": {"name": "n1"}, "spec": {}, "status": {}}
    drivers = [{"name": "ebs.csi.aws.com", "allocatable": {"count": 25}}, {"name": "efs.csi.aws.com"}]
    limits: Json = {"metadata": {"name": "n1"}, "spec": {"drivers": drivers}}
    arrivals = [(WatchedKind.NODE, node), (WatchedKind.CSI_NODE, limits)]
    for kind, obj in arrivals if first == "node" else reversed(arrivals):
        mirror.put(kind, obj)
    assert current(mirror, ObjectKind.NODE, "n1").volume_limits == {"ebs.csi.aws.com": 25}
    mirror.remove(WatchedKind.CSI_NODE, "n1")
    assert current(mirror, ObjectKind.NODE, "n1").volume_limits == {}


def test_what_does_not_concern_us_is_no_change() -> None:
    mirror = Mirror()
    mirror.put(WatchedKind.POD, pod_json())
    assert mirror.take_delta() is not None
    mirror.put(WatchedKind.POD, pod_json(resourceVersion="2", annotations={"note": "new"}))
    assert mirror.take_delta() is None


def test_what_came_and_went_between_two_deltas_is_no_change() -> None:
    mirror = Mirror()
    mirror.put(WatchedKind.POD, pod_json())
    mirror.remove(WatchedKind.POD, "shop/web-1")
    assert mirror.take_delta() is None


def test_an_unreadable_object_is_refused_and_its_older_self_forgotten() -> None:
    mirror = Mirror()
    mirror.put(WatchedKind.POD, pod_json())
    mirror.take_delta()
    broken = pod_json()
    broken["spec"]["containers"][0]["resources"]["requests"]["cpu"] = "abc"
    with pytest.raises(KubernetesObjectError, match="abc"):
        mirror.put(WatchedKind.POD, broken)
    delta = mirror.take_delta()
    assert delta is not None
    assert delta.deletes == (ObjectRef(ObjectKind.POD, "shop/web-1"),)


def test_a_list_forgets_what_it_does_not_hold() -> None:
    mirror = Mirror()
    for name in ("a", "b"):
        mirror.put(WatchedKind.POD, pod_json(name))
    mirror.keep_only(WatchedKind.POD, {"shop/b"})
    assert current(mirror, ObjectKind.POD, "shop/a") is None
    assert isinstance(current(mirror, ObjectKind.POD, "shop/b"), Pod)
    assert mirror.count(WatchedKind.POD) == 1


def test_nothing_but_the_closed_list_of_fields_leaves_the_cluster() -> None:
    mirror = Mirror()
    mirror.put(WatchedKind.POD, pod_json(annotations={"secret": "hunter2"}))
    mirror.take_delta()
    text = b"".join(publishing.chunks(mirror.published(), encode=lambda objects: str(objects).encode()))
    assert b"web-1" in text
    assert b"hunter2" not in text
    assert b"secret-image" not in text


NAMES = st.sampled_from(["a", "b", "c"])
STEPS = st.one_of(
    st.tuples(st.just("pod"), NAMES, st.sampled_from(["", "n1", "n2"]), st.sampled_from(["", "r1", "r2"])),
    st.tuples(st.just("gone"), NAMES, st.just(""), st.just("")),
    st.tuples(st.just("set"), st.sampled_from(["r1", "r2"]), st.sampled_from(["", "d1", "d2"]), st.just("")),
    st.tuples(st.just("set gone"), st.sampled_from(["r1", "r2"]), st.just(""), st.just("")),
    st.tuples(st.just("publish"), st.just(""), st.just(""), st.just("")),
)


def apply(state: dict[ObjectRef, Any], delta: Delta) -> None:
    for ref in delta.deletes:
        del state[ref]
    state.update(dict(delta.upserts))


@given(st.lists(STEPS, max_size=40), st.integers(0, 40))
def test_a_snapshot_and_the_deltas_after_it_are_the_state(
    steps: list[tuple[str, str, str, str]], snapshot_after: int
) -> None:
    mirror = Mirror()
    copy: dict[ObjectRef, Any] | None = None
    for number, (what, name, first, second) in enumerate([*steps, ("publish", "", "", "")]):
        match what:
            case "pod":
                mirror.put(WatchedKind.POD, pod_json(name, node=first, replica_set=second))
            case "gone":
                mirror.remove(WatchedKind.POD, f"shop/{name}")
            case "set":
                mirror.put(WatchedKind.REPLICA_SET, replica_set_json(name, deployment=first))
            case "set gone":
                mirror.remove(WatchedKind.REPLICA_SET, f"shop/{name}")
            case _:
                delta = mirror.take_delta()
                if copy is not None and delta is not None:
                    for part in publishing.batches(delta, limit=2):
                        apply(copy, part)
        if copy is None and number >= snapshot_after:
            copy = dict(mirror.published())
    assert copy is None or copy == dict(mirror.published())


@given(st.lists(NAMES, unique=True), st.integers(100, 2000))
def test_chunks_hold_everything_once_and_stay_within_the_limit(names: list[str], limit: int) -> None:
    mirror = Mirror()
    for name in names:
        mirror.put(WatchedKind.POD, pod_json(name))
    mirror.take_delta()
    bodies = list(publishing.chunks(mirror.published(), encode=encode_chunk, limit_bytes=limit))
    decoded = [decode_chunk(body) for body in bodies]
    assert [pod for part in decoded for pod in part.pods] == [
        value for _, value in sorted(mirror.published(), key=_key)
    ]
    assert all(len(body) <= limit or len(part.pods) <= 1 for body, part in zip(bodies, decoded, strict=True))


def _key(entry: Entry) -> ObjectRef:
    return entry[0]


def test_an_empty_cluster_is_a_state_too() -> None:
    bodies = list(publishing.chunks([], encode=encode_chunk))
    assert [decode_chunk(body) for body in bodies] == [ClusterObjects()]
