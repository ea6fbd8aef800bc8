"""The rules of retrying and reading, without a server."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.contracts.v1.executor import NodeInterrupted
from shared.kernel.errors import PermanentError, RetryableError, SpotError, UnavailableError
from shared.runtime import messaging
from shared.runtime.ids import UuidSeven
from shared.runtime.messaging import MalformedMessageError, decode, retry_delay
from tests.fakes.clock import EPOCH

SUBJECT = "executor.evt.v1.node_interrupted.c1"
ATTEMPTS = len(messaging.RETRY_DELAYS_SECONDS)


def body(**changes: object) -> bytes:
    own = str(UuidSeven().new())
    fields = {
        "id": own,
        "correlation_id": own,
        "occurred_at": EPOCH.isoformat(),
        "scope": "c1",
        "organization_id": "o1",
        "node_name": "n1",
        "instance_id": "i-1",
        "kind": "spot_interruption",
        "pool": None,
    }
    return json.dumps(fields | changes).encode()


@given(attempt=st.integers(1, 2000))
def test_a_permanent_failure_is_never_tried_again(attempt: int) -> None:
    assert retry_delay(attempt, PermanentError()) is None


@pytest.mark.parametrize("error", [RetryableError(), UnavailableError(), SpotError(), ValueError()])
def test_delays_grow_until_the_message_is_given_up(error: Exception) -> None:
    delays = [retry_delay(attempt, error) for attempt in range(1, ATTEMPTS + 2)]
    assert delays == [*sorted(messaging.RETRY_DELAYS_SECONDS), None]


@given(attempt=st.integers(1, ATTEMPTS), asked=st.floats(0, 10_000))
def test_who_asks_for_a_longer_wait_gets_it_but_never_a_shorter_one(attempt: int, asked: float) -> None:
    delay = retry_delay(attempt, RetryableError(retry_after_seconds=asked))
    assert delay == max(asked, messaging.RETRY_DELAYS_SECONDS[attempt - 1])


def test_a_message_is_read_and_unknown_fields_are_no_trouble() -> None:
    message = decode(NodeInterrupted, body(new_field=1), subject=SUBJECT)
    assert (message.scope, message.node_name) == ("c1", "n1")


@pytest.mark.parametrize(
    "broken",
    [
        pytest.param(b"", id="nothing"),
        pytest.param(b"\xff\xfe", id="no text"),
        pytest.param(b"[]", id="another shape"),
        pytest.param(body(kind="unheard_of"), id="an unknown member"),
        pytest.param(body(occurred_at="2026-01-01T00:00:00"), id="no time zone"),
        pytest.param(body(scope="c2"), id="another scope than the subject's"),
        pytest.param(body(scope="a.b"), id="no token"),
        pytest.param(b"[" * 100_000, id="deep"),
    ],
)
def test_what_does_not_fit_the_contract_is_malformed(broken: bytes) -> None:
    with pytest.raises(MalformedMessageError, match="node_interrupted"):
        decode(NodeInterrupted, broken, subject=SUBJECT)


def test_a_malformed_message_is_told_by_its_field() -> None:
    with pytest.raises(MalformedMessageError, match=r"occurred_at: Input should have timezone info$"):
        decode(NodeInterrupted, body(occurred_at="2026-01-01T00:00:00"), subject=SUBJECT)


@given(st.text(max_size=400))
def test_any_error_text_fits_into_a_header(text: str) -> None:
    line = messaging.one_line(text)
    assert len(line) <= 256
    assert line.isascii()
    assert line == "" or line.isprintable()
