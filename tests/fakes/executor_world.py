"""A small world of one cluster to act on: its EC2, its agent, its prices and its switch.

It can die at any call, before or after it took effect; `Fate` counts.
"""

import asyncio
import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from services.executor.domain.guardrails import pods_left
from services.executor.domain.launch_request import EXECUTION_TAG, STEP_TAG
from services.executor.domain.replacement import Quoted
from services.executor.errors import (
    AgentAwayError,
    CloudRefusedError,
    CloudUnavailableError,
    QuotesUnavailableError,
)
from services.executor.ports import Blame, Cluster, LaunchAnswer, Picture, Switch
from shared.contracts.v1 import agent
from shared.contracts.v1.policy import NodeTemplate, SubnetRef
from shared.kernel.capacity import InstanceType
from shared.kernel.clock import Clock
from shared.kernel.pools import CapacityType, PoolKey
from shared.kernel.scheduling import ClusterView
from shared.kernel.workload import ClusterObjects, Node, Pod
from tests.builders import make_node

CLUSTER = Cluster("c1", "org1", "prod", "123456789012", "us-east-1")
TEMPLATE = NodeTemplate(
    launch_template_id="lt-1",
    subnets=(
        SubnetRef(subnet_id="subnet-a", zone="us-east-1a", zone_id="use1-az1"),
        SubnetRef(subnet_id="subnet-b", zone="us-east-1b", zone_id="use1-az2"),
    ),
)


class DiedError(Exception):
    """The process was killed here."""


class Fate:
    """Dies at one point; every commit and every call out has a point before and one after."""

    def __init__(self, dies_at: int | None = None) -> None:
        self.dies_at = dies_at
        self.passed = 0

    def point(self) -> None:
        self.passed += 1
        if self.passed == self.dies_at:
            raise DiedError


class World:
    """One cluster with its cloud and its agent."""

    def __init__(self, clock: Clock, nodes: Sequence[Node] = (), pods: Sequence[Pod] = ()) -> None:
        self.clock = clock
        self.fate = Fate()
        self.nodes = {node.name: node for node in nodes}
        self.pods = {pod.key: pod for pod in pods}
        self.instances: dict[str, Mapping[str, str]] = {}
        """Tags of every instance ever launched."""
        self.by_token: dict[str, str] = {}
        self.terminated: list[str] = []
        self.boot = timedelta(seconds=40)
        self.joins_at: dict[str, datetime] = {}
        self.never_ready: set[str] = set()
        """Instance types whose nodes never become Ready."""
        self.dry: set[PoolKey] = set()
        self.requests: list[Mapping[str, Any]] = []
        self.commands: list[agent.AgentCommand] = []
        self.blocked: dict[str, str] = {}
        """Pod that blocks the drain of a node."""
        self.drain_polls: dict[UUID, int] = {}
        self.comes_late: Pod | None = None
        """A pod that is on its node when the drain has ended."""
        self.scheduler_is_away = False
        """Evicted pods stay pending."""
        self.agent_is_away = False
        self.agent_seconds = 0.0
        """How long an answer takes."""
        self.cloud_is_away = False
        self.refuses_to_terminate = False
        self.quoted: tuple[Sequence[Quoted], Mapping[str, InstanceType]] | None = None
        self.switch = Switch.OFF
        self.as_of: datetime | None = None
        self.killed_pods: list[str] = []
        self.taken_open: list[str] = []
        """Nodes whose instance went while anything could still be scheduled there."""

    # the agent's picture

    def picture(self) -> Picture:
        now = self.clock.now()
        for instance_id, joins_at in list(self.joins_at.items()):
            if joins_at <= now and instance_id not in self.terminated:
                del self.joins_at[instance_id]
                self._join(instance_id)
        nodes = tuple(self.nodes[name] for name in sorted(self.nodes))
        objects = ClusterObjects(nodes=nodes, pods=tuple(self.pods[key] for key in sorted(self.pods)))
        return Picture(objects, self.as_of or now)

    def _join(self, instance_id: str) -> None:
        tags = self.instances[instance_id]
        name = f"node-{instance_id}"
        self.nodes[name] = make_node(
            name,
            instance_id=instance_id,
            instance_type=tags["type"],
            capacity_type=CapacityType(tags["capacity"]),
            is_ready=tags["type"] not in self.never_ready,
        )

    # ports.Cloud

    async def launch(self, cluster_id: str, request: str) -> LaunchAnswer:
        assert cluster_id == CLUSTER.cluster_id
        if self.cloud_is_away:
            raise CloudUnavailableError
        self.fate.point()
        asked = json.loads(request)
        self.requests.append(asked)
        token = asked["ClientToken"]
        if token not in self.by_token:
            override = asked["LaunchTemplateConfigs"][0]["Overrides"][0]
            kind = asked["TargetCapacitySpecification"]["DefaultTargetCapacityType"]
            zone_id = next(s.zone_id for s in TEMPLATE.subnets if s.subnet_id == override["SubnetId"])
            pool = PoolKey("us-east-1", override["InstanceType"], zone_id, CapacityType(kind))
            if pool in self.dry:
                return LaunchAnswer(None, "InsufficientInstanceCapacity", "", blame=Blame.POOL)
            instance_id = f"i-{len(self.instances):04d}"
            tags = {tag["Key"]: tag["Value"] for tag in asked["TagSpecifications"][0]["Tags"]}
            self.instances[instance_id] = tags | {"type": pool.instance_type, "capacity": kind}
            self.by_token[token] = instance_id
            self.joins_at[instance_id] = self.clock.now() + self.boot
        self.fate.point()
        return LaunchAnswer(self.by_token[token])

    async def terminate(self, cluster_id: str, instance_id: str) -> None:
        if self.cloud_is_away:
            raise CloudUnavailableError
        if self.refuses_to_terminate:
            raise CloudRefusedError("not authorized to terminate")
        self.fate.point()
        if instance_id not in self.terminated:
            self.terminated.append(instance_id)
            for node in [n for n in self.nodes.values() if n.instance_id == instance_id]:
                if not node.is_unschedulable:
                    self.taken_open.append(node.name)
                self.killed_pods += [pod.key for pod in pods_left(self.picture().objects, node.name)]
                del self.nodes[node.name]
        self.fate.point()

    async def is_gone(self, cluster_id: str, instance_id: str) -> bool:
        return instance_id in self.terminated

    async def launched_for(self, cluster_id: str, execution_id: UUID) -> Mapping[str, str]:
        return {
            instance_id: tags[STEP_TAG]
            for instance_id, tags in self.instances.items()
            if tags[EXECUTION_TAG] == str(execution_id) and instance_id not in self.terminated
        }

    # ports.Agents

    async def send(self, command: agent.AgentCommand) -> agent.CommandOutcome:
        if self.agent_is_away:
            raise AgentAwayError
        await asyncio.sleep(self.agent_seconds)
        self.fate.point()
        self.commands.append(command)
        status, detail, blocked = self._carry_out(command)
        self.fate.point()
        return agent.CommandOutcome(command_id=command.id, status=status, detail=detail, blocked_by=blocked)

    def _carry_out(self, command: agent.AgentCommand) -> tuple[agent.OutcomeStatus, str, tuple[str, ...]]:
        match command.action:
            case agent.CordonNode(node_name=name):
                self.nodes[name] = replace(self.nodes[name], is_unschedulable=True)
            case agent.UncordonNode(node_name=name):
                self.nodes[name] = replace(self.nodes[name], is_unschedulable=False)
            case agent.DrainNode(node_name=name, deadline_at=deadline_at) as drain:
                self.nodes[name] = replace(self.nodes[name], is_unschedulable=True)
                if name in self.blocked:
                    if self.clock.now() < deadline_at:
                        return agent.OutcomeStatus.RUNNING, "", ()
                    if not drain.keep_cordoned_on_failure:
                        self.nodes[name] = replace(self.nodes[name], is_unschedulable=False)
                    return agent.OutcomeStatus.FAILED, "blocked until the deadline", (self.blocked[name],)
                self.drain_polls[command.id] = self.drain_polls.get(command.id, 0) + 1
                if self.drain_polls[command.id] < 3:
                    return agent.OutcomeStatus.RUNNING, "", ()
                self._evict(name)
                if self.comes_late is not None and self.comes_late.node_name == name:
                    self.pods[self.comes_late.key] = self.comes_late
            case agent.DeleteNode(node_name=name):
                self.nodes.pop(name, None)
            case _:
                raise AssertionError(command.action)
        return agent.OutcomeStatus.SUCCEEDED, "", ()

    def _evict(self, name: str) -> None:
        """Make every pod of the node anew where the scheduler finds room, or pending."""
        for pod in pods_left(self.picture().objects, name):
            del self.pods[pod.key]
            view = ClusterView.of(self.picture().objects)
            fresh = replace(pod, node_name=None, created_at=self.clock.now(), uid=f"{pod.uid}+")
            target = next((n for n in view.node_names if view.fits(fresh, n)), None)
            self.pods[pod.key] = replace(fresh, node_name=None if self.scheduler_is_away else target)

    # ports.Quotes, ports.SafeModeSwitch

    async def quotes(self, region: str) -> tuple[Sequence[Quoted], Mapping[str, InstanceType]]:
        if self.quoted is None:
            raise QuotesUnavailableError
        return self.quoted

    async def read(self, *, organization_id: str, cluster_id: str) -> Switch:
        return self.switch
