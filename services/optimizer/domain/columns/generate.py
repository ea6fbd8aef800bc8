"""Column generation: solve the linear program, price, add what lowers it, until nothing does.

Prices of pods are smoothed towards those that proved the best bound so far, since those of the linear program
jump about while it knows few columns. Each pricing of all offers proves a bound; the best is kept.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from services.optimizer.domain.columns import bound
from services.optimizer.domain.columns.arrays import Ints
from services.optimizer.domain.columns.master import Column, Master, Relaxation
from services.optimizer.domain.columns.pricing import Pricer
from services.optimizer.domain.columns.problem import Effort, Ending
from services.optimizer.domain.columns.reduced import Reduced

SMOOTHING = (6, 10)
"""Share of the best prices so far in those that are tried next."""
FIRST_STEPS = 200
STALLED_ROUNDS, WORTH_A_WAIT = 20, 12
"""So many rounds that bring relaxation and bound nearer by less than 2^-12 call for longer searches, or an end."""
HOT_OFFERS = 48
"""Beyond so many offers, those that gave columns of late are asked alone as long as they give more."""


@dataclass(frozen=True, slots=True)
class Generated:
    """What column generation came to."""

    relaxation: Relaxation
    bound_nano_usd: int
    rounds: int
    ended_by: Ending


class Generator:
    """Adds columns to a master for the pods and copies that are left."""

    def __init__(
        self,
        reduced: Reduced,
        master: Master,
        pricer: Pricer,
        effort: Effort,
        should_stop: Callable[[], bool],
    ) -> None:
        self._reduced = reduced
        self._master = master
        self._pricer = pricer
        self._effort = effort
        self._should_stop = should_stop
        self._all = np.arange(len(reduced.nano_usd), dtype=np.int64)
        self._last_gave = np.zeros(len(self._all), dtype=np.int64)

    def prove(self, first_worths: Ints) -> Generated:
        """Generate until the relaxation is solved; the bound holds whenever this ends."""
        reduced = self._reduced
        best, best_worths = 0, first_worths
        steps, smoothing, rounds = FIRST_STEPS, SMOOTHING[0], 0
        relaxation = self._master.solve()
        no_rents = np.zeros(len(reduced.limited), dtype=np.int64)
        best = self._bound(first_worths, no_rents, 0)
        ended_by = Ending.BUDGET
        marked_round, marked = 0, relaxation.nano_usd - best
        while rounds < self._effort.rounds:
            if self._should_stop():
                ended_by = Ending.STOPPED
                break
            rounds += 1
            self._add_hot(relaxation, rounds)
            relaxation = self._master.solve() if len(self._all) > HOT_OFFERS else relaxation
            tried = (best_worths * smoothing + relaxation.worths * (SMOOTHING[1] - smoothing)) // SMOOTHING[1]
            value = self._bound(tried, relaxation.rents, steps)
            if value > best:
                best, best_worths = value, tried
            found = self._pricer.improving(self._all, relaxation.worths, relaxation.rents)
            if relaxation.nano_usd - best <= self._effort.tolerance(relaxation.nano_usd, len(reduced.counts)):
                ended_by = Ending.CONVERGED
                break
            stalls = rounds - marked_round >= STALLED_ROUNDS
            if stalls and marked - (relaxation.nano_usd - best) > relaxation.nano_usd >> WORTH_A_WAIT:
                stalls = False
            if rounds - marked_round >= STALLED_ROUNDS:
                marked_round, marked = rounds, relaxation.nano_usd - best
            if self._add(found, rounds) and not stalls:
                relaxation = self._master.solve()
                smoothing = SMOOTHING[0]
                if len(reduced.counts) >= self._effort.many_shapes:
                    steps = (
                        FIRST_STEPS  # of many shapes some fill any gap: a long search is seldom needed twice
                    )
            elif smoothing and not stalls:
                smoothing = 0  # the smoothed prices misled: ask at those of the linear program
            elif steps < self._effort.search_steps:
                steps = min(steps * 10, self._effort.search_steps)
                relaxation = self._master.solve()
            else:
                ended_by = Ending.BUDGET if stalls else Ending.CONVERGED
                break
        return Generated(relaxation, best, rounds, ended_by)

    def refine(self, counts: Ints, copies: Ints, rounds: int) -> Relaxation:
        """Generate a little for the pods that are left; proves nothing."""
        self._master.demand(counts, copies)
        relaxation = self._master.solve()
        rows = np.flatnonzero(copies > 0)
        for _ in range(rounds):
            if self._should_stop():
                break
            self._pricer.price(relaxation.worths, relaxation.rents, counts, rows, FIRST_STEPS * 2)
            if not self._master.add(self._pricer.improving(rows, relaxation.worths, relaxation.rents)):
                break
            relaxation = self._master.solve()
        return relaxation

    def _bound(self, worths: Ints, rents: Ints, steps: int) -> int:
        reduced = self._reduced
        priced = self._pricer.price(worths, rents, reduced.counts, self._all, steps)
        return bound.proven(worths, reduced.counts, priced.bounds, reduced.nano_usd, reduced.copies)

    def _add(self, columns: list[Column], round_number: int) -> int:
        for column in columns:
            self._last_gave[column.offer] = round_number
        return self._master.add(columns)

    def _add_hot(self, relaxation: Relaxation, round_number: int) -> None:
        if len(self._all) <= HOT_OFFERS:
            return
        hot = np.flatnonzero(self._last_gave >= max(round_number - 2, 1))
        if not len(hot):
            return
        self._pricer.price(relaxation.worths, relaxation.rents, self._reduced.counts, hot, FIRST_STEPS)
        self._master.add(self._pricer.improving(hot, relaxation.worths, relaxation.rents))
