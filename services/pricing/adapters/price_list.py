"""On-demand prices from the Price List API (GetProducts)."""

import json

import aioboto3

from services.pricing.adapters.aws_errors import CLIENT_CONFIG, own_errors
from services.pricing.domain import price_list
from services.pricing.domain.price_list import Collection, OnDemandPrices
from services.pricing.errors import SourceUnavailableError


class PriceListSource:
    """Asks one of the few regions that serve the API about any region."""

    def __init__(self, session: aioboto3.Session, *, api_region: str) -> None:
        self._session = session
        self._api_region = api_region

    async def on_demand_prices(self, region: str) -> OnDemandPrices:
        """See ports.OnDemandPriceSource."""
        wanted = {"regionCode": region, **price_list.PLAIN_LINUX}
        filters = [{"Type": "TERM_MATCH", "Field": k, "Value": v} for k, v in wanted.items()]
        found = Collection(region)
        with own_errors("reading the price list"):
            async with self._session.client(
                "pricing", region_name=self._api_region, config=CLIENT_CONFIG
            ) as pricing:
                async for page in pricing.get_paginator("get_products").paginate(
                    ServiceCode="AmazonEC2", Filters=filters, PaginationConfig={"PageSize": 100}
                ):
                    for item in page["PriceList"]:
                        price_list.add_product(found, json.loads(item))
        if not found.usd_per_hour:
            raise SourceUnavailableError(f"reading the price list: it has no price in {region}")
        return OnDemandPrices(usd_per_hour=found.usd_per_hour, refused=tuple(found.refused))
