"""Every price of a region in one object, for those who missed the events that told of them."""

from collections.abc import Iterable
from datetime import datetime
from decimal import Decimal
from typing import Self

from pydantic import AwareDatetime, NonNegativeInt, model_validator

from shared.contracts.base import Usd, Value
from shared.contracts.columns import Words, fit
from shared.kernel.pools import CapacityType, PoolKey


class PriceColumns(Value):
    """One entry a pool in each column, those with a list of words as positions in it."""

    instance_type: tuple[NonNegativeInt, ...] = ()
    zone_id: tuple[NonNegativeInt, ...] = ()
    capacity_type: tuple[CapacityType, ...] = ()
    usd_per_hour: tuple[Usd, ...] = ()
    effective_at: tuple[AwareDatetime, ...] = ()


class PriceTable(Value):
    """Every price of a region, in one object: where who missed events catches up.

    Read it, then apply the events whose sequence is higher.
    """

    region: str
    sequence: NonNegativeInt
    """Of the last event that it holds."""
    as_of: AwareDatetime
    type_names: tuple[str, ...] = ()
    zone_ids: tuple[str, ...] = ()
    columns: PriceColumns = PriceColumns()

    @model_validator(mode="after")
    def _columns_fit(self) -> Self:
        fit(self.columns, (("instance_type", self.type_names), ("zone_id", self.zone_ids)))
        return self

    @classmethod
    def of(
        cls,
        *,
        region: str,
        sequence: int,
        as_of: datetime,
        prices: Iterable[tuple[PoolKey, Decimal, datetime]],
    ) -> Self:
        """Lay prices, with the instant from which each is in force, out in columns, sorted by pool."""
        rows = sorted(prices)
        types, zones = Words[str](), Words[str]()
        return cls(
            region=region,
            sequence=sequence,
            as_of=as_of,
            columns=PriceColumns(
                instance_type=tuple([types[pool.instance_type] for pool, _, _ in rows]),
                zone_id=tuple([zones[pool.zone_id] for pool, _, _ in rows]),
                capacity_type=tuple([pool.capacity_type for pool, _, _ in rows]),
                usd_per_hour=tuple([usd for _, usd, _ in rows]),
                effective_at=tuple([at for _, _, at in rows]),
            ),
            type_names=tuple(types),
            zone_ids=tuple(zones),
        )

    @property
    def prices(self) -> list[tuple[PoolKey, Decimal, datetime]]:
        """The rows: pool, USD per hour, in force since."""
        columns, types, zones = self.columns, self.type_names, self.zone_ids
        rows = zip(
            columns.instance_type,
            columns.zone_id,
            columns.capacity_type,
            columns.usd_per_hour,
            columns.effective_at,
            strict=True,
        )
        return [(PoolKey(self.region, types[n], zones[z], kind), usd, at) for n, z, kind, usd, at in rows]
