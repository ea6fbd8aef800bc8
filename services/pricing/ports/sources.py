"""What tells of prices, types and risk from outside."""

from collections.abc import AsyncIterator, Mapping, Sequence
from datetime import datetime
from typing import Protocol

from services.pricing.domain.interruption_risk import AdvisorReading
from services.pricing.domain.offerings import PricePoint
from services.pricing.domain.price_list import OnDemandPrices
from shared.kernel.capacity import InstanceType


class Catalogue(Protocol):
    """What EC2 offers in a region."""

    async def zone_ids(self, region: str) -> Mapping[str, str]:
        """Return the zone id of each zone name of our own account."""
        ...

    async def instance_types(self, region: str) -> Sequence[InstanceType]:
        """Return every type of the region that Kubernetes can run on."""
        ...

    async def offered(self, region: str) -> frozenset[tuple[str, str]]:
        """Return the (instance type, zone name) pairs that can be launched."""
        ...


class SpotPriceSource(Protocol):
    """The history of spot prices."""

    def price_points(
        self, *, region: str, since: datetime, until: datetime, zone_ids: Mapping[str, str]
    ) -> AsyncIterator[Sequence[PricePoint]]:
        """Give the Linux/UNIX points in force at or after `since`, in pages of any order.

        Raises:
            SourceThrottledError: slow down.
            SourceForbiddenError: the credentials lack ec2:DescribeSpotPriceHistory.
            SourceUnavailableError: EC2 does not answer.
        """
        ...


class OnDemandPriceSource(Protocol):
    """The Price List."""

    async def on_demand_prices(self, region: str) -> OnDemandPrices:
        """Return the prices of a region: Linux, shared tenancy, nothing pre-installed.

        Raises:
            SpotError: it does not answer, or with something else.
        """
        ...


class PlacementScoreSource(Protocol):
    """Spot placement scores."""

    async def scores(
        self, region: str, *, instance_types: Sequence[str], target_vcpus: int
    ) -> Mapping[str, int]:
        """Return 1 to 10 by zone id: how likely a request for so many vCPUs of any of these types succeeds there.

        Raises:
            SourceForbiddenError: the credentials lack ec2:GetSpotPlacementScores.
            SpotError: AWS does not answer, or had enough of us for today.
        """
        ...


class AdvisorSource(Protocol):
    """Spot Advisor."""

    async def ratings(self) -> AdvisorReading:
        """Read the interruption bands."""
        ...
