"""The whole planner for pods that have no node yet: objects as Kubernetes writes them, and what is on sale.

On-demand plans are made with everything in the bundled catalogue in three zones, GPUs too; plans with spot with
the offers that the solver is measured with.
"""

import random
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from deploy.planfiles.markets import MarketFiles, read_market
from services.optimizer.domain.drafts import PlanDraft
from services.optimizer.domain.offers import Market
from services.optimizer.domain.planning import PlanMode, plan
from services.optimizer.domain.rules import PlanRules, Strategy, Template
from shared.kernel.kubernetes import parse_objects
from shared.kernel.workload import ClusterObjects
from tests.benchmarks.karpenter_mix import AFFINITY, ALONE, HOSTNAME, KINDS, LABELS, ZONAL
from tests.benchmarks.market import ZONES
from tests.benchmarks.market import Market as Offered
from tests.benchmarks.replanning import TEMPLATE, planning_market
from tests.benchmarks.workloads import (
    KARPENTER_CPU,
    KARPENTER_MEMORY,
    Shape,
    karpenter_sizes,
    many_shapes,
    openb_all,
    openb_cpu,
)
from tests.unit.optimizer.domain.market import carried_out

REPLICAS = 100
ZONE, HOST = "topology.kubernetes.io/zone", "kubernetes.io/hostname"
MIX, LATE = 10_000, 200
PENDING_LARGEST = 16
"""vCPUs of the nodes that run when pods come late: so that there are some hundred."""
Fields = Mapping[str, object]


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """One plan to be made."""

    name: str
    objects: ClusterObjects
    market: Market
    rules: PlanRules
    template: Template
    mode: PlanMode = PlanMode.GREENFIELD
    gap_target: float | None
    seconds_target: float

    def plan(self) -> PlanDraft:
        """Make it."""
        return plan(self.objects, self.market, self.rules, self.template, mode=self.mode)


def cases(offered: Offered) -> Iterator[Case]:
    """Give the plans in the order of what they need."""
    read = read_market(MarketFiles("us-east-1", ZONES[:3]), ())
    on_demand = PlanRules(strategy=Strategy.ON_DEMAND)
    with_spot, hybrid = planning_market(offered), PlanRules(strategy=Strategy.HYBRID)

    def fresh(name: str, objects: ClusterObjects, gap: float, seconds: float, *, spot: bool = False) -> Case:
        return Case(
            name=f"{name}, {'with spot' if spot else 'on-demand'}",
            objects=objects,
            market=with_spot if spot else read.market,
            rules=hybrid if spot else on_demand,
            template=TEMPLATE if spot else read.template,
            gap_target=gap,
            seconds_target=seconds,
        )

    mix = karpenter_pods(MIX)
    yield fresh("openb, 1,088 CPU pods", pods_of(openb_cpu()), 0.005, 0.5)
    yield fresh("5,000 pods, Karpenter's sizes", pods_of(karpenter_sizes(5000)), 0.015, 1)
    yield fresh("5,000 pods, Karpenter's sizes", pods_of(karpenter_sizes(5000)), 0.015, 1, spot=True)
    yield fresh("openb, all 8,152 pods", pods_of(openb_all()), 0.02, 3)
    yield fresh(f"Karpenter's mix, {MIX} pods", mix, 0.03, 3)
    yield fresh(f"Karpenter's mix, {MIX} pods", mix, 0.03, 3, spot=True)
    yield fresh("50,000 pods, 500 shapes", pods_of(many_shapes(50_000, 500)), 0.03, 15)
    yield late_pods(read.market, read.template)


def late_pods(market: Market, template: Template) -> Case:
    """Give a cluster that is as planned but for some pods that came since."""
    rules = PlanRules(strategy=Strategy.ON_DEMAND, max_vcpus=PENDING_LARGEST)
    objects = pods_of(karpenter_sizes(MIX))
    running = carried_out(objects, plan(objects, market, rules, template, mode=PlanMode.GREENFIELD))
    draw = random.Random(3)
    sizes = [(draw.choice(KARPENTER_CPU), draw.choice(KARPENTER_MEMORY)) for _ in range(LATE)]
    late = parse_objects([_pod(f"late-{i}", "late", cpu, memory) for i, (cpu, memory) in enumerate(sizes)])
    return Case(
        name=f"{LATE} pods pending beside {MIX} on {len(running.nodes)} nodes",
        objects=ClusterObjects(nodes=running.nodes, pods=(*running.pods, *late.pods)),
        market=market,
        rules=rules,
        template=template,
        mode=PlanMode.PENDING,
        gap_target=None,
        seconds_target=1,
    )


def pods_of(shapes: Counter[Shape]) -> ClusterObjects:
    """Give pods of these shapes, a Deployment for each hundred alike."""
    return parse_objects(
        [
            _pod(f"s{at}-{i}", f"s{at}-{i // REPLICAS}", cpu, memory, gpus)
            for at, ((cpu, memory, gpus), number) in enumerate(sorted(shapes.items()))
            for i in range(number)
        ]
    )


def karpenter_pods(pods: int) -> ClusterObjects:
    """Give Karpenter's mix with the rules that `karpenter_mix` puts as numbers."""
    return parse_objects(karpenter_objects(pods))


def karpenter_objects(pods: int) -> list[dict[str, object]]:
    """Give the same as Kubernetes writes them."""
    draw = random.Random(42)
    found = []
    for pod in range(pods):
        kind = pod * KINDS // pods
        cpu, memory = draw.choice(KARPENTER_CPU), draw.choice(KARPENTER_MEMORY)
        labels, spec = _rules(kind, "abcdefg"[draw.randrange(LABELS)])
        found.append(_pod(f"k{kind}-{pod}", f"k{kind}", cpu, memory, labels=labels, spec=spec))
    return found


def _rules(kind: int, value: str) -> tuple[Mapping[str, str], Fields]:
    if kind in (ZONAL, HOSTNAME):
        spread = {
            "maxSkew": 1,
            "topologyKey": ZONE if kind == ZONAL else HOST,
            "whenUnsatisfiable": "DoNotSchedule",
            "labelSelector": {"matchLabels": {"my-label": value}},
        }
        return {"my-label": value}, {"topologySpreadConstraints": [spread]}
    if kind in (AFFINITY, ALONE):
        labels = {"my-affinity": value} if kind == AFFINITY else {"app": "nginx"}
        term = {
            "topologyKey": ZONE if kind == AFFINITY else HOST,
            "labelSelector": {"matchLabels": labels},
        }
        rule = "podAffinity" if kind == AFFINITY else "podAntiAffinity"
        return labels, {"affinity": {rule: {"requiredDuringSchedulingIgnoredDuringExecution": [term]}}}
    return {"my-label": value}, {}


def _pod(
    name: str,
    app: str,
    cpu: int,
    memory: int,
    gpus: int = 0,
    *,
    labels: Mapping[str, str] | None = None,
    spec: Fields | None = None,
) -> dict[str, object]:
    devices = {"nvidia.com/gpu": str(gpus)} if gpus else {}
    requests = {"cpu": f"{cpu}m", "memory": f"{memory}Mi", **devices}
    owner = {"apiVersion": "apps/v1", "kind": "ReplicaSet", "name": app, "uid": app, "controller": True}
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {
            "name": name,
            "namespace": "bench",
            "labels": dict(labels or {"app": app}),
            "ownerReferences": [owner],
        },
        "spec": {
            "containers": [{"name": "c", "resources": {"requests": requests, "limits": devices}}],
            **(spec or {}),
        },
        "status": {"phase": "Pending"},
    }
