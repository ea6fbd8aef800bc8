"""EC2 instances become nodes some time after they run, and take their nodes and pods with them when they end."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

import structlog

from deploy.sandbox.kubernetes.budgets import Budgets
from deploy.sandbox.kubernetes.index import Index, controller_of
from deploy.sandbox.kubernetes.instances import Instance, Instances
from deploy.sandbox.kubernetes.kinds import NODE, POD, Object
from deploy.sandbox.kubernetes.nodes import (
    NOT_READY,
    UNREACHABLE,
    UNSCHEDULABLE,
    conditions,
    is_node_ready,
    node_name,
    node_object,
)
from deploy.sandbox.kubernetes.store import Change, Store
from deploy.sandbox.kubernetes.timing import Timeline

log = structlog.get_logger(__name__)

_BOOT_SECONDS = 40.0
_READY_SECONDS = 20.0
_FORGET_SECONDS = 20.0


@dataclass(frozen=True, slots=True)
class Termination:
    """An instance that ended while it was a node."""

    at: datetime
    instance_id: str
    node: str
    cordoned: bool
    pods: tuple[str, ...]
    """Those that still ran, daemons not counted."""
    owners: frozenset[str]
    """Uids of their controllers."""
    bare_pods: int
    """Those that nobody replaces."""
    injected: bool


class NodeLifecycle:
    """Registers, readies and removes nodes."""

    def __init__(
        self,
        *,
        store: Store,
        index: Index,
        budgets: Budgets,
        timeline: Timeline,
        instances: Instances,
        cluster_name: str,
        region: str,
    ) -> None:
        self._store = store
        self._index = index
        self._budgets = budgets
        self._timeline = timeline
        self._instances = instances
        self._tag = f"kubernetes.io/cluster/{cluster_name}"
        self._region = region
        self._booting: dict[str, Callable[[], None]] = {}
        self._ended: set[str] = set()
        self.interrupted: dict[str, datetime] = {}
        """Instances whose loss the sandbox itself announced."""
        self.terminations: list[Termination] = []

    def start(self) -> None:
        """Take in what runs already and listen for more."""
        self._instances.subscribe(self._on_event)
        for instance in self._instances.instances():
            if instance.state == "running":
                self._on_event(instance, "launched")

    @property
    def booting(self) -> int:
        """How many of the cluster's instances run but are no Ready node yet."""
        mine = {i.id for i in self._instances.instances() if self.is_member(i)}
        return len(self._booting.keys() & mine)

    def is_member(self, instance: Instance) -> bool:
        """Whether an instance belongs to this cluster."""
        return instance.tags.get(self._tag) == "owned"

    def node_of(self, instance: Instance) -> str:
        """Return the name of an instance's node."""
        return node_name(instance, self._region)

    def mark_interrupted(self, instance_id: str) -> None:
        """Remember that the sandbox takes this instance away."""
        self.interrupted.setdefault(instance_id, self._timeline.now())

    def observe(self, change: Change) -> None:
        """Keep the taint that a cordon brings."""
        if change.kind is not NODE or change.type == "DELETED":
            return
        node = change.object
        taints = node["spec"].get("taints") or []
        has = any(taint["key"] == UNSCHEDULABLE for taint in taints)
        if bool(node["spec"].get("unschedulable")) == has:
            return
        # Later: a listener must not write while the change it listens to is still being told to the others.
        self._timeline.after(0, lambda: self._set_taints(node["metadata"]["name"], add=not has))

    def ready_now(self, instance: Instance) -> str:
        """Make an instance a Ready node at once; return its name."""
        if cancel := self._booting.pop(instance.id, None):
            cancel()
        name = self.node_of(instance)
        node = self._store.find(NODE, "", name)
        if node is None or not _is_of(node, instance.id):
            self._register(instance, ready=True)
        else:
            self._turn_ready(instance.id, name)
        return name

    def _on_event(self, instance: Instance, event: str) -> None:
        if event == "launched":
            # Whose it is shows when it has booted: tags may come a call later.
            self._booting[instance.id] = self._timeline.after(_BOOT_SECONDS, lambda: self._boot(instance))
            return
        if cancel := self._booting.pop(instance.id, None):
            cancel()
        name = self.node_of(instance)
        if instance.id not in self._ended:
            self._ended.add(instance.id)
            self._lose(instance, name)
        if event == "terminated":
            self._forget(instance.id, name)
        else:
            self._timeline.after(_FORGET_SECONDS, lambda: self._forget(instance.id, name))

    def _boot(self, launched: Instance) -> None:
        self._booting.pop(launched.id, None)
        instance = next((i for i in self._instances.instances() if i.id == launched.id), None)
        if instance is None or not self.is_member(instance) or instance.state != "running":
            return
        self._register(instance, ready=False)
        name = self.node_of(instance)
        self._booting[instance.id] = self._timeline.after(
            _READY_SECONDS, lambda: self._turn_ready(instance.id, name)
        )

    def _register(self, instance: Instance, *, ready: bool) -> None:
        facts = self._instances.facts(instance.instance_type)
        if facts is None:
            log.error("instance_type_unknown", instance_type=instance.instance_type)
            return
        name = self.node_of(instance)
        if self._store.find(NODE, "", name) is not None:
            # The address was an earlier instance's, whose node has not been forgotten yet.
            self._store.remove(NODE, "", name)
        node = node_object(instance, facts, region=self._region, ready=ready, at=self._timeline.stamp())
        self._store.create(NODE, node)

    def _turn_ready(self, instance_id: str, name: str) -> None:
        self._booting.pop(instance_id, None)
        node = self._store.find(NODE, "", name)
        if node is None:
            return
        taints = [t for t in node["spec"].get("taints") or () if t["key"] not in {NOT_READY, UNREACHABLE}]
        spec = {key: value for key, value in node["spec"].items() if key != "taints"}
        if taints:
            spec["taints"] = taints
        status = {**node["status"], "conditions": conditions(ready=True, at=self._timeline.stamp())}
        self._store.replace(NODE, {**node, "spec": spec, "status": status})

    def _set_taints(self, name: str, *, add: bool) -> None:
        node = self._store.find(NODE, "", name)
        if node is None or bool(node["spec"].get("unschedulable")) != add:
            return
        taints = [t for t in node["spec"].get("taints") or () if t["key"] != UNSCHEDULABLE]
        if add:
            taints.append({"key": UNSCHEDULABLE, "effect": "NoSchedule"})
        spec = {key: value for key, value in node["spec"].items() if key != "taints"}
        if taints:
            spec["taints"] = taints
        self._store.replace(NODE, {**node, "spec": spec})

    def _lose(self, instance: Instance, name: str) -> None:
        node = self._store.find(NODE, "", name)
        if node is None or not _is_of(node, instance.id):
            return
        injected = instance.id in self.interrupted
        pods = self._index.workload_pods(name)
        owners = [owner["uid"] for pod in pods if (owner := controller_of(pod)) is not None]
        self.terminations.append(
            Termination(
                at=self._timeline.now(),
                instance_id=instance.id,
                node=name,
                cordoned=bool(node["spec"].get("unschedulable")),
                pods=tuple(f"{p['metadata']['namespace']}/{p['metadata']['name']}" for p in pods),
                owners=frozenset(owners),
                bare_pods=len(pods) - len(owners),
                injected=injected,
            )
        )
        if not injected:
            self._budgets.record_loss(pods, cause=f"instance {instance.id} terminated")
        at = self._timeline.stamp()
        taints = [*(node["spec"].get("taints") or ()), {"key": UNREACHABLE, "effect": "NoSchedule"}]
        status = {**node["status"], "conditions": conditions(ready=False, at=at)}
        self._store.replace(NODE, {**node, "spec": {**node["spec"], "taints": taints}, "status": status})
        for pod in list(self._index.by_node.get(name, {}).values()):
            self._mark_unready(pod, at)

    def _mark_unready(self, pod: Object, at: str) -> None:
        found = pod["status"].get("conditions") or ()
        others = [c for c in found if c["type"] != "Ready"]
        unready = {"type": "Ready", "status": "False", "reason": "NodeLost", "lastTransitionTime": at}
        self._store.set_status(POD, pod, conditions=[*others, unready])

    def _forget(self, instance_id: str, name: str) -> None:
        node = self._store.find(NODE, "", name)
        # An address may be in use again: only this instance's own node goes.
        if node is not None and _is_of(node, instance_id):
            self._store.remove(NODE, "", name)

    def not_ready(self) -> int:
        """Return how many nodes and booting instances are not Ready."""
        unready = sum(1 for node in self._store.all(NODE) if not is_node_ready(node))
        return max(unready, self.booting)


def _is_of(node: Object, instance_id: str) -> bool:
    return str(node["spec"].get("providerID", "")).endswith(f"/{instance_id}")
