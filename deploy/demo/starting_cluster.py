"""The cluster that most companies have: on-demand nodes of a few families, filled first-fit-decreasing.

One size each of m5, c5 and r5: the smallest on which 95 % of its pods take at most half a node. Pods with GPUs
get the cheapest g4dn that holds them, since most of its sizes have one GPU. A pod that fits none of these gets the
cheapest type that holds it.
"""

import itertools
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

from deploy.demo.errors import DemoInputError

FAMILIES = ("c5", "m5", "r5")
GPU_FAMILY = "g4dn"
GPU = "nvidia.com/gpu"
GIB = 1024**3
ZONES_USED = 3

GIB_PER_VCPU_OF_C5 = 3.0
GIB_PER_VCPU_OF_M5 = 6.0
"""Requests below the first go to compute nodes, above the second to memory nodes."""

MULTIPLES = {"Ki": 2**10, "Mi": 2**20, "Gi": 2**30, "Ti": 2**40, "k": 10**3, "M": 10**6, "G": 10**9, "": 1}


@dataclass(frozen=True, slots=True)
class Need:
    """What one pod requests."""

    name: str
    cpu: int
    memory: int
    gpus: int = 0


@dataclass(frozen=True, slots=True)
class Type:
    """What a node of a type has for pods, daemons taken off, and where it can be had."""

    name: str
    cpu: int
    memory: int
    pods: int
    gpus: int
    usd_per_hour: float
    zones: tuple[str, ...] = ()


@dataclass(slots=True)
class _Node:
    type: Type
    cpu: int = field(init=False)
    memory: int = field(init=False)
    pods: int = field(init=False)
    gpus: int = field(init=False)

    def __post_init__(self) -> None:
        self.cpu, self.memory = self.type.cpu, self.type.memory
        self.pods, self.gpus = self.type.pods, self.type.gpus

    def takes(self, need: Need) -> bool:
        fits = (
            need.cpu <= self.cpu and need.memory <= self.memory and need.gpus <= self.gpus and self.pods >= 1
        )
        if fits:
            self.cpu -= need.cpu
            self.memory -= need.memory
            self.gpus -= need.gpus
            self.pods -= 1
        return fits


def needs_of(manifests: Sequence[Mapping[str, Any]]) -> tuple[list[Need], Need]:
    """Give what each pod of the workloads needs, and what the DaemonSets take of every node."""
    needs: list[Need] = []
    daemons = Need("daemons", 0, 0)
    for manifest in manifests:
        spec = manifest.get("spec", {}).get("template", {}).get("spec")
        if spec is None:
            continue
        requests = [c.get("resources", {}).get("requests", {}) for c in spec["containers"]]
        cpu = sum(_amount(r.get("cpu", "0"), milli=True) for r in requests)
        memory = sum(_amount(r.get("memory", "0")) for r in requests)
        gpus = sum(int(r.get(GPU, 0)) for r in requests)
        if manifest["kind"] == "DaemonSet":
            daemons = Need("daemons", daemons.cpu + cpu, daemons.memory + memory)
            continue
        name = manifest["metadata"]["name"]
        needs += [Need(name, cpu, memory, gpus)] * int(manifest["spec"].get("replicas", 1))
    return needs, daemons


def largest_first(manifests: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """Order manifests: DaemonSets, then workloads by what one of their pods requests, then the rest."""

    def rank(manifest: Mapping[str, Any]) -> tuple[int, int, int, int]:
        needs, _ = needs_of([manifest])
        if not needs:
            return (0 if manifest["kind"] == "DaemonSet" else 2), 0, 0, 0
        return 1, -needs[0].gpus, -needs[0].cpu, -needs[0].memory

    return sorted(manifests, key=rank)


def types_of(catalogue: Mapping[str, Any], *, daemons: Need, daemon_pods: int) -> list[Type]:
    """Read the types that could be nodes; one without a price everywhere is left out."""
    found = []
    for item in catalogue["types"]:
        prices = {z: price for z, price in item["on_demand_usd_per_hour"].items() if price is not None}
        if not prices or "x86_64" not in item["architectures"]:
            continue
        found.append(
            Type(
                item["instance_type"],
                item["allocatable_cpu_millicores"] - daemons.cpu,
                item["allocatable_memory_bytes"] - daemons.memory,
                item["max_pods"] - daemon_pods,
                item["gpus"],
                min(prices.values()),
                tuple(sorted(prices)),
            )
        )
    return sorted(found, key=lambda t: (t.usd_per_hour, t.name))


def pack(needs: Sequence[Need], types: Sequence[Type], *, idle_share: float) -> list[Type]:
    """Give the nodes of the starting cluster.

    Raises:
        DemoInputError: a pod fits no type at all.
    """
    groups: dict[str, list[Need]] = {}
    for need in needs:
        groups.setdefault(_family(need), []).append(need)
    nodes: list[_Node] = []
    for family in sorted(groups):
        group = sorted(groups[family], key=lambda n: (-n.gpus, -n.cpu, -n.memory, n.name))
        sizes = [t for t in types if t.name.startswith(f"{family}.") and not t.name.endswith("metal")]
        usual = _size(group, sizes)
        preferred = sizes if family == GPU_FAMILY else [usual] if usual else []
        own: list[_Node] = []
        for need in group:
            if any(node.takes(need) for node in own):
                continue
            own.append(_node_for(need, preferred, types))
        nodes += own
    slack = round(len(nodes) * idle_share / (1 - idle_share))
    spare = itertools.islice(itertools.cycle(nodes), slack) if nodes else ()
    return [node.type for node in (*nodes, *spare)]


def placed(types: Sequence[Type], *, turn: int = 0) -> list[dict[str, str]]:
    """Spread the nodes of each type evenly over the first zones that offer it; `turn` moves the first one."""
    seen: Counter[str] = Counter()
    items = []
    for node in types:
        zones = node.zones[:ZONES_USED]
        zone = zones[(turn + seen[node.name]) % len(zones)]
        seen[node.name] += 1
        items.append({"instance_type": node.name, "zone": zone, "capacity_type": "on-demand"})
    return items


def usage_ratio(needs: Sequence[Need], types: Sequence[Type]) -> float:
    """Give the larger of the shares of CPU and memory that are requested."""
    cpu = sum(n.cpu for n in needs) / max(sum(t.cpu for t in types), 1)
    memory = sum(n.memory for n in needs) / max(sum(t.memory for t in types), 1)
    return max(cpu, memory)


def _family(need: Need) -> str:
    if need.gpus:
        return GPU_FAMILY
    gib_per_vcpu = (need.memory / GIB) / max(need.cpu / 1000, 0.001)
    if gib_per_vcpu <= GIB_PER_VCPU_OF_C5:
        return "c5"
    return "m5" if gib_per_vcpu <= GIB_PER_VCPU_OF_M5 else "r5"


def _size(group: Sequence[Need], sizes: Sequence[Type]) -> Type | None:
    """Choose the smallest size on which 95 % of the pods take at most half a node, else the largest."""

    def share(need: Need, size: Type) -> float:
        return max(need.cpu / max(size.cpu, 1), need.memory / max(size.memory, 1))

    for size in sizes:
        ordered = sorted(share(need, size) for need in group)
        if ordered[int(len(ordered) * 0.95) - 1 if len(ordered) > 1 else 0] <= 0.5:
            return size
    return sizes[-1] if sizes else None


def _node_for(need: Need, preferred: Sequence[Type], types: Sequence[Type]) -> _Node:
    for chosen in (*preferred, *(t for t in types if bool(t.gpus) == bool(need.gpus))):
        node = _Node(chosen)
        if node.takes(need):
            return node
    raise DemoInputError(
        f"{need.name} requests {need.cpu} millicores, {need.memory // 2**20} MiB and {need.gpus} GPUs:"
        " no instance type holds that."
    )


def _amount(text: str, *, milli: bool = False) -> int:
    """Read a quantity of the demo's own manifests."""
    number = text.rstrip("KMGTikm")
    suffix = text[len(number) :]
    if milli:
        return int(number) if suffix == "m" else int(Decimal(number) * 1000)
    return int(Decimal(number) * MULTIPLES[suffix])
