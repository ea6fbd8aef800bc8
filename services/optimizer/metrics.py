"""Every metric of the optimizer, named once."""

from prometheus_client import Counter, Histogram

plans_proposed = Counter("spot_optimizer_plans_total", "Plans proposed", ["trigger"])
plans_skipped = Counter("spot_optimizer_skips_total", "Plannings that proposed nothing", ["trigger"])
planning_seconds = Histogram(
    "spot_optimizer_planning_seconds",
    "Time from inputs to plan",
    ["trigger"],
    buckets=(0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120),
)
resyncs_asked = Counter("spot_optimizer_resyncs_total", "Snapshots asked for because deltas were missing")
