"""The SQS queue into which EventBridge puts EC2's and Health's events."""

from collections.abc import Sequence

import aioboto3

from services.pricing.adapters.aws_errors import CLIENT_CONFIG, own_errors
from services.pricing.ports import QueuedNotice

LONG_POLL_SECONDS = 20
LARGEST_BATCH = 10


class SqsNoticeQueue:
    """Long-polled; a message is deleted only after it was stored or refused."""

    def __init__(self, session: aioboto3.Session, *, url: str, region: str) -> None:
        self._session = session
        self._url = url
        self._region = region

    async def receive(self) -> Sequence[QueuedNotice]:
        """See ports.NoticeQueue."""
        with own_errors("receiving notices"):
            async with self._session.client("sqs", region_name=self._region, config=CLIENT_CONFIG) as sqs:
                answer = await sqs.receive_message(
                    QueueUrl=self._url, MaxNumberOfMessages=LARGEST_BATCH, WaitTimeSeconds=LONG_POLL_SECONDS
                )
        return [QueuedNotice(m["ReceiptHandle"], m["Body"]) for m in answer.get("Messages", ())]

    async def delete(self, handle: str) -> None:
        """See ports.NoticeQueue."""
        with own_errors("deleting a notice"):
            async with self._session.client("sqs", region_name=self._region, config=CLIENT_CONFIG) as sqs:
                await sqs.delete_message(QueueUrl=self._url, ReceiptHandle=handle)
