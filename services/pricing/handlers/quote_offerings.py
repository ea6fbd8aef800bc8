"""Answer what every offering of a region costs, how old that is, and how risky it is."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from decimal import Decimal
from itertools import compress
from typing import TypeVar

from services.pricing.domain import interruption_risk, offerings
from services.pricing.domain.interruption_risk import ADVISOR_FRESH_FOR, Advice
from services.pricing.domain.pool_observations import ObservedRisk
from services.pricing.handlers.refresh_catalogue import SOURCE as CATALOGUE
from services.pricing.handlers.refresh_prices import SOURCE as SPOT_PRICES
from services.pricing.handlers.refresh_ratings import SOURCE as ADVISOR
from services.pricing.handlers.store_on_demand_prices import SOURCE as PRICE_LIST
from services.pricing.ports import PricedPools, SourceState, UnitOfWork, UnitOfWorkFactory
from shared.contracts.columns import Words
from shared.contracts.v1.pricing import (
    FlagReason,
    LiveFlag,
    OfferingQuotes,
    PriceOrigin,
    QuoteColumns,
    QuoteOfferings,
    QuoteSource,
)
from shared.kernel.capacity import InstanceType
from shared.kernel.clock import Clock
from shared.kernel.pool_flags import PoolFlag
from shared.kernel.pools import CapacityType

SOURCES = {CapacityType.SPOT: SPOT_PRICES, CapacityType.ON_DEMAND: PRICE_LIST}
RISK_FRESH_FOR = timedelta(minutes=30)
"""A prediction from what was seen of a pool that is older than that is not quoted."""

C = TypeVar("C")


@dataclass(frozen=True, slots=True, kw_only=True)
class Tables:
    """A region's rows as they were at a revision, laid out as an answer has them: one entry a pool in a column.

    An answer is made of columns from end to end: 12,000 rows as objects would take longer than all the rest of it.
    """

    revision: tuple[int, datetime | None]
    """The number of the last price event, and when the catalogue was read: what changes a row changes one of them."""
    types: tuple[InstanceType, ...]
    """Those with a row, by name."""
    type_names: tuple[str, ...]
    zone_ids: tuple[str, ...]
    instance_type: tuple[int, ...]
    zone_id: tuple[int, ...]
    capacity_type: tuple[CapacityType, ...]
    usd_per_hour: tuple[Decimal, ...]


Shelf = dict[str, Tables]
"""The last tables read, by region."""


async def quote_offerings(
    request: QuoteOfferings,
    *,
    unit_of_work: UnitOfWorkFactory,
    clock: Clock,
    spot_fresh_for: timedelta,
    on_demand_fresh_for: timedelta,
    risk_fresh_for: timedelta = RISK_FRESH_FOR,
    advisor_fresh_for: timedelta = ADVISOR_FRESH_FOR,
    shelf: Shelf | None = None,
) -> OfferingQuotes:
    """Quote every pool with a known price and type; one without is left out, never quoted at zero.

    `shelf` keeps tables from one answer to the next; None reads them anew.
    """
    region = request.scope
    now = clock.now()
    async with unit_of_work() as uow:
        tables = await _tables(region, uow=uow, shelf={} if shelf is None else shelf)
        states = await uow.offerings.source_states(region)
        source_by_kind = {
            kind: _source(kind, state, now=now, fresh_for=fresh_for)
            for kind, fresh_for in (
                (CapacityType.SPOT, spot_fresh_for),
                (CapacityType.ON_DEMAND, on_demand_fresh_for),
            )
            if (state := states.get(SOURCES[kind])) is not None
        }
        unconfirmed = await uow.offerings.unconfirmed(region)
        ratings = await uow.risk.ratings(region)
        flags = await uow.risk.live_flags(region, now=now)
        observed = await uow.observations.risks(region, since=now - risk_fresh_for)
    advised = states.get(ADVISOR)
    advice = interruption_risk.advice(
        ratings, as_of=advised.as_of if advised else None, now=now, fresh_for=advisor_fresh_for
    )
    tables = _only(tables, wanted=frozenset(request.instance_types), kinds=frozenset(source_by_kind))
    kinds = set(tables.capacity_type)
    sources, source = _sources(
        tables,
        {kind: found for kind, found in source_by_kind.items() if kind in kinds},
        unconfirmed={(p.instance_type, p.zone_id): at for p, at in unconfirmed.items()},
        aged=lambda at: _source(
            CapacityType.SPOT, replace(states[SPOT_PRICES], as_of=at), now=now, fresh_for=spot_fresh_for
        ),
    )
    risk_words = Words[str]()
    probabilities, risk_source = _risks(tables, advice=advice, observed=observed.values(), words=risk_words)
    return OfferingQuotes(
        region=region,
        as_of=now,
        instance_types=tables.types,
        sources=sources,
        type_names=tables.type_names,
        zone_ids=tables.zone_ids,
        risk_sources=tuple(risk_words),
        columns=QuoteColumns(
            instance_type=tables.instance_type,
            zone_id=tables.zone_id,
            capacity_type=tables.capacity_type,
            source=source,
            usd_per_hour=_with_margin(tables.usd_per_hour, sources, source),
            interruption_probability=probabilities,
            risk_source=risk_source,
        ),
        flags=tuple(live_flag(flags[pool]) for pool in sorted(flags)),
    )


async def _tables(region: str, *, uow: UnitOfWork, shelf: Shelf) -> Tables:
    # The revision is read first: rows that are newer than it are read once more, older ones never kept.
    revision = (
        await uow.announcements.current(region),
        await uow.offerings.source_as_of(region, CATALOGUE),
    )
    held = shelf.get(region)
    if held is None or held.revision != revision:
        pools = await uow.offerings.priced_pools(region)
        types = await uow.offerings.instance_types(region)
        held = shelf[region] = _laid_out(pools, types, revision=revision)
    return held


def _laid_out(
    pools: PricedPools, types: Sequence[InstanceType], *, revision: tuple[int, datetime | None]
) -> Tables:
    """Number types and zones; a pool whose type has no facts is left out."""
    facts = {t.name: t for t in types}
    keep = [name in facts for name in pools.instance_type]
    names, zones = Words[str](), Words[str]()
    instance_type = tuple([names[name] for name in compress(pools.instance_type, keep)])
    return Tables(
        revision=revision,
        types=tuple(facts[name] for name in sorted(names)),
        instance_type=instance_type,
        zone_id=tuple([zones[zone] for zone in compress(pools.zone_id, keep)]),
        capacity_type=tuple(compress(pools.capacity_type, keep)),
        usd_per_hour=tuple(compress(pools.usd_per_hour, keep)),
        type_names=tuple(names),
        zone_ids=tuple(zones),
    )


def _only(tables: Tables, *, wanted: frozenset[str], kinds: frozenset[CapacityType]) -> Tables:
    """Keep the rows of these types, all where none is named, and of these capacity types."""
    if not wanted and kinds.issuperset(tables.capacity_type):
        return tables
    names = tables.type_names
    keep = [
        kind in kinds and (not wanted or names[at] in wanted)
        for at, kind in zip(tables.instance_type, tables.capacity_type, strict=True)
    ]

    def kept(column: tuple[C, ...]) -> tuple[C, ...]:
        return tuple(compress(column, keep))

    instance_type = kept(tables.instance_type)
    quoted = {names[at] for at in instance_type}
    return replace(
        tables,
        types=tuple(t for t in tables.types if t.name in quoted),
        instance_type=instance_type,
        zone_id=kept(tables.zone_id),
        capacity_type=kept(tables.capacity_type),
        usd_per_hour=kept(tables.usd_per_hour),
    )


def _sources(
    tables: Tables,
    by_kind: Mapping[CapacityType, QuoteSource],
    *,
    unconfirmed: Mapping[tuple[str, str], datetime],
    aged: Callable[[datetime], QuoteSource],
) -> tuple[tuple[QuoteSource, ...], tuple[int, ...]]:
    """Give the sources, and each row's number in them.

    A spot pool that its source names no more, by type and zone id, is as old as the answer that did: `aged` gives
    the source as it was then.
    """
    sources, number = list(by_kind.values()), {kind: at for at, kind in enumerate(by_kind)}
    column = [number[kind] for kind in tables.capacity_type]
    if unconfirmed:
        names, zones, number_of = tables.type_names, tables.zone_ids, dict[datetime, int]()
        for row, (name, zone, kind) in enumerate(
            zip(tables.instance_type, tables.zone_id, tables.capacity_type, strict=True)
        ):
            at = unconfirmed.get((names[name], zones[zone])) if kind is CapacityType.SPOT else None
            if at is not None:
                if at not in number_of:
                    number_of[at] = len(sources)
                    sources.append(aged(at))
                column[row] = number_of[at]
    return tuple(sources), tuple(column)


def _with_margin(
    prices: tuple[Decimal, ...], sources: Sequence[QuoteSource], source: Sequence[int]
) -> tuple[Decimal, ...]:
    """Add the margin to prices of stale sources."""
    stale = frozenset(at for at, found in enumerate(sources) if found.is_stale)
    if not stale:
        return prices
    return tuple(
        [usd * offerings.STALE_MARGIN if at in stale else usd for usd, at in zip(prices, source, strict=True)]
    )


def _risks(
    tables: Tables,
    *,
    advice: Advice,
    observed: Iterable[ObservedRisk],
    words: Words[str],
) -> tuple[tuple[float | None, ...], tuple[int | None, ...]]:
    """Give the columns of a row's probability and of who says so: what was seen of a spot pool, else of its type."""
    nobody: tuple[float | None, int | None] = (None, None)
    by_type = []
    for name in tables.type_names:
        risk = advice.of(name)
        by_type.append((risk.interruption_probability, words[risk.source]) if risk else nobody)
    seen = {(risk.pool.instance_type, risk.pool.zone_id): risk for risk in observed}
    risks = [
        by_type[at] if kind is CapacityType.SPOT else nobody
        for at, kind in zip(tables.instance_type, tables.capacity_type, strict=True)
    ]
    if seen:
        names, zones = tables.type_names, tables.zone_ids
        for row, (at, zone, kind) in enumerate(
            zip(tables.instance_type, tables.zone_id, tables.capacity_type, strict=True)
        ):
            if kind is CapacityType.SPOT and (own := seen.get((names[at], zones[zone]))) is not None:
                risks[row] = own.interruption_probability, words[own.source]
    return tuple([probability for probability, _ in risks]), tuple([source for _, source in risks])


def _source(kind: CapacityType, state: SourceState, *, now: datetime, fresh_for: timedelta) -> QuoteSource:
    age = offerings.age_of(state.as_of, now=now)
    return QuoteSource(
        name=SOURCES[kind],
        origin=PriceOrigin(state.origin.value),
        as_of=state.as_of,
        age_seconds=int(age.total_seconds()),
        is_stale=age > fresh_for,
        confidence=offerings.confidence(age, fresh_for=fresh_for),
    )


def live_flag(flag: PoolFlag) -> LiveFlag:
    """Write a flag down as the contract has it."""
    return LiveFlag(
        pool=flag.pool,
        reason=FlagReason(flag.reason),
        raised_at=flag.raised_at,
        expires_at=flag.expires_at,
    )
