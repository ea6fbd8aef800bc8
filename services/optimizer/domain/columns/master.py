"""The linear program that chooses among known columns, kept warm between changes.

Rows: each shape's pods must be held; each limited offer has so many copies; and those rows of limits that were
broken without. A shape that limited offers alone can hold, or that a limit is about, may be left out at a
penalty, so that there always is a solution.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from services.optimizer.domain.columns import linear
from services.optimizer.domain.columns.arrays import Floats, Ints
from services.optimizer.domain.columns.frontier import Frontier
from services.optimizer.domain.columns.limits import overdrawn, uses
from services.optimizer.domain.columns.problem import UNBOUNDED
from services.optimizer.domain.columns.reduced import Reduced

USD = 1e-9
LEAST_LEVEL = 1e-9
NOTHING = np.zeros(0, dtype=np.int64)


@dataclass(frozen=True, slots=True)
class Column:
    """One kind of node with what it holds."""

    offer: int
    counts: Ints
    nano_usd: int


@dataclass(frozen=True, slots=True)
class Prices:
    """What a linear program says that things are worth, in 1e-9 USD."""

    worths: Ints
    """Per shape: what one more pod would cost."""
    rents: Ints
    """Per limited offer: what one more copy would save."""
    binding: Ints
    """Which rows of limits are in the linear program."""
    dues: Ints
    """Per such row: what one more of it would save."""


@dataclass(frozen=True, slots=True)
class Relaxation:
    """A solution of the linear program."""

    nano_usd: int
    prices: Prices
    levels: Floats
    """Per column."""


def penalties(reduced: Reduced) -> Ints:
    """Give what leaving one pod out costs: 0 for shapes that always find an unlimited offer, which never need it.

    Where anything is limited all shapes may need it: those known columns that hold one may all hold what is limited.
    """
    unlimited = reduced.copies >= UNBOUNDED
    needs = ~(reduced.allowed[unlimited].any(axis=0)) | (len(reduced.at_most) > 0)
    price = int(reduced.nano_usd.max(initial=0)) + 1000
    price += int(reduced.pod_nano_usd.max(initial=0)) * int(reduced.counts.sum())
    return np.where(needs, 10 * price, 0).astype(np.int64)


class Master:
    """Columns known so far, and the linear program over them."""

    def __init__(self, reduced: Reduced, frontier: Frontier) -> None:
        self.columns: list[Column] = []
        self._reduced = reduced
        self._frontier = frontier
        self._known: set[tuple[int, bytes]] = set()
        self._keeps_demand = True
        self._row_of = {int(o): len(reduced.counts) + i for i, o in enumerate(reduced.limited)}
        self._counts = reduced.counts.copy()
        self._left = reduced.at_most
        self._used = np.zeros(len(reduced.at_most))
        self._place: dict[int, int] = {}
        """Of a row of limits in the linear program."""
        self._waiting: dict[int, list[tuple[int, int]]] = {}
        """Of a row that is not in it: which columns count in it, and how much."""
        self._penalties = penalties(reduced)
        self._waived = np.flatnonzero(self._penalties)
        self._lp = linear.program()
        shapes, rows = len(reduced.counts), len(reduced.counts) + len(self._row_of)
        infinite = linear.INFINITE
        lower = np.concatenate([reduced.counts.astype(np.float64), np.full(rows - shapes, -infinite)])
        upper = np.concatenate(
            [np.full(shapes, infinite), reduced.copies[reduced.limited].astype(np.float64)]
        )
        none = np.zeros(0, dtype=np.int32)
        self._lp.addRows(rows, lower, upper, 0, none, none, np.zeros(0))
        waived = len(self._waived)
        if waived:
            self._lp.addCols(
                waived,
                (self._penalties[self._waived] * USD).astype(np.float64),
                np.zeros(waived),
                np.full(waived, infinite),
                waived,
                np.arange(waived, dtype=np.int32),
                self._waived.astype(np.int32),
                np.ones(waived),
            )
        self._follow()

    def add(self, columns: Sequence[Column]) -> int:
        """Add those that are not known; give how many were added."""
        new = []
        for column in columns:
            key = (column.offer, column.counts.tobytes())
            if key not in self._known:
                self._known.add(key)
                new.append(column)
        if not new:
            return 0
        self._follow()
        starts, index, value = [], [], []
        at = 0
        for number, column in enumerate(new, start=len(self._waived) + len(self.columns)):
            held = np.flatnonzero(column.counts)
            starts.append(at)
            index.append(held)
            value.append(column.counts[held])
            at += len(held)
            if column.offer in self._row_of:
                index.append(np.array([self._row_of[column.offer]]))
                value.append(np.ones(1, dtype=np.int64))
                at += 1
            places, amounts = self._uses(number, column)
            index.append(places)
            value.append(amounts)
            at += len(places)
        n = len(new)
        self._lp.addCols(
            n,
            np.array([c.nano_usd for c in new]) * USD,
            np.zeros(n),
            np.full(n, linear.INFINITE),
            at,
            np.array(starts, dtype=np.int32),
            np.concatenate(index).astype(np.int32),
            np.concatenate(value).astype(np.float64),
        )
        self.columns.extend(new)
        return n

    def demand(self, counts: Ints, copies: Ints, left: Ints) -> None:
        """Ask for other numbers of pods, and allow other numbers of copies and other amounts in rows of limits."""
        self._follow()
        self._keeps_demand = False
        for row in np.flatnonzero(counts != self._counts).tolist():
            self._lp.changeRowBounds(row, float(counts[row]), linear.INFINITE)
        self._counts = counts.copy()
        for offer, row in self._row_of.items():
            self._lp.changeRowBounds(row, -linear.INFINITE, float(copies[offer]))
        self._left = left
        for row, place in self._place.items():
            self._lp.changeRowBounds(place, -linear.INFINITE, float(left[row]))

    def solve(self) -> Relaxation:
        """Solve anew from the last basis; rows of limits that the solution breaks are added until there is none."""
        self._follow()
        while True:
            relaxation = self._solved()
            used = np.flatnonzero(relaxation.levels > LEAST_LEVEL)
            if not len(self._reduced.at_most) or not len(used):
                return relaxation
            broken = overdrawn(
                self._reduced.rows,
                self._left,
                np.array([self.columns[c].offer for c in used], dtype=np.int64),
                np.array([self.columns[c].counts for c in used], dtype=np.int64),
                relaxation.levels[used],
                self._used,
            )
            new = np.array([row for row in broken.tolist() if row not in self._place], dtype=np.int64)
            if not len(new):
                return relaxation
            self._frontier.bind(new)
            self._follow()

    def _solved(self) -> Relaxation:
        # New columns leave the last solution feasible, another demand or row leaves its prices so.
        self._lp.setOptionValue("simplex_strategy", linear.PRIMAL if self._keeps_demand else linear.DUAL)
        self._keeps_demand = True
        linear.solve(self._lp)
        solution = self._lp.getSolution()
        shapes, limited = len(self._reduced.counts), len(self._row_of)
        duals = np.array(solution.row_dual, dtype=np.float64)
        levels = np.array(solution.col_value, dtype=np.float64)
        worths = np.maximum(np.rint(duals[:shapes] / USD), 0).astype(np.int64)
        saved = np.maximum(np.rint(-duals[shapes:] / USD), 0).astype(np.int64)
        prices = Prices(
            worths=np.where(self._penalties > 0, np.minimum(worths, self._penalties), worths),
            rents=saved[:limited],
            binding=np.array(list(self._place), dtype=np.int64),
            dues=saved[limited:],
        )
        return Relaxation(
            nano_usd=round(self._lp.getInfo().objective_function_value / USD),
            prices=prices,
            levels=np.maximum(levels[len(self._waived) :], 0.0),
        )

    def _uses(self, at: int, column: Column) -> tuple[Ints, Ints]:
        """Give the places of the rows of limits that a column counts in, and how much; note the others for later."""
        if not len(self._reduced.at_most):
            return NOTHING, NOTHING
        rows, amounts = uses(self._reduced.rows, column.offer, column.counts)
        known: list[tuple[int, int]] = []
        for row, amount in zip(rows.tolist(), amounts.tolist(), strict=True):
            place = self._place.get(row)
            if place is None:
                self._waiting.setdefault(row, []).append((at, amount))
            else:
                known.append((place, amount))
        return np.array([p for p, _ in known], dtype=np.int64), np.array(
            [a for _, a in known], dtype=np.int64
        )

    def _follow(self) -> None:
        """Add the rows that bind since the last time."""
        new = self._frontier.binding[len(self._place) :]
        if not new:
            return
        for row in new:
            self._place[row] = len(self._counts) + len(self._row_of) + len(self._place)
        self._keeps_demand = False
        found = [self._waiting.pop(row, []) for row in new]
        sizes = np.array([len(f) for f in found], dtype=np.int64)
        entries = [entry for f in found for entry in f]
        self._lp.addRows(
            len(new),
            np.full(len(new), -linear.INFINITE),
            self._left[new].astype(np.float64),
            len(entries),
            (np.cumsum(sizes) - sizes).astype(np.int32),
            np.array([at for at, _ in entries], dtype=np.int32),
            np.array([amount for _, amount in entries], dtype=np.float64),
        )
