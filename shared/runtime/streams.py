"""Streams, consumers and permissions, all made from the subject table.

`spotopt migrate` alone creates and updates them; services bind to what is there and refuse to start without it.
"""

import contextlib
from collections.abc import Sequence
from dataclasses import dataclass

from nats.aio.client import Client
from nats.errors import NoServersError
from nats.js import JetStreamContext
from nats.js.api import (
    AckPolicy,
    ConsumerConfig,
    DeliverPolicy,
    KeyValueConfig,
    ObjectStoreConfig,
    RetentionPolicy,
    StorageType,
    StreamConfig,
)
from nats.js.errors import BucketNotFoundError, NotFoundError

from shared.contracts.subjects import SUBJECTS, Subject
from shared.kernel.pool_flags import FLAG_LIFETIME

DLQ_STREAM = "DLQ"
SAFE_MODE_BUCKET = "SAFE_MODE"
PAYLOAD_BUCKET = "PAYLOADS"
FLAG_BUCKET = "POOL_FLAGS"
PRICE_TABLE_BUCKET = "PRICE_TABLES"

BUCKET_READERS = {FLAG_BUCKET: ("optimizer",), PRICE_TABLE_BUCKET: ("reporting",)}
"""Who reads what pricing keeps there; pricing alone writes."""

ACK_WAIT_SECONDS = 60
"""Longer than any handler works without saying that it is still at it."""

MAX_DELIVER = 1_000
"""Well above the retry schedule: messaging.py decides when a message is dead, not the server."""

STREAM_BYTES = 1024**3
"""Of each stream at most: the server reserves it, so that a flood in one cannot starve another."""

DEDUPLICATION_SECONDS = 120
DLQ_SECONDS = 30 * 86400
PAYLOAD_SECONDS = 7 * 86400
FLAG_SECONDS = FLAG_LIFETIME.total_seconds()


@dataclass(frozen=True, slots=True)
class Consumer:
    """A durable pull consumer of one service on one subject."""

    stream: str
    durable: str
    filter_subject: str


def durable_name(service: str, subject: Subject) -> str:
    """Give the durable's name: `<service>-<message name>`."""
    return f"{service}-{subject.name}"


def stream_configs() -> list[StreamConfig]:
    """Give every stream of the table, and the dead letters."""
    hours: dict[str, int] = {}
    for subject in SUBJECTS:
        if subject.stream is not None:
            hours[subject.stream] = max(hours.get(subject.stream, 0), subject.retention_hours)
    streams = [
        StreamConfig(
            name=name,
            subjects=[f"{name.partition('_')[0].lower()}.{name.partition('_')[2].lower()}.>"],
            retention=RetentionPolicy.LIMITS,
            storage=StorageType.FILE,
            max_age=kept * 3600,
            max_bytes=STREAM_BYTES,
            duplicate_window=DEDUPLICATION_SECONDS,
            allow_direct=True,
        )
        for name, kept in sorted(hours.items())
    ]
    dead = StreamConfig(
        name=DLQ_STREAM,
        subjects=["dlq.>"],
        storage=StorageType.FILE,
        max_age=DLQ_SECONDS,
        max_bytes=STREAM_BYTES,
        allow_direct=True,
    )
    return [*streams, dead]


def consumers() -> list[Consumer]:
    """Give every durable of the table."""
    return [
        Consumer(subject.stream, durable_name(service, subject), subject.pattern)
        for subject in SUBJECTS
        if subject.stream is not None
        for service in subject.consumers
    ]


async def ensure(js: JetStreamContext, *, replicas: int = 1) -> list[str]:
    """Create or update everything; return what was created."""
    made: list[str] = []
    for config in stream_configs():
        config.num_replicas = replicas
        try:
            await js.stream_info(config.name or "")
        except NotFoundError:
            await js.add_stream(config)
            made.append(f"stream {config.name}")
        else:
            await js.update_stream(config)
    for consumer in consumers():
        try:
            await js.consumer_info(consumer.stream, consumer.durable)
        except NotFoundError:
            await js.add_consumer(
                consumer.stream,
                ConsumerConfig(
                    durable_name=consumer.durable,
                    filter_subject=consumer.filter_subject,
                    ack_policy=AckPolicy.EXPLICIT,
                    ack_wait=ACK_WAIT_SECONDS,
                    max_deliver=MAX_DELIVER,
                    deliver_policy=DeliverPolicy.ALL,
                    max_ack_pending=64,
                ),
            )
            made.append(f"consumer {consumer.durable}")
    for key_value in (
        KeyValueConfig(bucket=SAFE_MODE_BUCKET, history=16, replicas=replicas),
        KeyValueConfig(bucket=FLAG_BUCKET, history=1, ttl=FLAG_SECONDS, replicas=replicas),
    ):
        try:
            await js.key_value(key_value.bucket)
        except BucketNotFoundError:
            await js.create_key_value(key_value)
            made.append(f"bucket {key_value.bucket}")
    for bucket, seconds in ((PAYLOAD_BUCKET, PAYLOAD_SECONDS), (PRICE_TABLE_BUCKET, None)):
        try:
            await js.object_store(bucket)
        except (BucketNotFoundError, NotFoundError):
            await js.create_object_store(bucket, config=ObjectStoreConfig(ttl=seconds, replicas=replicas))
            made.append(f"bucket {bucket}")
    return made


async def missing(js: JetStreamContext, *, service: str) -> list[str]:
    """Name the consumers and buckets of a service that do not exist."""
    wanted = [c for c in consumers() if c.durable.partition("-")[0] == service]
    absent: list[str] = []
    for consumer in wanted:
        try:
            await js.consumer_info(consumer.stream, consumer.durable)
        except NotFoundError:
            absent.append(consumer.durable)
    for bucket, kind in ((FLAG_BUCKET, "KV"), (PRICE_TABLE_BUCKET, "OBJ")):
        if service in ("pricing", *BUCKET_READERS[bucket]):
            try:
                await js.stream_info(f"{kind}_{bucket}")
            except NotFoundError:
                absent.append(f"bucket {bucket}")
    return absent


@dataclass(frozen=True, slots=True)
class Permissions:
    """What a user of the bus may do."""

    publish: Sequence[str]
    subscribe: Sequence[str]
    may_respond: bool = False
    """Whether it may publish once to the inbox of whoever sent it a message, whatever that inbox is called."""


def service_permissions(service: str) -> Permissions:
    """Give a service its own subjects, its own durables, and what it may ask; nothing else."""
    publish = {
        "_INBOX.>",  # answers to whom it serves; an asker's inbox is a secret of its own
        "dlq.>",
        "$JS.API.INFO",
        "$JS.API.STREAM.NAMES",  # the client asks for it whenever it reads from an object store
        f"$JS.API.STREAM.INFO.KV_{SAFE_MODE_BUCKET}",
        f"$JS.API.DIRECT.GET.KV_{SAFE_MODE_BUCKET}.>",
        f"$JS.API.STREAM.MSG.GET.KV_{SAFE_MODE_BUCKET}",
        f"$JS.API.*.*.OBJ_{PAYLOAD_BUCKET}",
        f"$JS.API.*.*.OBJ_{PAYLOAD_BUCKET}.>",
        f"$JS.API.DIRECT.GET.OBJ_{PAYLOAD_BUCKET}.>",
        f"$JS.API.CONSUMER.*.OBJ_{PAYLOAD_BUCKET}.>",
        f"$JS.API.STREAM.MSG.GET.OBJ_{PAYLOAD_BUCKET}",
        f"$O.{PAYLOAD_BUCKET}.>",
        f"$JS.ACK.OBJ_{PAYLOAD_BUCKET}.>",
        f"$JS.FC.OBJ_{PAYLOAD_BUCKET}.>",
    }
    publish |= _bucket_permissions(service)
    subscribe = {"_INBOX.>"}
    for subject in SUBJECTS:
        sends = subject.owner == service if subject.stream and ".evt." in subject.pattern else False
        if subject.stream and ".cmd." in subject.pattern:
            sends = service == "gateway"
        if sends:
            publish.add(subject.pattern)
        if subject.stream is not None and service in subject.consumers:
            durable = durable_name(service, subject)
            publish |= {
                f"$JS.API.CONSUMER.INFO.{subject.stream}.{durable}",
                f"$JS.API.CONSUMER.MSG.NEXT.{subject.stream}.{durable}",
                f"$JS.ACK.{subject.stream}.{durable}.>",
            }
        if subject.stream is None and subject.reply is not None:
            if service in subject.consumers:
                publish.add(subject.pattern)
            if subject.owner == service:
                subscribe.add(subject.pattern)
        if subject.stream is None and subject.reply is None and service in RESYNC_ASKERS:
            publish.add(subject.pattern)
    if service == "gateway":
        subscribe.add("$SYS.REQ.USER.AUTH")
        publish.add(f"$KV.{SAFE_MODE_BUCKET}.>")
    # Agents' inboxes and the server's own, where the auth callout is answered, have names no pattern covers.
    return Permissions(sorted(publish), sorted(subscribe), may_respond=service == "gateway")


def _bucket_permissions(service: str) -> set[str]:
    """Give what reading, and for pricing writing, the buckets of flags and price tables takes."""
    allowed: set[str] = set()
    for stream, bucket in (
        (f"KV_{FLAG_BUCKET}", FLAG_BUCKET),
        (f"OBJ_{PRICE_TABLE_BUCKET}", PRICE_TABLE_BUCKET),
    ):
        if service in ("pricing", *BUCKET_READERS[bucket]):
            allowed |= {
                f"$JS.API.STREAM.INFO.{stream}",
                f"$JS.API.STREAM.MSG.GET.{stream}",
                f"$JS.API.DIRECT.GET.{stream}.>",
                f"$JS.API.CONSUMER.*.{stream}",
                f"$JS.API.CONSUMER.*.{stream}.>",
                f"$JS.FC.{stream}.>",
            }
    if service == "pricing":
        allowed |= {
            f"$KV.{FLAG_BUCKET}.>",
            f"$O.{PRICE_TABLE_BUCKET}.>",
            f"$JS.API.STREAM.PURGE.OBJ_{PRICE_TABLE_BUCKET}",  # the chunks of the table before
        }
    return allowed


RESYNC_ASKERS = frozenset({"optimizer", "executor", "reporting"})
"""Who keeps a copy of clusters, and so may ask agents for a snapshot."""


def agent_permissions(cluster_id: str) -> Permissions:
    """Give an enrolled agent its own cluster's subjects and its own inbox."""
    events = [s.for_scope(cluster_id) for s in SUBJECTS if s.owner == "agent" and s.stream is not None]
    orders = [s.for_scope(cluster_id) for s in SUBJECTS if s.owner == "agent" and s.stream is None]
    return Permissions(events, [*orders, f"_INBOX_{cluster_id}.>"])


def enrolment_permissions(cluster_id: str) -> Permissions:
    """Give an agent that holds an install token the one request it may make."""
    asks = [s.for_scope(cluster_id) for s in SUBJECTS if "agent" in s.consumers and s.owner == "gateway"]
    return Permissions(asks, [f"_INBOX_{cluster_id}.>"])


async def connect(url: str, *, user: str, password: str, name: str) -> Client:
    """Connect a tool (migrate, doctor, dlq) that ends by itself; it does not wait for a server that is down.

    Raises:
        OSError, nats.errors.Error: nobody answers, or the password is wrong.
    """
    client = Client()
    troubles: list[Exception] = []

    async def note(error: Exception) -> None:  # the client's own prints a traceback for each
        troubles.append(error)

    try:
        await client.connect(
            url.split(","),
            user=user,
            password=password,
            name=name,
            allow_reconnect=False,
            max_reconnect_attempts=1,  # the default tries a server that is down for two minutes
            reconnect_time_wait=0,
            connect_timeout=3,
            error_cb=note,
        )
    except NoServersError as error:
        await client.close()
        raise (troubles[-1] if troubles else error) from error
    except BaseException:
        with contextlib.suppress(AssertionError):  # what is no URL was never tried
            await client.close()  # a server that refuses us leaves its socket open
        raise
    return client
