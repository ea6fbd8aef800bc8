"""What is looked at so far: the offers that matter, and the rows of limits that bind.

While no row of a group of offers binds, an offer of it may make another superfluous that is not in the group: the
relaxation without that row loses nothing. Once it binds, those offers come back.
"""

import numpy as np

from services.optimizer.domain.columns.arrays import Ints
from services.optimizer.domain.columns.limits import active_groups
from services.optimizer.domain.columns.reduced import Reduced


class Frontier:
    """Only grows."""

    def __init__(self, reduced: Reduced) -> None:
        self.binding: list[int] = []
        """Rows of limits that are in the linear program, in the order in which they came."""
        self._reduced = reduced
        self.is_bound = np.zeros(len(reduced.at_most), dtype=np.bool_)
        """The same, told of each row."""
        self._groups = np.zeros(int(reduced.group_sizes.sum()), dtype=np.bool_)
        self._kept = np.zeros(len(reduced.offers), dtype=np.bool_)
        self._look()

    def bind(self, rows: Ints) -> bool:
        """Have these rows hold too; give whether any is new."""
        new = rows[~self.is_bound[rows]]
        if not len(new):
            return False
        self.is_bound[new] = True
        self.binding.extend(new.tolist())
        groups = self._groups | active_groups(self._reduced.rows, self._reduced.group_sizes, new)
        if (groups != self._groups).any():
            self._groups = groups
            self._look()
        return True

    def _look(self) -> None:
        if len(self._reduced.at_most):
            self._kept = self._reduced.kept(self._kept, self._groups)
        else:
            self._kept[:] = True  # without limits all that is superfluous was left out before
        self.offers = np.flatnonzero(self._kept)
