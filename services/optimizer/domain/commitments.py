"""What Reserved Instances and Savings Plans already pay for, as AWS bills them hour by hour.

Order of AWS's bill: zonal reservations of the same type; regional ones of the same type; size-flexible ones by
normalization factor, the smallest instances first; then Savings Plans on what is left, EC2 Instance plans before
Compute plans, each on the usage with the highest saving first, until its dollars an hour are used up. An instance
may be covered in part. What is covered costs nothing more, since it is paid for anyway; a node's price is then what
it adds to the bill.

Left out: Linux on shared tenancy is assumed; other usage of the same account or organization, which AWS may cover
first; reservations of other currencies of commitment (Capacity Reservations and Blocks, Dedicated Hosts); and the fee
of a reservation itself, which no plan changes. Size flexibility ends at families that AWS excludes, and at bare metal.
Source: AWS documentation "How Reserved Instance discounts are applied", "Understanding how Savings Plans apply to
your usage".
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction

from services.optimizer.domain.fleet_state import BYTES_PER_MILLICORE, StandingNode, weight
from services.optimizer.domain.offers import MICRO, Market, Offer, usd
from services.optimizer.domain.rules import Commitments, ReservedInstances, SavingsPlan, Template
from shared.kernel.pools import CapacityType

SMALL_FACTORS: Mapping[str, Fraction] = {
    "nano": Fraction(1, 4),
    "micro": Fraction(1, 2),
    "small": Fraction(1),
    "medium": Fraction(2),
    "large": Fraction(4),
    "xlarge": Fraction(8),
}
INFLEXIBLE_FAMILIES = ("g4ad", "g4dn", "g5", "g5g", "g6", "g6e", "gr6", "hpc", "inf1", "inf2", "p", "u-")
"""Prefixes of families without size flexibility."""
WHOLE = Fraction(1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Bill:
    """What commitments cover of a fleet."""

    extra_micro_usd: Mapping[str, int]
    """By name of a node that is covered at least in part: what it still adds to the bill."""
    unused: tuple[ReservedInstances, ...]
    """Whole instances of reservations that cover nothing; of size-flexible ones, of their own type."""
    unspent: tuple[SavingsPlan, ...]
    """Savings Plans with the dollars an hour that they have left, those without any left out."""

    @property
    def unused_usd_per_hour(self) -> float:
        """Give what is left of all Savings Plans."""
        return usd(sum(round(p.usd_per_hour * MICRO) for p in self.unspent))


@dataclass(frozen=True, slots=True)
class LimitedOffer:
    """An offer that so many nodes may have, at what they add to the bill."""

    offer: Offer
    copies: int


@dataclass(slots=True)
class _Usage:
    """An on-demand node of an hour."""

    name: str
    instance_type: str
    zones: frozenset[str]
    """Name and id."""
    micro_usd: int
    left: Fraction = WHOLE
    """Share that nothing covers yet."""

    @property
    def family(self) -> str:
        return self.instance_type.partition(".")[0]

    @property
    def extra_micro_usd(self) -> int:
        """Give what is left to pay, rounded up."""
        return -int(-(self.left * self.micro_usd) // 1)


def factor(instance_type: str) -> Fraction | None:
    """Give the normalization factor of a type's size; None where there is no size flexibility."""
    family, _, size = instance_type.partition(".")
    if family.startswith(INFLEXIBLE_FAMILIES):
        return None
    if size in SMALL_FACTORS:
        return SMALL_FACTORS[size]
    number = size.removesuffix("xlarge")
    return Fraction(8 * int(number)) if number != size and number.isdigit() else None


def bill(nodes: Iterable[StandingNode], commitments: Commitments) -> Bill:
    """Apply the commitments to the on-demand nodes of a fleet, whose offers are at list price.

    Which of nodes that are alike is covered is not on the bill, since its sum is the same. It is told of those that
    stay whatever happens first, then of the fullest: what frees one of the others goes on to them, and its price is
    what the bill falls by.
    """
    order = sorted(nodes, key=lambda n: (n.kept_because is None, -_fullness(n), n.node.name))
    usage = _usage(order)
    unused = _reserve(usage, commitments.reserved_instances)
    unspent = _spend(usage, commitments.savings_plans)
    covered = {u.name: u.extra_micro_usd for u in usage if u.left < WHOLE}
    return Bill(extra_micro_usd=covered, unused=unused, unspent=unspent)


@dataclass(frozen=True, slots=True)
class Spent:
    """What Savings Plans cover of some launches."""

    extra_micro_usd: tuple[int | None, ...]
    """Of each in turn: what it still adds to the bill; None: nothing covers it."""
    unspent: tuple[SavingsPlan, ...]


def spent(launches: Sequence[Offer], plans: Iterable[SavingsPlan]) -> Spent:
    """Apply Savings Plans to launches at list price, on-demand all of them."""
    usage = [
        _Usage(f"{i:09d}", o.pool.instance_type, frozenset(), o.micro_usd) for i, o in enumerate(launches)
    ]
    unspent = _spend(usage, plans)
    return Spent(tuple(u.extra_micro_usd if u.left < WHOLE else None for u in usage), unspent)


def rate(offer: Offer, plans: Iterable[SavingsPlan]) -> int | None:
    """Give the lowest rate of Savings Plans for a node of the offer, in micro-dollars; None: it is not covered."""
    if offer.pool.capacity_type is not CapacityType.ON_DEMAND:
        return None
    name = offer.pool.instance_type
    family = name.partition(".")[0]
    rates = [
        round(p.rates[name] * MICRO) for p in plans if name in p.rates and p.instance_family in (None, family)
    ]
    found = min(rates, default=None)
    return found if found is not None and found < offer.micro_usd else None


def _fullness(node: StandingNode) -> Fraction:
    whole = node.node.allocatable.cpu_millicores * BYTES_PER_MILLICORE + node.node.allocatable.memory_bytes
    return Fraction(sum(weight(p) for p in node.movable), max(whole, 1))


def _usage(nodes: Iterable[StandingNode]) -> list[_Usage]:
    return [
        _Usage(
            n.node.name,
            n.offer.pool.instance_type,
            frozenset(z for z in (n.node.zone, n.node.zone_id, n.offer.pool.zone_id) if z),
            n.offer.micro_usd,
        )
        for n in nodes
        if n.offer is not None and n.offer.pool.capacity_type is CapacityType.ON_DEMAND
    ]


def _reserve(usage: Sequence[_Usage], reserved: Iterable[ReservedInstances]) -> tuple[ReservedInstances, ...]:
    unused = []
    rest = []
    order = sorted(
        reserved, key=lambda r: (r.zone is None, r.is_size_flexible, r.instance_type, r.zone or "")
    )
    for kind in order:
        if kind.is_size_flexible and kind.zone is None and factor(kind.instance_type) is not None:
            rest.append(kind)
            continue
        same = [
            u
            for u in usage
            if u.left == WHOLE
            and u.instance_type == kind.instance_type
            and (kind.zone is None or kind.zone in u.zones)
        ][: kind.count]
        for node in same:
            node.left = Fraction(0)
        if len(same) < kind.count:
            unused.append(replace(kind, count=kind.count - len(same)))
    for kind in rest:
        own = factor(kind.instance_type) or WHOLE
        units = own * kind.count
        family = kind.instance_type.partition(".")[0]
        sized = [(u, f) for u in usage if u.family == family and (f := factor(u.instance_type)) is not None]
        for node, size in sorted(sized, key=lambda x: x[1]):
            taken = min(node.left * size, units)
            node.left -= taken / size
            units -= taken
        if units >= own:
            unused.append(replace(kind, count=int(units // own)))
    return tuple(unused)


def _spend(usage: Sequence[_Usage], plans: Iterable[SavingsPlan]) -> tuple[SavingsPlan, ...]:
    unspent = []
    for plan in sorted(
        plans, key=lambda p: (p.instance_family is None, p.instance_family or "", p.usd_per_hour)
    ):
        left = Fraction(round(plan.usd_per_hour * MICRO))
        rated = [
            (u, round(plan.rates[u.instance_type] * MICRO))
            for u in usage
            if u.instance_type in plan.rates and plan.instance_family in (None, u.family)
        ]
        # A rate that saves nothing is not used: AWS lists none.
        rated = [(u, rate) for u, rate in rated if rate < u.micro_usd]
        for node, rate in sorted(rated, key=lambda x: (Fraction(x[1], x[0].micro_usd), x[1])):
            share = min(node.left, left / rate) if rate else node.left
            node.left -= share
            left -= share * rate
        if left >= 1:
            unspent.append(replace(plan, usd_per_hour=usd(int(left))))
    return tuple(unspent)


def priced(nodes: Iterable[StandingNode], commitments: Commitments) -> tuple[StandingNode, ...]:
    """Give the nodes at what they add to the bill."""
    fleet = tuple(nodes)
    if not commitments:
        return fleet
    extra = bill(fleet, commitments).extra_micro_usd
    return tuple(
        replace(n, offer=at_extra(n.offer, extra[n.node.name]))
        if n.offer is not None and n.node.name in extra
        else n
        for n in fleet
    )


def at_extra(offer: Offer, extra_micro_usd: int) -> Offer:
    """Give an offer at what it adds to the bill beside what is committed."""
    return replace(offer, usd_per_hour=usd(extra_micro_usd), is_stale=False, is_committed=True)


def limited_offers(
    unused: Iterable[ReservedInstances], market: Market, template: Template
) -> tuple[LimitedOffer, ...]:
    """Give unused reservations as offers that cost nothing more; in order of pool.

    Regional ones are offered in the first zone (by id) that sells the type and has a subnet: any would do, and one
    that is offered in several zones at once would be counted several times.
    """
    found = []
    for kind in unused:
        sold = sorted(
            (
                o
                for o in market.prices().values()
                if o.pool.capacity_type is CapacityType.ON_DEMAND
                and o.pool.instance_type == kind.instance_type
                and (name := template.zone_name(o.pool.zone_id)) is not None
                and (kind.zone is None or kind.zone in (name, o.pool.zone_id))
            ),
            key=lambda o: o.pool,
        )
        if sold:
            found.append(LimitedOffer(at_extra(sold[0], 0), kind.count))
    return tuple(sorted(found, key=lambda x: (x.offer.pool, x.copies)))
