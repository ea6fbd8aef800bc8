"""A region's whole catalogue is stored in a moment: 1,000 types in 6 zones."""

import time
from collections.abc import Awaitable, Callable
from decimal import Decimal

import pytest

from services.pricing.adapters.unit_of_work import factory
from services.pricing.domain.offerings import PricePoint
from shared.kernel.pools import CapacityType
from shared.runtime.postgres import Database
from tests.builders import make_instance_type, make_pool
from tests.fakes.clock import EPOCH

pytestmark = [pytest.mark.postgres, pytest.mark.slow]

LONGEST_SECONDS = 5.0


async def test_a_large_catalogue(make_database: Callable[[str], Awaitable[Database]]) -> None:
    database = await make_database("pricing")
    zones = {f"us-east-1{letter}": f"use1-az{number}" for number, letter in enumerate("abcdef", start=1)}
    types = [make_instance_type(f"m{number}.large") for number in range(1000)]
    offered = frozenset((t.name, zone) for t in types for zone in zones)
    points = [
        PricePoint(make_pool(t.name, zone_id=zone_id, capacity_type=capacity_type), Decimal("0.1"), EPOCH)
        for t in types
        for zone_id in zones.values()
        for capacity_type in (CapacityType.SPOT, CapacityType.ON_DEMAND)
    ]
    began = time.perf_counter()
    async with factory(database)() as uow:
        await uow.offerings.replace_catalogue(
            "us-east-1", zone_ids=zones, instance_types=types, offered=offered
        )
        await uow.offerings.add_points(points)
        await uow.offerings.put_in_force(points)
        await uow.offerings.note_source("us-east-1", "spot_price_history", as_of=EPOCH)
        await uow.offerings.note_source("us-east-1", "price_list", as_of=EPOCH)
    async with factory(database)() as uow:
        assert len(await uow.offerings.known("us-east-1")) == 12_000
        assert len((await uow.offerings.priced_pools("us-east-1")).usd_per_hour) == 12_000
    assert time.perf_counter() - began < LONGEST_SECONDS
