"""EventBridge's events, and what anybody else may have written into the queue."""

import json
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.pricing.domain import notices
from services.pricing.errors import MalformedNoticeError
from shared.kernel.interruption import InterruptionKind

INSTANCE = "i-0123456789abcdef0"


def event(detail_type: str, detail: Any, *, source: str = "aws.ec2", **changes: Any) -> str:
    return json.dumps(
        {
            "version": "0",
            "id": "12345678-1234-1234-1234-123456789012",
            "detail-type": detail_type,
            "source": source,
            "account": "123456789012",
            "time": "2026-01-01T00:00:00Z",
            "region": "us-east-1",
            "resources": [f"arn:aws:ec2:us-east-1:123456789012:instance/{INSTANCE}"],
            "detail": detail,
        }
        | changes
    )


SPOT = "EC2 Spot Instance Interruption Warning"
STATE = "EC2 Instance State-change Notification"
HEALTH = "AWS Health Event"
ENTITIES = {"affectedEntities": [{"entityValue": INSTANCE}, {"entityValue": "vol-1"}]}


@pytest.mark.parametrize(
    ("body", "kind"),
    [
        pytest.param(
            event(SPOT, {"instance-id": INSTANCE, "instance-action": "terminate"}),
            InterruptionKind.SPOT_INTERRUPTION,
            id="interruption",
        ),
        pytest.param(
            event("EC2 Instance Rebalance Recommendation", {"instance-id": INSTANCE}),
            InterruptionKind.REBALANCE_RECOMMENDATION,
            id="rebalance",
        ),
        *(
            pytest.param(
                event(STATE, {"instance-id": INSTANCE, "state": state}),
                InterruptionKind.INSTANCE_TERMINATED,
                id=state,
            )
            for state in ("stopping", "stopped", "shutting-down", "terminated")
        ),
        pytest.param(
            event(
                HEALTH,
                {"service": "EC2", "eventTypeCategory": "scheduledChange", **ENTITIES},
                source="aws.health",
            ),
            InterruptionKind.SCHEDULED_CHANGE,
            id="scheduled change",
        ),
    ],
)
def test_what_concerns_us_is_one_notice(body: str, kind: InterruptionKind) -> None:
    [notice] = notices.parse(body)
    assert (notice.instance_id, notice.kind) == (INSTANCE, kind)
    assert (notice.account, notice.region) == ("123456789012", "us-east-1")
    assert notice.at == datetime(2026, 1, 1, tzinfo=UTC)
    assert notices.parse(body) == [notice], "each delivery gives the same id"


@pytest.mark.parametrize(
    "body",
    [
        pytest.param(event(STATE, {"instance-id": INSTANCE, "state": "running"}), id="it runs"),
        pytest.param(event("EC2 Something New", {"instance-id": INSTANCE}), id="another type"),
        pytest.param(event(SPOT, {"instance-id": INSTANCE}, source="my.app"), id="another source"),
        pytest.param(
            event(HEALTH, {"service": "RDS", "eventTypeCategory": "scheduledChange"}, source="aws.health"),
            id="another service",
        ),
        pytest.param(
            event(HEALTH, {"service": "EC2", "eventTypeCategory": "issue", **ENTITIES}, source="aws.health"),
            id="another category",
        ),
    ],
)
def test_what_does_not_concern_us_is_no_notice(body: str) -> None:
    assert notices.parse(body) == []


@pytest.mark.parametrize(
    "body",
    [
        pytest.param("", id="nothing"),
        pytest.param("{", id="half"),
        pytest.param("[]", id="a list"),
        pytest.param("null", id="null"),
        pytest.param('{"source": ["aws.ec2"], "detail-type": {}}', id="other types"),
        pytest.param("[" * 200_000, id="deep"),
        pytest.param(event(SPOT, None), id="no detail"),
        pytest.param(event(SPOT, "terminate"), id="detail is text"),
        pytest.param(event(HEALTH, "text", source="aws.health"), id="health detail is text"),
        pytest.param(event(SPOT, {}), id="no instance"),
        pytest.param(event(SPOT, {"instance-id": None}), id="instance is null"),
        pytest.param(event(SPOT, {"instance-id": "i-1\0"}), id="instance with NUL"),
        pytest.param(event(SPOT, {"instance-id": "i-" + "1" * 100}), id="a long instance"),
        pytest.param(event(SPOT, {"instance-id": INSTANCE}, time="yesterday"), id="no time"),
        pytest.param(event(SPOT, {"instance-id": INSTANCE}, time="2026-01-01T00:00:00"), id="no zone"),
        pytest.param(event(SPOT, {"instance-id": INSTANCE}, time=0), id="time is a number"),
        pytest.param(event(SPOT, {"instance-id": INSTANCE}, region="us.>"), id="region is no token"),
        pytest.param(event(SPOT, {"instance-id": INSTANCE}, account="\ud800"), id="half a character"),
        pytest.param(event(SPOT, {"instance-id": INSTANCE}, id=7), id="id is a number"),
        pytest.param(" " * notices.LONGEST_BODY + "{}", id="too long"),
    ],
)
def test_what_is_no_event_is_refused(body: str) -> None:
    with pytest.raises(MalformedNoticeError):
        notices.parse(body)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=5,
)


@given(
    st.sampled_from([*notices.PARSERS, ("x", "y", "0")]),
    st.dictionaries(
        st.sampled_from(["instance-id", "state", "service", "eventTypeCategory", "affectedEntities"]),
        json_values,
    )
    | json_values,
    st.dictionaries(st.sampled_from(["id", "account", "region", "time"]), json_values, max_size=1),
)
def test_no_event_breaks_the_reader(key: tuple[str, str, str], detail: Any, changes: dict[str, Any]) -> None:
    try:
        found = notices.parse(event(key[1], detail, source=key[0], **changes))
    except MalformedNoticeError:
        return
    for notice in found:
        assert notices.IDENTIFIER.fullmatch(notice.instance_id)
