"""What the model says of one pool now, and how far that pool is from all that the model has seen."""

from typing import Final

import numpy as np

from services.pricing.domain.risk_model import features
from services.pricing.domain.risk_model.contract import Opinion
from services.pricing.domain.risk_model.model import RiskModel
from services.pricing.domain.risk_model.traces import HORIZON_SECONDS, Trace

STRANGE_DEVIATIONS: Final = 6.0
"""A feature further than that from the training pools' mean is none that the model knows."""


def opinion(model: RiskModel, past: Trace) -> Opinion | None:
    """Ask the model about an instance that runs at the past's last tick; None where none was seen to run."""
    if not len(past.up) or past.up[-1] < 1:
        return None
    last = np.array([len(past.up) - 1])
    said: dict[str, float] = {}
    strange: list[bool] = []
    for horizon, found in model.horizons.items():
        member = found.whole
        read = features.past_of(past, HORIZON_SECONDS[horizon])
        knows_more_than_the_base_rate = not member.calibrator.is_flat or (
            member.correction_variance is not None and len(read.record.ticks) > 0
        )
        if knows_more_than_the_base_rate:
            said[horizon] = float(member.probability(read, last)[0])
        if not member.calibrator.is_flat:
            deviations = (read.matrix(last, member.prior)[0] - member.mean) / member.scale
            is_used = member.weights != 0
            strange += [bool(off) for off in np.abs(deviations[is_used]) > STRANGE_DEVIATIONS]
    return Opinion(said, sum(strange) / len(strange) if strange else 0.0)
