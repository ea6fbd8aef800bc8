"""Why a node stays that nothing keeps: what giving it up would come to, and what speaks against that."""

from services.optimizer.domain.consolidation import objective
from services.optimizer.domain.describing import many, named
from services.optimizer.domain.fleet_state import FleetState, StandingNode
from services.optimizer.domain.moving import Way
from services.optimizer.domain.offers import usd
from services.optimizer.domain.rules import Consolidation
from services.optimizer.domain.searching import Search
from services.optimizer.domain.study import Study


def why_kept(study: Study, node: StandingNode) -> tuple[str, ...]:
    """Say what giving up the node, after the plan, would come to."""
    rules, fleet = study.packer.grouper.rules, study.searched
    judge = study.packer.grouper.judge
    name = node.node.name
    option = study.consolidator.evaluate(fleet, frozenset({name}), prefix="instead-")
    if option is None or name not in option.drained:
        return ("Not all of its pods would find another place, not even on new nodes.",)
    new = [n.offer for n in option.packing.new]
    where = f"beside {many(len(new), 'new node')}, {named(new[0])} first" if new else "on the nodes that stay"
    price = next((n.micro_usd for n in fleet.nodes if n.node.name == name), node.micro_usd)
    micro = price - sum(o.micro_usd for o in new)
    found = [f"Its {many(len(node.movable), 'pod')} would fit {where}: {_less(micro)}."]
    if rules.consolidation is Consolidation.OFF:
        return (*found, "The policy lets no node be given up (consolidation: off).")
    if new and rules.consolidation is Consolidation.DELETE_ONLY:
        return (*found, "The policy lets nothing be launched in its place (consolidation: delete-only).")
    charge = option.micro_rank - objective(option.after.nodes, judge)
    found.append(
        f"The change must earn {usd(charge):.4g} USD/h to pay for itself within {rules.payback_seconds // 60} minutes."
    )
    way = study.mover.way(fleet, option.after)
    today = objective(fleet.nodes, judge)
    if way.homeless:
        found.append(f"Rehearsed with kube-scheduler's own spreading, pod {way.homeless[0]} finds no node.")
    elif way.micro_rank >= today:
        found.append(
            "Rehearsed with kube-scheduler's own spreading, with price, risk and the charge for the change taken"
            f" together, it is worth {usd(way.micro_rank - today):.4g} USD/h less than staying."
        )
    else:
        found.append(_against(study, fleet, way))
    return tuple(found)


def _against(study: Study, fleet: FleetState, way: Way) -> str:
    """Say what holds a change back that would pay for itself."""
    rules, judge = study.packer.grouper.rules, study.packer.grouper.judge
    worth = objective(fleet.nodes, judge) - way.micro_rank
    broken = Search(fleet, study.consolidator, study.mover, rules).guards(fleet).broken(way.after)
    if broken is not None:
        return f"It would be worth {usd(worth):.4g} USD/h, and a rule forbids it: {broken}"
    saved = objective(fleet.nodes, judge) - objective(way.after.nodes, judge)
    known = sum(n.micro_usd for n in fleet.nodes if n.offer is not None)
    # What a plan must save is asked of all its moves together.
    has_others = any(move.drains for move in study.draft.moves)
    if not has_others and saved < round(known * rules.min_savings_ratio):
        return (
            f"It would save {usd(saved):.4g} USD/h, {saved / known:.1%} of today's cost, less than the"
            f" {rules.min_savings_ratio:.1%} that the policy asks of a plan (min_savings_ratio)."
        )
    if saved < rules.min_move_micro_usd:
        return (
            f"It would save {usd(saved):.4g} USD/h, less than the {rules.min_move_savings_usd_per_hour:.4g} that the"
            " policy asks of a move (min_move_savings_usd_per_hour)."
        )
    return (
        f"Tried by itself it breaks no rule and would be worth {usd(worth):.4g} USD/h: the search did not come upon it"
        " beside the rest of the plan; the next plan starts from this one."
    )


def _less(micro: int) -> str:
    return f"{usd(micro):.4g} USD/h less" if micro >= 0 else f"{usd(-micro):.4g} USD/h more"
