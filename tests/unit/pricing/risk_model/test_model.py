import math
from dataclasses import replace

import numpy as np
import pytest

from services.pricing.domain.interruption_risk import AdvisorBand
from services.pricing.domain.risk_model import baselines, evaluation, features, labels, model
from services.pricing.domain.risk_model.model import Calibrator, HorizonModel, RiskModel, Sample
from services.pricing.domain.risk_model.recipe import Recipe
from services.pricing.domain.risk_model.traces import HORIZON_SECONDS, Trace, TraceKind
from tests.unit.pricing.risk_model.recordings import drawn_up, make_trace, unlike_pools

RATINGS = {"us-east-1": {"p3.2xlarge": AdvisorBand.OVER_20_PERCENT}}


def fitted(traces: list[Trace], horizon: str = "1h") -> HorizonModel:
    seconds = HORIZON_SECONDS[horizon]
    found = model.fit_horizon(model.samples(traces, seconds), seconds, rivals=baselines.rivals(RATINGS))
    assert found is not None
    return found


def test_it_learns_from_a_pool_s_own_past_in_zones_it_never_saw() -> None:
    traces = unlike_pools()
    report = evaluation.report(evaluation.judge(RiskModel({"1h": fitted(traces)}), traces, ratings=RATINGS))

    scores = report["by_kind"]["preemption"]["1h"]
    assert scores["skill"][baselines.BASE_RATE][0] > 0.3
    assert scores["ece"] < 0.05
    assert set(scores["baselines"]) == {"base_rate", "spot_advisor", "persistence"}
    assert report["by_kind"]["preemption"]["15m"] is None
    assert "both" not in report["by_kind"]


def test_what_judges_a_zone_knows_nothing_of_it() -> None:
    traces = unlike_pools(ticks=600)
    changed = [
        replace(trace, up=drawn_up(0.5, ticks=600, seed=99)) if trace.zone == "us-east-1a" else trace
        for trace in traces
    ]

    one, two = fitted(traces).member_for("us-east-1a"), fitted(changed).member_for("us-east-1a")

    assert np.array_equal(one.weights, two.weights)
    assert one.calibrator == two.calibrator
    assert one.prior == two.prior
    assert one.rivals == two.rivals


def test_a_zone_that_nobody_saw_is_judged_by_the_fit_on_all() -> None:
    found = fitted(unlike_pools(ticks=600))

    assert found.member_for("eu-west-1a") is found.whole
    assert found.member_for("us-east-1b") is not found.whole


def test_where_nothing_can_be_learnt_it_says_the_base_rate() -> None:
    # Every pool behaves unlike its own past: it is lost for good in the second half.
    traces = [
        make_trace(
            np.concatenate([drawn_up(h, ticks=300, seed=n), drawn_up(0.5 - h, ticks=300, seed=n + 50)]),
            zone=f"us-east-1{zone}",
            name=zone,
        )
        for n, (zone, h) in enumerate(zip("abcd", (0.05, 0.45, 0.05, 0.45), strict=True))
    ]
    samples = model.samples(traces, 3_600)
    raw = replace(fitted(unlike_pools(ticks=600)).whole, prior=0.4)
    held_out = [(s, raw, np.where(np.arange(len(s.windows.ticks)) % 2, 4.0, -4.0)) for s in samples]

    flat = model.calibrated_or_flat(raw, held_out, 3_600, Recipe(by_kind=False))

    assert flat.calibrator.is_flat
    assert flat.correction_variance is None
    assert flat.calibrator.apply(np.array([-5.0, 5.0]), TraceKind.PREEMPTION) == pytest.approx([0.4, 0.4])


def test_a_layer_left_out_has_no_weight() -> None:
    without = frozenset(features.LAYERS["own rate"])
    found = model.fit_horizon(
        model.samples(unlike_pools(ticks=600), 3_600), 3_600, rivals={}, recipe=Recipe(without=without)
    )

    assert found is not None
    assert {n for n, weight in enumerate(found.whole.weights) if weight == 0.0} >= without


def test_the_layers_are_all_columns_once() -> None:
    columns = sorted(column for layer in features.LAYERS.values() for column in layer)

    assert columns == list(range(len(fitted(unlike_pools(ticks=600)).whole.weights)))


def test_one_zone_or_one_outcome_teaches_nothing() -> None:
    calm = [make_trace([1] * 50, zone=f"us-east-1{zone}", name=zone) for zone in "ab"]
    alone = [make_trace(drawn_up(0.2, ticks=200, seed=1))]

    for traces in (calm, alone, []):
        assert model.fit_horizon(model.samples(traces, 3_600), 3_600, rivals={}) is None


def test_two_zones_are_enough() -> None:
    traces = [trace for trace in unlike_pools(ticks=600) if trace.zone != "us-east-1c"]

    assert set(fitted(traces).without_zone) == {"us-east-1a", "us-east-1b"}


def test_several_instances_weigh_like_as_many_single_ones() -> None:
    traces = unlike_pools(ticks=600)
    doubled = [replace(trace, up=2 * trace.up) for trace in traces]

    assert np.allclose(fitted(traces).whole.weights, fitted(doubled).whole.weights, atol=1e-6)


def test_calibration_repairs_what_is_too_sure() -> None:
    rng = np.random.default_rng(7)
    sample = model.samples(unlike_pools(), 3_600)[1]
    truth = rng.normal(size=len(sample.windows.ticks))
    lost = (rng.random(len(truth)) < 1 / (1 + np.exp(-truth))).astype(np.int64)
    told = replace(sample, windows=replace(sample.windows, lost=lost, at_risk=np.ones_like(lost)))

    found = model.calibrate([(told, 3 * truth)])

    assert found.slope == pytest.approx(1 / 3, abs=0.1)
    assert found.intercept == pytest.approx(0, abs=0.2)


def of_kinds(*, ticks: int, zones: str = "abc") -> list[Trace]:
    """Give a pool of each kind in each zone; probes fail four times as often as held instances are lost."""
    return [
        replace(
            make_trace(
                drawn_up(hazard, ticks=ticks, seed=10 * number + place),
                zone=f"us-east-1{zone}",
                name=zone + kind,
            ),
            kind=kind,
        )
        for number, zone in enumerate(zones)
        for place, (kind, hazard) in enumerate(((TraceKind.PREEMPTION, 0.05), (TraceKind.AVAILABILITY, 0.2)))
    ]


def test_kinds_are_told_apart_where_nothing_else_does() -> None:
    samples = model.samples(of_kinds(ticks=1_500), 3_600)
    said = [(sample, np.zeros(len(sample.windows.ticks))) for sample in samples]

    found = model.shifted(Calibrator(0.0, 0.0), said, 3_600, is_flat=True)

    for kind in TraceKind:
        seen = float(np.mean([s.windows.rate for s in samples if s.trace.kind is kind]))
        # Three pools of a kind weigh three times as much as the belief that kinds are alike, and half of that since
        # the four degrees of freedom left make the error's variance twice as large.
        assert found.shift_by_kind[kind] == pytest.approx(0.6 * math.log(seen / (1 - seen)), abs=0.1)


def beside_even_probes(held: Trace, horizon: float) -> list[tuple[Sample, np.ndarray]]:
    """Say even odds of three such pools, and of three probed ones of which every other window was lost."""
    said = []
    for kind in TraceKind:
        for number in range(3):
            (sample,) = model.samples([replace(held, kind=kind, name=f"{kind}{number}")], horizon)
            if kind is TraceKind.AVAILABILITY:
                even = np.arange(2 * (len(sample.windows.ticks) // 2))
                w = labels.Windows(sample.windows.ticks[even], np.ones_like(even), even % 2)
                sample = replace(sample, windows=w)
            said.append((sample, np.zeros(len(sample.windows.ticks))))
    return said


def test_a_kind_of_few_windows_stays_near_the_others() -> None:
    said = beside_even_probes(make_trace([1] * 40), 21_600)

    few = model.shifted(Calibrator(0.0, 0.0), said, 21_600, is_flat=False)
    freer = model.shifted(Calibrator(0.0, 0.0), said, 21_600, is_flat=True)

    assert 0.45 < few.apply(np.zeros(1), TraceKind.PREEMPTION)[0] < 0.5
    assert freer.apply(np.zeros(1), TraceKind.PREEMPTION)[0] < few.apply(np.zeros(1), TraceKind.PREEMPTION)[0]
    assert few.apply(np.zeros(1), TraceKind.AVAILABILITY)[0] == 0.5


def test_the_shift_of_a_kind_needs_no_outcome_of_both_sorts() -> None:
    said = beside_even_probes(make_trace(drawn_up(0.9, ticks=600, seed=1)), 86_400)

    found = model.shifted(Calibrator(0.0, 0.0), said, 86_400, is_flat=True)

    assert {sample.windows.rate for sample, _ in said} == {0.5, 1.0}
    (p,) = found.apply(np.zeros(1), TraceKind.PREEMPTION)
    # Most probable is where the pull back, shift / variance, is what three pools say together; between pools of a kind
    # lies the least variance, since they do not differ, and twice that with the four degrees of freedom left.
    variance, windows = model.CORRECTION_VARIANCE_WHEN_FLAT, 600 * 600 / 86_400
    says = windows * (1 - p) / (1 + windows * p * (1 - p) * 2 * variance)
    assert math.log(p / (1 - p)) / variance == pytest.approx(3 * says, abs=1e-9)
    assert p == pytest.approx(0.79757, abs=1e-5)


def test_kinds_that_chance_set_apart_do_not_stand_in_for_what_pools_tell_of_themselves() -> None:
    # Every calm pool is held, every restless one probed: learnt from so, the kind alone would seem to know all.
    traces = [
        replace(
            make_trace(
                drawn_up(hazard, ticks=400, seed=10 * number + place),
                zone=f"us-east-1{zone}",
                name=zone + kind,
            ),
            kind=kind,
        )
        for number, zone in enumerate("abcd")
        for place, (kind, hazard) in enumerate(((TraceKind.PREEMPTION, 0.02), (TraceKind.AVAILABILITY, 0.2)))
    ]

    found = fitted(traces)

    assert found.whole.calibrator.shift_by_kind
    assert not found.whole.calibrator.is_flat
    assert not any(member.calibrator.is_flat for member in found.without_zone.values())


def test_a_model_of_both_kinds_is_calibrated_in_each() -> None:
    # Of three zones, what judges one learns from the four pools of two: two degrees of freedom tell no kinds apart.
    traces = of_kinds(ticks=1_500, zones="abcde")
    without = frozenset(column for layer in features.LAYERS.values() for column in layer)
    together, apart = (
        evaluation.report(evaluation.judge(RiskModel({"1h": found}), traces, ratings=RATINGS))["by_kind"]
        for by_kind in (False, True)
        if (
            found := model.fit_horizon(
                model.samples(traces, 3_600),
                3_600,
                rivals={},
                recipe=Recipe(without=without, by_kind=by_kind),
            )
        )
    )

    for kind in TraceKind:
        assert apart[kind]["1h"]["ece"] < together[kind]["1h"]["ece"] / 2
        assert apart[kind]["1h"]["brier"] < together[kind]["1h"]["brier"]


def test_the_advisor_says_nothing_of_a_type_it_does_not_list() -> None:
    trace = replace(make_trace([1, 1]), instance_type="x9.large")

    assert baselines.advisor_log_odds(trace, np.array([0]), 3_600, ratings=RATINGS) is None


def test_persistence_trusts_age() -> None:
    said = baselines.persistence_log_odds(make_trace([1] * 30), np.arange(30), 3_600)

    assert (np.diff(said) < 0).all()
