"""Dead letters: list, replay to the stream they came from, or drop."""

from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import datetime

from nats.js import JetStreamContext
from nats.js.errors import NotFoundError

from shared.runtime import payloads
from shared.runtime.messaging import ERROR_HEADER, one_line
from shared.runtime.streams import DLQ_STREAM


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """A message that a consumer gave up."""

    sequence: int
    """Its number in the DLQ stream."""
    subject: str
    """Where it was sent to at first."""
    consumer: str
    error: str
    attempts: int
    died_at: datetime | None
    body: bytes
    headers: dict[str, str]


async def listed(js: JetStreamContext) -> AsyncIterator[DeadLetter]:
    """Give every dead letter, oldest first."""
    state = (await js.stream_info(DLQ_STREAM)).state
    if state.messages == 0:
        return
    for sequence in range(state.first_seq, state.last_seq + 1):
        letter = await get(js, sequence)
        if letter is not None:
            yield letter


async def get(js: JetStreamContext, sequence: int) -> DeadLetter | None:
    """Return one dead letter; None when it was dropped or never was."""
    try:
        raw = await js.get_msg(DLQ_STREAM, seq=sequence)
    except NotFoundError:
        return None
    headers = raw.headers or {}
    return DeadLetter(
        sequence=sequence,
        subject=(raw.subject or "").removeprefix("dlq."),
        consumer=headers.get("Spot-Consumer", ""),
        error=headers.get(ERROR_HEADER, ""),
        attempts=int(headers.get("Spot-Attempts", "0")),
        died_at=getattr(raw, "time", None),
        body=raw.data or b"",
        headers=dict(headers),
    )


async def replay(js: JetStreamContext, letter: DeadLetter) -> None:
    """Send it again, then drop it here; consumers that handled it already see it in their inbox and do nothing."""
    kept = {k: v for k, v in letter.headers.items() if k in payloads.HEADERS}
    kept["Nats-Msg-Id"] = f"replay-{letter.sequence}"
    await js.publish(letter.subject, letter.body, headers=kept)
    await drop(js, letter.sequence)


async def bury(
    js: JetStreamContext, body: bytes, *, subject: str, consumer: str, error: str, key: str
) -> None:
    """Store what came from elsewhere than the bus and can never be handled; the same `key` twice is one letter."""
    await js.publish(
        f"dlq.{subject}",
        body,
        stream=DLQ_STREAM,
        headers={
            ERROR_HEADER: one_line(error),
            "Spot-Attempts": "1",
            "Spot-Consumer": consumer,
            "Nats-Msg-Id": f"{consumer}:{one_line(key)}",
        },
    )


async def drop(js: JetStreamContext, sequence: int) -> None:
    """Forget it for good."""
    await js.delete_msg(DLQ_STREAM, sequence)
