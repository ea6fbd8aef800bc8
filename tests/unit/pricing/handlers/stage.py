"""Pricing with its sources, in memory."""

from datetime import timedelta
from decimal import Decimal

from services.pricing.domain.offerings import PricePoint
from services.pricing.handlers.quote_offerings import Shelf, quote_offerings
from services.pricing.handlers.refresh_catalogue import refresh_catalogue
from services.pricing.handlers.refresh_on_demand_prices import refresh_on_demand_prices
from services.pricing.handlers.refresh_prices import refresh_prices
from shared.contracts.v1.pricing import (
    OfferingQuotes,
    QuoteOfferings,
)
from shared.kernel.pools import CapacityType, PoolKey
from tests.builders import make_instance_type, make_pool
from tests.fakes.clock import FakeClock
from tests.fakes.ids import CountedIds
from tests.fakes.pricing import InMemoryPricing
from tests.fakes.pricing_outside import FakeCatalogue, FakePriceList, FakeSpotPriceSource

REGION = "us-east-1"
HOUR = timedelta(hours=1)
MINUTE = timedelta(minutes=1)
ZONES = {"us-east-1a": "use1-az1", "us-east-1b": "use1-az2"}
TYPES = [make_instance_type("m5.xlarge"), make_instance_type("c5.xlarge", gib=8)]


def spot(zone_id: str = "use1-az1", name: str = "m5.xlarge") -> PoolKey:
    return make_pool(name, zone_id=zone_id, capacity_type=CapacityType.SPOT)


class Stage:
    """Pricing with its sources, in memory, in a time that tests move."""

    def __init__(self) -> None:
        self.clock = FakeClock()
        self.ids = CountedIds()
        self.store = InMemoryPricing()
        self.catalogue = FakeCatalogue(ZONES, TYPES)
        self.price_list = FakePriceList({"m5.xlarge": Decimal("0.192"), "c5.xlarge": Decimal("0.17")})
        self.bulk_file = FakePriceList({})
        self.spot = FakeSpotPriceSource()
        self.shelf: Shelf = {}

    async def read_catalogue(self) -> int:
        changed = await refresh_catalogue(
            region=REGION,
            catalogue=self.catalogue,
            unit_of_work=self.store.unit_of_work,
            clock=self.clock,
            ids=self.ids,
        )
        return changed + await self.read_on_demand()

    def spot_points(self) -> list[PricePoint]:
        points = self.store.offerings.points.values()
        return [p for p in points if p.pool.capacity_type is CapacityType.SPOT]

    async def read_on_demand(self) -> int:
        return await refresh_on_demand_prices(
            region=REGION,
            sources=[self.price_list, self.bulk_file],
            unit_of_work=self.store.unit_of_work,
            clock=self.clock,
            ids=self.ids,
        )

    async def read_prices(self) -> int:
        return await refresh_prices(
            region=REGION,
            source=self.spot,
            unit_of_work=self.store.unit_of_work,
            clock=self.clock,
            ids=self.ids,
            first_look_back=48 * HOUR,
            overlap=10 * MINUTE,
            history_kept=400 * 24 * HOUR,
            unconfirmed_kept=24 * HOUR,
        )

    async def quotes(self, *names: str) -> OfferingQuotes:
        request = QuoteOfferings.make(scope=REGION, clock=self.clock, ids=self.ids, instance_types=names)
        return await quote_offerings(
            request,
            unit_of_work=self.store.unit_of_work,
            clock=self.clock,
            spot_fresh_for=30 * MINUTE,
            on_demand_fresh_for=72 * HOUR,
            shelf=self.shelf,
        )

    def point(self, usd: str, *, ago: timedelta = HOUR, pool: PoolKey | None = None) -> PricePoint:
        return PricePoint(pool or spot(), Decimal(usd), self.clock.now() - ago)
