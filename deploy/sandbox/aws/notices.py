"""What EventBridge would put into the platform's queue.

Shapes: https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/spot-instance-termination-notices.html
"""

import json
import uuid
from collections.abc import Mapping
from datetime import UTC, datetime

from deploy.sandbox.aws.moto_client import Caller, MotoClient
from deploy.sandbox.aws.query_protocol import Form
from deploy.sandbox.aws.records import Instance

INTERRUPTION = "EC2 Spot Instance Interruption Warning"
REBALANCE = "EC2 Instance Rebalance Recommendation"
STATE_CHANGE = "EC2 Instance State-change Notification"


class Notices:
    """Sends events about instances."""

    def __init__(self, *, moto: MotoClient, platform: Caller, queue_url: str) -> None:
        self._moto = moto
        self._platform = platform
        self._queue_url = queue_url

    async def interruption(self, instance: Instance) -> None:
        """Say that the instance ends in two minutes."""
        await self._send(INTERRUPTION, instance, {"instance-action": "terminate"})

    async def rebalance(self, instance: Instance) -> None:
        """Say that the instance is at elevated risk."""
        await self._send(REBALANCE, instance, {})

    async def terminated(self, instance: Instance) -> None:
        """Say that the instance is gone."""
        await self._send(STATE_CHANGE, instance, {"state": "terminated"})

    async def _send(self, detail_type: str, instance: Instance, detail: Mapping[str, str]) -> None:
        event = {
            "version": "0",
            "id": str(uuid.uuid4()),
            "detail-type": detail_type,
            "source": "aws.ec2",
            "account": instance.account,
            "time": f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%SZ}",
            "region": self._platform.region,
            "resources": [f"arn:aws:ec2:{instance.zone}:instance/{instance.id}"],
            "detail": {"instance-id": instance.id, **detail},
        }
        answer = await self._moto.form(
            self._platform,
            Form(
                {
                    "Action": "SendMessage",
                    "Version": "2012-11-05",
                    "QueueUrl": self._queue_url,
                    "MessageBody": json.dumps(event),
                }
            ),
        )
        if answer.status != 200:
            raise RuntimeError(f"moto's SQS refused an event: {answer.body.decode(errors='replace')[:256]}")
