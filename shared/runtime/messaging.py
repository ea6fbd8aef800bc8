"""NATS through FastStream, with every failure decided in one place.

FastStream's own default terminates a message whose handler raised: it is lost. Here acknowledging is ours:

- handled: committed, then acknowledged;
- a server we depend on is down: no message's fault; this consumer waits and tries again, and counts no attempt;
- retryable or unexpected: given back with a delay that grows; when the schedule is used up, dead;
- permanent or malformed: dead at once. A dead letter is stored in the DLQ stream before the original is terminated;
- more than 20 dead letters a minute stop the consumer: then it is us, not the messages. Of agents' messages one
  cluster's count once: a tenant who sends rubbish must not stop what everybody needs.
"""

import asyncio
import json
import os
from collections import deque
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

import structlog
from faststream import AckPolicy
from faststream.nats import JStream, NatsBroker, NatsMessage, PullSub
from faststream.nats.response import NatsResponse
from faststream.security import SASLPlaintext
from nats.aio.msg import Msg
from nats.errors import Error as NatsError
from nats.errors import NoRespondersError
from nats.js import JetStreamContext
from prometheus_client import Counter, Histogram
from pydantic import ValidationError

from shared.contracts.base import Message, Reply, Request
from shared.contracts.subjects import subject_of
from shared.kernel.clock import Clock
from shared.kernel.errors import PermanentError, RetryableError, UnavailableError
from shared.runtime import payloads, streams
from shared.runtime.health import Health
from shared.runtime.postgres import Database, Transaction

log = structlog.get_logger(__name__)

M = TypeVar("M", bound=Message)
R = TypeVar("R", bound=Reply)
Q = TypeVar("Q", bound=Request)

RETRY_DELAYS_SECONDS = (1.0, 5.0, 30.0, 120.0, 600.0)
"""Delay before each redelivery. Their number bounds the attempts; then the message is dead."""

UNAVAILABLE_PAUSES_SECONDS = (0.5, 1.0, 2.0, 5.0, 10.0)
"""How long a consumer waits while a server is down; the last one is repeated."""

DEAD_LETTERS_A_MINUTE = 20
PULL_TIMEOUT_SECONDS = 1.0
ERROR_HEADER = "Spot-Error"

handled = Counter("spot_messages_handled_total", "Messages by what became of them", ["subject", "outcome"])
handling_seconds = Histogram("spot_message_handling_seconds", "Time a message took", ["subject"])


class MalformedMessageError(PermanentError):
    """The body does not fit the contract."""


class ServerUnavailableError(UnavailableError):
    """Nobody serves this request now."""


class RefusedRequestError(PermanentError):
    """The server says that this request can never succeed."""


def retry_delay(attempt: int, error: Exception) -> float | None:
    """Seconds to wait after failed `attempt` (the first is 1), or None to give up."""
    if isinstance(error, PermanentError) or attempt > len(RETRY_DELAYS_SECONDS):
        return None
    asked = error.retry_after_seconds if isinstance(error, RetryableError) else None
    return max(RETRY_DELAYS_SECONDS[attempt - 1], asked or 0.0)


def decode(message_class: type[M], body: bytes, *, subject: str) -> M:
    """Read a message.

    Raises:
        MalformedMessageError: it does not fit the contract, or names another scope than its subject.
    """
    try:
        message = message_class.model_validate_json(body)
    except ValidationError as error:
        first, others = error.errors()[0], error.error_count() - 1
        where = ".".join(map(str, first["loc"])) or "the body"
        more = f" ({others} more)" if others else ""
        raise MalformedMessageError(f"{subject}: {where}: {first['msg']}{more}") from error
    if message.scope != subject.rsplit(".", 1)[1]:
        raise MalformedMessageError(f"{subject}: the body is about {message.scope}")
    return message


class Bus:
    """One process's connection; subscribers all follow this module's failure rules."""

    def __init__(
        self,
        *,
        service: str,
        url: str,
        user: str,
        password: str,
        clock: Clock,
        health: Health,
        database: Database | None,
    ) -> None:
        self._service = service
        self._clock = clock
        self._health = health
        self._database = database
        self._closing = asyncio.Event()
        self.broker = NatsBroker(
            url.split(","),
            security=SASLPlaintext(username=user, password=password),
            name=f"spot-{service}",
            max_reconnect_attempts=-1,
            reconnect_time_wait=1,
            ping_interval=20,
            closed_cb=self._closed,
            ack_policy=AckPolicy.MANUAL,
            graceful_timeout=20,
            logger=None,
        )

    @property
    def js(self) -> JetStreamContext:
        """JetStream on this connection."""
        context: JetStreamContext = self.broker.config.connection_state.connection.jetstream(timeout=5)
        return context

    def consume(
        self,
        message_class: type[M],
        handler: Callable[[M, Transaction], Awaitable[None]],
        *,
        at_once: int = 1,
    ) -> None:
        """Handle a message of a stream: inbox row, state and outbox rows in the transaction that is passed on.

        Messages are handled one after the other, in their order, unless `at_once` lets some be handled side by side.
        """
        subject = subject_of(message_class)
        durable = streams.durable_name(self._service, subject)
        if subject.stream is None or self._service not in subject.consumers:
            raise ValueError(f"the subject table does not let {self._service} consume {message_class.type}")
        if self._database is None:
            raise ValueError("only a service with a database consumes")
        database = self._database
        recent_deaths: deque[tuple[float, str]] = deque(maxlen=DEAD_LETTERS_A_MINUTE + 1)

        async def handle_once(raw: Msg) -> None:
            try:
                body = await payloads.unpack(raw.data, raw.headers or {}, js=self.js)
            except ValueError as error:
                raise MalformedMessageError(str(error)) from error
            message = decode(message_class, body, subject=raw.subject)
            structlog.contextvars.bind_contextvars(
                correlation_id=str(message.correlation_id), message_id=str(message.id), scope=message.scope
            )
            async with database.transaction() as transaction:
                if await transaction.is_first(durable, message):
                    await handler(message, transaction)

        async def deliver(message: NatsMessage) -> None:
            raw = message.raw_message
            assert isinstance(raw, Msg)
            with handling_seconds.labels(message_class.type).time():
                try:
                    await self._until_available(handle_once, raw, durable)
                except Exception as error:
                    await self._decide(error, raw, durable, recent_deaths)
                else:
                    await raw.ack()
                    handled.labels(message_class.type, "handled").inc()
                finally:
                    structlog.contextvars.unbind_contextvars("correlation_id", "message_id", "scope")

        self.broker.subscriber(
            subject.pattern,
            stream=JStream(subject.stream, declare=False),
            durable=durable,
            # One at a time also for many: a larger pull waits for its last message before it gives its first.
            pull_sub=PullSub(batch_size=1, timeout=PULL_TIMEOUT_SECONDS),
            max_workers=at_once,
            ack_policy=AckPolicy.MANUAL,
            decoder=_undecoded,
        )(deliver)

    def serve(self, request_class: type[Q], handler: Callable[[Q], Awaitable[Reply]]) -> None:
        """Answer requests; replicas share them."""
        subject = subject_of(request_class)

        async def answer(message: NatsMessage) -> NatsResponse:
            raw = message.raw_message
            assert isinstance(raw, Msg)
            try:
                request = decode(request_class, raw.data, subject=raw.subject)
                structlog.contextvars.bind_contextvars(
                    correlation_id=str(request.correlation_id), scope=request.scope
                )
                reply = await handler(request)
                body, headers = await payloads.pack(
                    reply.model_dump_json().encode(), name=f"{request.id}", js=self.js
                )
            except Exception as error:
                log.warning("request_failed", subject=raw.subject, error=repr(error), exc_info=True)
                handled.labels(request_class.type, "failed").inc()
                is_permanent = isinstance(error, PermanentError)
                body = json.dumps({"message": str(error), "permanent": is_permanent}).encode()
                headers = {ERROR_HEADER: type(error).__name__}
            else:
                handled.labels(request_class.type, "answered").inc()
            return NatsResponse(body, headers=headers)

        self.broker.subscriber(
            subject.pattern,
            queue=self._service,
            max_workers=8,
            decoder=_undecoded,
            ack_policy=AckPolicy.MANUAL,
        )(answer)

    async def ask(self, request: Request, reply_class: type[R], *, timeout_seconds: float = 10.0) -> R:
        """Ask whoever serves it.

        Raises:
            ServerUnavailableError: nobody answered in time; ask again.
            RefusedRequestError: it can never succeed.
        """
        subject = subject_of(request).for_scope(request.scope)
        connection = self.broker.config.connection_state.connection
        try:
            raw = await connection.request(
                subject, request.model_dump_json().encode(), timeout=timeout_seconds
            )
        except (NoRespondersError, TimeoutError, NatsError) as error:
            raise ServerUnavailableError(f"{subject}: {type(error).__name__}") from error
        headers = raw.headers or {}
        if ERROR_HEADER in headers:
            problem = json.loads(raw.data)
            text = f"{subject}: {headers[ERROR_HEADER]}: {problem['message']}"
            raise RefusedRequestError(text) if problem["permanent"] else ServerUnavailableError(text)
        try:
            body = await payloads.unpack(raw.data, headers, js=self.js)
            return reply_class.model_validate_json(body)
        except (NatsError, OSError) as error:
            raise ServerUnavailableError(f"{subject}: fetching the answer: {error!r}") from error
        except ValueError as error:
            raise RefusedRequestError(f"{subject}: the answer is malformed: {error}") from error

    async def tell(self, message: Message) -> None:
        """Send a message that no stream keeps; nobody may be there to hear it."""
        subject = subject_of(message)
        if subject.stream is not None:
            raise ValueError(f"{message.type} belongs into an outbox")
        connection = self.broker.config.connection_state.connection
        await connection.publish(subject.for_scope(message.scope), message.model_dump_json().encode())

    async def ping(self) -> None:
        """Whether the bus answers.

        Raises:
            ServerUnavailableError: it does not.
        """
        connection = self.broker.config.connection_state.connection
        if not connection.is_connected:
            raise ServerUnavailableError("not connected to NATS")

    async def stop(self) -> None:
        """Let handlers finish, then disconnect."""
        self._closing.set()
        await self.broker.stop()

    async def _closed(self) -> None:
        # FastStream's pull loop spins on a closed connection; a supervisor starts us anew.
        if not self._closing.is_set():
            log.critical("bus_connection_closed")
            os._exit(70)

    async def _pause(self, seconds: float) -> None:
        """Wait, but not while the process waits for us to end."""
        waits = {
            asyncio.ensure_future(self._clock.sleep(seconds)),
            asyncio.ensure_future(self._closing.wait()),
        }
        try:
            await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for wait in waits:
                wait.cancel()

    async def _until_available(
        self, handle: Callable[[Msg], Awaitable[None]], raw: Msg, durable: str
    ) -> None:
        """Call until nobody is away; while waiting nothing else is pulled, and the server knows we are at it."""
        pause = 0
        while True:
            try:
                await handle(raw)
            except UnavailableError as error:
                seconds = UNAVAILABLE_PAUSES_SECONDS[min(pause, len(UNAVAILABLE_PAUSES_SECONDS) - 1)]
                pause += 1
                self._health.trouble(durable, f"waiting: {error}")
                log.warning("consumer_waits", consumer=durable, error=str(error), seconds=seconds)
                if self._closing.is_set():
                    raise
                await self._pause(seconds)
                await raw.in_progress()
            else:
                if pause:
                    self._health.trouble(durable, None)
                    log.info("consumer_resumed", consumer=durable)
                return

    async def _decide(
        self, error: Exception, raw: Msg, durable: str, recent_deaths: deque[tuple[float, str]]
    ) -> None:
        attempt = raw.metadata.num_delivered
        delay = retry_delay(attempt, error)
        if isinstance(error, UnavailableError):
            delay = UNAVAILABLE_PAUSES_SECONDS[0]  # closing down while a server is away: it is nobody's fault
        if delay is not None:
            log.warning(
                "message_retried", subject=raw.subject, attempt=attempt, delay_seconds=delay, exc_info=error
            )
            await raw.nak(delay=delay)
            handled.labels(raw.subject.rsplit(".", 1)[0], "retried").inc()
            return
        log.error("message_dead", subject=raw.subject, attempt=attempt, exc_info=error)
        try:
            await self._bury(error, raw, durable)
        except (NatsError, OSError) as trouble:
            # Not stored, so not terminated: it comes again, and is buried then.
            log.error("dead_letter_kept", subject=raw.subject, error=repr(trouble))
            await raw.nak(delay=UNAVAILABLE_PAUSES_SECONDS[-1])
            return
        await raw.term()
        handled.labels(raw.subject.rsplit(".", 1)[0], "dead").inc()
        seconds = self._clock.now().timestamp()
        if raw.subject.startswith("agent.") and any(
            subject == raw.subject and seconds - at < 60 for at, subject in recent_deaths
        ):
            return
        recent_deaths.append((seconds, raw.subject))
        if len(recent_deaths) > DEAD_LETTERS_A_MINUTE and seconds - recent_deaths[0][0] < 60:
            self._health.trouble(
                durable, "stopped: more than 20 dead letters in a minute; see spotopt dlq list"
            )
            log.critical("consumer_stopped", consumer=durable)
            await self._closing.wait()

    async def _bury(self, error: Exception, raw: Msg, durable: str) -> None:
        """Store a dead letter; when this returns, it is stored."""
        await self.js.publish(
            f"dlq.{raw.subject}",
            raw.data,
            stream=streams.DLQ_STREAM,
            headers={
                **{k: v for k, v in (raw.headers or {}).items() if k in payloads.HEADERS},
                ERROR_HEADER: one_line(f"{type(error).__name__}: {error}"),
                "Spot-Attempts": str(raw.metadata.num_delivered),
                "Spot-Consumer": durable,
                "Nats-Msg-Id": f"{durable}:{raw.metadata.stream}:{raw.metadata.sequence.stream}",
            },
        )


def one_line(text: str) -> str:
    """Make a text fit into a header: what a stranger put into it cannot start another one."""
    return "".join(c if c.isprintable() and c.isascii() else " " for c in text[:256]).strip()


async def _undecoded(message: Any) -> Any:
    """Leave the body to the contract's own decoder."""
    return message.body
