"""Compile everything before it is needed: the first plan of a process should not wait for a compiler."""

from dataclasses import replace

import numpy as np

from services.optimizer.domain.allocatable import candidate_node
from services.optimizer.domain.columns.problem import Effort, FleetProblem, Limit
from services.optimizer.domain.columns.solve import solve_fleet
from services.optimizer.domain.drafts import PlanDraft
from services.optimizer.domain.offers import Market, Offer
from services.optimizer.domain.planning import plan
from services.optimizer.domain.rules import PlanRules, Strategy, Template, Zone
from shared.kernel.capacity import InstanceType
from shared.kernel.pools import CapacityType, PoolKey
from shared.kernel.resources import Resources
from shared.kernel.workload import ClusterObjects, Owner, Pod, PodPhase

GIB = 1024**3
KIND = InstanceType("m5.xlarge", vcpus=4, memory_bytes=16 * GIB, max_pods=58)
POOL = PoolKey("us-east-1", KIND.name, "use1-az1", CapacityType.ON_DEMAND)
TEMPLATE = Template((Zone("us-east-1a", "use1-az1"),))
RULES = PlanRules(strategy=Strategy.ON_DEMAND)
NODES = 6


def warm_up() -> PlanDraft:
    """Solve a problem, and plan a cluster, so small that only compiling takes time: by every kernel there is."""
    solve_fleet(
        FleetProblem(
            requests=np.array([[700, 900, 1], [1100, 300, 1], [310, 2100, 1]], dtype=np.int64),
            counts=np.array([5, 4, 3], dtype=np.int64),
            room=np.array([[1900, 3000, 8], [3900, 7000, 20], [3900, 3000, 20]], dtype=np.int64),
            micro_usd=np.array([90_000, 190_000, 150_000], dtype=np.int64),
            allowed=np.ones((3, 3), dtype=np.bool_),
            limits=(
                Limit(
                    weights=np.array([1, 1, 0], dtype=np.int64),
                    group=np.array([0, 1, 1], dtype=np.int64),
                    at_most=np.array([5, 3], dtype=np.int64),
                ),
            ),
        ),
        effort=Effort(tolerance_ratio=0.0),
    )
    return plan(_half_empty(), Market({KIND.name: KIND}, (Offer(POOL, 0.192),)), RULES, TEMPLATE)


def _half_empty() -> ClusterObjects:
    nodes = tuple(
        replace(
            candidate_node(KIND, POOL, name=f"node-{number}", architecture="amd64", template=TEMPLATE),
            instance_id=f"i-{number}",
        )
        for number in range(NODES)
    )
    pods = tuple(
        Pod(
            namespace="warm",
            name=f"up-{number}",
            uid=str(number),
            requests=Resources(cpu_millicores=500, memory_bytes=GIB),
            phase=PodPhase.RUNNING,
            is_ready=True,
            node_name=node.name,
            owner=Owner("Deployment", "up"),
        )
        for number, node in enumerate(nodes)
    )
    return ClusterObjects(nodes=nodes, pods=pods)
