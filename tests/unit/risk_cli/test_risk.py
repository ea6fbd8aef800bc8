import gzip
import json
import pickle
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from deploy.cli import risk
from deploy.risk import market_files, training
from deploy.risk.traces import RiskFileError
from services.pricing.domain.risk_model import drift, features, model_file
from tests.unit.pricing.risk_model.recordings import drawn_up

PRICES = "Timestamp,AvailabilityZone,InstanceType,ProductDescription,SpotPrice\n"
runner = CliRunner()


def record(folder: Path, name: str, up: list[Any], *, kind: str = "preemption", **more: Any) -> None:
    path = folder / kind / "1-node" / "aws-01-01-2023" / f"{name}.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps({"metadata": {"gap_seconds": 600}, "data": up, **more}))


@pytest.fixture
def traces(tmp_path: Path) -> Path:
    return recorded(tmp_path / "recordings", ticks=1_600)


def recorded(folder: Path, *, ticks: int) -> Path:
    for number, zone in enumerate("abc"):
        for place, (machine, hazard) in enumerate((("v100_1", 0.02), ("k80_1", 0.2))):
            up = drawn_up(hazard, ticks=ticks, seed=10 * number + place).tolist()
            # Calm and restless pools in both kinds: the kind alone must not tell them apart.
            kind = ("preemption", "availability")[(number + place) % 2]
            record(folder, f"us-east-1{zone}_{machine}", up, kind=kind)
    record(folder, "us-central1-a_c3-88", [1, 1, 0])
    return folder


def run(*arguments: str | Path) -> Any:
    return runner.invoke(risk.app, [str(argument) for argument in arguments])


@pytest.mark.slow
def test_a_trained_model_is_judged_in_the_documented_shape(traces: Path, tmp_path: Path) -> None:
    out, prices = tmp_path / "m.skops", tmp_path / "prices"
    prices.mkdir()
    (prices / "p.csv").write_text(PRICES + "2023-01-01T00:00:00+00:00,us-east-1a,p3.2xlarge,Linux/UNIX,0.9\n")

    trained = run("train", "--traces", traces, "--prices", prices, "--out", out, "-o", "json")
    assert trained.exit_code == 0, trained.output
    judged = run("evaluate", "--model", out, "--traces", traces, "-o", "json")
    assert judged.exit_code == 0, judged.output

    report = json.loads(judged.stdout)
    assert report["traces"] == 6
    assert report["other_clouds"] == 1
    assert report["blocks"] == 12  # both kinds were recorded on one clock, for eleven days and a bit
    assert set(report["by_kind"]) == {"availability", "preemption", "both"}
    hour = report["by_kind"]["both"]["1h"]
    assert {"n", "events", "brier", "log_loss", "auc", "ece", "baselines", "skill"} <= set(hour)
    assert set(hour["baselines"]) == {"base_rate", "persistence"}  # no Advisor file beside these
    low, mid, high = hour["skill"]["base_rate"]
    assert low <= mid <= high
    few = report["by_kind"]["preemption"]["24h"]
    assert few["note"] == "not enough data"
    assert few["skill"]["base_rate"][0] is None
    assert json.loads(trained.stdout)["by_kind"] == report["by_kind"]

    card = json.loads(training.card_path(out).read_text())
    assert card["bytes"] == out.stat().st_size
    assert len(card["trained_on"]["recordings"]) == 6
    assert card["prices"]["recordings_whose_pool_is_priced"] == 1
    read = card["histograms"]["1h"]
    assert set(read) <= set(features.NAMES)
    # Each share is off by at most half of its last digit; what is added in floating point is far less.
    rounding = drift.BINS * 0.5 * 10**-training.CARD_DIGITS + 1e-12
    assert all(len(h["edges"]) == drift.BINS - 1 and len(h["shares"]) == drift.BINS for h in read.values())
    assert all(abs(sum(h["shares"]) - 1) <= rounding for h in read.values())
    assert str(tmp_path) not in json.dumps(card)


@pytest.mark.slow
def test_the_model_that_ships_is_sound_and_says_what_it_is(traces: Path) -> None:
    body = training.DEFAULT_MODEL.read_bytes()
    card = json.loads(training.card_path(training.DEFAULT_MODEL).read_text())

    assert len(body) == card["bytes"] <= model_file.LARGEST_FILE_BYTES
    assert set(model_file.from_bytes(body).horizons) == {"15m", "1h", "6h", "24h"}
    judged = run("evaluate", "--traces", traces)
    assert judged.exit_code == 0, judged.output
    assert card["sha256"][:12] in judged.stdout


@pytest.mark.slow
def test_recordings_are_compared_with_what_the_model_learnt_from(traces: Path) -> None:
    told = run("drift", "--traces", traces, "-o", "json")

    assert told.exit_code == 0, told.output
    found = json.loads(told.stdout)
    assert found["is_drift"]  # drawn pools are none of those recorded
    assert set(found["index"]) >= {"1h/log age", "6h/own rate at this hour"}
    by_pools = {row["pools"]: row for row in found["by_chance"]}
    assert by_pools[40]["mean_index"] < by_pools[3]["mean_index"]
    assert "taken for drift" in run("drift", "--traces", traces).stdout


def test_a_pickle_for_a_model_is_refused_in_one_sentence(traces: Path, tmp_path: Path) -> None:
    model = tmp_path / "m.pkl"
    model.write_bytes(pickle.dumps({"a": 1}))

    refused = run("evaluate", "--model", model, "--traces", traces)

    assert refused.exit_code == 2
    assert refused.stderr.strip().count("\n") == 0
    assert "pickle" in refused.stderr


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        ("{", "cannot be read as JSON"),
        ("[]", "has no metadata"),
        ('{"metadata": {"gap_seconds": 0}, "data": [1]}', "gap_seconds 0"),
        ('{"metadata": {"gap_seconds": NaN}, "data": [1]}', "gap_seconds nan"),
        ('{"metadata": {"gap_seconds": 600}, "data": []}', "has no data"),
        ('{"metadata": {"gap_seconds": 600}, "data": [1, -1]}', "-1 instances up at tick 1"),
        ('{"metadata": {"gap_seconds": 600}, "data": [1, "x"]}', "'x' instances up at tick 1"),
        ('{"metadata": {"gap_seconds": 600}, "data": [1.5]}', "1.5 instances up"),
        ('{"metadata": {"gap_seconds": 600}, "data": [1], "prices": [NaN]}', "price that is not above zero"),
        ('{"metadata": {"gap_seconds": 600}, "data": [1], "prices": [1, 2]}', "do not match its ticks"),
    ],
)
def test_a_broken_recording_is_refused_in_one_sentence(traces: Path, content: str, sentence: str) -> None:
    (traces / "preemption" / "us-east-1f_v100_1.json").write_text(content)

    refused = run("evaluate", "--traces", traces)

    assert refused.exit_code == 2
    assert refused.stderr.strip().count("\n") == 0
    assert sentence in refused.stderr
    assert "us-east-1f_v100_1.json" in refused.stderr


def test_a_recording_of_no_kind_is_refused(tmp_path: Path) -> None:
    (tmp_path / "us-east-1a_v100_1.json").write_text('{"metadata": {"gap_seconds": 600}, "data": [1]}')

    refused = run("evaluate", "--traces", tmp_path)

    assert refused.exit_code == 2
    assert "preemption or availability" in refused.stderr


@pytest.mark.parametrize("missing", ["nothing", "empty"])
def test_a_folder_without_recordings_is_refused(tmp_path: Path, missing: str) -> None:
    (tmp_path / "empty").mkdir()

    refused = run("train", "--traces", tmp_path / missing, "--out", tmp_path / "m.skops")

    assert refused.exit_code == 2
    assert refused.stderr.startswith("error: ")


def test_recordings_of_one_zone_teach_nothing(tmp_path: Path) -> None:
    record(tmp_path, "us-east-1a_v100_1", drawn_up(0.2, ticks=100, seed=1).tolist())

    refused = run("train", "--traces", tmp_path, "--out", tmp_path / "m.skops")

    assert refused.exit_code == 2
    assert "two zones" in refused.stderr
    assert not (tmp_path / "m.skops").exists()


@pytest.mark.parametrize(
    "content",
    ["", "a,b\n1,2\n", PRICES + "when,us-east-1a\n", PRICES + "yesterday,us-east-1a,m5.large,Linux,1\n"],
)
def test_a_broken_price_file_is_refused(traces: Path, tmp_path: Path, content: str) -> None:
    prices = tmp_path / "prices"
    prices.mkdir()
    (prices / "p.csv").write_text(content)

    refused = run("train", "--traces", traces, "--prices", prices, "--out", tmp_path / "m.skops")

    assert refused.exit_code == 2
    assert "p.csv is no spot price history" in refused.stderr


def test_a_price_file_whose_compression_is_broken_is_refused(tmp_path: Path) -> None:
    whole = gzip.compress(PRICES.encode())
    (tmp_path / "p.csv.gz").write_bytes(whole[:10] + b"\xff" * 10 + whole[20:])
    with pytest.raises(RiskFileError, match=r"p\.csv\.gz is no spot price history"):
        market_files.read_price_coverage(tmp_path)


def test_another_file_for_the_advisor_s_is_refused(traces: Path, tmp_path: Path) -> None:
    other = tmp_path / "a.json"
    other.write_text("{}")

    refused = run("evaluate", "--traces", traces, "--advisor", other)

    assert refused.exit_code == 2
    assert "is not Spot Advisor's file" in refused.stderr


@pytest.mark.slow
def test_every_layer_is_left_out_once(tmp_path: Path) -> None:
    told = run("ablate", "--traces", recorded(tmp_path / "short", ticks=400), "-o", "json")

    assert told.exit_code == 0, told.output
    rows = {row["model"]: row["by_horizon"] for row in json.loads(told.stdout)["rows"]}
    assert {f"without {name}" for name in features.LAYERS} <= set(rows)
    whole, corrected = rows["as it ships"], rows["own record corrects nothing"]
    assert whole["1h"] == corrected["1h"]
    assert whole["6h"] != corrected["6h"]
    assert whole["1h"]["skill"] > rows["age only"]["1h"]["skill"] > -0.1
    # Six pools of which the kind means nothing: told apart by kind they must not be judged worse than the base rate.
    assert whole["1h"]["skill"] > 0
    assert whole["15m"]["skill"] > 0
