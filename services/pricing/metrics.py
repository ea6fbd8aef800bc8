"""Every metric of pricing, named once."""

from prometheus_client import Counter, Gauge

price_points_stored = Counter("spot_pricing_price_points_total", "New spot price points stored", ["region"])
rows_refused = Counter(
    "spot_pricing_rows_refused_total", "Rows of a source that were not believed", ["source"]
)
source_age_seconds = Gauge(
    "spot_pricing_source_age_seconds", "Time since a source last answered", ["region", "source"]
)
source_failures = Counter("spot_pricing_source_failures_total", "Refreshes that failed", ["region", "source"])
notices_received = Counter("spot_pricing_notices_total", "Notices received about instances", ["kind"])
pools_flagged = Counter("spot_pricing_pools_flagged_total", "Flags raised", ["reason"])
