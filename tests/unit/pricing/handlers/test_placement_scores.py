"""Spot placement scores: asked for what is in use, and not at all for a day where that is forbidden."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta

import pytest

from services.pricing.domain.placement import MOST_TYPES, PlacementScore
from services.pricing.errors import SourceForbiddenError, SourceThrottledError
from services.pricing.handlers.refresh_placement_scores import refresh_placement_scores
from tests.builders import make_instance_type
from tests.fakes.clock import FakeClock
from tests.fakes.pricing import InMemoryPricing

pytestmark = pytest.mark.looptime

REGION = "us-east-1"


@dataclass
class FakeScores:
    """Answers 7 for one zone, or raises; notes what it was asked."""

    asked: list[Sequence[str]] = field(default_factory=list)
    error: Exception | None = None
    fails_from: int = 0

    async def scores(
        self, _region: str, *, instance_types: Sequence[str], target_vcpus: int
    ) -> Mapping[str, int]:
        assert target_vcpus == 64
        self.asked.append(instance_types)
        if self.error is not None and len(self.asked) > self.fails_from:
            raise self.error
        return {"use1-az1": 7}


class Stage:
    def __init__(self) -> None:
        self.clock, self.store, self.source = FakeClock(), InMemoryPricing(), FakeScores()
        self.store.sources.families = {REGION: ["c5", "m5", "gone"]}
        names = [f"m5.{n}xlarge" for n in range(30)] + ["c5.large"]
        self.store.offerings.types = {REGION: {name: make_instance_type(name) for name in names}}

    async def refresh(self) -> int:
        return await refresh_placement_scores(
            region=REGION,
            source=self.source,
            unit_of_work=self.store.unit_of_work,
            clock=self.clock,
            most_families=10,
            target_vcpus=64,
        )

    async def known(self) -> Mapping[tuple[str, str], PlacementScore]:
        return await self.store.sources.placement_scores(REGION, since=self.clock.now() - timedelta(days=9))


@pytest.fixture
async def stage() -> Stage:
    return Stage()


async def test_families_in_use_are_asked_about_and_kept(stage: Stage) -> None:
    assert await stage.refresh() == 2
    assert [names[0].partition(".")[0] for names in stage.source.asked] == ["c5", "m5"]
    assert len(stage.source.asked[1]) == MOST_TYPES
    known = await stage.known()
    assert {key: score.score for key, score in known.items()} == {
        ("c5", "use1-az1"): 7,
        ("m5", "use1-az1"): 7,
    }


async def test_what_is_forbidden_is_said_once_and_not_asked_again_for_a_day(
    stage: Stage, capsys: pytest.CaptureFixture[str]
) -> None:
    stage.source.error = SourceForbiddenError("UnauthorizedOperation")
    for _ in range(23):
        assert await stage.refresh() == 0
        await stage.clock.sleep(3600)
    assert len(stage.source.asked) == 1
    await stage.clock.sleep(3600)
    await stage.refresh()
    assert len(stage.source.asked) == 2
    assert capsys.readouterr().out.count("placement_scores_forbidden") == 1


async def test_a_failure_in_the_middle_keeps_what_was_learned(stage: Stage) -> None:
    stage.source.error, stage.source.fails_from = SourceThrottledError(), 1
    assert await stage.refresh() == 1
    assert (await stage.known()).keys() == {("c5", "use1-az1")}
