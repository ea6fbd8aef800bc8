"""What real nodes of a type say of their memory, in place of an estimate for all types.

The estimate takes 7.5 % off every type's memory for the hypervisor; real nodes lose 1.7 to 5.3 %. A node's own
allocatable is the truth for its type: the loss is solved from it, with the formula that the estimate uses, so that
the next node of that type is planned with what this one has.
"""

from collections.abc import Iterable, Mapping

from services.optimizer.domain.allocatable import MIB, allocatable
from shared.kernel.capacity import AmiFamily, InstanceType
from shared.kernel.workload import Node

SMALLEST_RATIO, LARGEST_RATIO = -0.10, 0.30
"""Beyond these a node is not what its label says, or its kubelet keeps memory for something of its own."""

STEPS = 10_000


def memory_corrections(
    nodes: Iterable[Node],
    types: Mapping[str, InstanceType],
    *,
    ami_family: AmiFamily = AmiFamily.AL2023,
) -> dict[str, float]:
    """Give the share of memory that nodes of each type lose, by type, in order; of several nodes the most.

    `ami_family` is what the nodes of the template run; those of another image are read by its formula too. A node that
    is not ready, has no known type or says nothing of its memory says nothing here.
    """
    found: dict[str, float] = {}
    for node in nodes:
        kind = types.get(node.instance_type or "")
        if kind is None or not node.is_ready or node.allocatable.memory_bytes <= 0:
            continue
        ratio = _lost_ratio(node, kind, ami_family)
        if SMALLEST_RATIO <= ratio <= LARGEST_RATIO:
            found[kind.name] = max(ratio, found.get(kind.name, ratio))
    return dict(sorted(found.items()))


def _lost_ratio(node: Node, kind: InstanceType, ami_family: AmiFamily) -> float:
    """Solve the formula for the loss; rounded up, so that never more is planned with than there is."""
    architecture = node.labels.get("kubernetes.io/arch", kind.architectures[0])
    without_loss = allocatable(
        kind,
        architecture=architecture,
        memory_overhead_ratio=0.0,
        max_pods=node.max_pods,
        ami_family=ami_family,
    ).memory_bytes
    seen = kind.memory_bytes - (64 * MIB if architecture == "arm64" else 0)
    lost = without_loss - node.allocatable.memory_bytes
    # Whole steps: nodes that differ by a page do not make two plans of one.
    return -(-lost * STEPS // seen) / STEPS
