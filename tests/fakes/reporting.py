"""Reporting's ports: what others would say, and stores that live in memory."""

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from datetime import datetime, timedelta
from decimal import Decimal
from typing import cast
from uuid import UUID, uuid5

from services.reporting.domain import audit_chain
from services.reporting.domain.audit_chain import Deed, Link
from services.reporting.domain.ledger import PricePoint
from services.reporting.ports import Happening, UnitOfWork
from shared.contracts.base import Message
from shared.kernel.errors import UnavailableError
from shared.kernel.pools import PoolKey


class SetClock:
    """A clock that only the test moves."""

    def __init__(self, now: datetime) -> None:
        self._now = now

    def now(self) -> datetime:
        return self._now

    def move(self, by: timedelta) -> None:
        self._now += by

    async def sleep(self, seconds: float) -> None:
        self._now += timedelta(seconds=seconds)


class SteadyIds:
    """The same ids in every run."""

    def __init__(self) -> None:
        self._made = 0

    def new(self) -> UUID:
        self._made += 1
        return uuid5(UUID(int=0), str(self._made))


class FakePriceSource:
    """Pricing's tables, by region; see ports.PriceSource."""

    def __init__(self, tables: Mapping[str, Sequence[tuple[PoolKey, datetime, Decimal]]]) -> None:
        self._tables = dict(tables)
        self.sequence = 1
        self.is_away = False

    def set(self, region: str, table: Sequence[tuple[PoolKey, datetime, Decimal]]) -> None:
        self._tables[region] = table

    async def prices(self, region: str) -> tuple[int, Sequence[tuple[PoolKey, PricePoint]]] | None:
        if self.is_away:
            raise UnavailableError("the bus is away")
        if region not in self._tables:
            return None
        return self.sequence, [(pool, PricePoint(at, price)) for pool, at, price in self._tables[region]]


class InMemoryActivityRepository:
    """See ports.ActivityRepository; one organization's."""

    def __init__(self) -> None:
        self.lines: dict[UUID, Happening] = {}

    async def add(self, message_id: UUID, happening: Happening) -> None:
        self.lines.setdefault(message_id, happening)

    async def newest(self, *, cluster_id: str | None, limit: int) -> Sequence[Happening]:
        found = [h for h in self.lines.values() if cluster_id in (None, h.cluster_id)]
        return sorted(found, key=lambda h: h.at, reverse=True)[:limit]


class InMemoryAuditRepository:
    """See ports.AuditRepository; one organization's, whose log a test may tamper with."""

    def __init__(self, organization_id: str) -> None:
        self._organization_id = organization_id
        self.log: list[Link] = []
        self._head = (0, audit_chain.BEFORE_THE_FIRST)

    async def append(self, deed: Deed) -> Link:
        position, sha256 = self._head
        link = audit_chain.append(
            deed, organization_id=self._organization_id, position=position + 1, previous_sha256=sha256
        )
        self.log.append(link)
        self._head = (link.position, link.sha256)
        return link

    async def links(self, *, after: int, limit: int) -> Sequence[Link]:
        return [link for link in self.log if link.position > after][:limit]

    async def hash_at(self, position: int) -> str | None:
        if position == 0:
            return audit_chain.BEFORE_THE_FIRST
        return next((link.sha256 for link in self.log if link.position == position), None)

    async def head(self) -> tuple[int, str]:
        return self._head


class InMemoryFeed:
    """The parts of ports.UnitOfWork that feed and audit use; also its own factory."""

    def __init__(self, organization_id: str = "acme") -> None:
        self.activity = InMemoryActivityRepository()
        self.audit = InMemoryAuditRepository(organization_id)
        self.acted_for: list[str] = []
        self.sent: list[Message] = []

    async def act_for(self, organization_id: str) -> None:
        self.acted_for.append(organization_id)

    def as_unit_of_work(self) -> UnitOfWork:
        return cast("UnitOfWork", self)

    @asynccontextmanager
    async def __call__(self) -> AsyncIterator[UnitOfWork]:
        yield self.as_unit_of_work()
