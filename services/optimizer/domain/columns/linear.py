"""A silent linear program on one thread; the public class of the same library greets on standard output."""

import highspy
from highspy import _core

DUAL, PRIMAL = 1, 4
"""Simplex strategies."""
INFINITE = highspy.kHighsInf
STEPS_PER_ROW, STEPS_LEAST = 30, 5000
"""Of the simplex method, which needs a few steps a row, unless it goes round in circles: then it never ends."""
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


def solve(lp: _core._Highs, *, steps: int | None = None) -> None:
    """Solve from the last basis; from scratch by the dual method where `steps` of it are not enough."""
    usual = max(lp.getNumRow() * STEPS_PER_ROW, STEPS_LEAST)
    lp.setOptionValue("simplex_iteration_limit", usual if steps is None else steps)
    lp.run()
    if lp.getModelStatus() != highspy.HighsModelStatus.kOptimal:
        lp.clearSolver()
        lp.setOptionValue("simplex_strategy", DUAL)
        lp.setOptionValue("simplex_iteration_limit", 2 * usual)
        lp.run()
