"""From files, or none, to the market of a region, limited to what EC2 describes."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from deploy.sandbox.market import history, on_demand, recorded, simulated
from deploy.sandbox.market.errors import MarketDataError
from deploy.sandbox.market.market import HISTORY_SECONDS, Market

SIMULATED_AHEAD_SECONDS = 10 * 24 * 3600.0
"""How long simulated prices move, in market time; the last ones then stay."""


@dataclass(frozen=True, slots=True)
class Opening:
    """The market, and what was left out of it."""

    market: Market
    types_skipped: int
    """Types that are priced and that EC2 does not describe."""


def open_market(
    *,
    region: str,
    prices_file: Path | None,
    on_demand_file: Path | None,
    zones: frozenset[str],
    described: Mapping[str, Mapping[str, Any]],
    moto_offered: frozenset[history.Pool],
    started_at: float,
    clock_factor: float,
    seed: int,
) -> Opening:
    """Load or simulate; a type that EC2 does not describe is left out and counted.

    Raises:
        MarketDataError: a file cannot be used, or the region is unknown.
    """
    if not zones:
        raise MarketDataError(f"unknown region {region}")
    if on_demand_file is not None:
        on_demand_prices = on_demand.load(on_demand_file, region=region)
        source = on_demand_file.name
    else:
        on_demand_prices = on_demand.bundled(region=region)
        source = "the sparecores-data package"
    if prices_file is not None:
        prices = recorded.load(prices_file, region=region)
        offered = frozenset(p for p in prices.pools if p[0] in described and p[1] in zones)
        skipped = {name for name, _ in prices.pools if name not in described}
        if not offered:
            raise MarketDataError(f"{prices_file}: EC2 describes none of its instance types")
        first = datetime.fromtimestamp(prices.first_time, UTC)
        description = f"spot prices recorded from {first:%Y-%m-%d} on ({prices_file.name})"
    else:
        offered = frozenset(
            pool
            for pool in moto_offered
            if pool[0] in on_demand_prices and "spot" in described[pool[0]].get("SupportedUsageClasses", ())
        )
        skipped = {name for name in on_demand_prices if name not in described}
        if not offered:
            raise MarketDataError(f"region {region}: EC2's offerings and the on-demand prices share no type")
        prices = simulated.simulate(
            offered,
            on_demand_prices,
            start=started_at - HISTORY_SECONDS,
            end=started_at + SIMULATED_AHEAD_SECONDS,
            seed=seed,
        )
        description = f"spot prices simulated (seed {seed}), not recorded"
    return Opening(
        Market(
            region=region,
            history=prices,
            on_demand=on_demand_prices,
            description=f"{description}; on-demand prices from {source}",
            started_at=started_at,
            clock_factor=clock_factor,
            offered=offered,
            seed=seed,
        ),
        len(skipped),
    )
