"""Which of an agent's messages may be applied now: the rule behind every copy of a cluster.

An agent numbers its deltas within an epoch (one epoch a start of the agent). A copy applies them without gaps, so that
what it shows is a state the cluster really was in; a snapshot jumps to its own position.
"""

from dataclasses import dataclass
from enum import StrEnum


@dataclass(frozen=True, slots=True, order=True)
class Position:
    """How far a copy is; an epoch of 0 means that nothing was ever received."""

    epoch: int = 0
    sequence: int = 0


class Verdict(StrEnum):
    """What to do with a delta."""

    APPLY = "apply"
    WAIT = "wait"
    """It is ahead: keep it until the ones between have come, or a snapshot."""
    IGNORE = "ignore"
    """It is contained in the copy already."""


def judge(delta: Position, *, held: Position) -> Verdict:
    """Say what to do with a delta, given the position of the copy."""
    if delta <= held:
        return Verdict.IGNORE
    if held.epoch == delta.epoch and delta.sequence == held.sequence + 1:
        return Verdict.APPLY
    return Verdict.WAIT
