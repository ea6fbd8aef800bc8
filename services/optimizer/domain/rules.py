"""What planning is allowed to do: the part of a client's policy and node template that it needs."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum


class Strategy(StrEnum):
    """Which capacity types new nodes may have."""

    SPOT = "spot"
    ON_DEMAND = "on-demand"
    HYBRID = "hybrid"


@dataclass(frozen=True, slots=True, kw_only=True)
class PlanRules:
    """Mirrors the fields of the policy of the same names."""

    strategy: Strategy = Strategy.HYBRID
    instance_families: frozenset[str] = frozenset()
    """Empty: every current one."""
    excluded_instance_types: frozenset[str] = frozenset()
    architectures: frozenset[str] = frozenset({"amd64"})
    allow_burstable: bool = False
    allow_bare_metal: bool = False
    max_vcpus: int | None = None
    max_usd_per_hour: float | None = None
    excluded_namespaces: frozenset[str] = frozenset()
    min_savings_ratio: float = 0.05
    min_move_savings_usd_per_hour: float = 0.005
    max_pool_share_ratio: float = 0.5
    price_max_age_seconds: int = 3600
    usd_per_restart: float = 0.001
    """What one involuntary restart of a pod is worth; the risk part of the objective."""
    usd_per_moved_pod: float = 0.001
    """What one planned move of a pod costs: it starts cold, and may miss a request; budgets and grace do hold."""
    overlap_seconds: int = 300
    """How long a launched node is paid for beside what it replaces: two minutes to boot, three to drain."""
    payback_seconds: int = 1800
    """Within this time a move must have earned what it disrupts: spot prices and pods are no longer foreseen."""


@dataclass(frozen=True, slots=True)
class Zone:
    """A zone under both of its names."""

    name: str
    """The account's own: us-east-1a."""
    zone_id: str
    """The same place in every account: use1-az1."""


@dataclass(frozen=True, slots=True)
class Template:
    """Where nodes may be launched and what they will carry."""

    zones: tuple[Zone, ...]
    labels: Mapping[str, str] = field(default_factory=dict)
    node_pool: str = "default"

    def zone_name(self, zone_id: str) -> str | None:
        """Give the account's name of a zone, None for one where nothing may be launched."""
        return next((z.name for z in self.zones if z.zone_id == zone_id), None)

    def zone_id(self, name: str) -> str | None:
        """Give the id of a zone that the account calls `name`."""
        return next((z.zone_id for z in self.zones if z.name == name), None)
