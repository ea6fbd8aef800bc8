"""Spot Advisor's data file, the one behind AWS's web page."""

import json
from collections.abc import Mapping
from datetime import datetime
from email.utils import parsedate_to_datetime

import aiohttp

from services.pricing.domain.interruption_risk import AdvisorBand, AdvisorReading
from services.pricing.errors import SourceUnavailableError

LARGEST_FILE_BYTES = 32 * 1024**2
CHUNK_BYTES = 64 * 1024
TIMEOUT = aiohttp.ClientTimeout(total=60)


class SpotAdvisorFile:
    """Fetched whole: about 1 MB."""

    def __init__(self, url: str) -> None:
        self._url = url

    async def ratings(self) -> AdvisorReading:
        """See ports.AdvisorSource; a band that is none of the five is left out.

        Raises:
            SourceUnavailableError: no answer, or none that is Spot Advisor's file.
        """
        try:
            async with (
                aiohttp.ClientSession(timeout=TIMEOUT, trust_env=True) as http,
                http.get(self._url) as answer,
            ):
                answer.raise_for_status()
                published_at = _instant(answer.headers.get("Last-Modified", ""))
                body = bytearray()
                async for part in answer.content.iter_chunked(CHUNK_BYTES):
                    body += part
                    if len(body) > LARGEST_FILE_BYTES:
                        raise SourceUnavailableError(
                            f"reading spot advisor: {self._url} is larger than 32 MiB"
                        )
            return AdvisorReading(read_ratings(bytes(body)), published_at)
        except (aiohttp.ClientError, TimeoutError) as error:
            raise SourceUnavailableError(f"reading spot advisor: {self._url}: {error}") from error


def read_ratings(body: bytes) -> Mapping[str, Mapping[str, AdvisorBand]]:
    """Read the file's Linux bands by region and type.

    Raises:
        SourceUnavailableError: it is not Spot Advisor's file.
    """
    try:
        regions = json.loads(body)["spot_advisor"]
        return {
            str(region): {
                str(name): AdvisorBand(rating["r"])
                for name, rating in systems.get("Linux", {}).items()
                if rating.get("r") in AdvisorBand.__members__.values()
            }
            for region, systems in regions.items()
        }
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise SourceUnavailableError(f"reading spot advisor: not its file: {error!r}") from error


def _instant(text: str) -> datetime | None:
    """Read an HTTP date; what is none is unknown."""
    try:
        at = parsedate_to_datetime(text)
    except ValueError:
        return None
    return at if at.tzinfo is not None else None
