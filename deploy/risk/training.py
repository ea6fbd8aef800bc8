"""Fit a model on recordings, write it with its card, read it again; judge it.

The card says what nobody could see from the numbers: what it was trained on (hashes, no data), with which
versions, and how it scored on zones that its members never saw.
"""

import hashlib
import importlib.metadata
import json
import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np

from deploy.risk.market_files import PriceCoverage
from deploy.risk.traces import RiskFileError
from services import pricing
from services.pricing.domain.risk_model import baselines, evaluation, features, model_file
from services.pricing.domain.risk_model.baselines import Ratings
from services.pricing.domain.risk_model.drift import Histogram
from services.pricing.domain.risk_model.model import RiskModel, fit_horizon, samples
from services.pricing.domain.risk_model.recipe import SHIPPED, Recipe
from services.pricing.domain.risk_model.traces import HORIZON_SECONDS, Floats, Trace

DEFAULT_MODEL: Final = Path(pricing.__file__).parent / "models" / "risk.skops"
CARD_DIGITS: Final = 6
"""After the point, of each number of a histogram: nobody reads more."""
NUMBERS: Final = re.compile(r"\[[-+.\deE,\s]+\]")
VERSIONED: Final = ("spot-optimizer", "numpy", "scikit-learn", "scipy", "skops")

Progress = Callable[[str], None]


def train(
    traces: Sequence[Trace], *, ratings: Ratings, progress: Progress, recipe: Recipe = SHIPPED
) -> RiskModel:
    """Fit every horizon that the recordings can teach.

    Raises:
        RiskFileError: they can teach none.
    """
    horizons = {}
    for name, seconds in HORIZON_SECONDS.items():
        progress(f"fitting {name}")
        fitted = fit_horizon(
            samples(traces, seconds), seconds, rivals=baselines.rivals(ratings), recipe=recipe
        )
        if fitted is not None:
            horizons[name] = fitted
    if not horizons:
        raise RiskFileError(
            "These recordings teach nothing: there must be two zones or more, with instances lost and kept."
        )
    return RiskModel(horizons)


def evaluate(
    model: RiskModel, traces: Sequence[Trace], *, ratings: Ratings, progress: Progress
) -> dict[str, Any]:
    """Give the report: numbers for tools, by kind, horizon and pool."""
    progress(f"judging {len(traces)} recordings")
    judged = evaluation.judge(model, traces, ratings=ratings)
    progress("drawing blocks")
    return {"traces": len(traces), **evaluation.report(judged)}


def card(
    body: bytes,
    model: RiskModel,
    traces: Sequence[Trace],
    report: Mapping[str, Any],
    prices: PriceCoverage | None,
) -> dict[str, Any]:
    """Describe a model; the same data and versions give the same card, whenever it is made."""
    return {
        "format": model_file.FORMAT,
        "sha256": hashlib.sha256(body).hexdigest(),
        "bytes": len(body),
        "question": "P(an instance of this pool that runs now is lost within the horizon)",
        "horizons": {
            name: {
                "base_rate": horizon.whole.prior,
                "reads_features": not horizon.whole.calibrator.is_flat,
                "corrected_by_own_record": horizon.whole.correction_variance is not None,
                "shift_by_kind": {
                    kind.value: round(shift, 4)
                    for kind, shift in horizon.whole.calibrator.shift_by_kind.items()
                },
            }
            for name, horizon in model.horizons.items()
        },
        "histograms": {
            name: _histogram_note(horizon.histogram, used=horizon.whole.weights)
            for name, horizon in model.horizons.items()
            if horizon.histogram is not None
        },
        "trained_on": {
            "sha256": data_hash(traces),
            "zones": sorted({trace.zone for trace in traces}),
            "recordings": {trace.name: _trace_hash(trace) for trace in traces},
        },
        "prices": _price_note(traces, prices),
        "versions": {name: importlib.metadata.version(name) for name in VERSIONED},
        "metrics": {"blocks": report["blocks"], "by_kind": report["by_kind"]},
        "limits": "Recordings of scarce GPU and large memory pools, AWS only, 2022 and 2023; see docs/risk-model.md.",
    }


def data_hash(traces: Sequence[Trace]) -> str:
    """Give one hash of all training data."""
    return hashlib.sha256("".join(sorted(_trace_hash(trace) for trace in traces)).encode()).hexdigest()


def card_path(model_path: Path) -> Path:
    """Give where a model's card lies: beside it."""
    return model_path.with_suffix(".card.json")


def write(path: Path, body: bytes, description: Mapping[str, Any]) -> None:
    """Write model and card.

    Raises:
        RiskFileError: the folder does not take them.
    """
    try:
        path.write_bytes(body)
        written = json.dumps(description, indent=2)
        # A row of numbers on a line: nobody reads twenty lines of them.
        written = NUMBERS.sub(lambda found: " ".join(found.group().split()), written)
        card_path(path).write_text(written + "\n")
    except OSError as error:
        raise RiskFileError(f"{path} cannot be written: {error.strerror}.") from error


def read(path: Path) -> tuple[RiskModel, str]:
    """Read a model; give it with a name that says which one it is.

    Raises:
        RiskFileError: it cannot be read.
        ModelFileError: it is no model file.
    """
    try:
        with path.open("rb") as file:
            body = file.read(model_file.LARGEST_FILE_BYTES + 1)
    except OSError as error:
        raise RiskFileError(f"{path} cannot be read: {error.strerror}.") from error
    return model_file.from_bytes(body), f"{path.name} sha256:{hashlib.sha256(body).hexdigest()[:12]}"


def _histogram_note(histogram: Histogram, *, used: Floats) -> dict[str, Any]:
    """Tell how the features that are read were spread: the edges of ten bins, and the share in each."""
    return {
        features.NAMES[n]: {
            "edges": [round(float(edge), CARD_DIGITS) for edge in histogram.edges[n]],
            "shares": [round(float(share), CARD_DIGITS) for share in histogram.shares[n]],
        }
        for n in np.flatnonzero(used)
    }


def _trace_hash(trace: Trace) -> str:
    digest = hashlib.sha256(f"{trace.zone} {trace.instance_type} {trace.tick_seconds} ".encode())
    digest.update(trace.up.astype("<i8").tobytes())
    return digest.hexdigest()


def _price_note(traces: Sequence[Trace], prices: PriceCoverage | None) -> dict[str, Any]:
    """Say what the price files could have taught: recordings carry no date of their own, only their pools."""
    if prices is None:
        return {"used": False, "why": "none given"}
    same_pool = sum((trace.instance_type, trace.zone) in prices.pools for trace in traces)
    return {
        "used": False,
        "why": "no price file covers the months of a recording, and prices in recordings did not help held-out zones",
        "files": prices.files,
        "rows": prices.rows,
        "first": prices.first.isoformat() if prices.first else None,
        "last": prices.last.isoformat() if prices.last else None,
        "recordings_with_own_prices": sum(trace.prices_usd_per_hour is not None for trace in traces),
        "recordings_whose_pool_is_priced": same_pool,
    }
