"""What was generated for problems before: who asks the same again goes on from there.

A plan asks twice for the same pods and offers: for a fleet, and for what no fleet can undercut.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

from services.optimizer.domain.columns.arrays import Ints
from services.optimizer.domain.columns.master import Column
from services.optimizer.domain.columns.reduced import Reduced

REMEMBERED = 4
"""Problems; the columns of a large one take some megabytes."""


@dataclass(frozen=True, slots=True)
class Known:
    """How far one problem got."""

    columns: Sequence[Column]
    bound_nano_usd: int
    worths: Ints
    """At which the bound was proven."""


class Proofs:
    """Remembers the last few problems."""

    def __init__(self) -> None:
        self._known: dict[bytes, Known] = {}

    def of(self, reduced: Reduced) -> Known | None:
        """Give what is known of a problem."""
        return self._known.get(_fingerprint(reduced))

    def remember(self, reduced: Reduced, known: Known) -> None:
        """Keep what came of a problem in place of what was known of it."""
        key = _fingerprint(reduced)
        self._known.pop(key, None)
        self._known[key] = known
        while len(self._known) > REMEMBERED:
            del self._known[next(iter(self._known))]


def _fingerprint(reduced: Reduced) -> bytes:
    found = hashlib.blake2b(digest_size=32)
    arrays = (
        reduced.requests,
        reduced.counts,
        reduced.per_node,
        reduced.room,
        reduced.nano_usd,
        reduced.allowed,
        reduced.copies,
        reduced.pod_nano_usd,
        reduced.own,
        reduced.at_most,
        *reduced.rows,
    )
    for array in arrays:
        found.update(repr(array.shape).encode())
        found.update(array.tobytes())
    return found.digest()
