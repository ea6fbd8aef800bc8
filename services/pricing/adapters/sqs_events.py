"""The SQS queue into which EventBridge puts EC2's and Health's events."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any, Self

import aioboto3

from services.pricing.adapters.aws_errors import CLIENT_CONFIG, own_errors
from services.pricing.ports import QueuedNotice

LONG_POLL_SECONDS = 20
LARGEST_BATCH = 10


class SqsNoticeQueue:
    """Long-polled over one client; see ports.NoticeQueue."""

    def __init__(self, client: Any, *, url: str) -> None:
        self._sqs = client
        self._url = url

    @classmethod
    @asynccontextmanager
    async def opened(cls, session: aioboto3.Session, *, url: str, region: str) -> AsyncIterator[Self]:
        """Open the client; making one for each call would cost more than the call."""
        async with session.client("sqs", region_name=region, config=CLIENT_CONFIG) as client:
            yield cls(client, url=url)

    async def receive(self) -> Sequence[QueuedNotice]:
        """See ports.NoticeQueue."""
        with own_errors("receiving notices"):
            answer = await self._sqs.receive_message(
                QueueUrl=self._url, MaxNumberOfMessages=LARGEST_BATCH, WaitTimeSeconds=LONG_POLL_SECONDS
            )
        return [
            QueuedNotice(m["MessageId"], m["ReceiptHandle"], m["Body"]) for m in answer.get("Messages", ())
        ]

    async def delete(self, handles: Sequence[str]) -> None:
        """See ports.NoticeQueue."""
        with own_errors("deleting notices"):
            await self._sqs.delete_message_batch(
                QueueUrl=self._url,
                Entries=[
                    {"Id": str(number), "ReceiptHandle": handle} for number, handle in enumerate(handles)
                ],
            )
