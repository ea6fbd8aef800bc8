"""AWS's bulk offer file: where the Price List API may not be asked, or does not answer."""

import asyncio
import re
import tempfile
from dataclasses import replace
from pathlib import Path
from urllib.parse import urlsplit

import aiohttp

from services.pricing.adapters import price_file
from services.pricing.domain.price_list import OnDemandPrices, Origin
from services.pricing.errors import PriceFileError, SourceUnavailableError

LARGEST_FILE_BYTES = 4 * 1024**3
"""us-east-1's CSV has about 300 MB, its JSON 400 MB."""
AWS_HOST = re.compile(r"pricing\.[a-z]{2}(-[a-z]+)+-[0-9]\.amazonaws\.com(\.cn)?")
"""Of the price lists alone: anybody may keep a copy in a bucket, whose name ends in amazonaws.com as well."""
CHUNK_BYTES = 256 * 1024
TIMEOUT = aiohttp.ClientTimeout(total=1800, sock_connect=10, sock_read=60)


class BulkPriceFile:
    """Downloaded to disk, then read as a stream in a thread: neither fills memory nor holds up the loop."""

    def __init__(self, url: str) -> None:
        """Take the file's address, with {region} in it."""
        self._url = url

    async def on_demand_prices(self, region: str) -> OnDemandPrices:
        """See ports.OnDemandPriceSource.

        AWS's own file is the one in force, so it is as new as the asking; a mirror's is as old as it says itself.

        Raises:
            SourceUnavailableError: no answer, one that breaks off, or none of a size to believe.
            PriceFileError: it is no offer file of the region, or a mirror's that does not say of when it is.
        """
        with tempfile.TemporaryDirectory(prefix="spot-prices-") as folder:
            path = Path(folder) / f"{region}.offers"
            await self._download(self._url.format(region=region), path)
            found = await asyncio.to_thread(
                price_file.read_price_file, path, region=region, origin=Origin.BULK_FILE
            )
        if is_awss_own(self._url):
            return replace(found, published_at=None)
        if found.published_at is None:
            raise PriceFileError(f"{self._url}: a mirror's file without a publication date may be of any age")
        return found

    async def _download(self, url: str, path: Path) -> None:
        try:
            async with (
                aiohttp.ClientSession(timeout=TIMEOUT, trust_env=True) as http,
                http.get(url) as answer,
            ):
                answer.raise_for_status()
                got = 0
                with path.open("wb") as file:
                    async for part in answer.content.iter_chunked(CHUNK_BYTES):
                        got += len(part)
                        if got > LARGEST_FILE_BYTES:
                            raise SourceUnavailableError(f"reading the bulk price file: {url} does not end")
                        file.write(part)
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            raise SourceUnavailableError(f"reading the bulk price file: {url}: {error!r}") from error


def is_awss_own(url: str) -> bool:
    """Say whether AWS itself answers there, which gives the prices in force."""
    return AWS_HOST.fullmatch(urlsplit(url).hostname or "") is not None
