"""Zones take pods that are left over only so far that none gets ahead of others."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from services.optimizer.domain.packing.aims import Aims
from services.optimizer.domain.packing.classes import UNLIMITED, PodClass
from services.optimizer.domain.packing.demand import Level
from tests.builders import make_pod

ZONES = ("a", "b", "c")
EVERYWHERE = np.ones(3, dtype=np.bool_)
LEVEL = Level(
    own=(0,),
    others=(1,),
    most_own=np.array([0, 3, 3]),
    most=np.array([11, 3, 3]),
    least=np.array([2, 2, 2]),
    family=((0, 1, 2), True),
    pile=0,
)
SPREAD, OTHERS = (
    PodClass(tuple(make_pod(f"{name}-{i}") for i in range(number)), may_use_spot=False)
    for name, number in (("spread", 4), ("other", 7))
)


def _aims() -> Aims:
    return Aims([LEVEL], [SPREAD, OTHERS], ZONES)


@given(st.lists(st.sampled_from(ZONES), max_size=7), st.lists(st.sampled_from(ZONES[1:]), max_size=4))
def test_whoever_goes_where_there_is_room_leaves_no_zone_behind(others: list[str], spread: list[str]) -> None:
    aims = _aims()
    held = dict.fromkeys(ZONES, 0)
    for kind, wanted in ((OTHERS, others), (SPREAD, spread)):
        left = list(kind.pods)
        for zone in [*wanted, *(ZONES * len(kind.pods))]:
            # kube-scheduler lets pods that are to be spread only where fewest are; others are anywhere.
            is_let = kind is OTHERS or held[zone] == min(held[z] for z in ZONES[1:])
            if left and is_let and aims.room(left[0], zone) > 0:
                aims.take(left.pop(), zone)
                held[zone] += 1
        assert not left
    assert all(2 <= held[zone] <= 3 for zone in ZONES[1:])


def test_others_go_to_zones_that_are_behind_before_they_go_to_theirs() -> None:
    aims = _aims()
    for pod in SPREAD.pods:
        aims.take(pod, "b" if aims.room(pod, "b") > 0 else "c")
    # Three are in b, one in c, which lacks one.
    assert aims.dealt(OTHERS, EVERYWHERE).tolist() == [6, 0, 1]
    assert aims.promise(OTHERS, np.array([6, 0, 1])).dealt(OTHERS, EVERYWHERE).tolist() == [0, 0, 0]


def test_no_more_are_dealt_than_zones_take() -> None:
    assert _aims().dealt(SPREAD, np.array([True, True, False])).tolist() == [0, 3, 0]


def test_pods_and_zones_that_no_level_is_about_are_free() -> None:
    assert _aims().room(make_pod("stranger"), "a") == UNLIMITED
    assert _aims().room(SPREAD.sample, None) == UNLIMITED
    assert not Aims()
