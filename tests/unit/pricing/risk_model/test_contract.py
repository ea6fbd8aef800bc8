from dataclasses import replace
from datetime import UTC, datetime

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.pricing.domain.risk_model import contract, model
from services.pricing.domain.risk_model.contract import (
    FlagState,
    Opinion,
    PricePoint,
    RecommendedAction,
    RiskPrediction,
    RiskQuestion,
)
from services.pricing.domain.risk_model.model import RiskModel
from services.pricing.domain.risk_model.opinion import opinion
from services.pricing.domain.risk_model.traces import HORIZON_SECONDS
from tests.unit.pricing.risk_model.recordings import drawn_up, make_trace, unlike_pools

ADVISOR = {"15m": 0.0001, "1h": 0.0004, "6h": 0.0024, "24h": 0.01}


@pytest.fixture(scope="module")
def trained() -> RiskModel:
    horizons = {}
    for name, seconds in HORIZON_SECONDS.items():
        found = model.fit_horizon(model.samples(unlike_pools(), seconds), seconds, rivals={})
        if found is not None:
            horizons[name] = found
    return RiskModel(horizons)


def question(**changes: object) -> RiskQuestion:
    asked = RiskQuestion(
        instance_type="p3.2xlarge",
        availability_zone="us-east-1a",
        spot_price_history=(PricePoint(datetime(2024, 1, 9, tzinfo=UTC), 0.9),),
        hour_of_day=5,
        day_of_week=1,
        prior_by_horizon=ADVISOR,
    )
    return replace(asked, **changes)  # type: ignore[arg-type]


def ask(trained: RiskModel, **changes: object) -> RiskPrediction:
    asked = question(**changes)
    said = opinion(trained, asked.past) if asked.past else None
    return contract.predict(asked, prediction_id="p1", opinion=said, model_name="m")


@pytest.mark.parametrize(
    ("probability", "flag", "action"),
    [
        (0.0, FlagState.NONE, RecommendedAction.SAFE),
        (0.199, FlagState.NONE, RecommendedAction.SAFE),
        (0.2, FlagState.NONE, RecommendedAction.CAUTION),
        (0.5, FlagState.NONE, RecommendedAction.CAUTION),
        (0.501, FlagState.NONE, RecommendedAction.AVOID),
        (0.0, FlagState.DECAYED, RecommendedAction.CAUTION),
        (0.6, FlagState.DECAYED, RecommendedAction.AVOID),
        (0.0, FlagState.FRESH, RecommendedAction.AVOID),
    ],
)
def test_risk_and_flag_make_the_action(
    probability: float, flag: FlagState, action: RecommendedAction
) -> None:
    assert contract.action_for(probability, flag=flag) is action


def test_a_pool_that_was_never_watched_has_the_advisor_s_risk(trained: RiskModel) -> None:
    said = ask(trained)

    assert said.prediction_id == "p1"
    assert said.probability_by_horizon == ADVISOR
    assert said.confidence_score == 0.5
    assert said.recommended_action is RecommendedAction.SAFE


def test_a_restless_past_overrules_the_advisor(trained: RiskModel) -> None:
    restless = make_trace(np.concatenate([drawn_up(0.2, ticks=1_000, seed=5), [1]]))
    calm = make_trace(np.ones(1_000, dtype=np.int64))

    bad, good = (ask(trained, past=past) for past in (restless, calm))

    assert bad.interruption_probability > 0.5 > good.interruption_probability
    assert bad.hazard_per_hour > good.hazard_per_hour
    assert bad.confidence_score > 0.9
    assert good.confidence_score > 0.9


def test_quiet_hours_speak_for_the_advisor_and_losses_against_it() -> None:
    quiet = [
        contract.scarcity(question(past=make_trace(np.ones(hours * 6, dtype=np.int64))))
        for hours in (1, 10, 100)
    ]
    lost = [contract.scarcity(question(past=make_trace([1, 1, 0] * times + [1]))) for times in (1, 2, 4)]

    assert quiet == sorted(quiet, reverse=True)
    assert quiet[-1] < 0.01
    assert lost == sorted(lost)
    assert lost[-1] > 0.99
    assert contract.scarcity(question(prior_by_horizon=None)) == 1.0


@given(seed=st.integers(0, 50), hazard=st.sampled_from([0.0, 0.02, 0.2]), ticks=st.integers(1, 400))
def test_a_longer_horizon_never_has_less_risk(
    trained: RiskModel, seed: int, hazard: float, ticks: int
) -> None:
    past = make_trace(np.concatenate([drawn_up(hazard, ticks=ticks, seed=seed), [1]]))

    said = list(ask(trained, past=past).probability_by_horizon.values())

    assert said == sorted(said)
    assert all(0 <= p <= 1 for p in said)


def test_a_pool_just_begun_is_hardly_riskier_than_the_advisor_says(trained: RiskModel) -> None:
    said = ask(trained, past=make_trace([1]))

    assert ADVISOR["1h"] <= said.probability_by_horizon["1h"] < 2 * ADVISOR["1h"]
    assert said.recommended_action is RecommendedAction.SAFE


def test_without_the_model_the_pool_s_own_losses_speak() -> None:
    restless = make_trace(np.concatenate([drawn_up(0.2, ticks=600, seed=5), [1]]))
    calm = make_trace(np.ones(600, dtype=np.int64))

    bad, good = (contract.predict(question(past=past), prediction_id="p") for past in (restless, calm))

    assert bad.probability_by_horizon["1h"] > 0.4
    assert good.probability_by_horizon["1h"] == pytest.approx(ADVISOR["1h"], rel=0.2)
    assert bad.source == "spot_advisor+observed"


def test_the_answer_says_which_layers_made_it(trained: RiskModel) -> None:
    assert ask(trained).layers == ("spot_advisor",)
    assert ask(trained, past=make_trace([1] * 50)).layers == ("spot_advisor", "observed", "model:m")
    assert ask(trained, past=make_trace([1] * 50 + [0])).layers == ("spot_advisor", "observed")
    assert ask(trained, prior_by_horizon=None).layers == ("scarce_pools",)


def test_a_horizon_without_an_opinion_goes_on_with_the_hazard_before_it() -> None:
    said = contract.predict(
        question(past=make_trace([1, 1]), prior_by_horizon=None),
        prediction_id="p",
        opinion=Opinion({"15m": 0.1}, 0.0),
    )

    assert said.probability_by_horizon["1h"] == pytest.approx(1 - 0.9**4)


def test_a_pool_like_those_in_training_is_not_strange_and_an_old_one_is(trained: RiskModel) -> None:
    usual = opinion(trained, make_trace(np.concatenate([drawn_up(0.1, ticks=600, seed=3), [1]])))
    centuries = opinion(trained, make_trace([1] * 3_000, tick_seconds=86_400.0))

    assert usual is not None
    assert centuries is not None
    assert usual.strange_share == 0.0 < centuries.strange_share


@pytest.mark.parametrize(
    "changes",
    [
        {"hour_of_day": 24},
        {"day_of_week": -1},
        {"spot_price_history": (PricePoint(datetime(2024, 1, 9, tzinfo=UTC), float("nan")),)},
        {"spot_price_history": (PricePoint(datetime(2024, 1, 9, tzinfo=UTC), -1.0),)},
        {"prior_by_horizon": {"1h": 1.5}},
        {"prior_by_horizon": {"1h": float("nan")}},
    ],
)
def test_a_value_that_cannot_be_is_refused(changes: dict[str, object]) -> None:
    with pytest.raises(contract.RiskQuestionError):
        question(**changes)
