"""Every metric of reporting, named once."""

from prometheus_client import Counter, Gauge

slices_closed = Counter("spot_reporting_slices_total", "Slices of time closed", ["booked"])
unpriced_node_seconds = Counter(
    "spot_reporting_unpriced_node_seconds_total", "Node-seconds whose price nobody knew"
)
copy_age_seconds = Gauge(
    "spot_reporting_copy_age_seconds", "Age of the copy of a cluster that slices wait for", ["cluster_id"]
)
