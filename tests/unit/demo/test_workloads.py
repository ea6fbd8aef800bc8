"""Workloads for a demo: the built-in mix, a trace, a dump; and what is none of them."""

import gzip
import json
from pathlib import Path

import pytest

from deploy.demo import workloads
from deploy.demo.errors import DemoInputError

HEADER = "name,cpu_milli,memory_mib,num_gpu,gpu_milli,gpu_spec,qos,pod_phase\n"


def trace(tmp_path: Path, *rows: str) -> Path:
    file = tmp_path / "pods.csv"
    file.write_text(HEADER + "".join(f"{row}\n" for row in rows))
    return file


def test_the_mix_is_the_same_for_the_same_seed_and_has_about_120_workloads() -> None:
    mix = workloads.built_in(None, seed=1)
    assert mix == workloads.built_in(None, seed=1)
    assert mix != workloads.built_in(None, seed=2)
    services = [m for m in mix.manifests if m["kind"] in ("Deployment", "StatefulSet")]
    assert len(services) == 118
    assert mix.pods == sum(m["spec"]["replicas"] for m in services)


@pytest.mark.parametrize("pods", [1, 40, 500])
def test_the_mix_has_exactly_as_many_pods_as_asked_for(pods: int) -> None:
    assert workloads.built_in(pods, seed=1).pods == pods


def test_a_trace_is_one_deployment_a_row_of_any_phase(tmp_path: Path) -> None:
    file = trace(tmp_path, "a,100,256,0,0,,LS,Running", "b,2000,4096,2,1000,,BE,Failed")
    read = workloads.from_openb(file, pods=None, cpu_only=False)
    first, second = (m["spec"]["template"]["spec"]["containers"][0]["resources"] for m in read.manifests)
    assert first == {"requests": {"cpu": "100m", "memory": "256Mi"}}
    assert second["requests"]["nvidia.com/gpu"] == "2"
    assert read.strategy == "spot"


def test_shares_of_gpus_are_counted_and_said_so(tmp_path: Path) -> None:
    file = trace(tmp_path, "a,100,256,1,500,,LS,Running", "b,100,256,1,1000,,LS,Running")
    notes = workloads.from_openb(file, pods=None, cpu_only=False).notes
    assert any("1 pods that share a GPU" in note for note in notes)


def test_cpu_only_takes_rows_without_gpus_until_there_are_enough(tmp_path: Path) -> None:
    file = trace(tmp_path, "a,1,1,1,0,,,", "b,1,1,0,0,,,", "c,1,1,0,0,,,", "d,1,1,0,0,,,")
    read = workloads.from_openb(file, pods=2, cpu_only=True)
    assert [m["metadata"]["name"] for m in read.manifests] == ["b", "c"]


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "no column"),
        ("a,b\n1,2\n", "no column"),
        (HEADER, "no pod to run"),
        (HEADER + "a,abc,1,0,0,,,\n", "line 2"),
        (HEADER + "a,-5,1,0,0,,,\n", "negative"),
        (HEADER + "a,1\n", "ends early"),
        ('{"items": null}', "no pod that could be moved"),
        ('{"broken', "line 1: this is not JSON"),
        ('{"items": [{"kind": "Pod"}]}', "workload: "),
        ('{"items": ["x"]}', "workload: "),
        ("[1, 2", "this is not JSON"),
    ],
)
def test_what_is_no_workload_is_refused_in_a_sentence(tmp_path: Path, text: str, says: str) -> None:
    file = tmp_path / "workload"
    file.write_text(text)
    with pytest.raises(DemoInputError, match=says):
        workloads.load(file, pods=None, cpu_only=False, seed=1)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(DemoInputError, match="cannot be read: No such file"):
        workloads.load(tmp_path / "none", pods=None, cpu_only=False, seed=1)


def dump(tmp_path: Path, *items: dict[str, object]) -> Path:
    file = tmp_path / "pods.json"
    file.write_text(json.dumps({"items": items}))
    return file


def dumped(
    name: str,
    *requests: dict[str, str],
    owner: str | None = None,
    kind: str = "ReplicaSet",
    phase: str = "Running",
) -> dict[str, object]:
    owners = [{"apiVersion": "apps/v1", "kind": kind, "name": owner, "controller": True}] if owner else []
    asked = requests or ({"cpu": "1", "memory": "1Gi"},)
    containers = [{"name": f"c{i}", "resources": {"requests": request}} for i, request in enumerate(asked)]
    metadata = {"name": name, "namespace": "shop", "uid": name, "ownerReferences": owners}
    return {"metadata": metadata, "spec": {"containers": containers}, "status": {"phase": phase}}


def test_pods_of_one_controller_become_one_deployment(tmp_path: Path) -> None:
    file = dump(
        tmp_path,
        dumped("w-1", owner="web-5f"),
        dumped("w-2", owner="web-5f"),
        dumped("d", owner="agent", kind="DaemonSet"),
        dumped("done", owner="job", kind="Job", phase="Succeeded"),
        dumped("alone"),
    )
    read = workloads.from_kubectl(file, pods=None)
    assert [(m["metadata"]["name"], m["spec"]["replicas"]) for m in read.manifests] == [
        ("shop-alone", 1),
        ("shop-web-5f", 2),
    ]


def test_a_dumped_pod_requests_what_all_its_containers_do(tmp_path: Path) -> None:
    parts = {"cpu": "0.25", "memory": "128974848000m"}, {"cpu": "1", "memory": "64Mi", "nvidia.com/gpu": "1"}
    (manifest,) = workloads.from_kubectl(dump(tmp_path, dumped("a", *parts)), pods=None).manifests
    (container,) = manifest["spec"]["template"]["spec"]["containers"]
    assert container["resources"]["requests"] == {
        "cpu": "1250m",
        "memory": str(128974848 + 64 * 2**20),
        "nvidia.com/gpu": "1",
    }


@pytest.mark.parametrize("cpu", ["abc", "-1", "1e99"])
def test_a_dumped_request_that_is_none_is_refused_by_the_name_of_its_pod(tmp_path: Path, cpu: str) -> None:
    with pytest.raises(DemoInputError, match="shop/a"):
        workloads.from_kubectl(dump(tmp_path, dumped("a", {"cpu": cpu})), pods=None)


def test_long_names_that_begin_alike_stay_apart(tmp_path: Path) -> None:
    file = dump(tmp_path, dumped("a", owner="x" * 60 + "1"), dumped("b", owner="x" * 60 + "2"))
    names = [m["metadata"]["name"] for m in workloads.from_kubectl(file, pods=None).manifests]
    assert len(set(names)) == 2
    assert max(map(len, names)) <= 63


def test_a_file_that_is_no_text_is_refused_and_a_gzipped_one_is_read(tmp_path: Path) -> None:
    image, packed = tmp_path / "a.png", tmp_path / "pods.csv.gz"
    image.write_bytes(b"\x89PNG\xff\xfe")
    with pytest.raises(DemoInputError, match="not UTF-8 text"):
        workloads.load(image, pods=None, cpu_only=False, seed=1)
    packed.write_bytes(gzip.compress(trace(tmp_path, "a,100,256,0,0,,LS,Running").read_bytes()))
    assert workloads.load(packed, pods=None, cpu_only=False, seed=1).pods == 1
