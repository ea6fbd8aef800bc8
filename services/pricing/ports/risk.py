"""How risky pools are, and who says so."""

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from typing import Protocol

from services.pricing.domain.interruption_risk import AdvisorBand
from services.pricing.domain.notices import Notice
from services.pricing.domain.pool_observations import Observation, ObservedRisk
from services.pricing.domain.risk_model.contract import Opinion
from services.pricing.domain.risk_model.drift import Drift
from services.pricing.domain.risk_model.traces import Trace
from shared.contracts.v1.pricing import LiveFlag
from shared.kernel.pool_flags import PoolFlag
from shared.kernel.pools import PoolKey


class RiskRepository(Protocol):
    """Ratings, flags, and which pool an instance is in."""

    async def put_ratings(self, region: str, ratings: Mapping[str, AdvisorBand]) -> None:
        """Replace a region's ratings."""
        ...

    async def ratings(self, region: str) -> Mapping[str, AdvisorBand]:
        """Return a region's ratings by instance type."""
        ...

    async def flags(self, pools: Collection[PoolKey]) -> Mapping[PoolKey, PoolFlag]:
        """Return the flags of these pools, expired or not."""
        ...

    async def put_flags(self, flags: Sequence[PoolFlag]) -> None:
        """Raise or prolong flags, at most one a pool."""
        ...

    async def live_flags(self, region: str, *, now: datetime) -> Mapping[PoolKey, PoolFlag]:
        """Return the flags that have not expired."""
        ...

    async def put_instance_pool(self, instance_id: str, pool: PoolKey) -> None:
        """Remember which pool an instance is in."""
        ...

    async def instance_pools(self, instance_ids: Collection[str]) -> Mapping[str, PoolKey]:
        """Return which pools instances are in, as far as known."""
        ...

    async def add_notices(self, notices: Sequence[Notice]) -> frozenset[str]:
        """Keep notices; return the event ids of those that were not kept already."""
        ...


class ObservationRepository(Protocol):
    """What happened to our own instances in spot pools, and the risk that follows from it."""

    async def add(self, observations: Sequence[Observation]) -> None:
        """Keep observations; the same one twice is one."""
        ...

    async def since(self, region: str, *, since: datetime) -> Sequence[Observation]:
        """Return a region's observations from then on, and the launches of instances that lived then."""
        ...

    async def forget(self, region: str, *, before: datetime) -> None:
        """Drop what is older, except launches of instances that lived then."""
        ...

    async def put_risks(self, region: str, risks: Sequence[ObservedRisk], *, as_of: datetime) -> None:
        """Replace a region's predicted risks."""
        ...

    async def risks(self, region: str, *, since: datetime) -> Mapping[PoolKey, ObservedRisk]:
        """Return the risks that were predicted from then on."""
        ...


class RiskModelStore(Protocol):
    """The interruption model."""

    @property
    def name(self) -> str:
        """Say which model it is."""
        ...

    async def opinions(self, pasts: Sequence[Trace], *, can_wait: bool = True) -> Sequence[Opinion | None]:
        """Ask about pools, each with its past up to now; None where no instance runs now.

        Who cannot wait is not held up by a model that loads, restarts, or is busy with others.

        Raises:
            RiskModelUnavailableError: it cannot be asked, or does not answer, or not sensibly.
        """
        ...

    async def drift(self, pasts: Sequence[Trace]) -> Drift:
        """Compare pools with those that the model learnt from.

        Raises:
            RiskModelUnavailableError: as above.
        """
        ...


class FlagWriter(Protocol):
    """The board on which everybody sees flags at once."""

    async def put(self, flag: LiveFlag) -> None:
        """Write a flag, unless a younger one is there already.

        Raises:
            UnavailableError: the board is away.
        """
        ...
