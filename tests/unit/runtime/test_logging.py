"""What is logged is one JSON object a line, and no secret is in it."""

import io
import json
import logging as standard
from collections.abc import Iterator

import pytest
import structlog

from shared.runtime import logging


@pytest.fixture
def written(monkeypatch: pytest.MonkeyPatch) -> Iterator[io.StringIO]:
    """Everything logged, at level info as JSON; afterwards logging is as it was."""
    root = standard.getLogger()
    handlers, level = root.handlers[:], root.level
    quiet = {name: standard.getLogger(name).level for name in logging.QUIET_LOGGERS}
    stream = io.StringIO()
    monkeypatch.setattr("sys.stderr", stream)
    logging.configure(service="trial")
    yield stream
    structlog.reset_defaults()
    structlog.contextvars.clear_contextvars()
    root.handlers[:] = handlers
    root.setLevel(level)
    for name, before in quiet.items():
        standard.getLogger(name).setLevel(before)


def lines(written: io.StringIO) -> list[dict[str, object]]:
    return [json.loads(line) for line in written.getvalue().splitlines()]


def test_secrets_are_blank_wherever_they_stand(written: io.StringIO) -> None:
    structlog.get_logger("t").info(
        "started",
        nats_password="p1",
        install_token="p2",
        AWS_SECRET_ACCESS_KEY="p3",
        headers={"Authorization": "Bearer p4", "nested": {"credential": "p5", "kept": 1}},
        port=80,
    )
    assert not any(f"p{n}" in written.getvalue() for n in range(1, 6))
    [line] = lines(written)
    assert (line["port"], line["nats_password"], line["service"]) == (80, "***", "trial")
    assert line["headers"] == {"Authorization": "***", "nested": {"credential": "***", "kept": 1}}


def test_foreign_loggers_speak_the_same_way(written: io.StringIO) -> None:
    standard.getLogger("asyncpg").warning("slow %s", "query")
    standard.getLogger("botocore").info("chatter")
    [line] = lines(written)
    assert (line["event"], line["level"], line["logger"]) == ("slow query", "warning", "asyncpg")


def test_an_exception_is_one_line(written: io.StringIO) -> None:
    try:
        raise ValueError("odd")
    except ValueError:
        structlog.get_logger("t").exception("failed")
    [line] = lines(written)
    assert "ValueError: odd" in str(line["exception"])


def test_what_is_below_the_level_is_not_written(written: io.StringIO) -> None:
    structlog.get_logger("t").debug("chatter")
    assert lines(written) == []
