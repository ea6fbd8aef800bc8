import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.pricing.domain.risk_model import metrics
from services.pricing.domain.risk_model.metrics import Scored

DAY = metrics.DAY_SECONDS


def scored(
    lost: list[int] | np.ndarray,
    probability: list[float] | np.ndarray,
    *,
    step: float = 3_600,
    collection: str = "c",
) -> Scored:
    count = len(lost)
    return Scored(
        collection,
        np.asarray(np.arange(count) * step, dtype=np.float64),
        np.ones(count, dtype=np.int64),
        np.array(lost, dtype=np.int64),
        np.array(probability, dtype=np.float64),
    )


def drawn(days: int, *, seed: int) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    probability = rng.uniform(0.05, 0.95, days * 24)
    return (rng.random(days * 24) < probability).astype(np.int64), probability


def test_brier_and_log_loss_are_what_their_names_say() -> None:
    means = metrics.scores([scored([1, 0], [0.8, 0.4])])

    assert means.brier == pytest.approx((0.04 + 0.16) / 2)
    assert means.log_loss == pytest.approx(-(np.log(0.8) + np.log(0.6)) / 2)


def test_every_trace_weighs_the_same_whatever_its_length() -> None:
    means = metrics.scores([scored([1] * 99, [1.0] * 99), scored([1], [0.0])])

    assert means.brier == pytest.approx(0.5)


def test_certainty_that_was_wrong_costs_much_and_not_everything() -> None:
    assert np.isfinite(metrics.scores([scored([1], [0.0])]).log_loss)


@given(st.lists(st.tuples(st.integers(0, 1), st.sampled_from([0.1, 0.3, 0.5, 0.9])), min_size=1, max_size=30))
def test_auc_is_the_share_of_pairs_in_order(pairs: list[tuple[int, float]]) -> None:
    lost, kept = [p for y, p in pairs if y], [p for y, p in pairs if not y]
    found = metrics.auc([scored([y for y, _ in pairs], [p for _, p in pairs])])

    if not lost or not kept:
        assert found is None
    else:
        expected = np.mean([(a > b) + (a == b) / 2 for a in lost for b in kept])
        assert found == pytest.approx(expected)


def test_calibration_error_is_the_distance_of_said_from_seen() -> None:
    assert metrics.calibration_error([scored([1, 0, 0, 0], [0.25] * 4)]) == pytest.approx(0)
    assert metrics.calibration_error([scored([1, 1, 1, 1], [0.25] * 4)]) == pytest.approx(0.75)


def test_a_model_against_itself_has_no_skill() -> None:
    lost, probability = drawn(20, seed=1)
    one = [scored(lost, probability)]

    assert metrics.skill_interval(one, one, horizon_seconds=3_600) == pytest.approx((0, 0, 0))


@pytest.mark.parametrize("loss", ["brier", "log_loss"])
def test_what_knows_the_risk_beats_what_does_not_beyond_doubt(loss: str) -> None:
    lost, probability = drawn(40, seed=2)
    knows, guesses = [scored(lost, probability)], [scored(lost, np.full(len(lost), lost.mean()))]

    better = metrics.skill_interval(knows, guesses, horizon_seconds=3_600, loss=loss)
    worse = metrics.skill_interval(guesses, knows, horizon_seconds=3_600, loss=loss)

    assert better is not None
    assert worse is not None
    assert 0 < better[0] < better[1] < better[2]
    assert worse[2] < 0


def test_fewer_than_ten_blocks_give_no_interval() -> None:
    lost, probability = drawn(9, seed=3)
    one = [scored(lost, probability)]

    assert metrics.count_blocks(one, horizon_seconds=3_600) == 9
    assert metrics.skill_interval(one, one, horizon_seconds=3_600) is None


def test_zones_recorded_together_are_one_block_a_day_and_long_horizons_need_longer_blocks() -> None:
    lost, probability = drawn(20, seed=4)
    together = [scored(lost, probability), scored(lost, probability)]
    apart = [scored(lost, probability), scored(lost, probability, collection="d")]

    assert metrics.count_blocks(together, horizon_seconds=3_600) == 20
    assert metrics.count_blocks(apart, horizon_seconds=3_600) == 40
    assert metrics.count_blocks(together, horizon_seconds=DAY) == 10


@pytest.mark.slow
def test_the_interval_covers_the_truth_about_as_often_as_it_says() -> None:
    intervals = []
    for seed in range(60):
        lost, probability = drawn(15, seed=100 + seed)
        found = metrics.skill_interval(
            [scored(lost, probability)], [scored(lost, np.full(len(lost), 0.5))], horizon_seconds=3_600
        )
        assert found is not None
        intervals.append(found)
    truth = np.mean([mid for _, mid, _ in intervals])

    assert sum(low <= truth <= high for low, _, high in intervals) >= 48


def test_of_a_calibrated_model_the_error_is_what_chance_gives() -> None:
    lost, probability = drawn(60, seed=3)
    told = [scored(lost, probability)]

    mean, most = metrics.calibration_noise(told, horizon_seconds=3_600) or (0.0, 0.0)

    assert 0 < mean < most
    assert metrics.calibration_error(told) < most


def test_an_error_beyond_chance_is_seen_as_one() -> None:
    lost, probability = drawn(60, seed=3)
    told = [scored(lost, np.clip(probability + 0.15, 0, 1))]

    _, most = metrics.calibration_noise(told, horizon_seconds=3_600) or (0.0, 1.0)

    assert metrics.calibration_error(told) > most


def test_windows_that_only_repeat_others_take_nothing_from_chance() -> None:
    lost, probability = drawn(60, seed=3)
    repeated = [scored(np.repeat(lost, 4), np.repeat(probability, 4), step=900)]
    days = [scored(lost, probability)]

    assert (metrics.calibration_noise(repeated, horizon_seconds=3_600) or (0.0, 0.0))[0] == pytest.approx(
        (metrics.calibration_noise(days, horizon_seconds=3_600) or (1.0, 1.0))[0], rel=0.1
    )


def test_below_ten_blocks_nobody_knows_what_chance_gives() -> None:
    lost, probability = drawn(9, seed=3)

    assert metrics.calibration_noise([scored(lost, probability)], horizon_seconds=3_600) is None
