"""Tables of prices in the object store: one read brings a listener up to date."""

import asyncio

import zstandard
from nats.errors import Error as NatsError
from nats.js.errors import NotFoundError

from shared.contracts.v1.price_table import PriceTable
from shared.kernel.errors import UnavailableError
from shared.runtime import payloads
from shared.runtime.safe_mode import JetStreamSource
from shared.runtime.streams import PRICE_TABLE_BUCKET

READ_ATTEMPTS = 3
"""A table that is replaced while it is read is read again."""


class TablesUnavailableError(UnavailableError):
    """The tables of prices cannot be read or written now."""


class ObjectPriceTables:
    """One object a region, compressed."""

    def __init__(self, bus: JetStreamSource) -> None:
        self._bus = bus

    async def put(self, table: PriceTable) -> None:
        """Replace a region's table.

        Raises:
            TablesUnavailableError: it is not stored.
        """
        body = await asyncio.to_thread(_packed, table)
        try:
            store = await self._bus.js.object_store(PRICE_TABLE_BUCKET)
            await store.put(table.region, body)
        except (NatsError, OSError) as error:
            raise TablesUnavailableError(f"writing the table of {table.region}: {error!r}") from error

    async def get(self, region: str) -> PriceTable | None:
        """Read a region's table; None when there is none yet.

        Raises:
            TablesUnavailableError: it cannot be read now.
        """
        trouble: Exception | None = None
        for _ in range(READ_ATTEMPTS):
            try:
                store = await self._bus.js.object_store(PRICE_TABLE_BUCKET)
                body = (await store.get(region)).data or b""
                return await asyncio.to_thread(_unpacked, body)
            except NotFoundError:
                return None
            except (NatsError, OSError, ValueError) as error:
                trouble = error
        raise TablesUnavailableError(f"reading the table of {region}: {trouble!r}") from trouble


def _packed(table: PriceTable) -> bytes:
    return zstandard.ZstdCompressor(level=3).compress(table.model_dump_json().encode())


def _unpacked(body: bytes) -> PriceTable:
    return PriceTable.model_validate_json(payloads.inflate(body, at_most=payloads.LARGEST_BODY_BYTES))
