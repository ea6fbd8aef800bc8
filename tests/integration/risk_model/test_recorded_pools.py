"""The model that ships, on recorded pools: every zone judged by a member that never saw it.

The figures are those that docs/risk-model.md tells. What is asserted is what was asked for, not what came out.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from deploy.cli import risk
from deploy.risk import training
from deploy.risk.traces import read_traces
from services.pricing.domain.risk_model import metrics

pytestmark = pytest.mark.slow

BASELINES = ("base_rate", "persistence", "spot_advisor")
LARGEST_CALIBRATION_ERROR = 0.03


@pytest.fixture(scope="module")
def traces(data_folder: Path) -> Path:
    folder = data_folder / "preemptions"
    if not folder.is_dir():
        pytest.skip("recorded data has no folder preemptions; set SPOT_DATA_DIR to a folder that has")
    return folder


@pytest.fixture(scope="module")
def report(traces: Path) -> dict[str, Any]:
    told = CliRunner().invoke(risk.app, ["evaluate", "--traces", str(traces), "-o", "json"])
    assert told.exit_code == 0, told.output
    found: dict[str, Any] = json.loads(told.stdout)
    return found


def both(report: Mapping[str, Any], horizon: str) -> dict[str, Any]:
    found: dict[str, Any] = report["by_kind"]["both"][horizon]
    return found


def test_every_judged_zone_has_a_member_that_never_saw_it(traces: Path) -> None:
    read, _ = training.read(training.DEFAULT_MODEL)
    recordings = read_traces(traces).traces
    card = json.loads(training.card_path(training.DEFAULT_MODEL).read_text())

    assert card["trained_on"]["sha256"] == training.data_hash(recordings)
    for horizon in read.horizons.values():
        assert set(horizon.without_zone) == {trace.zone for trace in recordings}


@pytest.mark.parametrize(("horizon", "least"), [("15m", 0.15), ("1h", 0.21)])
def test_it_is_better_than_the_base_rate_by_what_was_asked(
    report: dict[str, Any], horizon: str, least: float
) -> None:
    assert both(report, horizon)["skill"]["base_rate"][1] >= least


@pytest.mark.parametrize("baseline", BASELINES)
@pytest.mark.parametrize("horizon", ["15m", "1h", "6h"])
def test_it_is_better_than_every_baseline_beyond_doubt(
    report: dict[str, Any], horizon: str, baseline: str
) -> None:
    scores = both(report, horizon)

    assert scores["blocks"] >= metrics.LEAST_BLOCKS
    for loss in ("skill", "log_loss_skill"):
        low, _, _ = scores[loss][baseline]
        assert low > 0, f"{loss} over {baseline}"


@pytest.mark.parametrize("kind", ["preemption", "availability"])
@pytest.mark.parametrize("horizon", ["15m", "1h"])
def test_each_kind_is_better_than_every_baseline_beyond_doubt(
    report: dict[str, Any], kind: str, horizon: str
) -> None:
    scores = report["by_kind"][kind][horizon]

    for loss in ("skill", "log_loss_skill"):
        assert all(interval[0] > 0 for interval in scores[loss].values())


@pytest.mark.parametrize("baseline", BASELINES)
def test_within_a_day_it_is_better_on_both_losses_as_far_as_anyone_can_tell(
    report: dict[str, Any], baseline: str
) -> None:
    # Three windows of a hundred are kept for a day: most intervals hold zero, and the docs say so.
    for loss in ("skill", "log_loss_skill"):
        assert both(report, "24h")[loss][baseline][1] > 0


@pytest.mark.parametrize("kind", ["both", "preemption", "availability"])
def test_its_probabilities_are_what_happens(report: dict[str, Any], kind: str) -> None:
    for horizon, scores in report["by_kind"][kind].items():
        assert scores["ece"] <= LARGEST_CALIBRATION_ERROR, horizon


def test_where_there_are_few_days_it_says_so(report: dict[str, Any]) -> None:
    scores = report["by_kind"]["preemption"]["24h"]

    assert scores["blocks"] < metrics.LEAST_BLOCKS
    assert scores["note"] == "not enough data"
    assert scores["skill"]["base_rate"][0] is None
    assert scores["ece_by_chance"] is None


def test_the_card_tells_the_same_figures(report: dict[str, Any]) -> None:
    card = json.loads(training.card_path(training.DEFAULT_MODEL).read_text())

    for horizon in ("15m", "1h", "6h", "24h"):
        told = card["metrics"]["by_kind"]["both"][horizon]
        for loss in ("brier", "log_loss", "ece"):
            assert told[loss] == pytest.approx(both(report, horizon)[loss], abs=1e-6)
