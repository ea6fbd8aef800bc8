"""The linear program that chooses among known columns, kept warm between changes.

Rows: each shape's pods must be held; each limited offer has so many copies. A shape that limited offers alone
can hold may be left out at a penalty, so that there always is a solution.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from services.optimizer.domain.columns import linear
from services.optimizer.domain.columns.arrays import Floats, Ints
from services.optimizer.domain.columns.problem import UNBOUNDED
from services.optimizer.domain.columns.reduced import Reduced

USD = 1e-9
DUAL, PRIMAL = 1, 4


@dataclass(frozen=True, slots=True)
class Column:
    """One kind of node with what it holds."""

    offer: int
    counts: Ints
    nano_usd: int


@dataclass(frozen=True, slots=True)
class Relaxation:
    """A solution of the linear program."""

    nano_usd: int
    worths: Ints
    """Per shape: what one more pod would cost, in 1e-9 USD."""
    rents: Ints
    """Per limited offer: what one more copy would save."""
    levels: Floats
    """Per column."""
    left_out: Floats
    """Per shape that may be left out."""


def penalties(reduced: Reduced) -> Ints:
    """Give what leaving one pod out costs: 0 for shapes that an unlimited offer holds, which never need it."""
    unlimited = reduced.copies >= UNBOUNDED
    needs = ~(reduced.allowed[unlimited].any(axis=0))
    price = int(reduced.nano_usd.max(initial=0)) + 1000
    price += int(reduced.pod_nano_usd.max(initial=0)) * int(reduced.counts.sum())
    return np.where(needs, 10 * price, 0).astype(np.int64)


class Master:
    """Columns known so far, and the linear program over them."""

    def __init__(self, reduced: Reduced) -> None:
        self.columns: list[Column] = []
        self._reduced = reduced
        self._known: set[tuple[int, bytes]] = set()
        self._keeps_demand = True
        self._row_of = {int(o): len(reduced.counts) + i for i, o in enumerate(reduced.limited)}
        self._counts = reduced.counts.copy()
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
        starts, index, value = [], [], []
        at = 0
        for column in new:
            held = np.flatnonzero(column.counts)
            starts.append(at)
            index.append(held)
            value.append(column.counts[held])
            at += len(held)
            if column.offer in self._row_of:
                index.append(np.array([self._row_of[column.offer]]))
                value.append(np.ones(1, dtype=np.int64))
                at += 1
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

    def demand(self, counts: Ints, copies: Ints) -> None:
        """Ask for other numbers of pods, and allow other numbers of copies."""
        self._keeps_demand = False
        for row in np.flatnonzero(counts != self._counts).tolist():
            self._lp.changeRowBounds(row, float(counts[row]), linear.INFINITE)
        self._counts = counts.copy()
        for offer, row in self._row_of.items():
            self._lp.changeRowBounds(row, -linear.INFINITE, float(copies[offer]))

    def solve(self) -> Relaxation:
        """Solve anew from the last basis."""
        # New columns leave the last solution feasible, another demand leaves its prices so.
        self._lp.setOptionValue("simplex_strategy", PRIMAL if self._keeps_demand else DUAL)
        self._keeps_demand = True
        self._lp.run()
        solution = self._lp.getSolution()
        shapes = len(self._reduced.counts)
        duals = np.array(solution.row_dual, dtype=np.float64)
        levels = np.array(solution.col_value, dtype=np.float64)
        worths = np.maximum(np.rint(duals[:shapes] / USD), 0).astype(np.int64)
        return Relaxation(
            nano_usd=round(self._lp.getInfo().objective_function_value / USD),
            worths=np.where(self._penalties > 0, np.minimum(worths, self._penalties), worths),
            rents=np.maximum(np.rint(-duals[shapes:] / USD), 0).astype(np.int64),
            levels=np.maximum(levels[len(self._waived) :], 0.0),
            left_out=levels[: len(self._waived)],
        )
