"""What waits for the bus: bounded, in order, and honest about what it had to drop.

Deltas make sense only without gaps. So the first that has to go takes all waiting state with it, and a snapshot at
the current position must follow.
"""

from collections import deque
from dataclasses import dataclass
from enum import StrEnum


class Weight(StrEnum):
    """How much a message matters when there is no room."""

    STATE = "state"
    """Deltas and chunks: useless with a gap, replaceable by a snapshot."""
    SAMPLE = "sample"
    """Usage: each stands for itself, the newest matters."""
    LATEST = "latest"
    """Heartbeats: only the last one counts."""
    OUTCOME = "outcome"
    """What a command came to: never dropped for the others' sake."""


@dataclass(frozen=True, slots=True)
class Parcel:
    """A message as it is sent."""

    subject: str
    message_id: str
    body: bytes
    weight: Weight


class Buffer:
    """First in, first out."""

    def __init__(self, *, max_bytes: int) -> None:
        self._max_bytes = max_bytes
        self._parcels: deque[Parcel] = deque()
        self._bytes = 0
        self.has_lost_state = False
        """A snapshot has to follow; whoever sees to it sets this back."""
        self.dropped = 0

    def __len__(self) -> int:
        return len(self._parcels)

    @property
    def size_bytes(self) -> int:
        """How much waits."""
        return self._bytes

    @property
    def has_room(self) -> bool:
        """Whether a snapshot should be attempted now."""
        return self._bytes < self._max_bytes // 2

    def put(self, parcel: Parcel) -> None:
        """Take a message, dropping what matters least if it does not fit."""
        if parcel.weight is Weight.LATEST:
            self._drop(Weight.LATEST)
        self._parcels.append(parcel)
        self._bytes += len(parcel.body)
        if self._bytes > self._max_bytes:
            self.dropped += self._drop(Weight.SAMPLE)
        if self._bytes > self._max_bytes:
            self.dropped += self._drop(Weight.STATE)
            self.has_lost_state = True
        while self._bytes > self._max_bytes and len(self._parcels) > 1:
            self._bytes -= len(self._parcels.popleft().body)
            self.dropped += 1

    def peek(self) -> Parcel | None:
        """Give the oldest."""
        return self._parcels[0] if self._parcels else None

    def done(self, parcel: Parcel) -> None:
        """Forget what was sent; it may have been dropped meanwhile."""
        if self._parcels and self._parcels[0] is parcel:
            self._parcels.popleft()
            self._bytes -= len(parcel.body)

    def _drop(self, weight: Weight) -> int:
        kept = [parcel for parcel in self._parcels if parcel.weight is not weight]
        count = len(self._parcels) - len(kept)
        if count:
            self._parcels = deque(kept)
            self._bytes = sum(len(parcel.body) for parcel in kept)
        return count
