"""A model file is data: numbers, text and arrays in skops' format, and nothing else.

A pickle runs code when it is read. skops does not, as long as it is told which types may appear; ours are so
few that we hold its schema against the list ourselves before it builds anything.
"""

import io
import json
import zipfile
from collections.abc import Iterator, Mapping
from typing import Any, Final

import numpy as np
import skops.io  # type: ignore[import-untyped]

from services.pricing.domain.risk_model import drift, features
from services.pricing.domain.risk_model.drift import Histogram
from services.pricing.domain.risk_model.model import Calibrator, HorizonModel, Member, RiskModel
from services.pricing.domain.risk_model.traces import HORIZON_SECONDS, TraceKind
from shared.kernel.errors import PermanentError

FORMAT: Final = "spotopt-risk/3"
LARGEST_FILE_BYTES: Final = 500_000
LARGEST_CONTENT_BYTES: Final = 8_000_000
LARGEST_VARIANCE: Final = 100.0
TYPES: Final = frozenset(
    {("builtins", name) for name in ("dict", "list", "str", "float", "int")} | {("numpy", "ndarray")}
)
LOADERS: Final = frozenset({"DictNode", "ListNode", "JsonNode", "NdArrayNode", "TypeNode"})
"""TypeNode says of what type a dict's keys are, and is held against TYPES like any other."""
ARRAYS: Final = ("mean", "scale", "weights")


class ModelFileError(PermanentError):
    """This is not a model file of ours."""


def to_bytes(model: RiskModel) -> bytes:
    """Write a model; the file holds no instant and no path."""
    document = {
        "format": FORMAT,
        "horizons": {
            name: {
                "whole": _member_document(horizon.whole),
                "without_zone": {zone: _member_document(m) for zone, m in horizon.without_zone.items()},
                "histogram": []
                if horizon.histogram is None
                else [horizon.histogram.edges, horizon.histogram.shares],
            }
            for name, horizon in model.horizons.items()
        },
    }
    body: bytes = skops.io.dumps(document)
    packed = io.BytesIO()
    with (
        zipfile.ZipFile(io.BytesIO(body)) as plain,
        zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as small,
    ):
        for name in plain.namelist():
            small.writestr(name, plain.read(name))
    return packed.getvalue()


def from_bytes(body: bytes) -> RiskModel:
    """Read a model.

    Raises:
        ModelFileError: it is too large, a pickle, holds another type, or is not a risk model.
    """
    _check(body)
    try:
        document = skops.io.loads(body, trusted=[])
        if document["format"] != FORMAT:
            raise ModelFileError(f"The model file has the format {document['format']!r}, not {FORMAT!r}.")
        return RiskModel(
            {
                name: HorizonModel(
                    _member(horizon["whole"]),
                    {str(zone): _member(member) for zone, member in horizon["without_zone"].items()},
                    _histogram(horizon["histogram"]),
                )
                for name, horizon in document["horizons"].items()
                if name in HORIZON_SECONDS
            }
        )
    except ModelFileError:
        raise
    except (
        Exception
    ) as error:  # a foreign file may break the reader anywhere; none of it is worth a traceback
        raise ModelFileError(f"The model file cannot be read: {type(error).__name__}: {error}.") from error


def _check(body: bytes) -> None:
    if len(body) > LARGEST_FILE_BYTES:
        raise ModelFileError(f"The model file has {len(body)} bytes; at most {LARGEST_FILE_BYTES} are read.")
    try:
        with zipfile.ZipFile(io.BytesIO(body)) as archive:
            if sum(entry.file_size for entry in archive.infolist()) > LARGEST_CONTENT_BYTES:
                raise ModelFileError("The model file unpacks to more than 8 MB.")
            schema = json.loads(archive.read("schema.json"))
    except (zipfile.BadZipFile, KeyError, ValueError, NotImplementedError) as error:
        raise ModelFileError(
            "The model file is not in skops' format; a pickle or joblib file is never read."
        ) from error
    for node in _nodes(schema):
        kind = (node.get("__module__"), node.get("__class__"))
        if kind not in TYPES or node.get("__loader__") not in LOADERS:
            raise ModelFileError(
                f"The model file holds a {kind[0]}.{kind[1]}; only numbers, text and arrays may be in it."
            )


def _nodes(part: Any) -> Iterator[Mapping[str, Any]]:
    """Give every node of skops' schema, whatever the nesting."""
    if isinstance(part, dict):
        if "__loader__" in part or "__class__" in part:
            yield part
        for value in part.values():
            yield from _nodes(value)
    elif isinstance(part, list):
        for value in part:
            yield from _nodes(value)


def _member_document(member: Member) -> dict[str, Any]:
    return {
        "prior": member.prior,
        "mean": member.mean,
        "scale": member.scale,
        "weights": member.weights,
        "intercept": member.intercept,
        "calibrator": _calibrator_document(member.calibrator),
        "rivals": {name: _calibrator_document(c) for name, c in member.rivals.items()},
        "correction_variance": [] if member.correction_variance is None else [member.correction_variance],
    }


def _member(document: Mapping[str, Any]) -> Member:
    mean, scale, weights = (np.asarray(document[name], dtype=np.float64) for name in ARRAYS)
    member = Member(
        prior=float(document["prior"]),
        mean=mean,
        scale=scale,
        weights=weights,
        intercept=float(document["intercept"]),
        calibrator=_calibrator(document["calibrator"]),
        rivals={str(name): _calibrator(one) for name, one in document["rivals"].items()},
        correction_variance=_variance(document["correction_variance"]),
    )
    numbers = [*mean, *scale, *weights, member.intercept, member.prior]
    if not (mean.shape == scale.shape == weights.shape and mean.ndim == 1 and np.isfinite(numbers).all()):
        raise ModelFileError("The model file's numbers do not fit together, or are not finite.")
    if not (0 < member.prior < 1 and (scale > 0).all()):
        raise ModelFileError("The model file has a prior or a scale out of range.")
    return member


def _histogram(found: Any) -> Histogram | None:
    if not len(found):
        return None
    edges, shares = (np.asarray(part, dtype=np.float64) for part in found)
    features_and_bins = (len(features.NAMES), drift.BINS)
    if shares.shape != features_and_bins or edges.shape != (len(features.NAMES), drift.BINS - 1):
        raise ModelFileError("The model file has a histogram of another shape.")
    if not (np.isfinite(edges).all() and (np.diff(edges, axis=1) >= 0).all() and (shares >= 0).all()):
        raise ModelFileError("The model file has a histogram out of range.")
    if not np.allclose(shares.sum(axis=1), 1):
        raise ModelFileError("The model file has a histogram that is not of shares.")
    return Histogram(edges, shares)


def _calibrator_document(calibrator: Calibrator) -> dict[str, Any]:
    return {
        "slope": calibrator.slope,
        "intercept": calibrator.intercept,
        "shift_by_kind": {kind.value: shift for kind, shift in calibrator.shift_by_kind.items()},
    }


def _calibrator(document: Mapping[str, Any]) -> Calibrator:
    found = Calibrator(
        float(document["slope"]),
        float(document["intercept"]),
        {TraceKind(kind): float(shift) for kind, shift in document["shift_by_kind"].items()},
    )
    if not np.isfinite([found.slope, found.intercept, *found.shift_by_kind.values()]).all():
        raise ModelFileError("The model file has a calibration that is not finite.")
    return found


def _variance(found: Any) -> float | None:
    variances = [float(number) for number in found]
    if len(variances) > 1 or not all(0 <= number <= LARGEST_VARIANCE for number in variances):
        raise ModelFileError("The model file has a variance out of range.")
    return variances[0] if variances else None
