"""The names in a policy: what EC2 calls nothing so is a typo, and refused with what was probably meant.

The bundled catalogue and the files that were given know every type that was sold when they were made. A family of the
newest generation, or of the one after it, may be newer than they are: that is told in the plan, and not refused.
"""

import re
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path

from deploy.planfiles import catalogue
from deploy.planfiles.documents import PlanFileError
from services.optimizer.domain.offers import Market
from services.optimizer.domain.rules import PlanRules, Template
from services.optimizer.domain.unmatched import MAC

FAMILY = re.compile(r"(?P<letters>[a-z]+)(?P<generation>\d+)[a-z0-9-]*", re.ASCII)


@dataclass(frozen=True, slots=True)
class KnownNames:
    """What there is in a region."""

    region: str
    types: frozenset[str]
    gpu_families: frozenset[str]
    architectures: frozenset[str]
    zones: Mapping[str, str]
    """Zone id by name; empty when the region is not in the catalogue."""

    @property
    def families(self) -> frozenset[str]:
        """Give what stands before the dots."""
        return frozenset(name.partition(".")[0] for name in self.types)

    @property
    def sizes(self) -> frozenset[str]:
        """Give what stands behind them."""
        return frozenset(name.partition(".")[2] for name in self.types)


def known_names(region: str, market: Market, template: Template) -> KnownNames:
    """Give what files and the bundled catalogue know together."""
    types = {**catalogue.bundled_types(), **market.instance_types}
    offerings = catalogue.bundled_offerings(region)
    zones = {} if offerings is None else {**offerings.zones, **{z.name: z.zone_id for z in template.zones}}
    priced = (*catalogue.bundled_on_demand_prices(region), *(o.pool.instance_type for o in market.offers))
    return KnownNames(
        region=region,
        types=frozenset({*types, *priced, *(() if offerings is None else offerings.types)}),
        gpu_families=frozenset(t.family for t in types.values() if t.gpus),
        architectures=frozenset(a for t in types.values() for a in t.architectures),
        zones=zones,
    )


def check_names(
    rules: PlanRules, known: KnownNames, *, policy: Path | None, commitments: Path | None
) -> None:
    """Look at every name of a type, a family, a size, an architecture and a zone.

    Args:
        rules: as they were read.
        known: what there is.
        policy: the file that they were read from; None: there was none.
        commitments: the file that the commitments were read from; None: they are those of the policy.

    Raises:
        PlanFileError: nothing is called so; it says in which field, and what is near.
    """
    for field, why in _refusals_of_policy(rules, known):
        raise PlanFileError(f"{policy}: {field}: {why}")
    for field, why in _refusals_of_commitments(rules, known):
        raise PlanFileError(f"{commitments or policy}: {field}: {why}")


def _refusals_of_policy(rules: PlanRules, known: KnownNames) -> Iterator[tuple[str, str]]:
    for name in sorted(rules.instance_families):
        yield from _each("instance_families", _family(name, known))
    for name in sorted(rules.instance_sizes - known.sizes):
        yield "instance_sizes", f"no instance type is of size {name}{_near(name, known.sizes)}"
    for name in sorted(rules.excluded_instance_types):
        yield from _each("excluded_instance_types", _type(name, known))
    for name in sorted(rules.gpu_families):
        yield from _each("gpu_families", _family(name, known))
        if name in known.families and name not in known.gpu_families:
            yield "gpu_families", f"no instance type of family {name} has GPUs."
    for name in sorted(rules.architectures - known.architectures):
        has = " and ".join(sorted(known.architectures))
        yield "architectures", f"no instance type is {name}; they are {has}."
    for name in sorted(rules.zones):
        yield from _each("zones", _zone(name, known))


def _refusals_of_commitments(rules: PlanRules, known: KnownNames) -> Iterator[tuple[str, str]]:
    for reserved in rules.commitments.reserved_instances:
        field = "reserved_instances"
        yield from _each(field, _type(reserved.instance_type, known))
        if reserved.zone is not None:
            yield from _each(field, _zone(reserved.zone, known))
    for plan in rules.commitments.savings_plans:
        field = "savings_plans"
        if plan.instance_family is not None:
            yield from _each(field, _family(plan.instance_family, known))
        for name in sorted(plan.rates):
            yield from _each(field, _type(name, known))


def _each(field: str, why: str | None) -> Iterator[tuple[str, str]]:
    if why is not None:
        yield field, why


def _type(name: str, known: KnownNames) -> str | None:
    if name in known.types or name.startswith(MAC):
        return None
    family = name.partition(".")[0]
    if family not in known.families and _may_be_newer(family, known.families):
        return None
    return f"there is no instance type {name}{_near(name, known.types)}"


def _family(name: str, known: KnownNames) -> str | None:
    if name in known.families or name.startswith(MAC) or _may_be_newer(name, known.families):
        return None
    if name in known.types:
        return f"{name} is an instance type, not a family; its family is {name.partition('.')[0]}."
    return f"there is no instance family {name}{_near(name, known.families)}"


def _zone(name: str, known: KnownNames) -> str | None:
    names = {*known.zones, *known.zones.values()}
    if not known.zones or name in names:
        return None
    return f"{known.region} has no zone {name}; it has {', '.join(sorted(known.zones))}."


def _may_be_newer(family: str, families: Collection[str]) -> bool:
    """Whether a family looks like one that came after the catalogue was made."""
    found = FAMILY.fullmatch(family)
    if found is None:
        return False
    generations = [
        int(other["generation"])
        for other in map(FAMILY.fullmatch, families)
        if other is not None and other["letters"] == found["letters"]
    ]
    newest = max(generations, default=0)
    return newest > 0 and newest <= int(found["generation"]) <= newest + 1


def _near(name: str, names: Iterable[str]) -> str:
    near = get_close_matches(name, sorted(names), n=1)
    return f"; did you mean {near[0]}?" if near else "."
