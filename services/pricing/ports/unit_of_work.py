"""One transaction over all repositories."""

from collections.abc import Callable, Sequence
from contextlib import AbstractAsyncContextManager
from typing import Protocol

from services.pricing.ports.instances import InstanceRepository
from services.pricing.ports.prices import AnnouncementRepository, HistoryRepository, OfferingRepository
from services.pricing.ports.regions import RegionRepository
from services.pricing.ports.risk import ObservationRepository, RiskRepository
from services.pricing.ports.source_records import SourceRepository
from shared.contracts.base import Message


class Outbox(Protocol):
    """Messages that leave when the transaction commits."""

    async def add(self, message: Message) -> None:
        """Add a message."""
        ...

    async def add_all(self, messages: Sequence[Message]) -> None:
        """Add messages, to leave in this order."""
        ...


class UnitOfWork(Protocol):
    """One transaction: state and messages together, or neither."""

    def on_commit(self, then: Callable[[], None]) -> None:
        """Call this once all of it is kept, and never if it is not."""
        ...

    @property
    def offerings(self) -> OfferingRepository:
        """Prices."""
        ...

    @property
    def history(self) -> HistoryRepository:
        """Months of prices."""
        ...

    @property
    def sources(self) -> SourceRepository:
        """What the sources did."""
        ...

    @property
    def risk(self) -> RiskRepository:
        """Risk."""
        ...

    @property
    def instances(self) -> InstanceRepository:
        """Instances that are over."""
        ...

    @property
    def observations(self) -> ObservationRepository:
        """What was seen of pools."""
        ...

    @property
    def regions(self) -> RegionRepository:
        """Where clusters run."""
        ...

    @property
    def announcements(self) -> AnnouncementRepository:
        """Numbers of price events."""
        ...

    @property
    def outbox(self) -> Outbox:
        """Messages out."""
        ...


class UnitOfWorkFactory(Protocol):
    """Opens a unit of work; leaving it normally commits, an exception rolls back."""

    def __call__(self) -> AbstractAsyncContextManager[UnitOfWork]:
        """Begin."""
        ...
