"""NATS, with what nats-py leaves open.

A connection whose lease ran out, or that was refused while reconnecting, closes for good and silently: here it is made
anew, and a new connection stands before the old one goes. A bus whose auth callout (the gateway) is away refuses
everybody, so a refusal proves nothing by itself.
"""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import timedelta

import structlog
from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.errors import Error as NatsError
from nats.errors import MaxPayloadError
from nats.js.errors import Error as JetStreamError

from agent.domain.buffering import Parcel
from agent.errors import BusUnavailableError
from shared.kernel.clock import Clock
from shared.kernel.errors import PermanentError

log = structlog.get_logger(__name__)

CONNECT_SECONDS = 5
PUBLISH_SECONDS = 3.0
FLUSH_SECONDS = 5
RETIRE_SECONDS = 5.0
"""Longer than any answer takes: it may only leave through the connection that brought the question."""
LOOK_EVERY_SECONDS = 1.0
"""nats-py does not always say that it closed."""
RECONNECT_EVERY_SECONDS = 2.0
RENEWAL_RETRY = timedelta(minutes=1)
LOG_EVERY_ATTEMPTS = 15


class BusMessage:
    """A message that came in, and the way back."""

    def __init__(self, client: Client, raw: Msg) -> None:
        self._client = client
        self._reply = raw.reply
        self.data = raw.data

    async def answer(self, body: bytes, headers: dict[str, str] | None = None) -> None:
        """Send the answer, if one is waited for; an asker that is gone asks again."""
        if not self._reply:
            return
        try:
            await self._client.publish(self._reply, body, headers=headers)
        except (NatsError, OSError) as error:
            log.warning("answer_lost", error=repr(error))


Answer = Callable[[BusMessage], Awaitable[None]]


class MessageTooLargeError(PermanentError):
    """The bus takes no message of this size."""


def inbox_prefix(cluster_id: str) -> bytes:
    """Give the prefix of the only inboxes that this cluster's credential may hear."""
    return f"_INBOX_{cluster_id}".encode()


class BusRefusedError(BusUnavailableError):
    """The bus refuses this token."""


async def connect_once(
    *, url: str, cluster_id: str, token: str, closed: Callable[[], Awaitable[None]] | None = None
) -> Client:
    """Connect, or say why not.

    Raises:
        BusRefusedError: the token was refused.
        BusUnavailableError: nobody is there.
    """
    client = Client()
    refused = asyncio.Event()

    async def note(error: Exception) -> None:
        text = str(error) or type(error).__name__
        if client.is_connected:
            log.warning("bus_error", error=text)
        elif "uthorization" in text or "uthentication" in text:
            refused.set()

    connecting = asyncio.create_task(
        client.connect(
            url.split(","),
            token=token or None,
            name=f"spot-agent-{cluster_id}",
            inbox_prefix=inbox_prefix(cluster_id),
            error_cb=note,
            closed_cb=closed,
            max_reconnect_attempts=-1,
            reconnect_time_wait=1,
            connect_timeout=CONNECT_SECONDS,
            ping_interval=20,
        )
    )
    refusal = asyncio.create_task(refused.wait())
    problem: Exception | None = None
    try:
        await asyncio.wait(
            {connecting, refusal}, timeout=CONNECT_SECONDS, return_when=asyncio.FIRST_COMPLETED
        )
        if connecting.done() and not refused.is_set():
            connecting.result()
            return client
    except (NatsError, OSError, TimeoutError) as error:
        problem = error
    finally:
        connecting.cancel()
        refusal.cancel()
        await asyncio.gather(connecting, refusal, return_exceptions=True)
    with contextlib.suppress(Exception):
        await client.close()
    if refused.is_set() or "uthorization" in str(problem):
        raise BusRefusedError(f"{url} refuses the token of cluster {cluster_id}") from problem
    raise BusUnavailableError(f"{url} does not answer") from problem


@dataclass(frozen=True, slots=True)
class _Link:
    """A connection, and whether it is closed for good."""

    client: Client
    closed: asyncio.Event

    async def is_closed_within(self, time: timedelta) -> bool:
        try:
            async with asyncio.timeout(time.total_seconds()):
                while not self.client.is_closed:
                    with contextlib.suppress(TimeoutError):
                        async with asyncio.timeout(LOOK_EVERY_SECONDS):
                            await self.closed.wait()
        except TimeoutError:
            return False
        return True


class Bus:
    """The agent's connection: publishes to streams, answers requests, and comes back whatever happens."""

    def __init__(
        self,
        *,
        url: str,
        cluster_id: str,
        token: str,
        clock: Clock,
        refresh: timedelta,
        report: Callable[[str, str | None], None],
    ) -> None:
        self._url = url
        self._cluster_id = cluster_id
        self._token = token
        self._clock = clock
        self._refresh = refresh
        self._report = report
        self._subscriptions: list[tuple[str, Answer]] = []
        self._client: Client | None = None
        self._answering: set[asyncio.Task[None]] = set()

    @property
    def is_connected(self) -> bool:
        """Whether the bus can be reached now."""
        return self._client is not None and self._client.is_connected

    def subscribe(self, subject: str, answer: Answer) -> None:
        """Hear this subject on every connection to come."""
        self._subscriptions.append((subject, answer))

    async def stay_connected(self) -> None:
        """Connect again whenever the connection is closed for good, and renew it before its lease ends."""
        link: _Link | None = None
        attempt = 0
        while True:
            try:
                new = await self._link()
            except (BusUnavailableError, NatsError) as error:
                if attempt % LOG_EVERY_ATTEMPTS == 0:
                    log.warning("bus_waits", error=str(error), is_connected=link is not None)
                attempt += 1
                if link is None:
                    self._report("bus", str(error))
                    await self._clock.sleep(RECONNECT_EVERY_SECONDS)
                    continue
                wait = RENEWAL_RETRY  # the old connection is still good
            else:
                old, link, attempt = link, new, 0
                self._client = link.client
                self._report("bus", None)
                log.info("bus_connected", url=self._url)
                if old is not None:
                    await self._retire(old)
                wait = self._refresh
            if await link.is_closed_within(wait):
                link, self._client = None, None
                log.warning("bus_connection_closed")
                self._report("bus", "the connection was closed")
                await self._clock.sleep(RECONNECT_EVERY_SECONDS)

    async def send(self, parcel: Parcel) -> None:
        """Publish to a stream; on return it is stored.

        Raises:
            MessageTooLargeError: the bus will never take it.
            BusUnavailableError: it is not certain that it is stored: send it again, its id makes that harmless.
        """
        client = self._client
        if client is None or not client.is_connected:
            raise BusUnavailableError("not connected")
        try:
            await client.jetstream().publish(
                parcel.subject,
                parcel.body,
                timeout=PUBLISH_SECONDS,
                headers={"Nats-Msg-Id": parcel.message_id},
            )
        except MaxPayloadError as error:
            raise MessageTooLargeError(f"{parcel.subject}: {len(parcel.body)} bytes") from error
        except (NatsError, JetStreamError, OSError, TimeoutError) as error:
            raise BusUnavailableError(f"{parcel.subject}: {error!r}") from error

    async def close(self) -> None:
        """Disconnect."""
        if self._client is not None:
            with contextlib.suppress(NatsError, OSError, TimeoutError):
                await self._client.close()

    def _concurrently(self, client: Client, answer: Answer) -> Callable[[Msg], Awaitable[None]]:
        """Answer each message in a task: nats-py hands the next one over only when the last is done."""

        async def take(raw: Msg) -> None:
            task = asyncio.create_task(_complete(answer(BusMessage(client, raw))))
            self._answering.add(task)
            task.add_done_callback(self._answering.discard)

        return take

    async def _link(self) -> "_Link":
        closed = asyncio.Event()

        async def on_closed() -> None:
            closed.set()

        client = await connect_once(
            url=self._url, cluster_id=self._cluster_id, token=self._token, closed=on_closed
        )
        for subject, answer in self._subscriptions:
            await client.subscribe(subject, cb=self._concurrently(client, answer))
        await client.flush(FLUSH_SECONDS)
        return _Link(client, closed)

    async def _retire(self, old: "_Link") -> None:
        """Close a connection once what was sent through it is answered; both hear commands for so long."""
        try:
            await self._clock.sleep(RETIRE_SECONDS)
        finally:
            with contextlib.suppress(NatsError, OSError, TimeoutError):
                await old.client.close()


async def _complete(answering: Awaitable[None]) -> None:
    await answering
