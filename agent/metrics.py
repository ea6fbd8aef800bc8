"""Every metric of the agent, named once."""

from prometheus_client import Counter, Gauge

objects_watched = Gauge("spot_agent_objects_watched", "Objects in the agent's view", ["kind"])
objects_unreadable = Counter(
    "spot_agent_objects_unreadable_total", "Objects left out, for they could not be parsed", ["kind"]
)
watch_relists = Counter("spot_agent_watch_relists_total", "Full lists of a kind", ["kind"])
deltas_published = Counter("spot_agent_deltas_total", "Deltas handed to the buffer")
snapshots_published = Counter("spot_agent_snapshots_total", "Snapshots handed to the buffer")
messages_sent = Counter("spot_agent_messages_sent_total", "Messages that the bus has stored")
messages_dropped = Counter("spot_agent_messages_dropped_total", "Messages dropped from a full buffer")
buffer_bytes = Gauge("spot_agent_buffer_bytes", "Bytes waiting for the bus")
commands_answered = Counter("spot_agent_commands_total", "Commands that ended", ["action", "status"])
pods_evicted = Counter("spot_agent_pods_evicted_total", "Evictions that Kubernetes accepted")
