"""Settings of the pricing service."""

from datetime import timedelta

from pydantic_settings import SettingsConfigDict

from shared.runtime.settings import ServiceSettings


class PricingSettings(ServiceSettings):
    """What an operator may set, as PRICING_<FIELD>; AWS credentials and endpoints come from AWS_*."""

    model_config = SettingsConfigDict(env_prefix="PRICING_", frozen=True)

    regions: frozenset[str] = frozenset({"us-east-1"})
    """AWS regions whose offerings are priced; a JSON list in the environment."""

    refresh_period: timedelta = timedelta(minutes=5)
    """How often spot prices are polled.

    It bounds how stale a quote can be; a shorter period costs DescribeSpotPriceHistory calls, which
    are rate-limited per account and region.
    """

    catalogue_period: timedelta = timedelta(days=1)
    """How often instance types, zones, offerings and on-demand prices are read anew."""

    advisor_period: timedelta = timedelta(hours=6)
    """How often Spot Advisor's file is read."""

    spot_fresh_for: timedelta = timedelta(minutes=30)
    """A spot price whose source has not answered for longer is quoted as stale, with a margin."""

    on_demand_fresh_for: timedelta = timedelta(days=3)
    """The same for on-demand prices, which hardly move."""

    spot_history_start: timedelta = timedelta(hours=48)
    """How far back the first poll of a region looks."""

    spot_history_overlap: timedelta = timedelta(minutes=10)
    """How much each poll reads again: rows appear late, and storing one twice changes nothing."""

    notice_queue_url: str | None = None
    """SQS queue with EC2 and Health events; without it interruptions are seen only when nodes are gone."""

    notice_queue_region: str = "us-east-1"
    """Region of that queue."""

    spot_advisor_url: str = "https://spot-bid-advisor.s3.amazonaws.com/spot-advisor-data.json"
    """Spot Advisor's data, as AWS serves it to its own web page."""

    price_list_region: str = "us-east-1"
    """Where the Price List API is asked; it serves every region's prices from few."""
