"""Every metric of the gateway, named once."""

from prometheus_client import Counter

admissions = Counter("spot_gateway_agent_admissions_total", "Agents at the door by outcome", ["outcome"])
"""outcome: enrolling, enrolled, refused, failed."""
