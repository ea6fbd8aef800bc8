"""Kubernetes quantities as exact numbers; the sandbox's own, so that it cannot share the product's mistakes."""

import functools
import math
import re
from fractions import Fraction

_QUANTITY = re.compile(
    r"^([+-]?(?:\d+\.?\d*|\.\d+))(?:([eE][+-]?\d+)|(Ki|Mi|Gi|Ti|Pi|Ei|n|u|m|k|M|G|T|P|E))?$"
)
_SUFFIXES: dict[str | None, Fraction] = {
    None: Fraction(1),
    "n": Fraction(1, 10**9),
    "u": Fraction(1, 10**6),
    "m": Fraction(1, 1000),
    **{suffix: Fraction(1000**power) for power, suffix in enumerate("kMGTPE", start=1)},
    **{f"{suffix}i": Fraction(1024**power) for power, suffix in enumerate("KMGTPE", start=1)},
}


@functools.lru_cache(maxsize=4096)
def parse_quantity(value: str | int | float) -> Fraction:
    """Read a quantity.

    Raises:
        ValueError: it is none.
    """
    match = _QUANTITY.match(str(value))
    if match is None:
        msg = f"{value!r} is no quantity"
        raise ValueError(msg)
    number, scale = Fraction(match[1]), _SUFFIXES[match[3]]
    if match[2]:
        exponent = int(match[2][1:])
        scale = Fraction(10**exponent) if exponent >= 0 else Fraction(1, 10**-exponent)
    return number * scale


def millis(value: str | int | float) -> int:
    """Read CPU in thousandths of a core, rounded up."""
    return math.ceil(parse_quantity(value) * 1000)


def whole(value: str | int | float) -> int:
    """Read bytes or devices, rounded up."""
    return math.ceil(parse_quantity(value))
