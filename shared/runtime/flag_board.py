"""Flags on pools, seen by every process within moments: a bucket that forgets each after half an hour.

Pricing writes what its own events say; whoever plans follows. A follower keeps the flags in memory and reads
all of them anew every few seconds, so that a watch that died unnoticed is of no consequence.
"""

import asyncio
from collections.abc import Sequence

import structlog
from nats.errors import Error as NatsError
from nats.js.errors import KeyNotFoundError, KeyWrongLastSequenceError
from nats.js.kv import KeyValue

from shared.contracts.v1.pricing import LiveFlag
from shared.kernel.clock import Clock
from shared.kernel.errors import RetryableError, UnavailableError
from shared.kernel.pool_flags import PoolFlag
from shared.kernel.pools import PoolKey
from shared.runtime.safe_mode import JetStreamSource
from shared.runtime.streams import FLAG_BUCKET

log = structlog.get_logger(__name__)

READ_ANEW_SECONDS = 15.0
UNUSED_SECONDS = 30.0
"""After that the server forgets a watch that nobody reads from."""

PAUSE_SECONDS = 1.0


class FlagConflictError(RetryableError):
    """Somebody else wrote the pool's flag at the same moment."""


class BoardUnavailableError(UnavailableError):
    """The bucket of flags does not answer."""


class FlagBoard:
    """See the module."""

    def __init__(self, bus: JetStreamSource, *, clock: Clock) -> None:
        self._bus = bus
        self._clock = clock
        self._held: dict[PoolKey, PoolFlag] = {}
        self._bucket: KeyValue | None = None
        """Bound once: binding asks the server, and a flag must not wait."""

    async def put(self, flag: LiveFlag) -> None:
        """Write a flag, unless a younger one is there already.

        Raises:
            FlagConflictError: try again.
            BoardUnavailableError: the bus is away.
        """
        key = key_of(flag.pool)
        value = flag.model_dump_json().encode()
        try:
            if self._bucket is None:
                self._bucket = await self._bus.js.key_value(FLAG_BUCKET)
            bucket = self._bucket
            try:
                await bucket.create(key, value)
                return  # nearly always: a flag that faded is gone from the bucket
            except KeyWrongLastSequenceError:
                entry = await bucket.get(key)
            if LiveFlag.model_validate_json(entry.value or b"").raised_at < flag.raised_at:
                await bucket.update(key, value, last=entry.revision)
        except (KeyWrongLastSequenceError, KeyNotFoundError) as error:
            raise FlagConflictError from error
        except (NatsError, OSError) as error:
            raise BoardUnavailableError(f"writing a flag: {error!r}") from error

    async def follow(self) -> None:
        """Keep up with the bucket for ever; while the bus is away what is known stays, and fades."""
        while True:
            try:
                bucket = await self._bus.js.key_value(FLAG_BUCKET)
                watcher = await bucket.watchall(ignore_deletes=True, inactive_threshold=UNUSED_SECONDS)
                try:
                    async with asyncio.timeout(READ_ANEW_SECONDS):
                        async for entry in watcher:
                            self._keep(entry)
                except TimeoutError:
                    pass
                finally:
                    await watcher.stop()  # type: ignore[no-untyped-call]
            except (NatsError, OSError) as error:
                log.warning("flags_not_followed", error=repr(error))
                await self._clock.sleep(PAUSE_SECONDS)

    def live(self, region: str) -> Sequence[PoolFlag]:
        """Give the flags of a region that have not faded, by pool."""
        now = self._clock.now()
        self._held = {pool: flag for pool, flag in self._held.items() if flag.expires_at > now}
        return sorted((f for f in self._held.values() if f.pool.region == region), key=_within_region)

    def _keep(self, entry: KeyValue.Entry | None) -> None:
        if entry is None or entry.value is None:
            return
        try:
            flag = LiveFlag.model_validate_json(entry.value)
        except ValueError:
            log.warning("flag_unreadable", key=entry.key)
            return
        self._held[flag.pool] = PoolFlag(flag.pool, flag.reason.value, flag.raised_at, flag.expires_at)


def _within_region(flag: PoolFlag) -> tuple[str, str, str]:
    """Sort as pools do, which compare more slowly than tuples."""
    return flag.pool.instance_type, flag.pool.zone_id, flag.pool.capacity_type


def key_of(pool: PoolKey) -> str:
    """Give the bucket's key of a pool."""
    return f"{pool.region}.{pool.zone_id}.{pool.capacity_type}.{pool.instance_type}"
