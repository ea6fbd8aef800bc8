"""Types, zones and prices make a market: from files where they are given, else from the bundled catalogue."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from deploy.planfiles import catalogue, node_templates, places, prices
from deploy.planfiles.catalogue import RegionOfferings
from deploy.planfiles.documents import PlanFileError
from deploy.planfiles.prices import SpotPrice
from services.optimizer.domain.observed_memory import memory_corrections
from services.optimizer.domain.offers import Market, Offer
from services.optimizer.domain.rules import Template, Zone
from shared.kernel.capacity import AmiFamily, InstanceType
from shared.kernel.pools import CapacityType, PoolKey
from shared.kernel.workload import Node, Volume


@dataclass(frozen=True, slots=True)
class MarketFiles:
    """What was given on the command line; a file that is None: the bundled catalogue."""

    region: str
    zones: tuple[str, ...] = ()
    instance_types: Path | None = None
    on_demand_prices: Path | None = None
    spot_prices: Path | None = None
    ami_family: AmiFamily = AmiFamily.AL2023
    prefix_delegation: bool = False
    max_pods: int | None = None
    node_template: Path | None = None


@dataclass(frozen=True, slots=True)
class ReadMarket:
    """A market, where it may be used, and what a reader must know about it."""

    market: Market
    template: Template
    nodes: tuple[Node, ...]
    """Those given, each with the id of its zone where that is known."""
    notes: tuple[str, ...]


def read_market(
    files: MarketFiles,
    nodes: Collection[Node],
    volumes: Iterable[Volume] = (),
    *,
    policy_names_zones: bool = False,
) -> ReadMarket:
    """Read everything; what the given nodes say of zones and of their type's memory counts first.

    Raises:
        PlanFileError: a file is broken, or region or zones are unknown.
    """
    known = catalogue.bundled_offerings(files.region)
    on_demand = _on_demand(files, known)
    zones = places.zone_ids(files.region, known.zones if known is not None else None, nodes)
    chosen = places.places(files.zones, files.region, zones, nodes, volumes, are_in_policy=policy_names_zones)
    new_nodes = node_templates.read_new_nodes(files.node_template)
    template = Template(
        tuple(Zone(name, zones[name]) for name in chosen.names),
        labels=new_nodes.labels,
        node_pool=new_nodes.node_pool,
        taints=node_templates.taints_of(new_nodes),
        disk_bytes=new_nodes.disk_gib * node_templates.GIB,
        by_karpenter=node_templates.by_karpenter(new_nodes, nodes),
        ami_family=files.ami_family,
        prefix_delegation=files.prefix_delegation,
        max_pods=files.max_pods,
    )
    types = (
        catalogue.described_types(files.instance_types)
        if files.instance_types is not None
        else catalogue.bundled_types()
    )
    notes = [*chosen.notes]
    if files.on_demand_prices is None:
        notes.append("On-demand prices are those of the bundled catalogue (February 2024).")
    offers = [
        Offer(PoolKey(files.region, name, zones[zone], CapacityType.ON_DEMAND), price)
        for name, price in sorted(on_demand.items())
        for zone in _zones_of(name, known, zones)
        if name in types
    ]
    if files.spot_prices is None:
        notes.append("No spot prices were given (--spot-prices): only on-demand is offered.")
    else:
        rows = prices.spot_prices(files.spot_prices, files.region)
        offers += _spot(files, rows, zones, types)
        newest = max(row.at for row in rows)
        told = f"the newest is of {newest}" if newest else "the file gives no times"
        notes.append(f"Spot prices are taken to hold now, however old they are: {told}.")
        notes.append(
            "No interruption risk is known from files: every spot pool is taken to be as risky as the policy"
            " assumes of one that nobody knows (unknown_interruption_probability)."
        )
    undescribed = sorted({n for n in on_demand if n not in types})
    if undescribed and files.on_demand_prices is not None:
        notes.append(
            f"{len(undescribed)} priced types are not described and are left out: {_some(undescribed)}."
        )
    if not offers:
        raise PlanFileError(f"Nothing is on offer in {files.region}: no priced type is described.")
    corrections = memory_corrections(nodes, types, ami_family=files.ami_family)
    market = Market(types, tuple(offers), memory_corrections=corrections)
    # A node where nothing new may be launched has a price all the same.
    known_places = tuple(n if n.zone_id else replace(n, zone_id=zones.get(n.zone or "")) for n in nodes)
    return ReadMarket(market, template, known_places, tuple(notes))


def _on_demand(files: MarketFiles, known: RegionOfferings | None) -> Mapping[str, float]:
    if files.on_demand_prices is not None:
        if known is None and not files.region.replace("-", "").isalnum():
            raise PlanFileError(f"Region {files.region!r} is not known.")
        return prices.on_demand_prices(files.on_demand_prices, files.region)
    found = catalogue.bundled_on_demand_prices(files.region)
    if known is None and not found:
        raise PlanFileError(f"Region {files.region!r} is not known; regions are named like us-east-1.")
    if not found and files.spot_prices is None:
        raise PlanFileError(
            f"The bundled catalogue has no prices in dollars for {files.region}; give --on-demand-prices."
        )
    return found


def _zones_of(name: str, known: RegionOfferings | None, zones: Mapping[str, str]) -> list[str]:
    # A type that the catalogue does not list in this region is newer than it: then it is taken to be everywhere.
    offering = known.types.get(name) if known is not None else None
    return sorted(z for z in zones if offering is None or z in offering)


def _spot(
    files: MarketFiles,
    rows: Sequence[SpotPrice],
    zones: Mapping[str, str],
    types: Mapping[str, InstanceType],
) -> list[Offer]:
    ids = set(zones.values())
    found: list[Offer] = []
    for row in rows:
        zone_id = row.zone if row.zone in ids else zones.get(row.zone)
        if zone_id is not None and row.instance_type in types:
            pool = PoolKey(files.region, row.instance_type, zone_id, CapacityType.SPOT)
            # Whoever asks what a file's prices come to takes them as they are.
            found.append(Offer(pool, row.usd_per_hour, age_seconds=0))
    if not found:
        raise PlanFileError(f"{files.spot_prices} prices no described type in a zone of {files.region}.")
    return found


def _some(names: Sequence[str]) -> str:
    return ", ".join(names[:3]) + ("" if len(names) <= 3 else " and others")
