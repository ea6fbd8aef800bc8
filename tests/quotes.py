"""Quotes as pricing answers them, written down row by row."""

from collections.abc import Sequence
from datetime import datetime

from shared.contracts.columns import Words
from shared.contracts.v1.pricing import LiveFlag, OfferingQuotes, Quote, QuoteColumns
from shared.kernel.capacity import InstanceType


def make_quotes(
    *,
    region: str,
    as_of: datetime,
    instance_types: Sequence[InstanceType],
    quotes: Sequence[Quote],
    flags: Sequence[LiveFlag] = (),
) -> OfferingQuotes:
    """Lay quotes out in columns; they keep their order."""
    types, zones, risks = Words[str](), Words[str](), Words[str]()
    sources = list(dict.fromkeys(quote.source for quote in quotes))
    return OfferingQuotes(
        region=region,
        as_of=as_of,
        instance_types=tuple(instance_types),
        columns=QuoteColumns(
            instance_type=tuple([types[q.pool.instance_type] for q in quotes]),
            zone_id=tuple([zones[q.pool.zone_id] for q in quotes]),
            capacity_type=tuple(q.pool.capacity_type for q in quotes),
            source=tuple(sources.index(q.source) for q in quotes),
            usd_per_hour=tuple(q.usd_per_hour for q in quotes),
            interruption_probability=tuple(q.interruption_probability for q in quotes),
            risk_source=tuple([None if q.risk_source is None else risks[q.risk_source] for q in quotes]),
        ),
        type_names=tuple(types),
        zone_ids=tuple(zones),
        sources=tuple(sources),
        risk_sources=tuple(risks),
        flags=tuple(flags),
    )
