"""What each layer of the model is worth: trained without it, judged on zones that were never seen."""

from collections.abc import Sequence
from typing import Any, Final

from deploy.risk.training import Progress, train
from services.pricing.domain.risk_model import baselines, evaluation, features, metrics
from services.pricing.domain.risk_model.baselines import Ratings
from services.pricing.domain.risk_model.recipe import SHIPPED, Recipe
from services.pricing.domain.risk_model.traces import Trace

EVERY_COLUMN: Final = frozenset(column for layer in features.LAYERS.values() for column in layer)
VARIANTS: Final = {
    "as it ships": SHIPPED,
    **{f"without {name}": Recipe(without=frozenset(columns)) for name, columns in features.LAYERS.items()},
    "age only": Recipe(without=EVERY_COLUMN - frozenset(features.LAYERS["age"])),
    "every layer at every horizon": Recipe(not_when_corrected=frozenset()),
    "kinds calibrated together": Recipe(by_kind=False),
    "own record corrects nothing": Recipe(corrected_from_seconds=float("inf")),
    "own record corrects every horizon": Recipe(corrected_from_seconds=0.0),
}


def ablate(traces: Sequence[Trace], *, ratings: Ratings, progress: Progress) -> list[dict[str, Any]]:
    """Give a row for each variant: its scores beside the base rate's, by horizon.

    Raises:
        RiskFileError: the recordings teach nothing.
    """
    rows = []
    for name, recipe in VARIANTS.items():
        progress(f"training {name}")
        model = train(traces, ratings=ratings, progress=progress, recipe=recipe)
        judged = evaluation.judge(model, traces, ratings=ratings)
        rows.append({"model": name, "by_horizon": {h: _scores(found) for h, found in judged.items()}})
    return rows


def _scores(judged: Sequence[evaluation.Judged]) -> dict[str, float] | None:
    if not judged:
        return None
    ours = [j.model for j in judged]
    own, base = metrics.scores(ours), metrics.scores([j.rivals[baselines.BASE_RATE] for j in judged])
    return {
        "skill": 1 - own.brier / base.brier,
        "log_loss_skill": 1 - own.log_loss / base.log_loss,
        "ece": metrics.calibration_error(ours),
    }
