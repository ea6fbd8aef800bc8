"""Compile numeric kernels, and keep what was compiled where that is possible.

Without fastmath and on one thread, so that the same input gives the same bits on the same machine.
"""

from collections.abc import Callable
from typing import ParamSpec, TypeVar, cast

import numba

P = ParamSpec("P")
R = TypeVar("R")


def compiled(function: Callable[P, R]) -> Callable[P, R]:
    """Compile on the first call; kept beside the module, else in the user's cache, else nowhere."""
    try:
        return cast("Callable[P, R]", numba.njit(cache=True)(function))
    except RuntimeError:
        # Neither folder can be written: a read-only image. It is compiled anew in each process then.
        return cast("Callable[P, R]", numba.njit(function))
