"""Kubernetes quantities: "100m", "1.5", "2Gi", "1e3".

One grammar for all resources, so "128974848000m" of memory is legal (it is 128974848 bytes). A scheduler
works in whole millicores and bytes and rounds up, as kube-scheduler does: no pod gets less than it asked for.
"""

import functools
import re
from fractions import Fraction

QUANTITY = re.compile(
    r"(?P<number>[+-]?(?:\d+\.?\d*|\.\d+))(?:(?P<suffix>[KMGTPE]i|[numkMGTPE])|[eE](?P<exponent>[+-]?\d+))?",
    re.ASCII,
)

MULTIPLIERS: dict[str | None, Fraction] = {
    None: Fraction(1),
    "n": Fraction(1, 10**9),
    "u": Fraction(1, 10**6),
    "m": Fraction(1, 1000),
    "k": Fraction(10**3),
    "M": Fraction(10**6),
    "G": Fraction(10**9),
    "T": Fraction(10**12),
    "P": Fraction(10**15),
    "E": Fraction(10**18),
    "Ki": Fraction(2**10),
    "Mi": Fraction(2**20),
    "Gi": Fraction(2**30),
    "Ti": Fraction(2**40),
    "Pi": Fraction(2**50),
    "Ei": Fraction(2**60),
}

MAX_LENGTH = 64
"""Longer than any sensible amount; it bounds the work that a hostile string can cause."""
MAX_EXPONENT = 30
"""Kubernetes itself caps amounts at 2^63 - 1."""
MAX_AMOUNT = 2**63 - 1


@functools.lru_cache(maxsize=4096)
def parse_quantity(text: str) -> Fraction:
    """Give the exact amount.

    Raises:
        ValueError: `text` is no quantity, or larger than Kubernetes can hold.
    """
    match = QUANTITY.fullmatch(text) if len(text) <= MAX_LENGTH else None
    if match is None:
        raise ValueError(f'"{text[:MAX_LENGTH]}" is not a quantity')
    exponent = int(match["exponent"] or 0)
    if abs(exponent) > MAX_EXPONENT:
        raise ValueError(f'"{text}" is out of range')
    amount = Fraction(match["number"].rstrip(".")) * MULTIPLIERS[match["suffix"]] * Fraction(10) ** exponent
    if abs(amount) > MAX_AMOUNT:
        raise ValueError(f'"{text}" is out of range')
    return amount


@functools.lru_cache(maxsize=4096)
def cpu_millicores(text: str) -> int:
    """Give whole millicores, rounded up.

    Raises:
        ValueError: as parse_quantity.
    """
    return _ceil(parse_quantity(text) * 1000)


@functools.lru_cache(maxsize=4096)
def memory_bytes(text: str) -> int:
    """Give whole bytes (or devices, or pods: any resource that is counted in ones), rounded up.

    Raises:
        ValueError: as parse_quantity.
    """
    return _ceil(parse_quantity(text))


def _ceil(amount: Fraction) -> int:
    return -(-amount.numerator // amount.denominator)
