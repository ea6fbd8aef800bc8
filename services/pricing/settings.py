"""Settings of the pricing service."""

import re
from datetime import timedelta

from pydantic import Field, PositiveFloat, PositiveInt, ValidationInfo, field_validator
from pydantic_settings import SettingsConfigDict

from shared.runtime.settings import ServiceSettings

LONGEST_IN_QUEUE = timedelta(days=14)
"""SQS's own limit."""


class PricingSettings(ServiceSettings):
    """What an operator may set, as PRICING_<FIELD>; AWS credentials and endpoints come from AWS_*."""

    model_config = SettingsConfigDict(env_prefix="PRICING_", frozen=True)

    regions: frozenset[str] = frozenset({"us-east-1"})
    """AWS regions whose offerings are priced whatever runs there; a JSON list in the environment.

    Regions in which clusters are registered are priced as well, from then on.
    """

    allowed_regions: str = r"(af|ap|ca|eu|il|me|mx|sa|us)-(central|(north|south)(east|west)?|east|west)-[1-9]"
    """A regular expression that a cluster's region must match as a whole to be priced.

    As it is, it holds AWS's commercial partition; the others need credentials of their own.
    """

    most_regions: PositiveInt = 24
    """How many regions are priced at most; `regions` always are. Clusters in one more get no prices.

    Each costs some 50 requests to EC2 when it is read first, then a few every `refresh_period`.
    """

    region_unused_after: timedelta = timedelta(days=14)
    """A cluster's region for which no plan asked for prices for so long is polled no more, until one does.

    What is known of it stays.
    """

    refresh_period: timedelta = timedelta(minutes=5)
    """How often spot prices are polled.

    It bounds how stale a quote can be; a shorter period costs DescribeSpotPriceHistory calls, which
    are rate-limited per account and region.
    """

    catalogue_period: timedelta = timedelta(days=1)
    """How often instance types, zones, offerings and on-demand prices are read anew."""

    on_demand_retry: timedelta = timedelta(minutes=15)
    """How often on-demand prices are asked for again while they are overdue."""

    advisor_period: timedelta = timedelta(hours=6)
    """How often Spot Advisor's file is read."""

    advisor_fresh_for: timedelta = timedelta(days=7)
    """Of an older file of Spot Advisor only its mean over a region is believed, and quotes name it stale.

    A file is as old as its server says (Last-Modified), else as our reading of it.
    """

    spot_fresh_for: timedelta = timedelta(minutes=30)
    """A spot price whose source has not answered for longer is quoted as stale, with a margin."""

    spot_unconfirmed_kept: timedelta = timedelta(days=1)
    """A pool that EC2 names no price of any more keeps its last one for so long, stale after `spot_fresh_for`.

    Then it has no quote.
    """

    on_demand_fresh_for: timedelta = timedelta(days=3)
    """An older on-demand price is quoted as stale, with the same margin; they hardly move."""

    spot_history_start: timedelta = timedelta(hours=48)
    """How far back the first poll of a region looks."""

    spot_history_overlap: timedelta = timedelta(minutes=10)
    """How much each poll reads again: rows appear late, and storing one twice changes nothing."""

    price_events_kept: timedelta = timedelta(days=90)
    """How long single price events are kept, at least; then a day of a pool is one row.

    Whole months are folded, so an event may stay a month longer. EC2 itself answers 90 days back.
    """

    price_days_kept: timedelta = Field(default=timedelta(days=396), validate_default=True)
    """How long those days are kept, at least: 13 months, so that this month can be held against last year's."""

    history_period: timedelta = timedelta(hours=6)
    """How often months are made ahead, folded and dropped, and what is too old is forgotten; one replica does it."""

    ended_instances_kept: timedelta = timedelta(days=7)
    """How long the pool of an instance is known after its end, for a notice that comes late."""

    instances_kept: timedelta = timedelta(days=400)
    """The same since it was launched, where nobody told of its end."""

    notices_kept: timedelta = timedelta(days=30)
    """How long a notice is known, so that it is told once; SQS shows one again for 14 days at most."""

    quarantined_rows: int = 1000
    """How many rows that were not believed are kept, of each region and source."""

    aws_requests_per_second: PositiveFloat = 10.0
    """What all callers together may ask EC2 for in one region of an account, while it does not complain.

    EC2 gives an account 20 a second for lists of this kind, and others of the account need some. When it
    throttles, the rate is halved, and comes back slowly.
    """

    aws_request_burst: PositiveInt = 50
    """How many requests may be made at once after a pause."""

    placement_period: timedelta = timedelta(hours=6)
    """How often EC2 is asked for spot placement scores, where it lets us; zero: never."""

    placement_families: int = 10
    """How many instance families in use are asked about; EC2 answers few different questions a day."""

    placement_vcpus: int = 64
    """The size of request whose chances are asked for."""

    notice_queue_url: str | None = None
    """SQS queue with EC2 and Health events; without it interruptions are seen only when nodes are gone."""

    notice_queue_region: str = "us-east-1"
    """Region of that queue."""

    spot_advisor_url: str = "https://spot-bid-advisor.s3.amazonaws.com/spot-advisor-data.json"
    """Spot Advisor's data, as AWS serves it to its own web page."""

    risk_period: timedelta = timedelta(minutes=5)
    """How often the risk of pools in which we had instances is predicted anew; flags are quicker, and short."""

    risk_fresh_for: timedelta = timedelta(minutes=30)
    """An older prediction is not believed: Spot Advisor's figure takes its place."""

    price_list_region: str = "us-east-1"
    """Where the Price List API is asked; it serves every region's prices from few."""

    price_list_bulk_url: str | None = (
        "https://pricing.us-east-1.amazonaws.com/offers/v1.0/aws/AmazonEC2/current/{region}/index.csv"
    )
    """AWS's offer file, {region} in its address, for when the API does not answer; null or empty: never asked.

    Hundreds of MB, read as a stream from a temporary file. AWS's own file holds the prices in force; one at another
    address is taken for a copy, as old as its publication date says.
    """

    @field_validator("allowed_regions")
    @classmethod
    def _is_an_expression(cls, text: str) -> str:
        try:
            re.compile(text)
        except re.error as error:
            raise ValueError(f"{text!r} is no regular expression: {error}") from error
        return text

    @field_validator("notices_kept")
    @classmethod
    def _notices_are_told_once(cls, kept: timedelta) -> timedelta:
        if kept < LONGEST_IN_QUEUE:
            raise ValueError(
                f"{kept.days} days is shorter than SQS may keep a message ({LONGEST_IN_QUEUE.days} days):"
                " one that is delivered again would be told again"
            )
        return kept

    @field_validator("price_days_kept")
    @classmethod
    def _days_outlive_events(cls, kept: timedelta, info: ValidationInfo) -> timedelta:
        events_kept = info.data.get("price_events_kept", kept)
        if kept < events_kept:
            raise ValueError(
                f"{kept.days} days is shorter than price_events_kept ({events_kept.days} days):"
                " what events are folded into would be dropped at once"
            )
        return kept
