"""The position of the published state: (epoch, sequence), contiguous within an epoch."""

from datetime import datetime


def new_epoch(*, now: datetime, last: int) -> int:
    """Give an epoch above the last one, even if that is forgotten or the clock was set back."""
    return max(int(now.timestamp() * 1000), last + 1)


class Numbering:
    """Counts the deltas of one epoch."""

    def __init__(self, epoch: int) -> None:
        self.epoch = epoch
        self.sequence = 0

    def advance(self) -> int:
        """Give the next delta's number."""
        self.sequence += 1
        return self.sequence
