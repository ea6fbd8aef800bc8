"""What EC2 offers in a region, and its spot price history."""

from collections.abc import AsyncIterator, Mapping, Sequence
from datetime import datetime
from decimal import Decimal, InvalidOperation

import aioboto3

from services.pricing.adapters.aws_errors import CLIENT_CONFIG, own_errors
from services.pricing.domain.instance_types import instance_type_from
from services.pricing.domain.offerings import PricePoint
from shared.kernel.capacity import InstanceType
from shared.kernel.pools import CapacityType, PoolKey

NOT_A_PRICE = Decimal("NaN")


class Ec2Catalogue:
    """Types, zones and offerings, read page by page."""

    def __init__(self, session: aioboto3.Session) -> None:
        self._session = session

    async def zone_ids(self, region: str) -> Mapping[str, str]:
        """See ports.Catalogue; local and wavelength zones are left out, no node group spans them."""
        with own_errors("listing availability zones"):
            async with self._session.client("ec2", region_name=region, config=CLIENT_CONFIG) as ec2:
                answer = await ec2.describe_availability_zones(
                    Filters=[{"Name": "zone-type", "Values": ["availability-zone"]}]
                )
        return {zone["ZoneName"]: zone["ZoneId"] for zone in answer["AvailabilityZones"]}

    async def instance_types(self, region: str) -> Sequence[InstanceType]:
        """See ports.Catalogue."""
        found: list[InstanceType] = []
        with own_errors("describing instance types"):
            async with self._session.client("ec2", region_name=region, config=CLIENT_CONFIG) as ec2:
                async for page in ec2.get_paginator("describe_instance_types").paginate(
                    PaginationConfig={"PageSize": 100}
                ):
                    for description in page["InstanceTypes"]:
                        instance_type = instance_type_from(description)
                        if instance_type is not None:
                            found.append(instance_type)
        return sorted(found, key=lambda t: t.name)

    async def offered(self, region: str) -> frozenset[tuple[str, str]]:
        """See ports.Catalogue."""
        pairs: set[tuple[str, str]] = set()
        with own_errors("describing instance type offerings"):
            async with self._session.client("ec2", region_name=region, config=CLIENT_CONFIG) as ec2:
                async for page in ec2.get_paginator("describe_instance_type_offerings").paginate(
                    LocationType="availability-zone"
                ):
                    pairs.update((o["InstanceType"], o["Location"]) for o in page["InstanceTypeOfferings"])
        return frozenset(pairs)


class Ec2SpotPriceSource:
    """DescribeSpotPriceHistory, all zones, Linux/UNIX."""

    def __init__(self, session: aioboto3.Session) -> None:
        self._session = session

    async def price_points(
        self, *, region: str, since: datetime, until: datetime, zone_ids: Mapping[str, str]
    ) -> AsyncIterator[Sequence[PricePoint]]:
        """See ports.SpotPriceSource; rows of zones we do not know are left out."""
        with own_errors("reading the spot price history"):
            async with self._session.client("ec2", region_name=region, config=CLIENT_CONFIG) as ec2:
                async for page in ec2.get_paginator("describe_spot_price_history").paginate(
                    StartTime=since,
                    EndTime=until,
                    ProductDescriptions=["Linux/UNIX"],
                    PaginationConfig={"PageSize": 1000},
                ):
                    yield [
                        PricePoint(
                            PoolKey(
                                region,
                                row["InstanceType"],
                                zone_ids[row["AvailabilityZone"]],
                                CapacityType.SPOT,
                            ),
                            _decimal(row["SpotPrice"]),
                            row["Timestamp"],
                        )
                        for row in page["SpotPriceHistory"]
                        if row["AvailabilityZone"] in zone_ids
                    ]


def _decimal(text: str) -> Decimal:
    """Read a price; what is no number becomes NaN, which the domain refuses with a reason."""
    try:
        return Decimal(text)
    except InvalidOperation:
        return NOT_A_PRICE
