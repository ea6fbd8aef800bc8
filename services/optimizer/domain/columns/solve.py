"""The whole solver: a first fleet, the bound, rounding, repair.

An anytime solver: whenever it is told to stop it gives the best fleet it has, and a bound that holds.
Everything is decided on whole numbers with ties broken by order, on one thread: the same problem gives the
same fleet, however its shapes and offers were numbered, unless it was told to stop.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from services.optimizer.domain.columns.arrays import Ints
from services.optimizer.domain.columns.dive import WHOLE, Diver, Load
from services.optimizer.domain.columns.frontier import Frontier
from services.optimizer.domain.columns.generate import Generated, Generator, first_prices
from services.optimizer.domain.columns.limits import Slack
from services.optimizer.domain.columns.master import Column, Master, penalties
from services.optimizer.domain.columns.opening import greedy, kept, resource_worths
from services.optimizer.domain.columns.pricing import Pricer
from services.optimizer.domain.columns.problem import (
    UNBOUNDED,
    Effort,
    Ending,
    FleetProblem,
    FleetSolution,
    PlannedNode,
)
from services.optimizer.domain.columns.proofs import Known, Proofs
from services.optimizer.domain.columns.reduced import NANO, Reduced, reduce
from services.optimizer.domain.columns.repair import Repairer

SHARES = (8, 2)
"""One in so many of the nodes to come is rounded at once: carefully, or in a hurry for many nodes."""
MANY_NODES = 200
MANY_ROWS, ATTEMPTS_OF_MANY_ROWS = 100, 2
"""Of limits in the linear program: solving it takes nearly all the time then, so that it is to be solved seldom."""
TIMES_TOLERATED = 4
"""What rounding many nodes may lose: each of them that is built anew gains little."""
POOL_LEAST, POOL_PER_SHAPE = 250, 2
"""Columns that rounding starts from."""
THOUSANDTHS = 1000
REBUILT = (4, 8, 14, 24)
"""How many of the worst nodes are built anew in turn."""


def never() -> bool:
    """Do not stop before the effort is spent."""
    return False


def solve_fleet(
    problem: FleetProblem,
    *,
    effort: Effort | None = None,
    should_stop: Callable[[], bool] = never,
    proofs: Proofs | None = None,
) -> FleetSolution:
    """Find a cheap fleet for the problem, and prove how cheap one can be at most; `proofs` are told of it."""
    reduced = reduce(problem)
    if not len(reduced.shapes):
        return FleetSolution(
            nodes=(),
            unplaced=problem.counts.copy(),
            micro_usd=0,
            lower_bound_micro_usd=0,
            rounds=0,
            ended_by=Ending.CONVERGED,
        )
    run = _Run(reduced, effort or Effort(), should_stop, proofs or Proofs())
    return _told(problem, reduced, *run.solve())


def prove_bound(
    problem: FleetProblem, *, effort: Effort | None = None, should_stop: Callable[[], bool] = never
) -> int:
    """Prove what any fleet costs at least, in micro-USD, that holds every pod which an offer is for."""
    return prove(problem, effort=effort, should_stop=should_stop).micro_usd


@dataclass(frozen=True, slots=True)
class Proof:
    """What any fleet costs at least, and why the search for more ended."""

    micro_usd: int
    ended_by: Ending


def prove(
    problem: FleetProblem,
    *,
    effort: Effort | None = None,
    should_stop: Callable[[], bool] = never,
    proofs: Proofs | None = None,
    enough_micro_usd: int = UNBOUNDED // NANO,
) -> Proof:
    """Do what prove_bound does, and say how it ended.

    Args:
        problem: as for `prove_bound`.
        effort: likewise.
        should_stop: likewise.
        proofs: what was found out before, where this goes on.
        enough_micro_usd: a bound that is not lower is looked no further for.
    """
    reduced = reduce(problem)
    if not len(reduced.shapes):
        return Proof(0, Ending.CONVERGED)
    proof = _Run(reduced, effort or Effort(), should_stop, proofs or Proofs()).prove(enough_micro_usd * NANO)
    return Proof(max(-(-proof.bound_nano_usd // NANO), 0), proof.ended_by)


def outlook(
    problem: FleetProblem,
    group: Ints,
    groups: int,
    *,
    effort: Effort | None = None,
    should_stop: Callable[[], bool] = never,
    proofs: Proofs | None = None,
) -> Ints:
    """Give shape x group of offers: how many pods, in thousandths, the relaxation has there; `proofs` are told.

    Args:
        problem: as for `solve_fleet`.
        group: per offer.
        groups: how many there are.
        effort: as for `solve_fleet`.
        should_stop: likewise.
        proofs: likewise.
    """
    reduced = reduce(problem)
    held = np.zeros((groups, len(problem.counts)))
    if len(reduced.shapes):
        run = _Run(reduced, effort or Effort(), should_stop, proofs or Proofs())
        levels = run.prove(UNBOUNDED).relaxation.levels
        for level, column in zip(levels.tolist(), run.columns, strict=False):
            if level > 0:
                held[group[reduced.offers[column.offer]], reduced.shapes] += level * column.counts
    return np.rint(held.T * THOUSANDTHS).astype(np.int64)


@dataclass(frozen=True, slots=True)
class _Fleet:
    loads: list[Load]
    left: Ints
    nano_usd: int
    """Penalties for pods left out included."""


class _Run:
    def __init__(
        self, reduced: Reduced, effort: Effort, should_stop: Callable[[], bool], proofs: Proofs
    ) -> None:
        self._proofs = proofs
        self._reduced = reduced
        self._effort = effort
        self._asked = should_stop
        self._is_stopped = False
        self._penalties = penalties(reduced)
        self._frontier = Frontier(reduced)
        self._pricer = Pricer(reduced, self._frontier)
        self._master = Master(reduced, self._frontier)
        self._generator = self._generating(self._master)
        self._pool: list[Column] = []
        self._prices = first_prices(reduced, np.zeros_like(reduced.counts))
        self._repairer = Repairer(reduced, self._frontier)

    @property
    def columns(self) -> Sequence[Column]:
        """Give those known so far."""
        return self._master.columns

    def prove(self, enough: int) -> Generated:
        """Prove a bound from nothing, or from what is known."""
        known = self._proofs.of(self._reduced)
        if known is None:
            return self._opened(enough)[1]
        self._master.add(known.columns)
        proof = self._generator.prove(known.worths, known.bound_nano_usd, enough)
        self._remember(proof)
        return proof

    def _opened(self, enough: int = UNBOUNDED) -> tuple[_Fleet, Generated]:
        worths = resource_worths(self._reduced)
        best = self._first(worths)
        proof = self._generator.prove(
            np.where(self._penalties > 0, np.minimum(worths, self._penalties), worths), 0, enough
        )
        self._remember(proof)
        return best, proof

    def _remember(self, proof: Generated) -> None:
        known = Known(tuple(self._master.columns), proof.bound_nano_usd, proof.worths)
        self._proofs.remember(self._reduced, known)

    def solve(self) -> tuple[_Fleet, Generated]:
        best, proof = self._opened()
        if proof.ended_by is Ending.STOPPED:
            return best, proof
        self._prices = proof.relaxation.prices
        self._repairer.worths = self._prices.worths
        self._pool = self._master.columns
        share = SHARES[1] if len(best.loads) >= MANY_NODES or self._has_many_rows else SHARES[0]
        best = self._better(best, self._dived(self._reduced.counts, self._reduced.copies, share, ()))
        best = self._rebuilt(best, proof)
        return best, replace(proof, ended_by=Ending.STOPPED) if self._is_stopped else proof

    @property
    def _has_many_rows(self) -> bool:
        return len(self._frontier.binding) >= MANY_ROWS

    def _generating(self, master: Master) -> Generator:
        return Generator(
            reduced=self._reduced,
            frontier=self._frontier,
            master=master,
            pricer=self._pricer,
            effort=self._effort,
            should_stop=self._should_stop,
        )

    def _should_stop(self) -> bool:
        self._is_stopped = self._is_stopped or self._asked()
        return self._is_stopped

    def _first(self, worths: Ints) -> _Fleet:
        reduced = self._reduced
        best = self._greedy(worths, keeps=False)
        if reduced.own.size:
            best = self._better(best, self._greedy(worths, keeps=True))
        places = self._frontier.offers
        prices = first_prices(reduced, worths)
        fills = self._pricer.price(prices, reduced.counts, reduced.at_most, places, 0, any_load=True).loads
        held = places[fills[places].any(axis=1)]
        self._master.add(self._pricer.columns(held.tolist(), fills[held]))
        return best

    def _greedy(self, worths: Ints, *, keeps: bool) -> _Fleet:
        reduced = self._reduced
        slack = Slack(reduced.rows, reduced.at_most)
        first = kept(reduced, slack) if keeps else []
        chosen = greedy(reduced, self._frontier, self._pricer, worths, slack, first)
        self._master.add([c for c, _ in chosen])
        loads = [Load(c.offer, c.counts) for c, times in chosen for _ in range(times)]
        held = sum((load.counts for load in loads), np.zeros_like(reduced.counts))
        return self._fleet(self._repairer.downsized(loads), reduced.counts - held)

    def _fleet(self, loads: list[Load], left: Ints) -> _Fleet:
        return _Fleet(loads, left, self._repairer.cost(loads) + int(left @ self._penalties))

    def _better(self, best: _Fleet, other: _Fleet | None) -> _Fleet:
        return other if other is not None and other.nano_usd < best.nano_usd else best

    def _dived(self, counts: Ints, copies: Ints, share: int, beside: Sequence[Load]) -> _Fleet | None:
        """Build nodes for `counts` beside those given; None when some pod found no node."""
        # Few columns matter any more, and a small linear program is solved far faster.
        master = Master(self._reduced, self._frontier)
        master.add(self._promising())
        is_large = len(counts) >= self._effort.many_shapes or self._has_many_rows
        rounds = 1 if is_large else self._effort.dive_rounds
        diver = Diver(
            reduced=self._reduced,
            master=master,
            generator=self._generating(master),
            pricer=self._pricer,
            should_stop=self._should_stop,
        )
        slack = Slack(self._reduced.rows, self._reduced.at_most)
        for load in beside:
            slack.take(load.offer, load.counts)
        loads, left = diver.dive(counts, copies, slack, rounds=rounds, share=share)
        self._pool = master.columns
        if (left[self._penalties == 0] > 0).any():
            return None
        return self._fleet(self._repairer.repair([*beside, *loads]), left)

    def _promising(self) -> list[Column]:
        losses = self._pricer.losses(self._pool, self._prices)
        dear = [loss * WHOLE // max(c.nano_usd, 1) for loss, c in zip(losses, self._pool, strict=True)]
        order = sorted(range(len(dear)), key=lambda i: (dear[i], i))
        kept = sorted(order[: POOL_LEAST + POOL_PER_SHAPE * len(self._reduced.counts)])
        return [self._pool[i] for i in kept]

    def _rebuilt(self, best: _Fleet, proof: Generated) -> _Fleet:
        """Build the worst nodes anew: those that cost most over what their pods are worth."""
        failed = 0
        # An attempt changes a few nodes only: of many that is too small a share to be worth its time.
        attempts = self._effort.improvements * MANY_NODES // max(len(best.loads), MANY_NODES)
        attempts = min(attempts, ATTEMPTS_OF_MANY_ROWS) if self._has_many_rows else attempts
        for attempt in range(attempts):
            # Rounding will not go below what the relaxation says, even where less is proven.
            goal = self._effort.tolerance(best.nano_usd, len(best.left))
            goal *= TIMES_TOLERATED if len(best.loads) >= MANY_NODES else 1
            close = best.nano_usd - proof.relaxation.nano_usd <= goal
            if self._should_stop() or close or failed >= len(REBUILT):
                break
            size = REBUILT[attempt % len(REBUILT)]
            worst = set(self._repairer.most_wasteful(best.loads)[:size])
            beside = [load for i, load in enumerate(best.loads) if i not in worst]
            held = sum((load.counts for load in beside), np.zeros_like(best.left))
            copies = self._reduced.copies.copy()
            for load in beside:
                if copies[load.offer] < UNBOUNDED:
                    copies[load.offer] -= 1
            other = self._dived(self._reduced.counts - held, copies, max(len(best.loads), 1), beside)
            better = self._better(best, other)
            failed = 0 if better is not best else failed + 1
            best = better
        return best


def _told(problem: FleetProblem, reduced: Reduced, fleet: _Fleet, proof: Generated) -> FleetSolution:
    nodes = []
    unplaced = problem.counts.astype(np.int64).copy()
    for load in fleet.loads:
        counts = np.zeros(len(problem.counts), dtype=np.int64)
        counts[reduced.shapes] = load.counts
        unplaced -= counts
        nodes.append(PlannedNode(int(reduced.offers[load.offer]), counts))
    nodes.sort(key=lambda n: (n.offer, tuple(-n.counts)))
    cost = fleet.nano_usd - int(fleet.left @ penalties(reduced))
    # The bound is a sum over pods: without those left out it is lower by what they account for.
    waived = int(fleet.left @ proof.worths)
    # Prices are whole micro-USD, and so is what any fleet costs: the bound may be rounded up.
    lower = max(-(-(proof.bound_nano_usd - waived) // NANO), 0)
    return FleetSolution(
        nodes=tuple(nodes),
        unplaced=unplaced,
        micro_usd=cost // NANO,
        lower_bound_micro_usd=lower,
        rounds=proof.rounds,
        ended_by=proof.ended_by,
    )
