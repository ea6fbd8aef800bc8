import io
import json
import pickle
import zipfile

import numpy as np
import pytest
import skops.io  # type: ignore[import-untyped]
from sklearn.linear_model import LogisticRegression

from services.pricing.domain.risk_model import baselines, model, model_file
from services.pricing.domain.risk_model.model import RiskModel
from tests.unit.pricing.risk_model.recordings import unlike_pools


@pytest.fixture(scope="module")
def trained() -> RiskModel:
    found = model.fit_horizon(
        model.samples(unlike_pools(ticks=400), 3_600), 3_600, rivals=baselines.rivals({})
    )
    assert found is not None
    return RiskModel({"1h": found})


def rewritten(body: bytes, old: bytes, new: bytes) -> bytes:
    packed = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(body)) as source, zipfile.ZipFile(packed, "w") as target:
        for name in source.namelist():
            content = source.read(name)
            target.writestr(name, content.replace(old, new) if name == "schema.json" else content)
    return packed.getvalue()


def test_a_model_says_the_same_after_a_round_trip(trained: RiskModel) -> None:
    body = model_file.to_bytes(trained)
    again = model_file.from_bytes(body)

    assert len(body) < model_file.LARGEST_FILE_BYTES
    for sample in model.samples(unlike_pools(ticks=100), 3_600):
        for zone in ("us-east-1a", "elsewhere"):
            one, two = (m.horizons["1h"].member_for(zone) for m in (trained, again))
            assert np.array_equal(
                one.probability(sample.past, sample.windows.ticks),
                two.probability(sample.past, sample.windows.ticks),
            )
            assert one.rivals == two.rivals
            assert one.calibrator == two.calibrator
    weeks = unlike_pools(ticks=1_008)
    assert again.drift(weeks) == trained.drift(weeks)


@pytest.mark.parametrize(
    "body",
    [
        pickle.dumps({"format": model_file.FORMAT, "horizons": {}}),
        b"cos\nsystem\n(S'exit 1'\ntR.",
        b"",
        b"PK\x03\x04 and then nothing",
    ],
)
def test_a_pickle_or_rubbish_is_refused_unread(body: bytes) -> None:
    with pytest.raises(model_file.ModelFileError, match="not in skops' format"):
        model_file.from_bytes(body)


def test_an_estimator_is_refused_although_skops_would_load_it() -> None:
    rows = np.array([[0.0], [1.0]])
    body = skops.io.dumps({"format": model_file.FORMAT, "horizons": LogisticRegression().fit(rows, [0, 1])})

    with pytest.raises(model_file.ModelFileError, match="only numbers, text and arrays"):
        model_file.from_bytes(body)


def test_a_type_slipped_into_the_schema_is_refused(trained: RiskModel) -> None:
    body = rewritten(model_file.to_bytes(trained), b'"ndarray"', b'"matrix"')

    with pytest.raises(model_file.ModelFileError, match=r"numpy\.matrix"):
        model_file.from_bytes(body)


def test_a_file_too_large_is_refused() -> None:
    with pytest.raises(model_file.ModelFileError, match="at most"):
        model_file.from_bytes(bytes(model_file.LARGEST_FILE_BYTES + 1))


def test_a_small_file_that_unpacks_to_much_is_refused() -> None:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("schema.json", json.dumps({"a": " " * model_file.LARGEST_CONTENT_BYTES}))

    with pytest.raises(model_file.ModelFileError, match="unpacks"):
        model_file.from_bytes(packed.getvalue())


@pytest.mark.parametrize(
    "document",
    [
        {"format": "another/1", "horizons": {}},
        {"format": model_file.FORMAT},
        {"format": model_file.FORMAT, "horizons": {"1h": {"whole": {}, "without_zone": {}}}},
        [1, 2],
    ],
)
def test_another_document_is_refused_in_one_sentence(document: object) -> None:
    with pytest.raises(model_file.ModelFileError, match=r"^The model file .*\.$"):
        model_file.from_bytes(skops.io.dumps(document))


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_a_number_that_is_none_is_refused(trained: RiskModel, bad: float) -> None:
    document = {
        "format": model_file.FORMAT,
        "horizons": {
            "1h": {"whole": model_file._member_document(trained.horizons["1h"].whole), "without_zone": {}}
        },
    }
    document["horizons"]["1h"]["whole"]["weights"] = np.full(3, bad)  # type: ignore[index]

    with pytest.raises(model_file.ModelFileError):
        model_file.from_bytes(skops.io.dumps(document))


@pytest.mark.parametrize(
    "histogram",
    [
        [np.zeros((3, 9)), np.full((3, 10), 0.1)],
        [np.zeros((16, 9)), np.full((16, 10), 0.2)],
        [np.arange(9.0, 0.0, -1.0) * np.ones((16, 1)), np.full((16, 10), 0.1)],
        [np.full((16, 9), np.nan), np.full((16, 10), 0.1)],
    ],
)
def test_a_histogram_that_cannot_be_is_refused(trained: RiskModel, histogram: list[np.ndarray]) -> None:
    document = {
        "format": model_file.FORMAT,
        "horizons": {
            "1h": {
                "whole": model_file._member_document(trained.horizons["1h"].whole),
                "without_zone": {},
                "histogram": histogram,
            }
        },
    }

    with pytest.raises(model_file.ModelFileError, match="histogram"):
        model_file.from_bytes(skops.io.dumps(document))
