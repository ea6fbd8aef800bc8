"""The cluster as planning sees it: which nodes may go, what they cost, which pods would move."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from services.optimizer.domain.evictions import NO_BUDGETS, Slack
from services.optimizer.domain.losses import Guards, frozen
from services.optimizer.domain.offers import Market, Offer
from services.optimizer.domain.pools import price_of
from services.optimizer.domain.rules import PlanRules, Strategy, Template
from services.optimizer.domain.spot_tolerance import SpotJudge
from shared.kernel.pools import PoolKey
from shared.kernel.scheduling import can_be_moved, eviction_refused
from shared.kernel.scheduling.budgets import SEVERAL
from shared.kernel.workload import (
    ClusterObjects,
    DisruptionBudget,
    Node,
    NodeSelectorTerm,
    Operator,
    Pod,
    Requirement,
    Volume,
)

ZONE_LABEL = "topology.kubernetes.io/zone"
BYTES_PER_MILLICORE = int(7.2 * 1024**3 / 1000)


@dataclass(frozen=True, slots=True)
class StandingNode:
    """One node of today, or one that this plan launches."""

    node: Node
    offer: Offer | None
    """What prices it; None when nobody knows."""
    pods: tuple[Pod, ...]
    """Everything on it that holds resources, daemons included."""
    kept_because: str | None
    """Why it stays as it is; None: it may be drained."""
    age_seconds: int | None = None
    """At the moment of the prices; None when nobody knows."""
    slack: Slack = field(default=NO_BUDGETS, compare=False, repr=False)
    """Of the cluster's disruption budgets."""

    movable: tuple[Pod, ...] = field(init=False, compare=False, repr=False)
    """The pods that would have to go elsewhere."""

    def __post_init__(self) -> None:
        movable = tuple(p for p in self.pods if not (p.is_daemon or p.is_mirror or p.is_terminating))
        object.__setattr__(self, "movable", movable)

    @property
    def micro_usd(self) -> int:
        """Give its price; only asked of nodes whose price is known."""
        assert self.offer is not None
        return self.offer.micro_usd


@dataclass(frozen=True, slots=True)
class FleetState:
    """All nodes in order of name, and the pods that stand on none."""

    nodes: tuple[StandingNode, ...]
    pending: tuple[Pod, ...]
    objects: ClusterObjects
    notes: tuple[str, ...]

    @property
    def micro_usd(self) -> int | None:
        """Give what it costs an hour; None when a price is unknown."""
        if any(n.offer is None for n in self.nodes):
            return None
        return sum(n.micro_usd for n in self.nodes)

    def without(self, names: Iterable[str]) -> ClusterObjects:
        """Give the cluster as it would be if some nodes were gone, with their pods."""
        gone = set(names)
        stay = [n for n in self.nodes if n.node.name not in gone]
        return replace(
            self.objects,
            nodes=tuple(n.node for n in stay),
            pods=tuple(p.on(n.node.name) for n in stay for p in n.pods),
        )


def read_state(
    objects: ClusterObjects, market: Market, rules: PlanRules, template: Template, judge: SpotJudge
) -> FleetState:
    """Join nodes, pods and prices; decide for each node whether it may be drained."""
    prices = market.prices()
    names = {n.name for n in objects.nodes}
    on: dict[str, list[Pod]] = {}
    pending: list[Pod] = []
    gated = astray = 0
    for pod in sorted(objects.pods, key=lambda p: p.key):
        if pod.is_finished:
            continue
        if pod.node_name in names:
            on.setdefault(pod.node_name or "", []).append(pod)
        elif pod.is_daemon or pod.is_mirror or pod.is_terminating:
            continue
        elif pod.node_name is not None:
            astray += 1
        elif pod.scheduling_gated:
            gated += 1
        else:
            pending.append(pod)
    blocked = blocked_pods(objects.budgets, objects.pods)
    slack = Slack(objects.budgets)
    nodes, notes = [], _left_out(gated, astray)
    for node in sorted(objects.nodes, key=lambda n: n.name):
        offer = price_of(node, prices, template)
        pods = tuple(on.get(node.name, ()))
        age = _age_seconds(node, market)
        why = _too_young(age, rules) or _kept_because(node, offer, pods, rules, judge, blocked)
        if why is not None:
            notes.append(f"Node {node.name} stays as it is: {why}.")
        nodes.append(StandingNode(node, offer, pods, why, age, slack))
    volumes, guessed = _volumes(objects)
    if guessed:
        notes.append(
            f"{guessed} volumes are not in the input; their pods are planned in the zone they run in."
        )
    return FleetState(tuple(nodes), tuple(pending), replace(objects, volumes=volumes), tuple(notes))


def _left_out(gated: int, astray: int) -> list[str]:
    notes = []
    if gated:
        notes.append(
            f"{gated} pods wait for their scheduling gates to be lifted: no room is planned for them."
        )
    if astray:
        notes.append(f"{astray} pods are bound to nodes that are not in the input: they are left out.")
    return notes


def blocked_pods(budgets: Iterable[DisruptionBudget], pods: Sequence[Pod]) -> Mapping[str, str]:
    """Say, by key of a pod, why the eviction API will not let it go even when all pods of its budget are healthy.

    A budget that merely allows nothing at the moment blocks nobody here: the executor waits for it.
    """
    guards = Guards(budgets)
    never = frozen(guards, pods)
    found: dict[str, str] = {}
    for pod in pods:
        over = guards.over(pod)
        covering = [guards.budgets[number] for number in over]
        hopeful = [replace(guards.budgets[n], disruptions_allowed=0 if n in never else 1) for n in over]
        if covering and eviction_refused(pod, hopeful) is not None:
            found[pod.key] = (
                SEVERAL if len(covering) > 1 else f"budget {covering[0].key} allows no disruption"
            )
    return found


def _age_seconds(node: Node, market: Market) -> int | None:
    if node.created_at is None or market.as_of is None:
        return None
    return int((market.as_of - node.created_at).total_seconds())


def _too_young(age_seconds: int | None, rules: PlanRules) -> str | None:
    """Say whether the node has yet to stand its time."""
    if rules.min_node_age_seconds <= 0:
        return None
    if age_seconds is None:
        return "its age is unknown, and the policy asks for one"
    if age_seconds >= rules.min_node_age_seconds:
        return None
    return f"it is younger than the {rules.min_node_age_seconds} s that the policy asks for"


def _kept_because(
    node: Node,
    offer: Offer | None,
    pods: Iterable[Pod],
    rules: PlanRules,
    judge: SpotJudge,
    blocked: Mapping[str, str],
) -> str | None:
    if node.instance_id is None:
        return "it is not an EC2 instance"
    if offer is None:
        return f"no price is known for {node.instance_type or 'its type'} in its zone"
    if node.do_not_disrupt:
        return "it is marked do-not-disrupt"
    if not node.is_ready:
        return "it is not ready"
    if node.is_unschedulable:
        return "it is cordoned"
    for pod in pods:
        why = None if pod.is_terminating else unmovable(pod, rules, judge, blocked)
        if why is not None:
            return f"pod {pod.key} cannot be moved, {why}"
    return None


def unmovable(pod: Pod, rules: PlanRules, judge: SpotJudge, blocked: Mapping[str, str]) -> str | None:
    """Say why a pod may not be moved, None when it may, or when it comes and goes with its node."""
    if pod.is_daemon:
        return None
    if pod.namespace in rules.excluded_namespaces:
        return "the policy excludes its namespace"
    if pod.key in blocked:
        return blocked[pod.key]
    why = can_be_moved(pod)
    if why is None and rules.strategy is Strategy.SPOT:
        tolerance = judge.refusal(pod)
        why = None if tolerance is None else f"the policy allows spot only and {tolerance}"
    return why


def _volumes(objects: ClusterObjects) -> tuple[tuple[Volume, ...], int]:
    """Pin volumes that the input does not show to the zone of the pod that uses them."""
    if objects.volumes:
        return objects.volumes, 0
    zones = {n.name: n.zone for n in objects.nodes}
    found: dict[str, Volume] = {}
    for pod in sorted(objects.pods, key=lambda p: p.key):
        zone = zones.get(pod.node_name or "")
        for claim in pod.claims:
            terms: tuple[NodeSelectorTerm, ...] = ()
            if zone is not None:
                terms = (NodeSelectorTerm((Requirement(ZONE_LABEL, Operator.IN, (zone,)),)),)
            volume = Volume(pod.namespace, claim, is_bound=True, node_affinity=terms)
            found.setdefault(volume.key, volume)
    return tuple(found[key] for key in sorted(found)), len(found)


def pools_by_node(state: FleetState) -> dict[str, PoolKey]:
    """Give the pool of every node whose price is known."""
    return {n.node.name: n.offer.pool for n in state.nodes if n.offer is not None}


def weight(pod: Pod) -> int:
    """Give one number for the size of a pod: bytes, a core counted as 7.2 GiB."""
    r = pod.requests
    devices = sum(r.extended.values()) * 64 * 1024**3
    return r.cpu_millicores * BYTES_PER_MILLICORE + r.memory_bytes + devices
