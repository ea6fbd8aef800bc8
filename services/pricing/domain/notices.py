"""What an EventBridge event obliges us to tell the others.

Each kind of event is one row of a table keyed by (source, detail-type, version); a kind that is not in the table
is no concern of ours and is dropped, one of a version that we cannot read is refused. The shapes are AWS's:
https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/spot-instance-termination-notices.html and
https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/rebalance-recommendations.html,
https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/monitoring-instance-state-changes.html and
https://docs.aws.amazon.com/health/latest/ug/aws-health-events-eventbridge-schema.html.
"""

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from services.pricing.errors import MalformedNoticeError
from shared.kernel.interruption import InterruptionKind

LONGEST_BODY = 1024**2
"""In characters. SQS's own limit is 1 MiB; nothing longer is an event."""

IDENTIFIER = re.compile(r"[A-Za-z0-9_-]{1,64}")

GOING_STATES = frozenset({"stopping", "stopped", "shutting-down", "terminated"})


@dataclass(frozen=True, slots=True)
class Notice:
    """One thing EC2 said about one instance."""

    event_id: str
    """EventBridge's own, the same in every delivery."""
    instance_id: str
    account: str
    region: str
    kind: InterruptionKind
    at: datetime


Parser = Callable[[Mapping[str, Any]], list[tuple[str, InterruptionKind]]]


def _one_instance(kind: InterruptionKind) -> Parser:
    return lambda event: [(event["detail"]["instance-id"], kind)]


def _state_change(event: Mapping[str, Any]) -> list[tuple[str, InterruptionKind]]:
    detail = event["detail"]
    if detail["state"] not in GOING_STATES:
        return []
    return [(detail["instance-id"], InterruptionKind.INSTANCE_TERMINATED)]


def _scheduled_change(event: Mapping[str, Any]) -> list[tuple[str, InterruptionKind]]:
    detail = event["detail"]
    if detail.get("service") != "EC2" or detail.get("eventTypeCategory") != "scheduledChange":
        return []
    entities = [entity["entityValue"] for entity in detail.get("affectedEntities", ())]
    return [(name, InterruptionKind.SCHEDULED_CHANGE) for name in entities if name.startswith("i-")]


PARSERS: Mapping[tuple[str, str, str], Parser] = {
    ("aws.ec2", "EC2 Spot Instance Interruption Warning", "0"): _one_instance(
        InterruptionKind.SPOT_INTERRUPTION
    ),
    ("aws.ec2", "EC2 Instance Rebalance Recommendation", "0"): _one_instance(
        InterruptionKind.REBALANCE_RECOMMENDATION
    ),
    ("aws.ec2", "EC2 Instance State-change Notification", "0"): _state_change,
    ("aws.health", "AWS Health Event", "0"): _scheduled_change,
}

KINDS = frozenset((source, detail_type) for source, detail_type, _ in PARSERS)


def parse(body: str) -> list[Notice]:
    """Give the notices in one queue message; none when it is an event that does not concern us.

    Raises:
        MalformedNoticeError: it is no EventBridge event, or of a version that we cannot read.
    """
    if len(body) > LONGEST_BODY:
        raise MalformedNoticeError(
            f"the message has {len(body)} characters; no event is that long", reason="too_long"
        )
    try:
        event = json.loads(body)
    except (ValueError, RecursionError) as error:
        raise MalformedNoticeError(
            f"the message is not one JSON document: {error}", reason="not_one_document"
        ) from error
    try:
        kind = event["source"], event["detail-type"]
        if kind not in KINDS:
            return []
        parser = PARSERS.get((*kind, event["version"]))
        if parser is None:
            raise MalformedNoticeError(
                f"version {event['version']!r} of {kind[1]} is not known", reason="version"
            )
        at = datetime.fromisoformat(event["time"])
        if at.tzinfo is None:
            raise ValueError(f"the event's time {event['time']!r} has no zone")
        account, region = _token(event["account"]), _token(event["region"])
        return [
            Notice(f"{_token(event['id'])}:{_token(instance)}", instance, account, region, kind, at)
            for instance, kind in parser(event)
        ]
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise MalformedNoticeError(
            f"the message is no EventBridge event: {error!r}", reason="malformed"
        ) from error


def _token(value: Any) -> str:
    """Give an identifier as it is; anybody may write into a queue, and it becomes a subject and a row."""
    if not isinstance(value, str) or not IDENTIFIER.fullmatch(value):
        raise ValueError(f"{value!r} is no identifier")
    return value
