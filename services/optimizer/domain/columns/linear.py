"""A silent linear program on one thread; the public class of the same library greets on standard output."""

import highspy
from highspy import _core

INFINITE = highspy.kHighsInf
_OPTIONS: dict[str, bool | int | str] = {
    "output_flag": False,
    "threads": 1,
    "parallel": "off",
    "presolve": "off",
    "solver": "simplex",
    "random_seed": 0,
}


def program() -> _core._Highs:
    """Give an empty one."""
    lp = _core._Highs()
    for name, value in _OPTIONS.items():
        lp.setOptionValue(name, value)
    return lp
