"""On-demand prices from the Price List API (GetProducts)."""

import json
from collections.abc import Mapping
from decimal import Decimal, InvalidOperation
from typing import Any

import aioboto3

from services.pricing.adapters.aws_errors import CLIENT_CONFIG, own_errors

FILTERS = {
    "operatingSystem": "Linux",
    "tenancy": "Shared",
    "preInstalledSw": "NA",
    "capacitystatus": "Used",
    "licenseModel": "No License required",
}
"""What makes a product the plain Linux instance that a node is."""


class PriceListSource:
    """Asks one of the few regions that serve the API about any region."""

    def __init__(self, session: aioboto3.Session, *, api_region: str) -> None:
        self._session = session
        self._api_region = api_region

    async def on_demand_prices(self, region: str) -> Mapping[str, Decimal]:
        """See ports.OnDemandPriceSource; a product that is not priced in USD per hour is left out."""
        wanted = {"regionCode": region, **FILTERS}
        filters = [{"Type": "TERM_MATCH", "Field": k, "Value": v} for k, v in wanted.items()]
        prices: dict[str, Decimal] = {}
        with own_errors("reading the price list"):
            async with self._session.client(
                "pricing", region_name=self._api_region, config=CLIENT_CONFIG
            ) as pricing:
                async for page in pricing.get_paginator("get_products").paginate(
                    ServiceCode="AmazonEC2", Filters=filters, PaginationConfig={"PageSize": 100}
                ):
                    for item in page["PriceList"]:
                        found = read_product(json.loads(item))
                        if found is not None:
                            prices[found[0]] = found[1]
        return prices


def read_product(product: Mapping[str, Any]) -> tuple[str, Decimal] | None:
    """Give the instance type and USD per hour of one product, or None when it has no such price."""
    instance_type = product.get("product", {}).get("attributes", {}).get("instanceType")
    if not instance_type:
        return None
    for term in product.get("terms", {}).get("OnDemand", {}).values():
        for dimension in term.get("priceDimensions", {}).values():
            if dimension.get("unit") not in ("Hrs", "Hours"):
                continue
            try:
                usd = Decimal(dimension["pricePerUnit"]["USD"])
            except (KeyError, TypeError, InvalidOperation):
                continue
            if usd.is_finite() and usd > 0:
                return str(instance_type), usd
    return None
