"""What groups of offers may hold together: a row for each limit and group, and how much of it is left.

There may be millions of rows, of which few ever matter, so everything asks for the rows of one load only.
"""

from typing import NamedTuple

import numpy as np

from services.optimizer.domain.columns.arrays import Bools, Floats, Ints
from services.optimizer.domain.columns.compiled import compiled

NOTHING = np.zeros(0, dtype=np.int64)


class Rows(NamedTuple):
    """Which rows a pod of a shape on a node of an offer counts in.

    The row of limit `l` and offer `o` is `offset[l] + groups[grouping[l], o]`; there is none where that group is -1.
    """

    starts: Ints
    """Per shape and one more: where its part of `limit` and `weight` starts."""
    limit: Ints
    weight: Ints
    offset: Ints
    """Per limit: its first row."""
    grouping: Ints
    """Per limit."""
    groups: Ints
    """Grouping x offer."""


@compiled
def charge(rows: Rows, left: Ints, offer: int, counts: Ints, times: int) -> int:
    """Take `times` such loads off what is left; give the least that is left in any row they count in."""
    least = np.iinfo(np.int64).max
    for s in range(len(counts)):
        if counts[s] == 0:
            continue
        for e in range(rows.starts[s], rows.starts[s + 1]):
            limit = rows.limit[e]
            group = rows.groups[rows.grouping[limit], offer]
            if group >= 0:
                row = rows.offset[limit] + group
                left[row] -= times * rows.weight[e] * counts[s]
                least = min(least, left[row])
    return least


@compiled
def room_for(rows: Rows, left: Ints, offer: int, shape: int) -> int:
    """Give how many pods of one shape the rows have room for."""
    most = np.iinfo(np.int64).max // 4
    for e in range(rows.starts[shape], rows.starts[shape + 1]):
        limit = rows.limit[e]
        group = rows.groups[rows.grouping[limit], offer]
        if group >= 0:
            most = min(most, max(left[rows.offset[limit] + group], 0) // rows.weight[e])
    return most


@compiled
def bound_room_for(rows: Rows, is_bound: Bools, left: Ints, offer: int, shape: int) -> int:
    """Give how many pods of one shape the rows that bind have room for."""
    most = np.iinfo(np.int64).max // 4
    for e in range(rows.starts[shape], rows.starts[shape + 1]):
        limit = rows.limit[e]
        group = rows.groups[rows.grouping[limit], offer]
        if group >= 0 and is_bound[rows.offset[limit] + group]:
            most = min(most, max(left[rows.offset[limit] + group], 0) // rows.weight[e])
    return most


@compiled
def due_for(rows: Rows, dues: Ints, offer: int, shape: int) -> int:
    """Give what one pod pays for its part in its rows."""
    total = 0
    for e in range(rows.starts[shape], rows.starts[shape + 1]):
        limit = rows.limit[e]
        group = rows.groups[rows.grouping[limit], offer]
        if group >= 0:
            total += dues[rows.offset[limit] + group] * rows.weight[e]
    return total


@compiled
def clip(rows: Rows, left: Ints, offer: int, kept: Ints, counts: Ints) -> bool:
    """Leave out of `counts` what the rows have no room for, but nothing of `kept`; give whether that can be.

    `left` is the same afterwards.
    """
    can = charge(rows, left, offer, kept, 1) >= 0
    if can:
        for s in range(len(counts)):
            more = counts[s] - kept[s]
            if more == 0:
                continue
            more = min(more, room_for(rows, left, offer, s))
            counts[s] = kept[s] + more
            for e in range(rows.starts[s], rows.starts[s + 1]):
                limit = rows.limit[e]
                group = rows.groups[rows.grouping[limit], offer]
                if group >= 0:
                    left[rows.offset[limit] + group] -= more * rows.weight[e]
        charge(rows, left, offer, counts, -1)
    else:
        charge(rows, left, offer, kept, -1)
    return can


@compiled
def due_of_loads(rows: Rows, dues: Ints, offers: Ints, loads: Ints) -> Ints:
    """Give per load what it pays."""
    totals = np.zeros(len(offers), dtype=np.int64)
    for i in range(len(offers)):
        for s in range(loads.shape[1]):
            if loads[i, s] > 0:
                totals[i] += loads[i, s] * due_for(rows, dues, offers[i], s)
    return totals


@compiled
def uses(rows: Rows, offer: int, counts: Ints) -> tuple[Ints, Ints]:
    """Give the rows that a load counts in, each once, and how much."""
    size = 0
    for s in range(len(counts)):
        if counts[s] > 0:
            size += rows.starts[s + 1] - rows.starts[s]
    places = np.empty(size, dtype=np.int64)
    amounts = np.zeros(size, dtype=np.int64)
    found = 0
    for s in range(len(counts)):
        if counts[s] == 0:
            continue
        for e in range(rows.starts[s], rows.starts[s + 1]):
            limit = rows.limit[e]
            group = rows.groups[rows.grouping[limit], offer]
            if group < 0:
                continue
            row = rows.offset[limit] + group
            at = 0
            while at < found and places[at] != row:
                at += 1
            if at == found:
                places[at] = row
                found += 1
            amounts[at] += rows.weight[e] * counts[s]
    return places[:found], amounts[:found]


@compiled
def overdrawn(rows: Rows, left: Ints, offers: Ints, loads: Ints, levels: Floats, used: Floats) -> Ints:
    """Give the rows in which shares of loads use more than there is; `used` is zeros before and after."""
    touched = []
    for i in range(len(offers)):
        for s in range(loads.shape[1]):
            if loads[i, s] == 0:
                continue
            for e in range(rows.starts[s], rows.starts[s + 1]):
                limit = rows.limit[e]
                group = rows.groups[rows.grouping[limit], offers[i]]
                if group >= 0:
                    row = rows.offset[limit] + group
                    if used[row] == 0.0:
                        touched.append(row)
                    used[row] += levels[i] * loads[i, s] * rows.weight[e]
    found = [np.int64(0) for _ in range(0)]
    for row in touched:
        if used[row] > left[row] + 1e-6 * (1.0 + left[row]):
            found.append(row)
        used[row] = 0.0
    return np.array(sorted(set(found)), dtype=np.int64)


class Slack:
    """How much is left in every row."""

    def __init__(self, rows: Rows, at_most: Ints) -> None:
        self.left = at_most.copy()
        self._rows = rows
        self._is_limited = len(at_most) > 0

    def take(self, offer: int, counts: Ints) -> bool:
        """Take a load off if there is room for it; give whether there was."""
        if not self._is_limited or charge(self._rows, self.left, offer, counts, 1) >= 0:
            return True
        charge(self._rows, self.left, offer, counts, -1)
        return False

    def give_back(self, offer: int, counts: Ints) -> None:
        """Undo taking a load."""
        if self._is_limited:
            charge(self._rows, self.left, offer, counts, -1)

    def broken_by(self, offer: int, counts: Ints) -> Ints:
        """Give the rows that a load needs more of than is left."""
        if not self._is_limited:
            return NOTHING
        rows, amounts = uses(self._rows, offer, counts)
        broken: Ints = rows[amounts > self.left[rows]]
        return broken

    def clipped(self, offer: int, counts: Ints, kept: Ints) -> Ints | None:
        """Give as much of a load as there is room for, all of `kept` in it; None where there is no room for that."""
        if not self._is_limited:
            return counts
        counts = counts.copy()
        return counts if clip(self._rows, self.left, offer, kept, counts) else None


def no_rows(shapes: int) -> Rows:
    """Give the rows of no limits."""
    nothing = np.zeros(0, dtype=np.int64)
    return Rows(
        starts=np.zeros(shapes + 1, dtype=np.int64),
        limit=nothing,
        weight=nothing,
        offset=nothing,
        grouping=nothing,
        groups=np.zeros((0, 0), dtype=np.int64),
    )


def active_groups(rows: Rows, sizes: Ints, active: Ints) -> Bools:
    """Tell of each group of each grouping, one after the other, whether some of its rows are among `active`."""
    starts = np.concatenate([np.zeros(1, dtype=np.int64), np.cumsum(sizes)])
    found = np.zeros(int(starts[-1]), dtype=np.bool_)
    limits = np.searchsorted(rows.offset, active, side="right") - 1
    found[starts[rows.grouping[limits]] + active - rows.offset[limits]] = True
    return found
