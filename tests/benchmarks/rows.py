"""The rows of the table: each a function that measures one workload and says what came of it."""

import resource
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np

from services.optimizer.domain.columns.problem import Effort, FleetProblem, FleetSolution
from services.optimizer.domain.columns.solve import solve_fleet
from services.optimizer.domain.planning import plan
from services.optimizer.domain.rules import PlanRules
from tests.benchmarks.cluster import aged, replan
from tests.benchmarks.consolidation import Consolidation
from tests.benchmarks.first_fit import first_fit
from tests.benchmarks.from_pods import Case, cases
from tests.benchmarks.karpenter_mix import karpenter_mix
from tests.benchmarks.market import Market
from tests.benchmarks.replanning import TEMPLATE, half_empty, planning_market
from tests.benchmarks.workloads import karpenter_sizes, many_shapes, openb_all, openb_cpu, problem

REPLANNED_NODES, REPLANNED_PODS = 1000, 30_000
MIX = Effort(tolerance_ratio=5e-3, improvements=8)
"""Enough where three in a hundred are asked for."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """What one workload came to."""

    name: str
    shapes: int
    bound_micro_usd: int
    micro_usd: int
    gap_target: float | None
    seconds: float
    cpu_seconds: float
    seconds_target: float
    nodes: int
    baseline: str
    baseline_micro_usd: int | None
    remark: str = ""

    def __str__(self) -> str:
        gap = f"{self.micro_usd / self.bound_micro_usd - 1:.2%}"
        target = "" if self.gap_target is None else f"{self.gap_target:.1%}"
        ratio = "" if self.baseline_micro_usd is None else f"{self.baseline_micro_usd / self.micro_usd:.2f}"
        cost = "" if self.baseline_micro_usd is None else f"{self.baseline_micro_usd / 1e6:.2f}"
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
        return (
            f"| {self.name} | {self.shapes} | {self.bound_micro_usd / 1e6:.2f} | {self.micro_usd / 1e6:.2f} | {gap} "
            f"| {target} | {self.seconds:.2f} ({self.cpu_seconds:.2f}) | {self.seconds_target:g} | {self.nodes} "
            f"| {cost} {self.baseline} | {ratio} | {peak} | {self.remark} |"
        )


HEADER = (
    "| workload | shapes | lower bound $/h | cost $/h | gap | target | seconds (CPU) | target | nodes "
    "| baseline $/h | baseline / ours | peak MB | |\n" + "|---" * 13 + "|"
)


def rows(market: Market, with_gpus: Market) -> Iterator[Row]:
    """Measure the workloads in the order of what they need, the smallest first."""
    by_demand = market.on_demand
    yield fleet("openb, 1,088 CPU pods, on-demand", problem(openb_cpu(), by_demand), 0.005, 0.5)
    yield fleet("openb, 1,088 CPU pods", problem(openb_cpu(), market), 0.005, 0.5)
    yield fleet(
        "5,000 pods, Karpenter's sizes, on-demand", problem(karpenter_sizes(5000), by_demand), 0.015, 1
    )
    yield fleet("5,000 pods, Karpenter's sizes", problem(karpenter_sizes(5000), market), 0.015, 1)
    yield mix(market)
    yield fleet("openb, all 8,152 pods", problem(openb_all(), with_gpus), 0.02, 3)
    yield fleet("50,000 pods, 500 shapes", problem(many_shapes(50_000, 500), market), 0.03, 15)
    yield replanned(market)
    yield planned_anew(market)
    yield from map(planned, cases(market))


def fleet(name: str, asked: FleetProblem, gap_target: float, seconds_target: float) -> Row:
    """Measure a fleet for pods that may run anywhere, beside max-fill first-fit."""
    found, seconds, cpu_seconds = _timed(lambda: solve_fleet(asked))
    _check(name, found)
    baseline, nodes = first_fit(asked)
    return Row(
        name=name,
        shapes=len(asked.counts),
        bound_micro_usd=found.lower_bound_micro_usd,
        micro_usd=found.micro_usd,
        gap_target=gap_target,
        seconds=seconds,
        cpu_seconds=cpu_seconds,
        seconds_target=seconds_target,
        nodes=len(found.nodes),
        baseline=f"first-fit ({nodes} nodes)",
        baseline_micro_usd=baseline,
    )


def mix(market: Market) -> Row:
    """Measure Karpenter's mix as the solver is asked for it."""
    asked = karpenter_mix(10_000, market)
    found, seconds, cpu_seconds = _timed(lambda: solve_fleet(asked, effort=MIX))
    _check("mix", found)
    return Row(
        name="Karpenter's mix, 10,000 pods, 6 zones",
        shapes=len(asked.counts),
        bound_micro_usd=found.lower_bound_micro_usd,
        micro_usd=found.micro_usd,
        gap_target=0.03,
        seconds=seconds,
        cpu_seconds=cpu_seconds,
        seconds_target=3,
        nodes=len(found.nodes),
        baseline="",
        baseline_micro_usd=None,
        remark="zones dealt out before; the bound is of that",
    )


def replanned(market: Market) -> Row:
    """Measure what becomes of nodes that run, beside Karpenter-like consolidation of the same."""
    cluster = aged(REPLANNED_NODES, REPLANNED_PODS, market)
    asked = replan(cluster, market)
    found, seconds, cpu_seconds = _timed(lambda: solve_fleet(asked))
    _check("re-plan", found)
    kept = [n.offer - len(market.names) for n in found.nodes if n.offer >= len(market.names)]
    bought = [n.offer for n in found.nodes if n.offer < len(market.names)]
    cost = int(market.micro_usd[cluster.offers[kept]].sum() + market.micro_usd[bought].sum())
    # What the nodes that are kept would cost to give up was taken off their price, and off the bound with it.
    bound = found.lower_bound_micro_usd + cost - found.micro_usd
    moved = int(np.delete(cluster.counts, kept, axis=0).sum())
    other = Consolidation(cluster, market)
    other.run()
    pods, before = int(cluster.counts.sum()), cluster.cost(market) / 1e6
    return Row(
        name=f"re-plan of {REPLANNED_NODES} nodes, {pods} pods, {before:.2f} $/h",
        shapes=len(asked.counts),
        bound_micro_usd=bound,
        micro_usd=cost,
        gap_target=None,
        seconds=seconds,
        cpu_seconds=cpu_seconds,
        seconds_target=10,
        nodes=len(found.nodes),
        baseline=f"consolidation ({len(other.offers)} nodes, {other.moved} moves)",
        baseline_micro_usd=other.micro_usd,
        remark=f"{len(kept)} nodes kept, {moved} pods moved",
    )


def planned_anew(market: Market) -> Row:
    """Measure the whole plan for nodes that are half empty: options, way, rehearsal and bound."""
    objects = half_empty(REPLANNED_NODES, REPLANNED_PODS // REPLANNED_NODES)
    offered = planning_market(market)
    began, cpu_began = time.perf_counter(), time.process_time()
    draft = plan(objects, offered, PlanRules(), TEMPLATE)
    seconds, cpu_seconds = time.perf_counter() - began, time.process_time() - cpu_began
    if not draft.moves:
        raise ValueError(f"whole plan: {draft.skip_reason}")
    drained = sum(len(m.drains) for m in draft.moves)
    return Row(
        name=f"whole plan, {REPLANNED_NODES} half-empty nodes, {len(objects.pods)} pods",
        shapes=len({(p.requests.cpu_millicores, p.requests.memory_bytes) for p in objects.pods}),
        bound_micro_usd=round((draft.lower_bound_usd_per_hour or 0) * 1e6),
        micro_usd=round((draft.objective_usd_per_hour or 0) * 1e6),
        gap_target=None,
        seconds=seconds,
        cpu_seconds=cpu_seconds,
        seconds_target=10,
        nodes=draft.nodes_after,
        baseline="today",
        baseline_micro_usd=round((draft.cost_before_usd_per_hour or 0) * 1e6),
        remark=f"{len(draft.moves)} moves drain {drained} nodes; cost with risk",
    )


def planned(case: Case) -> Row:
    """Measure one plan from pods to what is proposed; its cost has the risk of spot in it."""
    began, cpu_began = time.perf_counter(), time.process_time()
    draft = case.plan()
    seconds, cpu_seconds = time.perf_counter() - began, time.process_time() - cpu_began
    if draft.unplaced:
        raise ValueError(f"{case.name}: {len(draft.unplaced)} pods are not placed")
    return Row(
        name=f"from pods to plan: {case.name}",
        shapes=len({(p.requests.cpu_millicores, p.requests.memory_bytes) for p in case.objects.pods}),
        bound_micro_usd=round((draft.lower_bound_usd_per_hour or 0) * 1e6),
        micro_usd=round((draft.objective_usd_per_hour or 0) * 1e6),
        gap_target=case.gap_target,
        seconds=seconds,
        cpu_seconds=cpu_seconds,
        seconds_target=case.seconds_target,
        nodes=draft.nodes_after,
        baseline="",
        baseline_micro_usd=None,
        remark=f"{len(case.objects.pods)} pods",
    )


def _timed(call: Callable[[], FleetSolution]) -> tuple[FleetSolution, float, float]:
    began, cpu_began = time.perf_counter(), time.process_time()
    found = call()
    return found, time.perf_counter() - began, time.process_time() - cpu_began


def _check(name: str, found: FleetSolution) -> None:
    if found.unplaced.any():
        raise ValueError(f"{name}: {int(found.unplaced.sum())} pods are not placed")
