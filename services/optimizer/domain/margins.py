"""What a node adds to the bill where a Savings Plan is used up: what its dollars do elsewhere when it goes.

As long as a fleet has more to cover than the plan has dollars for, a dollar that is set free covers what is covered
last, or not at all: at the margin it saves that usage's list price over its rate, l. So a node is worth what its rate
takes of the plan, l x rate, or its list price where that is less, whether it is covered itself or not, and a launch
costs as much. All these prices together are above the bill by l times the plan's dollars, before and after a change
(the plan's linear program and its dual): the bill falls by what the prices fall by.

The same sum less l times the dollars is never above the bill, whatever the fleet and l, so that it proves a bound; at
which l it proves most is looked for (sharpening). A fleet
that leaves dollars of the plan unused costs more than it says: such a one is refused (`holds`).
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction

from services.optimizer.domain import commitments
from services.optimizer.domain.fleet_state import FleetState, StandingNode
from services.optimizer.domain.offers import MICRO, Offer
from services.optimizer.domain.packing.shelf import Shelf
from services.optimizer.domain.rules import Commitments

NEAR_ENOUGH = 100
"""One part in so many of what is saved may be lost to unused dollars: moves tell their savings by so much too high."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Margin:
    """A Savings Plan that is used up, or several that are alike, and what the last dollar saves."""

    bought: Commitments
    worth: Fraction
    """Dollars of list price by each of the plan."""

    @property
    def prepaid_micro_usd(self) -> int:
        """Give by how much all prices at the margin are above the bill, rounded up."""
        return -int(-(self.worth * _dollars(self.bought)) // 1)

    @property
    def dollars(self) -> int:
        """Give the dollars of the plan, in micro-dollars an hour."""
        return _dollars(self.bought)

    def most(self, shelf: Shelf, listed: FleetState) -> Fraction:
        """Give the worth from which on nothing costs more than at list price, rounded up to whole numbers."""
        offers = (*shelf.offers, *(n.offer for n in listed.nodes if n.offer is not None))
        rated = ((o.micro_usd, self._rate(o)) for o in offers)
        return Fraction(max((-(-micro // rate) for micro, rate in rated if rate), default=1))

    def state(self, listed: FleetState) -> FleetState:
        """Give a fleet at list price as it is priced at the margin, what reservations cover left out."""
        reserved = Commitments(reserved_instances=self.bought.reserved_instances)
        extra = commitments.bill(listed.nodes, reserved).extra_micro_usd
        return replace(listed, nodes=tuple(self._priced(n, extra) for n in listed.nodes))

    def shelf(self, shelf: Shelf) -> Shelf:
        """Give the shelf with launches at what they would take of the plan."""
        return shelf.repriced(
            o if copies is not None else self._offer(o, o.micro_usd)
            for o, copies in zip(shelf.offers, shelf.copies, strict=True)
        )

    def holds(self, before: FleetState, after: FleetState, billed: FleetState) -> bool:
        """Whether the bill of a fleet that was found at these prices is no more than they say.

        Args:
            before: the nodes of today at these prices.
            after: the fleet, at these prices.
            billed: the same at what each node adds to the bill.
        """
        old, told, bill = (
            sum(n.micro_usd for n in f.nodes if n.offer is not None) for f in (before, after, billed)
        )
        # Every price is rounded; and a last dollar that finds no use is no reason to do without the others.
        return bill <= told - self.prepaid_micro_usd + 2 * len(after.nodes) + (old - told) // NEAR_ENOUGH

    def bounded(self, start: FleetState, fixed: Collection[str]) -> tuple[FleetState, int]:
        """Give the fleet to prove a bound from, paid off of nodes that stay anyway, and what the plan has left then."""
        left, nodes = self.prepaid_micro_usd, []
        for node in start.nodes:
            paid = 0
            if node.node.name in fixed and node.offer is not None and self._rate(node.offer) is not None:
                paid = min(node.micro_usd, left)
                left -= paid
                node = replace(node, offer=commitments.at_extra(node.offer, node.micro_usd - paid))
            nodes.append(node)
        return replace(start, nodes=tuple(nodes)), left

    def _rate(self, offer: Offer) -> int | None:
        return _rate(offer.pool.instance_type, self.bought) if not offer.is_spot else None

    def _priced(self, node: StandingNode, extra: Mapping[str, int]) -> StandingNode:
        if node.offer is None:
            return node
        return replace(node, offer=self._offer(node.offer, extra.get(node.node.name, node.micro_usd)))

    def _offer(self, offer: Offer, micro_usd: int) -> Offer:
        """Give an offer of which so much is not covered by a reservation."""
        rate = self._rate(offer)
        if rate is None:
            price = micro_usd
        else:
            # As whole numbers: a shelf has ten thousand offers.
            whole = self.worth.denominator * max(offer.micro_usd, 1)
            price = min(micro_usd, self.worth.numerator * rate * micro_usd // whole)
        return offer if price == offer.micro_usd else commitments.at_extra(offer, price)


def margin(listed: Sequence[StandingNode], bought: Commitments) -> Margin | None:
    """Give what the last dollar saves; None where dollars are left, or nothing more could be covered.

    Of Savings Plans with the same rates: how the dollars of others take each other's place is not followed.
    """
    if any((p.rates, p.instance_family) != _terms(bought) for p in bought.savings_plans):
        return None
    if not bought.savings_plans or commitments.bill(listed, bought).unspent:
        return None
    reserved = Commitments(reserved_instances=bought.reserved_instances)
    extra = commitments.bill(listed, reserved).extra_micro_usd
    usage = [
        (Fraction(n.offer.micro_usd, rate), Fraction(extra.get(n.node.name, n.micro_usd) * rate, n.micro_usd))
        for n in listed
        if n.offer is not None
        and not n.offer.is_spot
        and n.micro_usd > 0
        and (rate := _rate(n.offer.pool.instance_type, bought))
        and rate < n.micro_usd
    ]
    left = Fraction(_dollars(bought))
    for worth, dollars in sorted(usage, reverse=True):
        left -= dollars
        if left < 0:
            return Margin(bought=bought, worth=worth)
    return None


def _terms(bought: Commitments) -> tuple[Mapping[str, float], str | None]:
    """Give what all of the plans have rates for."""
    return bought.savings_plans[0].rates, bought.savings_plans[0].instance_family


def _dollars(bought: Commitments) -> int:
    return sum(round(p.usd_per_hour * MICRO) for p in bought.savings_plans)


def _rate(instance_type: str, bought: Commitments) -> int | None:
    rates, family = _terms(bought)
    if family not in (None, instance_type.partition(".")[0]):
        return None
    rate = rates.get(instance_type)
    return None if rate is None else round(rate * MICRO)
