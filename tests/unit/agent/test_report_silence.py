"""One Event a silence."""

from datetime import timedelta

from agent.handlers.report_silence import Silence, report_silence
from tests.fakes.agent import START, FakeCluster, SkippingClock


async def test_a_long_silence_is_said_once_and_again_after_the_next() -> None:
    cluster, clock, silence = FakeCluster(), SkippingClock(), Silence(START)
    said = []
    for minutes, is_connected in ((5, False), (6, False), (5, False), (1, True), (9, False), (2, False)):
        clock.at += timedelta(minutes=minutes)
        await report_silence(
            silence,
            is_connected=is_connected,
            cluster=cluster,
            clock=clock,
            patience=timedelta(minutes=10),
        )
        said.append(len(cluster.notes))
    assert said == [0, 1, 1, 1, 1, 2]
    assert "since 2026-01-01T00:00:00" in cluster.notes[0]
