"""Intervals follow what was seen, and say nothing about what was not looked at."""

from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from services.reporting.domain import presence
from shared.kernel.workload import Owner, PodPhase
from tests.builders import make_pod

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)
MINUTE = timedelta(minutes=1)

KEYS = st.sampled_from("abcd")


@given(st.dictionaries(KEYS, st.integers()), st.dictionaries(KEYS, st.none() | st.integers()))
def test_after_the_changes_the_open_intervals_are_what_was_seen(
    held: dict[str, int], seen: dict[str, int | None]
) -> None:
    changed = presence.changes(held, seen)
    after = {key: facts for key, facts in held.items() if key not in changed.ended} | dict(changed.begun)
    expected = held | {key: facts for key, facts in seen.items() if facts is not None}
    assert after == {key: facts for key, facts in expected.items() if seen.get(key, 0) is not None}
    again = presence.changes(after, seen)
    assert (again.ended, again.begun) == ((), {})


def test_a_pod_takes_something_of_a_node_only_while_it_is_on_one() -> None:
    assert presence.pod_facts(make_pod()) is None
    assert presence.pod_facts(make_pod(node="n", phase=PodPhase.SUCCEEDED)) is None
    facts = presence.pod_facts(make_pod("solo", node="n", owner=None))
    assert facts is not None
    assert facts.owner == Owner("Pod", "solo")


def test_a_new_node_counts_since_it_was_made_and_not_since_before_we_looked() -> None:
    def begins(created_at: datetime | None, last_seen_at: datetime | None = NOON - MINUTE) -> datetime:
        return presence.begins_at(created_at, seen_at=NOON, last_seen_at=last_seen_at)

    assert begins(NOON - MINUTE / 2) == NOON - MINUTE / 2
    assert begins(NOON - MINUTE * 9) == NOON - MINUTE
    assert begins(NOON + MINUTE) == NOON
    assert begins(None) == NOON
    assert begins(NOON - MINUTE * 9, None) == NOON
