"""Column generation: solve the linear program, price, add what lowers it, until nothing does.

Prices of pods are smoothed over the rounds, since those of the linear program jump about while it knows few
columns. Each pricing of all offers proves a bound; the best is kept.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from services.optimizer.domain.columns import bound
from services.optimizer.domain.columns.arrays import Ints
from services.optimizer.domain.columns.frontier import Frontier
from services.optimizer.domain.columns.master import Column, Master, Prices, Relaxation
from services.optimizer.domain.columns.pricing import Pricer
from services.optimizer.domain.columns.problem import UNBOUNDED, Effort, Ending
from services.optimizer.domain.columns.reduced import Reduced

SMOOTHING = (6, 10)
"""Share of the prices tried last in those that are tried next."""
FIRST_STEPS = 200
STALLED_ROUNDS, WORTH_A_WAIT = 20, 12
"""So many rounds that bring relaxation and bound nearer by less than 2^-12 call for longer searches, or an end."""
IDLE_ROUNDS = 10
"""So many rounds that lower the relaxation by half the tolerance end what proves nothing."""
TIMES_LONGER = 3
PAUSE = 6
"""Rounds before longer searches are tried again that brought little."""
NEARLY_SETTLED = 1.0005
"""A bound this near to what is known to be possible is not searched for longer."""
HOT_OFFERS = 48
"""Beyond so many offers, those that gave columns of late are asked alone as long as they give more."""


@dataclass(frozen=True, slots=True)
class Generated:
    """What column generation came to."""

    relaxation: Relaxation
    bound_nano_usd: int
    worths: Ints
    """Per shape: what of the bound one pod accounts for at most."""
    rounds: int
    ended_by: Ending


class Generator:
    """Adds columns to a master for the pods and copies that are left."""

    def __init__(
        self,
        *,
        reduced: Reduced,
        frontier: Frontier,
        master: Master,
        pricer: Pricer,
        effort: Effort,
        should_stop: Callable[[], bool],
    ) -> None:
        self._reduced = reduced
        self._frontier = frontier
        self._master = master
        self._pricer = pricer
        self._effort = effort
        self._should_stop = should_stop
        self._last_gave = np.zeros(len(reduced.nano_usd), dtype=np.int64)

    def prove(self, first_worths: Ints, proven: int, enough: int) -> Generated:
        """Generate until the relaxation is solved; the bound holds whenever this ends.

        Args:
            first_worths: per shape, what a pod may be worth.
            proven: a bound that is known already, in 1e-9 USD.
            enough: a bound that is looked no further for.
        """
        reduced = self._reduced
        steps, smoothing, rounds = FIRST_STEPS, SMOOTHING[0], 0
        relaxation = self._master.solve()
        center = first_prices(reduced, first_worths)
        best, best_worths = max(self._bound(center, 0), proven), first_worths
        ended_by = Ending.BUDGET
        marked_round, marked, settle_from = 0, relaxation.nano_usd - best, 0
        values = [relaxation.nano_usd]
        while rounds < self._effort.rounds:
            if self._should_stop():
                ended_by = Ending.STOPPED
                break
            rounds += 1
            self._add_hot(relaxation, rounds)
            if len(self._frontier.offers) > HOT_OFFERS:
                relaxation = self._master.solve()
            tried = _between(center, relaxation.prices, smoothing)
            value = self._bound(tried, steps)
            wanted = min((relaxation.nano_usd + best) // 2, enough)
            if self._effort.proves and value < wanted <= self._possible(tried) and rounds >= settle_from:
                value = max(value, self._settled(tried, steps))
                if value < wanted:
                    # Longer searches found better loads instead: short ones mislead.
                    settle_from = rounds + PAUSE
                    steps = min(steps * 10, self._effort.search_steps)
            center = tried
            if value > best:
                best, best_worths = value, tried.worths
            tolerance = self._effort.tolerance(relaxation.nano_usd, len(reduced.counts))
            found = self._pricer.improving(self._frontier.offers, relaxation.prices)
            found += self._different(tried, relaxation.prices)
            if relaxation.nano_usd - best <= tolerance:
                ended_by = Ending.CONVERGED
                break
            values.append(relaxation.nano_usd)
            is_idle = values[max(len(values) - IDLE_ROUNDS, 0)] - values[-1] <= tolerance // 2
            if best >= enough or (is_idle and len(values) > IDLE_ROUNDS and not self._effort.proves):
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
        return Generated(relaxation, best, best_worths, rounds, ended_by)

    def refine(self, counts: Ints, copies: Ints, left: Ints, rounds: int) -> Relaxation:
        """Generate a little for what is left of pods, of copies and in rows of limits; proves nothing."""
        self._master.demand(counts, copies, left)
        relaxation = self._master.solve()
        for _ in range(rounds):
            if self._should_stop():
                break
            places = self._frontier.offers[copies[self._frontier.offers] > 0]
            self._pricer.price(relaxation.prices, counts, left, places, FIRST_STEPS * 2)
            if not self._master.add(self._pricer.improving(places, relaxation.prices)):
                break
            relaxation = self._master.solve()
        return relaxation

    def _bound(self, prices: Prices, steps: int) -> int:
        reduced, places = self._reduced, self._frontier.offers
        return self._proven(
            prices, self._pricer.price(prices, reduced.counts, reduced.at_most, places, steps).bounds
        )

    def _proven(self, prices: Prices, bounds: Ints) -> int:
        """Give what fleets cost at least where no load is worth more than `bounds`, per offer."""
        reduced, places = self._reduced, self._frontier.offers
        allowed = reduced.at_most[prices.binding].tolist()
        return bound.proven(
            prices.worths,
            reduced.counts,
            bounds[places],
            reduced.nano_usd[places],
            reduced.copies[places],
            sum(due * most for due, most in zip(prices.dues.tolist(), allowed, strict=True)),
        )

    def _possible(self, prices: Prices) -> int:
        """Give what the last pricing would prove if no load were worth more than those it found."""
        return self._proven(prices, np.maximum(self._pricer.last.worths, self._reduced.nano_usd))

    def _settled(self, prices: Prices, steps: int) -> int:
        """Search longer where only that can tell whether the bound is as low as it seems: few offers decide it."""
        reduced, places, last = self._reduced, self._frontier.offers, self._pricer.last
        places = places[(reduced.copies[places] >= UNBOUNDED) & (reduced.nano_usd[places] > 0)]
        costs = reduced.nano_usd[places].astype(np.float64)
        for _ in range(TIMES_LONGER):
            steps *= 10
            if not 0 < steps <= self._effort.search_steps or not len(places):
                break
            possible = (np.maximum(last.worths[places], reduced.nano_usd[places]) / costs).max()
            loose = places[last.bounds[places] / costs > possible * NEARLY_SETTLED]
            if not len(loose):
                break
            self._pricer.price(prices, reduced.counts, reduced.at_most, loose, steps)
        return self._proven(prices, last.bounds)

    def _different(self, tried: Prices, prices: Prices) -> list[Column]:
        """Give more columns of the offers that the last pricing found to be worth more than they cost."""
        reduced, places = self._reduced, self._frontier.offers
        over = places[self._pricer.last.bounds[places] > reduced.nano_usd[places]]
        columns = self._pricer.different(tried, reduced.counts, reduced.at_most, over, FIRST_STEPS)
        return self._pricer.gaining(columns, prices)

    def _add(self, columns: list[Column], round_number: int) -> int:
        for column in columns:
            self._last_gave[column.offer] = round_number
        return self._master.add(columns)

    def _add_hot(self, relaxation: Relaxation, round_number: int) -> None:
        reduced = self._reduced
        if len(self._frontier.offers) <= HOT_OFFERS:
            return
        hot = np.flatnonzero(self._last_gave >= max(round_number - 2, 1))
        if not len(hot):
            return
        self._master.add(
            self._pricer.different(relaxation.prices, reduced.counts, reduced.at_most, hot, FIRST_STEPS)
        )


def first_prices(reduced: Reduced, worths: Ints) -> Prices:
    """Give prices of pods alone."""
    nothing = np.zeros(0, dtype=np.int64)
    return Prices(worths, np.zeros(len(reduced.limited), dtype=np.int64), nothing, nothing)


def _between(last: Prices, now: Prices, smoothing: int) -> Prices:
    # Rows come one after the other: those that were not there yet were paid nothing.
    dues = np.zeros_like(now.dues)
    dues[: len(last.dues)] = last.dues
    rest = SMOOTHING[1] - smoothing
    return Prices(
        worths=(last.worths * smoothing + now.worths * rest) // SMOOTHING[1],
        rents=now.rents,
        binding=now.binding,
        dues=(dues * smoothing + now.dues * rest) // SMOOTHING[1],
    )
