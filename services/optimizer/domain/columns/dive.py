"""From shares of nodes to whole nodes: fix what is whole, then the nearest to whole, and price again.

After each step columns are generated for the pods that are left, so that the last nodes suit the last pods.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from services.optimizer.domain.columns.arrays import Ints
from services.optimizer.domain.columns.generate import Generator
from services.optimizer.domain.columns.limits import Slack
from services.optimizer.domain.columns.master import Column, Master
from services.optimizer.domain.columns.pricing import Pricer
from services.optimizer.domain.columns.problem import UNBOUNDED
from services.optimizer.domain.columns.reduced import Reduced

WHOLE = 1_000_000
"""Shares are compared in millionths: what rounding adds decides nothing."""
ENOUGH = (98, 100)
"""Share of a column's worth that must still be had when its pods are no longer all left."""
NEARLY = 20
"""Shares less than this off a whole are whole."""


@dataclass(frozen=True, slots=True)
class Load:
    """One node chosen, by rows of the reduced problem."""

    offer: int
    counts: Ints


class Diver:
    """Rounds relaxations."""

    def __init__(
        self,
        *,
        reduced: Reduced,
        master: Master,
        generator: Generator,
        pricer: Pricer,
        should_stop: Callable[[], bool],
    ) -> None:
        self._reduced = reduced
        self._should_stop = should_stop
        self._pricer = pricer
        self._master = master
        self._generator = generator

    def dive(
        self, counts: Ints, copies: Ints, slack: Slack, *, rounds: int, share: int
    ) -> tuple[list[Load], Ints]:
        """Choose whole nodes for `counts` pods.

        Args:
            counts: per shape.
            copies: per offer, how many there may be.
            slack: what is left in the rows of limits; what the nodes use is taken off.
            rounds: of pricing after each step.
            share: one in so many of the nodes still to come is rounded up in one step.

        Returns:
            The nodes, and the pods left out: those that no node is for, and all that are left when told to stop.
        """
        left, copies = counts.copy(), copies.copy()
        chosen: list[Load] = []
        while left.any() and not self._should_stop():
            relaxation = self._generator.refine(left, copies, slack.left, rounds)
            levels = np.rint(relaxation.levels * WHOLE).astype(np.int64)
            whole = (levels + NEARLY) // WHOLE
            parts = levels - whole * WHOLE
            picks = [(int(c), int(whole[c])) for c in np.flatnonzero(whole)]
            if not picks:
                used = np.flatnonzero(parts > NEARLY)
                if not len(used):
                    break  # what is left is cheaper left out, or fits no copy that is left
                order = used[np.lexsort((used, -parts[used]))]
                ups = max(int(parts[used].sum()) // WHOLE // share, 1)
                picks = [(int(c), 1) for c in order[:ups]]
            before = len(chosen)
            for at, times in picks:
                column, is_first = self._master.columns[at], len(chosen) == before
                worths = relaxation.prices.worths
                self._take(column, times, left, copies, slack, worths, chosen, is_first=is_first)
            if len(chosen) == before:
                break
        return chosen, left

    def _take(
        self,
        column: Column,
        times: int,
        left: Ints,
        copies: Ints,
        slack: Slack,
        worths: Ints,
        chosen: list[Load],
        *,
        is_first: bool,
    ) -> None:
        full = int(column.counts @ worths)
        own = self._reduced.own_of(column.offer)
        for i in range(min(times, int(copies[column.offer]))):
            if (own > left).any():
                return
            wanted = np.minimum(column.counts, left)
            held = slack.clipped(column.offer, wanted, own)
            if held is None:
                return
            if (held < column.counts).any():
                # Columns chosen before took what this one was for.
                more = held + self._pricer.topping(column.offer, held, left - held, worths)
                held = slack.clipped(column.offer, more, held)
                if held is None or not held.any():
                    return
                enough = int(held @ worths) * ENOUGH[1] >= full * ENOUGH[0]
                if not (enough or (is_first and i == 0)):
                    return
            slack.take(column.offer, held)
            left -= held
            if copies[column.offer] < UNBOUNDED:
                copies[column.offer] -= 1
            chosen.append(Load(column.offer, held))
