"""DescribeSpotPriceHistory and GetProducts, answered from the market."""

import json
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from deploy.sandbox.aws.query_protocol import Answer, Form, ec2_error, xml_answer
from deploy.sandbox.aws.records import InstanceTypeFacts
from deploy.sandbox.market.market import Market, PricePoint
from deploy.sandbox.market.recorded import LINUX

LARGEST_PAGE = 1000
LONGEST_HISTORY_SECONDS = 90 * 24 * 3600.0
KEPT_LISTINGS = 16

JSON_TYPE = "application/x-amz-json-1.1"


class SpotPriceApi:
    """Pages through a listing that is made once and kept, so that pages never overlap."""

    def __init__(self, market: Market) -> None:
        self._market = market
        self._listings: dict[str, list[PricePoint]] = {}

    def answer(self, form: Form, *, now: float, request_id: str) -> Answer:
        """Answer DescribeSpotPriceHistory; `now` is the caller's, in seconds since 1970."""
        token = form.get("NextToken")
        listing_id, _, offset_text = token.partition(":")
        if token and (listing_id not in self._listings or not offset_text.isdigit()):
            return ec2_error("InvalidNextToken", "The token is invalid.", status=400, request_id=request_id)
        if not token:
            try:
                points = self._points(form, now)
            except ValueError as error:
                message = f"Invalid time: {error}"
                return ec2_error("InvalidParameterValue", message, status=400, request_id=request_id)
            listing_id, offset_text = request_id, "0"
            self._listings[listing_id] = points
            while len(self._listings) > KEPT_LISTINGS:
                del self._listings[next(iter(self._listings))]
        offset = int(offset_text)
        end = offset + min(max(form.integer("MaxResults", LARGEST_PAGE), 1), LARGEST_PAGE)
        listing = self._listings[listing_id]
        rows = [_row(point) for point in listing[offset:end]]
        next_token = f"{listing_id}:{end}" if end < len(listing) else ""
        return xml_answer(
            "DescribeSpotPriceHistory",
            {"spotPriceHistorySet": rows, "nextToken": next_token},
            request_id=request_id,
        )

    def _points(self, form: Form, now: float) -> list[PricePoint]:
        filters = form.filters()
        products = {*form.texts("ProductDescription"), *filters.get("product-description", ())}
        if products and not products & LINUX:
            return []
        end = min(_seconds(form.get("EndTime"), now), now)
        start = min(max(_seconds(form.get("StartTime"), now), now - LONGEST_HISTORY_SECONDS), end)
        zones = {*filters.get("availability-zone", ())}
        if form.get("AvailabilityZone"):
            zones.add(form.get("AvailabilityZone"))
        points = self._market.points(
            start=start,
            end=end,
            instance_types={*form.texts("InstanceType"), *filters.get("instance-type", ())},
            zones=zones,
        )
        prices = filters.get("spot-price")
        return [p for p in points if not prices or f"{p.usd_per_hour:.6f}" in prices]


def products(market: Market, facts: Mapping[str, InstanceTypeFacts], body: bytes) -> Answer:
    """Answer AWSPriceListService.GetProducts for EC2; other services have no products here."""
    try:
        request = json.loads(body)
        wanted = {f["Field"]: f["Value"] for f in request.get("Filters", ()) if f["Type"] == "TERM_MATCH"}
        offset = int(request.get("NextToken", 0))
        size = min(max(int(request.get("MaxResults", 100)), 1), 100)
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        return json_error("InvalidParameterException", f"Invalid request: {error!r}", status=400)
    found = [
        product
        for name, usd in sorted(market.on_demand.items())
        if name in facts and request.get("ServiceCode") == "AmazonEC2"
        for product in (_product(market.region, facts[name], usd),)
        if all(product["product"]["attributes"].get(field) == value for field, value in wanted.items())
    ]
    answer: dict[str, Any] = {
        "FormatVersion": "aws_v1",
        "PriceList": [json.dumps(product) for product in found[offset : offset + size]],
    }
    if offset + size < len(found):
        answer["NextToken"] = str(offset + size)
    return Answer(200, json.dumps(answer).encode(), JSON_TYPE)


def placement_scores(market: Market, zone_ids: Mapping[str, str], form: Form, *, request_id: str) -> Answer:
    """Answer GetSpotPlacementScores for zones of the region: the more of the types a zone offers, the better."""
    wanted = set(form.texts("InstanceType"))
    if not wanted:
        message = "InstanceTypes is required here."
        return ec2_error("MissingParameter", message, status=400, request_id=request_id)
    rows = [
        {
            "region": market.region,
            "availabilityZoneId": zone_id,
            "score": str(1 + 9 * sum((name, zone) in market.offered for name in wanted) // len(wanted)),
        }
        for zone, zone_id in sorted(zone_ids.items())
    ]
    return xml_answer("GetSpotPlacementScores", {"spotPlacementScoreSet": rows}, request_id=request_id)


def json_error(code: str, message: str, *, status: int) -> Answer:
    """Write an error as the JSON protocols do."""
    return Answer(status, json.dumps({"__type": code, "message": message}).encode(), JSON_TYPE)


def _product(region: str, facts: InstanceTypeFacts, usd: float) -> dict[str, Any]:
    sku = f"SPOTOPT{facts.name.upper().replace('.', '')}"
    return {
        "product": {
            "productFamily": "Compute Instance",
            "sku": sku,
            "attributes": {
                "servicecode": "AmazonEC2",
                "instanceType": facts.name,
                "regionCode": region,
                "locationType": "AWS Region",
                "operatingSystem": "Linux",
                "tenancy": "Shared",
                "preInstalledSw": "NA",
                "capacitystatus": "Used",
                "licenseModel": "No License required",
                "operation": "RunInstances",
                "marketoption": "OnDemand",
                "vcpu": str(facts.vcpus),
                "memory": f"{facts.memory_mib / 1024:g} GiB",
                "currentGeneration": "Yes",
            },
        },
        "serviceCode": "AmazonEC2",
        "terms": {
            "OnDemand": {
                f"{sku}.JRTCKXETXF": {
                    "sku": sku,
                    "offerTermCode": "JRTCKXETXF",
                    "termAttributes": {},
                    "priceDimensions": {
                        f"{sku}.JRTCKXETXF.6YS6EN2CT7": {
                            "unit": "Hrs",
                            "beginRange": "0",
                            "endRange": "Inf",
                            "description": f"${usd:g} per On Demand Linux {facts.name} Instance Hour",
                            "appliesTo": [],
                            "pricePerUnit": {"USD": f"{usd:.10f}"},
                        }
                    },
                }
            }
        },
    }


def _row(point: PricePoint) -> dict[str, str]:
    at = datetime.fromtimestamp(point.at, UTC)
    return {
        "instanceType": point.instance_type,
        "productDescription": "Linux/UNIX",
        "spotPrice": f"{point.usd_per_hour:.6f}",
        "timestamp": f"{at:%Y-%m-%dT%H:%M:%S}.000Z",
        "availabilityZone": point.zone,
    }


def _seconds(text: str, default: float) -> float:
    if not text:
        return default
    at = datetime.fromisoformat(text)
    return (at if at.tzinfo else at.replace(tzinfo=UTC)).timestamp()
