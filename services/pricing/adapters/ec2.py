"""What EC2 offers in a region, and its spot price history."""

from collections.abc import AsyncIterator, Mapping, Sequence
from datetime import datetime
from decimal import Decimal, InvalidOperation
from typing import Any

import aioboto3
import structlog

from services.pricing import metrics
from services.pricing.adapters.aws_errors import ONE_TRY_CONFIG
from services.pricing.adapters.aws_requests import AwsRequests
from services.pricing.domain.instance_types import instance_type_from
from services.pricing.domain.offerings import PricePoint
from services.pricing.domain.refusals import RefusalReason
from shared.kernel.capacity import InstanceType
from shared.kernel.pools import CapacityType, PoolKey

log = structlog.get_logger(__name__)

NOT_A_PRICE = Decimal("NaN")
TYPES_PAGE = 100
OFFERINGS_PAGE = 1000
PRICES_PAGE = 1000
"""The most that EC2 gives in one answer of each."""


class Ec2Catalogue:
    """Types, zones and offerings, read page by page."""

    def __init__(self, session: aioboto3.Session, requests: AwsRequests) -> None:
        self._session = session
        self._requests = requests

    async def zone_ids(self, region: str) -> Mapping[str, str]:
        """See ports.Catalogue; local and wavelength zones are left out, no node group spans them."""
        async with self._session.client("ec2", region_name=region, config=ONE_TRY_CONFIG) as ec2:
            answer = await self._requests.call(
                ec2.describe_availability_zones,
                region=region,
                doing="listing availability zones",
                Filters=[{"Name": "zone-type", "Values": ["availability-zone"]}],
            )
        return {zone["ZoneName"]: zone["ZoneId"] for zone in answer["AvailabilityZones"]}

    async def instance_types(self, region: str) -> Sequence[InstanceType]:
        """See ports.Catalogue."""
        found: list[InstanceType] = []
        async with self._session.client("ec2", region_name=region, config=ONE_TRY_CONFIG) as ec2:
            async for page in self._requests.pages(
                ec2.describe_instance_types,
                region=region,
                doing="describing instance types",
                MaxResults=TYPES_PAGE,
            ):
                found += [t for d in page["InstanceTypes"] if (t := _instance_type(d)) is not None]
        return sorted(found, key=lambda t: t.name)

    async def offered(self, region: str) -> frozenset[tuple[str, str]]:
        """See ports.Catalogue."""
        pairs: set[tuple[str, str]] = set()
        async with self._session.client("ec2", region_name=region, config=ONE_TRY_CONFIG) as ec2:
            async for page in self._requests.pages(
                ec2.describe_instance_type_offerings,
                region=region,
                doing="describing instance type offerings",
                LocationType="availability-zone",
                MaxResults=OFFERINGS_PAGE,
            ):
                pairs.update((o["InstanceType"], o["Location"]) for o in page["InstanceTypeOfferings"])
        return frozenset(pairs)


class Ec2SpotPriceSource:
    """DescribeSpotPriceHistory, all zones, Linux/UNIX."""

    def __init__(self, session: aioboto3.Session, requests: AwsRequests) -> None:
        self._session = session
        self._requests = requests

    async def price_points(
        self, *, region: str, since: datetime, until: datetime, zone_ids: Mapping[str, str]
    ) -> AsyncIterator[Sequence[PricePoint]]:
        """See ports.SpotPriceSource; in the row of a zone we do not know its name stands for its id."""
        async with self._session.client("ec2", region_name=region, config=ONE_TRY_CONFIG) as ec2:
            async for page in self._requests.pages(
                ec2.describe_spot_price_history,
                region=region,
                doing="reading the spot price history",
                StartTime=since,
                EndTime=until,
                ProductDescriptions=["Linux/UNIX"],
                MaxResults=PRICES_PAGE,
            ):
                rows = page["SpotPriceHistory"]
                named = [row for row in rows if row.get("InstanceType") and row.get("Timestamp")]
                if len(named) < len(rows):
                    # Of no pool or of no time: there is nothing to put into the quarantine.
                    refused = metrics.rows_refused.labels("spot_price_history", RefusalReason.MALFORMED.value)
                    refused.inc(len(rows) - len(named))
                    log.warning("rows_refused", region=region, rows=len(rows) - len(named))
                yield [
                    PricePoint(
                        PoolKey(region, row["InstanceType"], _zone_id(row, zone_ids), CapacityType.SPOT),
                        _decimal(row.get("SpotPrice", "")),
                        row["Timestamp"],
                    )
                    for row in named
                ]


class Ec2PlacementScoreSource:
    """GetSpotPlacementScores; EC2 answers few different questions a day."""

    def __init__(self, session: aioboto3.Session, requests: AwsRequests) -> None:
        self._session = session
        self._requests = requests

    async def scores(
        self, region: str, *, instance_types: Sequence[str], target_vcpus: int
    ) -> Mapping[str, int]:
        """See ports.PlacementScoreSource."""
        found: dict[str, int] = {}
        async with self._session.client("ec2", region_name=region, config=ONE_TRY_CONFIG) as ec2:
            async for page in self._requests.pages(
                ec2.get_spot_placement_scores,
                region=region,
                doing="asking for spot placement scores",
                InstanceTypes=list(instance_types),
                TargetCapacity=target_vcpus,
                TargetCapacityUnitType="vcpu",
                SingleAvailabilityZone=True,
                RegionNames=[region],
            ):
                for row in page.get("SpotPlacementScores", ()):
                    zone_id, score = row.get("AvailabilityZoneId"), row.get("Score")
                    if zone_id and isinstance(score, int) and 1 <= score <= 10:
                        found[zone_id] = score
        return found


def _instance_type(description: Mapping[str, Any]) -> InstanceType | None:
    """Read one description; one that lacks what planning needs costs that type, not the catalogue."""
    try:
        return instance_type_from(description)
    except (KeyError, ValueError) as error:
        metrics.rows_refused.labels("catalogue", RefusalReason.MALFORMED.value).inc()
        log.warning("description_refused", type=description.get("InstanceType"), error=repr(error))
        return None


def _zone_id(row: Mapping[str, Any], zone_ids: Mapping[str, str]) -> str:
    """Prefer our own account's mapping; newer answers hold the id themselves."""
    zone = row.get("AvailabilityZone", "")
    return str(zone_ids.get(zone) or row.get("AvailabilityZoneId") or zone)


def _decimal(text: str) -> Decimal:
    """Read a price; what is no number becomes NaN, which the domain refuses with a reason."""
    try:
        return Decimal(text)
    except InvalidOperation:
        return NOT_A_PRICE
