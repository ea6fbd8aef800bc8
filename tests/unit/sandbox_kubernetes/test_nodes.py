"""What of an instance pods may use, against figures of the AL2023 formula."""

import pytest

from deploy.sandbox.kubernetes.nodes import allocatable_bytes, allocatable_millicores
from tests.integration.sandbox_kubernetes.world import FakeFacts


@pytest.mark.parametrize(
    ("vcpus", "expected"), [(1, 940), (2, 1930), (4, 3920), (8, 7910), (16, 15_890), (96, 95_690)]
)
def test_cpu(vcpus: int, expected: int) -> None:
    assert allocatable_millicores(FakeFacts("x", vcpus=vcpus)) == expected


def test_memory() -> None:
    assert allocatable_bytes(FakeFacts("m5.xlarge")) // 2**20 == 14162
    arm = FakeFacts("a1.large", memory_mib=4096, max_pods=29, architectures=("arm64",))
    assert allocatable_bytes(arm) // 2**20 == 3055
