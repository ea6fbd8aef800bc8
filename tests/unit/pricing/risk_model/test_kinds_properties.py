"""Shifts of kinds: none that few pools could not tell, and never more than the pools themselves say."""

import itertools
import math
import random

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.pricing.domain.risk_model import kinds
from services.pricing.domain.risk_model.kinds import Outcome
from services.pricing.domain.risk_model.traces import TraceKind

WINDOWS = 100
losses = st.integers(0, WINDOWS)
inside = st.integers(1, WINDOWS - 1)
variances = st.sampled_from([0.01, 0.1, 2.0])
held = st.builds(
    lambda lost, said, windows: make_outcome(lost, said=said, windows=windows),
    losses,
    st.floats(-3, 3),
    st.floats(1, 500),
)
probed = held.map(
    lambda o: Outcome(TraceKind.AVAILABILITY, o.log_odds, o.at_risk, o.lost, o.windows),
)


def make_outcome(
    lost: int, *, kind: TraceKind = TraceKind.PREEMPTION, said: float = 0.0, windows: float = 50.0
) -> Outcome:
    return Outcome(
        kind=kind,
        log_odds=np.full(WINDOWS, said),
        at_risk=np.ones(WINDOWS, dtype=np.int64),
        lost=(np.arange(WINDOWS) < lost).astype(np.int64),
        windows=windows,
    )


def alike(lost_by_kind: dict[TraceKind, int], *, pools: int) -> list[Outcome]:
    """Give as many pools of each kind, all with the same losses."""
    return [make_outcome(lost, kind=kind) for kind, lost in lost_by_kind.items() for _ in range(pools)]


@given(st.lists(held, min_size=1, max_size=12), variances)
def test_one_kind_is_not_shifted(outcomes: list[Outcome], variance: float) -> None:
    assert kinds.shifts(outcomes, variance=variance) == {}


@given(st.lists(held, min_size=1, max_size=3), st.lists(probed, min_size=1, max_size=3), variances)
def test_too_few_pools_tell_no_kinds_apart(
    ours: list[Outcome], others: list[Outcome], variance: float
) -> None:
    few = (ours + others)[: 2 + kinds.LEAST_DEGREES - 1]

    assert kinds.shifts(few, variance=variance) == {}


@given(losses, losses, variances)
def test_the_shift_shrinks_as_pools_fall(calm: int, restless: int, variance: float) -> None:
    both = {TraceKind.PREEMPTION: calm, TraceKind.AVAILABILITY: restless}
    found = [kinds.shifts(alike(both, pools=pools), variance=variance) for pools in range(1, 9)]

    for fewer, more in itertools.pairwise(found):
        for kind in both:
            assert abs(fewer.get(kind, 0.0)) <= abs(more.get(kind, 0.0)) + 1e-9
    assert not found[0]
    assert not found[1]


@given(inside, inside, st.integers(3, 30), variances)
def test_the_shift_is_never_more_than_what_was_seen(
    calm: int, restless: int, pools: int, variance: float
) -> None:
    both = {TraceKind.PREEMPTION: calm, TraceKind.AVAILABILITY: restless}

    for kind, shift in kinds.shifts(alike(both, pools=pools), variance=variance).items():
        raw = math.log(both[kind] / (WINDOWS - both[kind]))
        assert min(0.0, raw) - 1e-9 <= shift <= max(0.0, raw) + 1e-9


@pytest.mark.parametrize(("calm", "restless"), [(10, 90), (20, 40), (50, 50), (90, 70)])
def test_many_pools_are_believed(calm: int, restless: int) -> None:
    both = {TraceKind.PREEMPTION: calm, TraceKind.AVAILABILITY: restless}

    for kind, shift in kinds.shifts(alike(both, pools=100), variance=0.1).items():
        assert shift == pytest.approx(math.log(both[kind] / (WINDOWS - both[kind])), rel=0.05)


@given(st.lists(held, min_size=3, max_size=8), st.lists(probed, min_size=3, max_size=8), variances)
def test_no_shift_goes_beyond_every_pool(ours: list[Outcome], others: list[Outcome], variance: float) -> None:
    found = kinds.shifts(ours + others, variance=variance)

    assert set(found) == set(TraceKind)
    for outcomes in (ours, others):
        shift = found[outcomes[0].kind]
        # Some pool would have it shifted as far at least; none would where it is shifted too far.
        left = [math.copysign(1, shift) * outcome.beside(shift)[0] for outcome in outcomes]
        assert shift == 0 or max(left) >= -1e-6


@given(
    st.lists(held, min_size=3, max_size=6),
    st.lists(probed, min_size=3, max_size=6),
    variances,
    st.integers(0, 99),
)
def test_the_order_of_pools_changes_nothing(
    ours: list[Outcome], others: list[Outcome], variance: float, seed: int
) -> None:
    mixed = ours + others
    random.Random(seed).shuffle(mixed)

    assert kinds.shifts(mixed, variance=variance) == pytest.approx(
        kinds.shifts(ours + others, variance=variance), abs=1e-6
    )


def test_pools_that_differ_within_their_kind_tell_less_of_it() -> None:
    both = {TraceKind.PREEMPTION: 30, TraceKind.AVAILABILITY: 70}
    differing = [
        make_outcome(lost + off, kind=kind) for kind, lost in both.items() for off in (-25, 25, -25, 25)
    ]

    like = kinds.shifts(alike(both, pools=4), variance=0.1)
    unlike = kinds.shifts(differing, variance=0.1)

    for kind in both:
        assert abs(unlike[kind]) < abs(like[kind]) * 0.7


def test_a_kind_of_which_all_was_lost_is_shifted_by_a_number() -> None:
    found = kinds.shifts(
        alike({TraceKind.PREEMPTION: WINDOWS, TraceKind.AVAILABILITY: 50}, pools=4), variance=2.0
    )

    assert 1.0 < found[TraceKind.PREEMPTION] < 20.0
    assert found[TraceKind.AVAILABILITY] == pytest.approx(0.0)
