"""The queue of notices about instances."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True, slots=True)
class QueuedNotice:
    """One message of the queue and the handle that deletes it."""

    message_id: str
    handle: str
    body: str


class NoticeQueue(Protocol):
    """The queue into which EventBridge writes."""

    async def receive(self) -> Sequence[QueuedNotice]:
        """Wait up to 20 s for messages; an empty answer is usual."""
        ...

    async def delete(self, handles: Sequence[str]) -> None:
        """Delete messages that are stored or buried; one that cannot be deleted comes again."""
        ...


class NoticeGrave(Protocol):
    """Where what is no notice is kept for people to look at."""

    async def bury(self, notice: QueuedNotice, *, reason: str) -> None:
        """Store a message, as far as it is not too long; when this returns, it is stored.

        Raises:
            UnavailableError: it is not stored.
        """
        ...
