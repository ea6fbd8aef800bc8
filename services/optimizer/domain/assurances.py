"""What a plan says for itself beside its cost: risk, who may use spot and why, headroom, commitments."""

from collections.abc import Iterable
from dataclasses import dataclass

from services.optimizer.domain import (
    commitments,
    diversification,
    headroom,
    objectives,
    residual_risk,
)
from services.optimizer.domain.fleet_state import FleetState, StandingNode
from services.optimizer.domain.offers import Market
from services.optimizer.domain.pools import price_of
from services.optimizer.domain.rules import Template
from services.optimizer.domain.spot_tolerance import Source, SpotJudge


@dataclass(frozen=True, slots=True, order=True)
class Tolerance:
    """Whether some pods of a workload may run on spot, who decided it, and why."""

    workload: str
    """namespace/kind/name, or namespace/name of a bare pod."""
    may_use_spot: bool
    decided_by: Source
    reason: str
    pods: int


@dataclass(frozen=True, slots=True, kw_only=True)
class CommitmentUse:
    """What reservations and savings plans cover of a fleet."""

    covered_nodes: int
    unused_instances: tuple[tuple[str, int], ...]
    """Instance type and count."""
    unused_usd_per_hour: float
    """Of savings plans."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Assurance:
    """Of the fleet that a plan leads to."""

    objective: objectives.Breakdown
    worst_pool_loss: residual_risk.PoolLoss | None
    at_risk: tuple[residual_risk.AtRisk, ...]
    breaches: tuple[str, ...]
    """Limits per pool and zone that the fleet does not meet, in sentences."""
    tolerance: tuple[Tolerance, ...]
    headroom: tuple[headroom.Kept, ...]
    commitments: CommitmentUse | None
    """None when there are none."""


def assure(after: FleetState, judge: SpotJudge, market: Market, template: Template) -> Assurance:
    """Look at the fleet once more, from the side of what may go wrong."""
    real = [_without_placeholders(n) for n in after.nodes]
    return Assurance(
        objective=objectives.breakdown(real, judge),
        worst_pool_loss=residual_risk.worst_pool_loss(real, after.objects.budgets),
        at_risk=tuple(residual_risk.at_risk(real, judge)),
        breaches=tuple(b.sentence for b in diversification.breaches(real, judge)),
        tolerance=tuple(_tolerance(after, judge)),
        headroom=headroom.kept(judge.rules, after.pending),
        commitments=_use(real, judge, market, template),
    )


def notes(assurance: Assurance, judge: SpotJudge) -> tuple[str, ...]:
    """Say what was assumed."""
    assumed = assurance.objective.assumed_pools
    if not assumed:
        return ()
    pools = f"{len(assumed)} spot pools" if len(assumed) > 1 else f"spot pool {assumed[0]}"
    chance = judge.rules.unknown_interruption_probability
    return (f"Nobody has an estimate of interruptions for {pools}: {chance:.1%} an hour is assumed.",)


def _without_placeholders(node: StandingNode) -> StandingNode:
    if not any(headroom.is_placeholder(p) for p in node.pods):
        return node
    return StandingNode(node.node, node.offer, headroom.without(node.pods), node.kept_because)


def _tolerance(after: FleetState, judge: SpotJudge) -> Iterable[Tolerance]:
    found: dict[tuple[str, bool, Source, str], int] = {}
    pods = [p for n in after.nodes for p in n.movable]
    for pod in headroom.without([*pods, *after.pending]):
        name = f"{pod.namespace}/{pod.owner.kind}/{pod.owner.name}" if pod.owner else pod.key
        verdict = judge.verdict(pod)
        key = (name, verdict.may_use_spot, verdict.source, verdict.reason)
        found[key] = found.get(key, 0) + 1
    return sorted(Tolerance(*key, pods=number) for key, number in found.items())


def _use(
    nodes: Iterable[StandingNode], judge: SpotJudge, market: Market, template: Template
) -> CommitmentUse | None:
    if not judge.rules.commitments:
        return None
    prices = market.prices()
    listed = [StandingNode(n.node, price_of(n.node, prices, template), n.pods, n.kept_because) for n in nodes]
    bill = commitments.bill(listed, judge.rules.commitments)
    return CommitmentUse(
        covered_nodes=len(bill.extra_micro_usd),
        unused_instances=tuple((kind.instance_type, kind.count) for kind in bill.unused),
        unused_usd_per_hour=bill.unused_usd_per_hour,
    )
