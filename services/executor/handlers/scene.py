"""What a step is worked on with, and what it sees."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import timedelta

from services.executor.domain.steps import Attempt, Execution, Step
from services.executor.ports import (
    Agents,
    Cloud,
    Cluster,
    ClusterConfig,
    Picture,
    Quotes,
    SafeModeSwitch,
    Switch,
    UnitOfWorkFactory,
)
from shared.kernel.clock import Clock
from shared.kernel.ids import Ids
from shared.kernel.pools import PoolKey


@dataclass(frozen=True, slots=True, kw_only=True)
class Pace:
    """How patient the executor is."""

    max_launches_in_flight: int
    copy_max_age: timedelta
    command_lifetime: timedelta
    verify_deadline: timedelta
    cloud_pause: timedelta
    capacity_flag_lifetime: timedelta


@dataclass(frozen=True, slots=True, kw_only=True)
class Tools:
    """Everything a step is worked on with."""

    unit_of_work: UnitOfWorkFactory
    cloud: Cloud
    agents: Agents
    quotes: Quotes
    safe_mode: SafeModeSwitch
    clock: Clock
    ids: Ids
    pace: Pace


@dataclass(frozen=True, slots=True, kw_only=True)
class Scene:
    """What one turn of an execution sees; read once, then acted on."""

    execution: Execution
    steps: Sequence[Step]
    attempts: Sequence[Attempt]
    cluster: Cluster
    config: ClusterConfig
    picture: Picture | None
    flagged: Collection[PoolKey]
    interrupted: frozenset[str]
    """Nodes that an interruption is about: nobody else touches them."""
    switch: Switch
    token: int
    """Of the lease: the agent and the table refuse a lower one."""
