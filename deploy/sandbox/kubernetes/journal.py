"""What the report is counted from: the sandbox's own record of calls, violations and losses."""

from collections import deque
from dataclasses import dataclass, field
from datetime import datetime


@dataclass(frozen=True, slots=True)
class WriteCall:
    """A write that reached the API, whatever became of it."""

    at: datetime
    method: str
    path: str
    user_agent: str
    status: int


@dataclass(frozen=True, slots=True)
class Violation:
    """A budget that somebody's action pushed below what it asks for."""

    at: datetime
    budget: str
    healthy: int
    desired: int
    cause: str


@dataclass(slots=True)
class Journal:
    """Grows only; the report reads it."""

    writes: deque[WriteCall] = field(default_factory=lambda: deque(maxlen=200_000))
    violations: list[Violation] = field(default_factory=list)
    evictions: int = 0
    evictions_refused: int = 0
