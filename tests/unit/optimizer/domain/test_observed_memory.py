"""Memory that real nodes have: learned per type, and held against published estimates."""

import csv
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.optimizer.domain.allocatable import VM_MEMORY_OVERHEAD_RATIO, allocatable
from services.optimizer.domain.observed_memory import memory_corrections
from shared.kernel.capacity import AmiFamily, InstanceType
from shared.kernel.resources import Resources
from shared.kernel.workload import Node
from tests.builders import make_instance_type

MIB = 2**20
KIND = make_instance_type("m5.xlarge")
TYPES = {"m5.xlarge": KIND}


def node(memory_bytes: int, *, name: str = "n", kind: str = "m5.xlarge", is_ready: bool = True) -> Node:
    return Node(
        name=name,
        allocatable=Resources(cpu_millicores=3920, memory_bytes=memory_bytes),
        max_pods=KIND.max_pods,
        instance_type=kind,
        is_ready=is_ready,
        labels={"kubernetes.io/arch": "amd64"},
    )


def estimate(ratio: float | None = None) -> int:
    return allocatable(KIND, architecture="amd64", memory_overhead_ratio=ratio).memory_bytes


@given(st.floats(0.0, 0.25))
def test_the_next_node_is_planned_with_what_this_one_has_and_not_more(ratio: float) -> None:
    real = estimate(ratio)
    learned = memory_corrections([node(real)], TYPES)["m5.xlarge"]
    planned = estimate(learned)
    assert real - KIND.memory_bytes // 10_000 - 2 * MIB <= planned <= real


def test_real_nodes_have_more_than_the_default_says() -> None:
    learned = memory_corrections([node(estimate(0.053))], TYPES)["m5.xlarge"]
    assert learned < VM_MEMORY_OVERHEAD_RATIO
    assert estimate(learned) > estimate()


def test_of_several_nodes_the_one_with_least_counts_in_any_order() -> None:
    nodes = [node(estimate(ratio), name=f"n{ratio}") for ratio in (0.02, 0.05, 0.03)]
    assert memory_corrections(nodes, TYPES) == memory_corrections(nodes[::-1], TYPES)
    assert memory_corrections(nodes, TYPES)["m5.xlarge"] == pytest.approx(0.05, abs=2e-4)


@given(st.floats(0.0, 0.2), st.integers(8, 110))
def test_the_next_bottlerocket_node_is_planned_with_what_this_one_has(ratio: float, max_pods: int) -> None:
    family = AmiFamily.BOTTLEROCKET

    def room(lost: float) -> int:
        return allocatable(
            KIND,
            architecture="amd64",
            memory_overhead_ratio=lost,
            max_pods=max_pods,
            ami_family=family,
        ).memory_bytes

    real = replace(node(room(ratio)), max_pods=max_pods)
    planned = room(memory_corrections([real], TYPES, ami_family=family)["m5.xlarge"])

    assert room(ratio) - KIND.memory_bytes // 10_000 - 2 * MIB <= planned <= room(ratio)


@pytest.mark.parametrize(
    "said",
    [
        pytest.param(node(0), id="nothing"),
        pytest.param(node(estimate(0.03), is_ready=False), id="not ready"),
        pytest.param(node(estimate(0.03), kind="unheard.of"), id="another type"),
        pytest.param(node(estimate(0.5)), id="half its memory"),
        pytest.param(node(2 * KIND.memory_bytes), id="more than the type has"),
        pytest.param(replace(node(estimate(0.03)), instance_type=None), id="no type"),
    ],
)
def test_a_node_that_cannot_be_believed_teaches_nothing(said: Node) -> None:
    assert memory_corrections([said], TYPES) == {}


@pytest.mark.parametrize(
    ("ami_family", "max_pods"),
    [(AmiFamily.AL2023, None), (AmiFamily.BOTTLEROCKET, None), (AmiFamily.BOTTLEROCKET, 20)],
)
def test_the_estimate_is_the_published_one_for_every_type(
    data_folder: Path, ami_family: AmiFamily, max_pods: int | None
) -> None:
    # The file is of Amazon Linux. Karpenter's estimate for Bottlerocket is the same, but for the pods it counts.
    path = data_folder / "instance-facts" / "allocatable_al2023.csv"
    if not path.exists():
        pytest.skip(f"{path.name} is absent")
    with path.open(newline="") as file:
        rows = list(csv.DictReader(file))
    far: list[str] = []
    for row in rows:
        kind = InstanceType(
            name=row["node.kubernetes.io/instance-type"],
            vcpus=int(row["karpenter.k8s.aws/instance-cpu"]),
            memory_bytes=int(row["karpenter.k8s.aws/instance-memory"]) * MIB,
            max_pods=int(row["pods"]),
        )
        ours = allocatable(
            kind, architecture=row["kubernetes.io/arch"], ami_family=ami_family, max_pods=max_pods
        )
        memory_mib = int(row["memory"].removesuffix("Mi"))
        if max_pods is not None:
            # Nothing is left of the smallest types where memory is kept for more pods than they have addresses for.
            memory_mib = max(memory_mib + 11 * (kind.max_pods - max_pods), 0)
        millicores = int(row["cpu"].removesuffix("m")) * (1 if row["cpu"].endswith("m") else 1000)
        if abs(ours.memory_bytes // MIB - memory_mib) > 2 or ours.cpu_millicores != millicores:
            far.append(
                f"{kind.name}: {ours.memory_bytes // MIB} {row['memory']}, {ours.cpu_millicores} {row['cpu']}"
            )
    assert len(rows) > 500
    assert far == []
