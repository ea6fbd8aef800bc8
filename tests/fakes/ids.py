"""Ids that a test can foresee."""

import itertools
from uuid import UUID


class CountedIds:
    """1, 2, 3 …"""

    def __init__(self) -> None:
        self._numbers = itertools.count(1)

    def new(self) -> UUID:
        return UUID(int=next(self._numbers))
