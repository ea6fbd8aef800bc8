"""What a client allows: Policy and NodeTemplate; gateway, optimizer, executor and `--policy FILE` read this.

Every field has a default that is safe on a production cluster that nobody has looked at yet.
"""

from enum import StrEnum
from typing import Annotated

from pydantic import Field

from shared.contracts.base import Ratio, Token, Value


class CapacityStrategy(StrEnum):
    """Which capacity types new nodes may have."""

    SPOT = "spot"
    """Spot only; what may not run on spot is reported, not moved."""
    ON_DEMAND = "on-demand"
    HYBRID = "hybrid"
    """Spot for what tolerates it, on-demand for the rest and as a fallback."""


class Approval(StrEnum):
    """Who lets a plan be carried out."""

    MANUAL = "manual"
    AUTOPILOT = "autopilot"
    """The gateway approves at once every plan that stays within the policy."""


class MaintenanceWindow(Value):
    """When disruption is allowed; without any window it always is."""

    timezone: str = "UTC"
    """IANA name."""
    days: tuple[int, ...] = (0, 1, 2, 3, 4, 5, 6)
    """0 is Monday."""
    start: Annotated[str, Field(pattern=r"^([01]\d|2[0-3]):[0-5]\d$")] = "00:00"
    """Local time, HH:MM."""
    duration_seconds: Annotated[int, Field(gt=0, le=86400)] = 86400


WEEK_SECONDS = 7 * 24 * 3600
"""Longest time in a policy: what no calendar can hold would fail in whoever adds it to an instant."""


class Policy(Value):
    """What the optimizer may plan and the executor may do, per cluster."""

    approval: Approval = Approval.MANUAL
    strategy: CapacityStrategy = CapacityStrategy.HYBRID
    min_savings_ratio: Ratio = 0.05
    """A plan that saves less of today's cost is not proposed."""
    min_move_savings_usd_per_hour: Annotated[float, Field(ge=0)] = 0.005
    """A single move that saves less is left out."""
    max_disrupted_nodes_ratio: Annotated[float, Field(gt=0, le=1)] = 0.2
    """Share of a cluster's nodes that may be draining at the same time; at least one node."""
    max_pool_share_ratio: Annotated[float, Field(gt=0, le=1)] = 0.5
    """Share of one workload's replicas that may stand in one spot pool, when it has more than one."""
    launch_for_pending: bool = True
    """Launch nodes for pods that fit nowhere, without asking."""
    on_demand_fallback: bool = True
    """Replace an interrupted spot node by an on-demand one when no spot pool will do."""
    stabilization_seconds: Annotated[int, Field(ge=0, le=WEEK_SECONDS)] = 600
    """No new plan of savings within this time of the last finished execution."""
    drain_deadline_seconds: Annotated[int, Field(ge=30, le=WEEK_SECONDS)] = 900
    """A drain that is blocked for longer is given up: the node is uncordoned, and the blocker named."""
    node_ready_deadline_seconds: Annotated[int, Field(ge=30, le=WEEK_SECONDS)] = 600
    """A launched instance whose node is not Ready by then is terminated and the next offering tried."""
    instance_families: tuple[str, ...] = ()
    """Families allowed (m5, c6i, …); empty: every current one."""
    excluded_instance_types: tuple[str, ...] = ()
    architectures: tuple[str, ...] = ("amd64",)
    """In Kubernetes' words. arm64 only when every image is known to be built for it."""
    allow_burstable: bool = False
    allow_bare_metal: bool = False
    max_vcpus: Annotated[int, Field(gt=0)] | None = None
    """Of one instance; null: no limit."""
    max_usd_per_hour: Annotated[float, Field(gt=0)] | None = None
    """Of one instance; null: no limit."""
    excluded_namespaces: tuple[str, ...] = ()
    """Pods in them are never evicted; a node that holds one stays."""
    maintenance_windows: tuple[MaintenanceWindow, ...] = ()
    price_max_age_seconds: Annotated[int, Field(gt=0, le=WEEK_SECONDS)] = 3600
    """Spot prices older than this start no new spot move."""


class SubnetRef(Value):
    """Where instances may be launched, with both names of its zone."""

    subnet_id: str
    zone: str
    """The account's own name, us-east-1a."""
    zone_id: Token
    """The same place in every account, use1-az1."""


class NodeTemplate(Value):
    """How an instance is launched so that it joins the cluster."""

    name: Token = "default"
    launch_template_id: str
    """Holds image, user data, security groups and instance profile; the executor changes none of them."""
    launch_template_version: str = "$Default"
    subnets: Annotated[tuple[SubnetRef, ...], Field(min_length=1)]
    labels: dict[str, str] = Field(default_factory=dict)
    """Labels that its nodes will carry beyond the well-known ones; planning counts on them."""
