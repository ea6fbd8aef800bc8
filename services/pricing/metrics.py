"""Every metric of pricing, named once."""

from prometheus_client import Counter, Gauge

price_points_stored = Counter("spot_pricing_price_points_total", "New spot price points stored", ["region"])
unconfirmed_pools = Gauge(
    "spot_pricing_unconfirmed_pools", "Pools with a price that EC2's last answer did not name", ["region"]
)
price_events_folded = Counter(
    "spot_pricing_price_events_folded_total", "Single price events that became part of a day"
)
rows_refused = Counter(
    "spot_pricing_rows_refused_total", "Rows of a source that were not believed", ["source", "reason"]
)
aws_requests = Counter(
    "spot_pricing_aws_requests_total",
    "Requests to AWS: answered, throttled, forbidden or failed",
    ["region", "operation", "outcome"],
)
aws_wait_seconds = Counter(
    "spot_pricing_aws_wait_seconds_total", "Time that requests waited for the budget of a region", ["region"]
)
aws_request_rate = Gauge(
    "spot_pricing_aws_requests_per_second", "What the budget of a region allows at present", ["region"]
)
regions = Gauge(
    "spot_pricing_regions",
    "Regions that are priced; that rest, since nobody asks; in use, but left out over the limit",
    ["state"],
)
regions_refused = Counter(
    "spot_pricing_regions_refused_total", "Clusters' regions not priced: not_allowed or limit", ["reason"]
)
source_age_seconds = Gauge(
    "spot_pricing_source_age_seconds", "Time since a source last answered", ["region", "source"]
)
source_failures = Counter("spot_pricing_source_failures_total", "Refreshes that failed", ["region", "source"])
notices_received = Counter("spot_pricing_notices_total", "Notices received about instances", ["kind"])
notices_refused = Counter(
    "spot_pricing_notices_refused_total",
    "Messages of the queue that are no notice: too_long, not_one_document, version or malformed; unexpected: kept",
    ["reason"],
)
pools_flagged = Counter("spot_pricing_pools_flagged_total", "Flags raised", ["reason"])
observed_pools = Gauge(
    "spot_pricing_observed_pools", "Pools whose risk is told from what was seen of them", ["region", "source"]
)
model_failures = Counter(
    "spot_pricing_risk_model_failures_total", "Times the risk model could not be asked", ["reason"]
)
model_drift = Gauge(
    "spot_pricing_risk_model_drifted_features",
    "Share of the model's features that are spread unlike in training; NaN: too few pools to tell",
    ["region"],
)
strange_pools = Counter(
    "spot_pricing_strange_pools_total", "Opinions put aside: a pool unlike all that the model was trained on"
)
