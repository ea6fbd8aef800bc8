"""What a policy names and nothing is called: a typo, or something that is not there yet."""

from collections.abc import Collection, Iterable, Iterator
from fnmatch import fnmatchcase

from services.optimizer.domain.offers import Market
from services.optimizer.domain.rules import PlanRules, Template
from shared.kernel.workload import ClusterObjects

MOST_NAMED = 3
MAC = "mac"
"""Types for macOS: Kubernetes cannot run on them, so no catalogue of ours has them; lists of rates do."""


def notes(objects: ClusterObjects, market: Market, rules: PlanRules, template: Template) -> tuple[str, ...]:
    """Say, a field at a time, what is named in vain; it is planned without, since it may be there tomorrow."""
    return (*_of_workloads(objects, rules), *_of_types(market, rules), *_of_zones(rules, template))


def _of_workloads(objects: ClusterObjects, rules: PlanRules) -> Iterator[str]:
    named: dict[str, Iterable[str]] = {
        "spot_workloads": rules.spot_workloads,
        "on_demand_workloads": rules.on_demand_workloads,
        "on_demand_floors": [floor.workload for floor in rules.on_demand_floors],
    }
    if any(named.values()):
        known = {f"{p.namespace}/{p.owner.name if p.owner else p.name}" for p in objects.pods}
        known.update(f"{w.namespace}/{w.name}" for w in objects.workloads)
        for field, patterns in named.items():
            vain = [p for p in patterns if not any(fnmatchcase(name, p) for name in known)]
            yield from _told(field, "no workload matches", vain)
    if rules.excluded_namespaces:
        namespaces = {p.namespace for p in objects.pods}
        yield from _told("excluded_namespaces", "no pod is in", rules.excluded_namespaces - namespaces)


def _of_types(market: Market, rules: PlanRules) -> Iterator[str]:
    types = market.instance_types
    if not types:
        return
    families = {t.family for t in types.values()}
    architectures = {a for t in types.values() for a in t.architectures}
    reserved = {r.instance_type for r in rules.commitments.reserved_instances}
    plans = rules.commitments.savings_plans
    committed = {p.instance_family for p in plans if p.instance_family is not None}
    rated = {name for plan in plans for name in plan.rates}
    for field, what, named, known in (
        ("instance_families", "type of family", rules.instance_families, families),
        ("gpu_families", "type of family", rules.gpu_families, families),
        ("instance_sizes", "type of size", rules.instance_sizes, {t.size for t in types.values()}),
        ("excluded_instance_types", "type called", rules.excluded_instance_types, types.keys()),
        ("architectures", "type that is", rules.architectures, architectures),
        ("reserved_instances", "type called", reserved, types.keys()),
        ("savings_plans", "type of family", committed, families),
        ("savings_plans", "type called", rated, types.keys()),
    ):
        vain = [name for name in named if name not in known and not name.startswith(MAC)]
        yield from _told(field, f"EC2 describes no {what}", vain)


def _of_zones(rules: PlanRules, template: Template) -> Iterator[str]:
    known = {name for zone in template.zones for name in (zone.name, zone.zone_id)}
    reserved = {r.zone for r in rules.commitments.reserved_instances if r.zone is not None}
    for field, named in (("zones", rules.zones), ("reserved_instances", reserved)):
        yield from _told(field, "nodes may not be launched in", named - known)


def _told(field: str, why: str, names: Collection[str]) -> Iterator[str]:
    if names:
        shown = sorted(set(names))
        more = len(shown) - MOST_NAMED
        yield f"{field}: {why} {', '.join(shown[:MOST_NAMED])}{f' and {more} others' if more > 0 else ''}."
