"""Instances and the notices about them, once they are over."""

from collections.abc import Mapping
from datetime import datetime
from typing import Protocol


class InstanceRepository(Protocol):
    """What is kept of instances only for a while."""

    async def note_ends(self, ended_at: Mapping[str, datetime]) -> None:
        """Remember when instances ended, by id; of several instants the first. One that is not known stays so."""
        ...

    async def forget_instances(self, *, ended_before: datetime, seen_before: datetime, most: int) -> int:
        """Forget the pools of `most` instances that ended, or were first seen, before then; return how many went."""
        ...

    async def forget_notices(self, *, before: datetime, most: int) -> int:
        """Forget `most` notices that were received before then; return how many went."""
        ...
