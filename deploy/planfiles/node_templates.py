"""What files about a cluster cannot tell of its new nodes, as a file of its own: JSON or YAML."""

from collections.abc import Collection, Iterable, Iterator
from pathlib import Path
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, field_validator

from deploy.planfiles.policies import read_model
from services.optimizer.domain.allocatable import candidate_node
from services.optimizer.domain.karpenter_labels import PREFIX
from services.optimizer.domain.rules import Template
from shared.kernel.capacity import InstanceType
from shared.kernel.pools import CapacityType, PoolKey
from shared.kernel.workload import Node, Operator, Pod, Requirement, Taint, TaintEffect

GIB = 1024**3
SHOWN = 3
NODE_POOL = "karpenter.sh/nodepool"
Text = Annotated[str, Field(min_length=1, max_length=63)]
_SAMPLE = InstanceType("m5.large", vcpus=2, memory_bytes=8 * GIB)
SET_BY_LAUNCH = frozenset(
    candidate_node(
        _SAMPLE,
        PoolKey("us-east-1", _SAMPLE.name, "use1-az1", CapacityType.ON_DEMAND),
        name="sample",
        architecture="amd64",
        template=Template(()),
    ).labels
)
"""Labels that every new node has, with values that follow from what is launched where."""


class WrittenTaint(BaseModel):
    """As `kubectl get nodes -o json` has it."""

    model_config = ConfigDict(frozen=True)

    key: Annotated[str, Field(min_length=1)]
    effect: TaintEffect
    value: str = ""


class NewNodes(BaseModel):
    """What new nodes carry beyond what follows from their type and zone."""

    model_config = ConfigDict(frozen=True)

    node_pool: Text = "default"
    labels: dict[str, str] = Field(default_factory=dict)
    taints: tuple[WrittenTaint, ...] = ()
    disk_gib: Annotated[int, Field(ge=4, le=16384)] = 20
    """Of the disk that holds images, logs and what pods write."""
    karpenter: bool | None = None
    """Whether Karpenter launches them; None: if it labelled one of today's nodes."""

    @field_validator("labels")
    @classmethod
    def _are_own(cls, labels: dict[str, str]) -> dict[str, str]:
        for key in sorted(labels):
            if key == NODE_POOL:
                raise ValueError(f"{key} is what node_pool says")
            if key in SET_BY_LAUNCH or key.startswith(PREFIX):
                raise ValueError(f"{key} follows from the type and the zone of a node")
        return labels


def read_new_nodes(path: Path | None) -> NewNodes:
    """Give what a file says of new nodes, the defaults without one.

    Raises:
        PlanFileError: it is broken, or names a field that there is not.
    """
    return NewNodes() if path is None else read_model(path, NewNodes, "a node template")


def taints_of(written: NewNodes) -> tuple[Taint, ...]:
    """Give the taints as the planner knows them."""
    return tuple(Taint(t.key, t.effect, t.value) for t in written.taints)


def by_karpenter(written: NewNodes, today: Iterable[Node]) -> bool:
    """Say whether new nodes get Karpenter's labels by type: it must be said, or one of today's nodes have them.

    A node pool's label is no proof: EKS Auto Mode sets it too, and other labels by type.
    """
    if written.karpenter is not None:
        return written.karpenter
    return any(key.startswith(PREFIX) for node in today for key in node.labels)


def advice(lost: Iterable[Pod], new: Collection[Node]) -> tuple[str, ...]:
    """Say which pods without a place ask for what --node-template could give.

    Args:
        lost: pods without a place.
        new: a node of every offer that may be launched.
    """
    if not new:
        return ()
    known = frozenset(key for node in new for key in node.labels)
    pools = frozenset(node.node_pool for node in new)
    disk = max(node.allocatable.ephemeral_storage_bytes for node in new)
    found = [
        f"{pod.key} ({', '.join(asked)})"
        for pod in lost
        if (asked := sorted(_asked(pod, known, pools, disk)))
    ]
    if not found:
        return ()
    more = f" and {len(found) - SHOWN} more" if len(found) > SHOWN else ""
    asked_for = f"{', '.join(found[:SHOWN])}{more}"
    why = "Pods without a place ask for what new nodes are not taken to have"
    return (f"{why}: {asked_for}; --node-template FILE says what they have.",)


def _asked(pod: Pod, known: Collection[str], pools: Collection[str | None], disk: int) -> Iterator[str]:
    for key, value in pod.node_selector.items():
        if key not in known or (key == NODE_POOL and value not in pools):
            yield f"{key}={value}"
    # Terms are alternatives: one that new nodes could meet is enough.
    missing = [
        {item.key for item in term.labels if _is_missing(item, known, pools)} for term in pod.node_affinity
    ]
    if missing and all(missing):
        yield from missing[0]
    if pod.requests.ephemeral_storage_bytes > disk:
        yield "ephemeral storage"


def _is_missing(item: Requirement, known: Collection[str], pools: Collection[str | None]) -> bool:
    if item.operator in (Operator.NOT_IN, Operator.DOES_NOT_EXIST):
        return False
    if item.key == NODE_POOL and item.operator is Operator.IN:
        return not any(value in pools for value in item.values)
    return item.key not in known
