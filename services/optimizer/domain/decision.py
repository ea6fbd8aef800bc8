"""The decision step: packing, risk, sizing and schedules each wish something; who wins is settled here, and kept.

Stability beats saving. A wish to save gives way to one that keeps pods running, and the disagreement is recorded
with both sides and what giving way costs at most: a person can see what a rule or an annotation is paid for.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from enum import StrEnum

from services.optimizer.domain.fleet_state import StandingNode
from services.optimizer.domain.offers import Offer, usd
from services.optimizer.domain.rules import PlanRules, Strategy
from shared.kernel.resources import Resources
from shared.kernel.workload import ClusterObjects, Pod


class Party(StrEnum):
    """Who wishes."""

    PACKING = "packing"
    RISK = "risk"
    SIZING = "sizing"
    SCHEDULE = "schedule"
    STABILITY = "stability"
    """Budgets, annotations and policies that keep pods where they are."""


@dataclass(frozen=True, slots=True)
class Conflict:
    """Two wishes that could not both be met."""

    subject: str
    """A node, a workload or a pool."""
    wish: str
    wished_by: Party
    objection: str
    held_by: Party
    winner: Party
    forgone_usd_per_hour: float | None = None
    """What the wish that lost would have saved at most; None when nobody worked it out."""


@dataclass(frozen=True, slots=True)
class SizingWish:
    """Other requests for the pods of a controller."""

    workload: str
    """namespace/kind/name."""
    requests: Resources
    """Of one pod, all its containers together."""
    why: str


@dataclass(frozen=True, slots=True)
class SleepWish:
    """The cluster is to be scaled down soon."""

    starts_in_seconds: int
    why: str


@dataclass(frozen=True, slots=True)
class Wishes:
    """What sizing and schedules ask of a plan."""

    sizing: tuple[SizingWish, ...] = ()
    sleep: SleepWish | None = None


NO_WISHES = Wishes()


@dataclass(frozen=True, slots=True)
class Settled:
    """What to plan with, and what was decided on the way there."""

    objects: ClusterObjects
    rules: PlanRules
    conflicts: tuple[Conflict, ...]


def settle(objects: ClusterObjects, rules: PlanRules, wishes: Wishes) -> Settled:
    """Merge the wishes of sizing and schedules into what packing plans with.

    A pod counts at the larger of what it requests and what sizing wishes: room that is planned away before the
    pods really are smaller would be missing. What does not pay for itself before the cluster sleeps is not done.
    """
    conflicts: list[Conflict] = []
    by_workload = {w.workload: w for w in wishes.sizing}
    pods = tuple(_resized(p, by_workload) for p in objects.pods)
    for wish in sorted(by_workload.values(), key=lambda w: w.workload):
        conflicts += _sizing_conflicts(wish, (p for p in objects.pods if _workload(p) == wish.workload))
    sleep = wishes.sleep
    if sleep is not None and sleep.starts_in_seconds < rules.payback_seconds:
        seconds = max(sleep.starts_in_seconds, 1)
        conflicts.append(
            Conflict(
                "the cluster",
                f"moves that pay for themselves within {rules.payback_seconds // 60} minutes",
                Party.PACKING,
                f"it is to sleep in {seconds // 60} minutes: {sleep.why}",
                Party.SCHEDULE,
                Party.SCHEDULE,
            )
        )
        rules = replace(rules, payback_seconds=seconds)
    return Settled(replace(objects, pods=pods), rules, tuple(conflicts))


def _workload(pod: Pod) -> str | None:
    return None if pod.owner is None else f"{pod.namespace}/{pod.owner.kind}/{pod.owner.name}"


def _resized(pod: Pod, wishes: Mapping[str, SizingWish]) -> Pod:
    wish = wishes.get(_workload(pod) or "")
    if wish is None or pod.is_daemon or pod.is_finished:
        return pod
    return replace(pod, requests=pod.requests.at_least(wish.requests))


def _sizing_conflicts(wish: SizingWish, pods: Iterable[Pod]) -> list[Conflict]:
    running = [p for p in pods if not p.is_finished]
    found = []
    if any(not p.requests.fits_in(wish.requests) for p in running):
        found.append(
            Conflict(
                wish.workload,
                f"smaller requests: {wish.why}",
                Party.SIZING,
                "its pods count at what they request until they run with less",
                Party.STABILITY,
                Party.STABILITY,
            )
        )
    if any(not wish.requests.fits_in(p.requests) for p in running):
        found.append(
            Conflict(
                wish.workload,
                "pods packed at what they request today",
                Party.PACKING,
                f"they need more: {wish.why}",
                Party.SIZING,
                Party.SIZING,
            )
        )
    return found


def kept_nodes(nodes: Iterable[StandingNode]) -> tuple[Conflict, ...]:
    """Give a conflict for every node that packing may not touch."""
    return tuple(
        Conflict(
            f"node {n.node.name}",
            "give up the node, or replace it by a cheaper one",
            Party.PACKING,
            n.kept_because,
            Party.STABILITY,
            Party.STABILITY,
            usd(n.offer.micro_usd),
        )
        for n in nodes
        if n.kept_because is not None and n.offer is not None
    )


def refused_spot(refusals: Mapping[str, str], rules: PlanRules) -> tuple[Conflict, ...]:
    """Give a conflict for every workload that spot would be cheaper for, with why it may not run there.

    `refusals` names, by workload, why. Where the policy is on-demand only nobody wished for spot.
    """
    if rules.strategy is Strategy.ON_DEMAND:
        return ()
    return tuple(
        Conflict(workload, "run on spot capacity", Party.PACKING, why, Party.RISK, Party.RISK)
        for workload, why in sorted(refusals.items())
    )


def flagged_pools(market: Iterable[Offer], launched: Iterable[Offer]) -> tuple[Conflict, ...]:
    """Give a conflict for every flagged pool that is cheaper than what is launched of the same type."""
    dearest: dict[str, int] = {}
    for offer in launched:
        name = offer.pool.instance_type
        dearest[name] = max(dearest.get(name, 0), offer.micro_usd)
    return tuple(
        Conflict(
            f"pool {offer.pool}",
            f"launch there at {usd(offer.micro_usd):.4g} USD/h",
            Party.PACKING,
            "interruptions or a lack of capacity were seen there lately",
            Party.RISK,
            Party.RISK,
            usd(dearest[offer.pool.instance_type] - offer.micro_usd),
        )
        for offer in sorted(market, key=lambda o: o.pool)
        if offer.flagged and offer.micro_usd < dearest.get(offer.pool.instance_type, 0)
    )
