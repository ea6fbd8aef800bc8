"""Rows laid out in columns: words are numbered once, and what was laid out wrongly is refused."""

from collections.abc import Hashable, Iterable, Sequence
from typing import TypeVar

from shared.contracts.base import Value

W = TypeVar("W", bound=Hashable)


class Words(dict[W, int]):
    """Numbers words in the order in which they are first asked for."""

    def __missing__(self, word: W) -> int:
        """Give a new word the next number."""
        self[word] = number = len(self)
        return number


def fit(columns: Value, words: Iterable[tuple[str, Sequence[object]]]) -> None:
    """Refuse columns of different lengths, and positions behind the end of a list.

    Raises:
        ValueError: they do not fit.
    """
    if len({len(getattr(columns, name)) for name in type(columns).model_fields}) > 1:
        raise ValueError("the columns differ in length")
    for name, listed in words:
        # As a set, since few positions are named by thousands of rows.
        if max(set(getattr(columns, name)) - {None}, default=-1) >= len(listed):
            raise ValueError(f"column {name} points behind the end of its list")
