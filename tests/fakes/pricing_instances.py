"""Instances that are over, in memory."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime

from services.pricing.domain.notices import Notice
from shared.kernel.pools import PoolKey


@dataclass
class InMemoryInstanceRepository:
    """See ports.InstanceRepository; what came at no instant that is told here came just now."""

    pools: dict[str, PoolKey] = field(default_factory=dict)
    notices: dict[str, Notice] = field(default_factory=dict)
    """Both are those of the repository of risk."""
    ended_at: dict[str, datetime] = field(default_factory=dict)
    seen_at: dict[str, datetime] = field(default_factory=dict)
    received_at: dict[str, datetime] = field(default_factory=dict)

    async def note_ends(self, ended_at: Mapping[str, datetime]) -> None:
        for name, at in ended_at.items():
            if name in self.pools:
                self.ended_at[name] = min(at, self.ended_at.get(name, at))

    async def forget_instances(self, *, ended_before: datetime, seen_before: datetime, most: int) -> int:
        old = [
            name
            for name in self.pools
            if self.ended_at.get(name, ended_before) < ended_before
            or self.seen_at.get(name, seen_before) < seen_before
        ][:most]
        for name in old:
            del self.pools[name]
        return len(old)

    async def forget_notices(self, *, before: datetime, most: int) -> int:
        old = [name for name in self.notices if self.received_at.get(name, before) < before][:most]
        for name in old:
            del self.notices[name]
        return len(old)
