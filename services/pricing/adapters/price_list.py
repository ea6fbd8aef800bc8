"""On-demand prices from the Price List API (GetProducts)."""

import json

import aioboto3

from services.pricing.adapters.aws_errors import ONE_TRY_CONFIG
from services.pricing.adapters.aws_requests import AwsRequests
from services.pricing.domain import price_list
from services.pricing.domain.price_list import Collection, OnDemandPrices
from services.pricing.domain.refusals import RefusalReason
from services.pricing.errors import SourceUnavailableError


class PriceListSource:
    """Asks one of the few regions that serve the API about any region."""

    def __init__(self, session: aioboto3.Session, requests: AwsRequests, *, api_region: str) -> None:
        self._session = session
        self._requests = requests
        self._api_region = api_region

    async def on_demand_prices(self, region: str) -> OnDemandPrices:
        """See ports.OnDemandPriceSource."""
        wanted = {"regionCode": region, **price_list.PLAIN_LINUX}
        filters = [{"Type": "TERM_MATCH", "Field": k, "Value": v} for k, v in wanted.items()]
        found = Collection(region)
        async with self._session.client(
            "pricing", region_name=self._api_region, config=ONE_TRY_CONFIG
        ) as pricing:
            async for page in self._requests.pages(
                pricing.get_products,
                region=self._api_region,
                doing="reading the price list",
                ServiceCode="AmazonEC2",
                Filters=filters,
                MaxResults=100,
            ):
                for item in page["PriceList"]:
                    try:
                        product = json.loads(item)
                    except ValueError as error:
                        found.refuse(RefusalReason.MALFORMED, f"no JSON document: {error}")
                    else:
                        price_list.add_product(found, product)
        if not found.usd_per_hour:
            raise SourceUnavailableError(f"reading the price list: it has no price in {region}")
        return OnDemandPrices(usd_per_hour=found.usd_per_hour, refused=tuple(found.refused))
