"""Everything that a plan was made from and came to: what its explanation is read from."""

from dataclasses import dataclass

from services.optimizer.domain.consolidation import Consolidator
from services.optimizer.domain.drafts import PlanDraft
from services.optimizer.domain.fleet_state import FleetState
from services.optimizer.domain.moving import Mover
from services.optimizer.domain.offers import Market
from services.optimizer.domain.packing.fleet import Packer


@dataclass(frozen=True, slots=True, kw_only=True)
class Study:
    """A plan with the fleets before and after it, and the means to ask for others."""

    draft: PlanDraft
    before: FleetState
    """Of today; the explanation of a greenfield plan starts from no node."""
    after: FleetState
    """With nodes at what they add to the bill, as the plan tells them."""
    searched: FleetState
    """The same at the prices at which it was looked for: to be compared with what else is on offer."""
    packer: Packer
    consolidator: Consolidator
    mover: Mover
    market: Market
