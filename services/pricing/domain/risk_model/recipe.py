"""Which layers a model is made of, and at which horizons."""

from dataclasses import dataclass
from typing import Final

from services.pricing.domain.risk_model import features

CORRECTED_FROM_SECONDS: Final = 21_600.0
"""At shorter horizons the own rates among the features say it all: a correction scored no better there."""
NOT_WHEN_CORRECTED: Final = frozenset(
    column for layer in ("siblings", "own rate", "own rate at this age") for column in features.LAYERS[layer]
)
"""Columns that only made held-out zones worse where the own record corrects (docs/risk-model.md)."""


@dataclass(frozen=True, slots=True)
class Recipe:
    """What a model is made of; anything but the default is for seeing what a layer is worth."""

    without: frozenset[int] = frozenset()
    """Columns left out."""
    corrected_from_seconds: float = CORRECTED_FROM_SECONDS
    not_when_corrected: frozenset[int] = NOT_WHEN_CORRECTED
    by_kind: bool = True
    """Whether the kinds of recordings are calibrated apart."""

    def is_corrected(self, horizon_seconds: float) -> bool:
        """Whether the own record corrects at a horizon."""
        return horizon_seconds >= self.corrected_from_seconds

    def left_out(self, horizon_seconds: float) -> frozenset[int]:
        """Give the columns that are not used at a horizon."""
        return self.without | (self.not_when_corrected if self.is_corrected(horizon_seconds) else frozenset())


SHIPPED: Final = Recipe()
