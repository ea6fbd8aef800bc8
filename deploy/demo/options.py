"""What a demo is asked for, and how to go on with it."""

from dataclasses import dataclass
from pathlib import Path

CLOCK_FACTOR = 30.0
"""Sandbox seconds per real second: a node is Ready after 2 s, an interruption's two minutes are 4 s."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DemoOptions:
    """What `spotopt demo` was asked for."""

    workload: Path | None = None
    cpu_only: bool = False
    pods: int | None = None
    prices: Path | None = None
    on_demand: Path | None = None
    idle_share: float = 0.0
    keep: bool = False
    seed: int = 1
    clock_factor: float = CLOCK_FACTOR
    still_market: bool = False
    """Prices stand still, so that a second plan sees what the first one saw."""
    kill: str | None = None
    """A service, or the agent, to SIGKILL once while the first plan is carried out."""
    report: Path | None = None
    """Where to write the sandbox's own report."""


@dataclass(frozen=True, slots=True)
class Access:
    """How to go on with a demo that was kept."""

    url: str
    email: str
    password: str
