"""What a demo proved: counted by the sandbox from its own logs, save the money that reporting booked."""

from dataclasses import asdict, dataclass
from typing import Any


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """The JSON that `spotopt demo -o json` prints."""

    baseline_usd_per_hour: float
    final_usd_per_hour: float
    savings_ratio: float
    savings_from_packing: float | None
    """Share of the baseline; with the next it adds up to savings_ratio. Null: an on-demand price is unknown."""
    savings_from_capacity_type: float | None
    nodes_before: int
    nodes_after: int
    pods: int
    pods_pending_after: int
    pdb_violations: int
    unexpected_terminations: int
    interruptions_handled: int
    types_skipped: int
    moves_planned_again: int
    """By a plan asked for right after the first was carried out: 0 where nothing churns."""
    booked_savings_usd: float
    seconds: float

    def as_json(self) -> dict[str, Any]:
        """Give the object to print."""
        return asdict(self)

    @property
    def problems(self) -> list[str]:
        """Say what went wrong, in words; empty: nothing did."""
        found = []
        if self.pods_pending_after:
            found.append(f"{self.pods_pending_after} pods are pending")
        if self.pdb_violations:
            found.append(f"{self.pdb_violations} disruption budgets were violated")
        if self.unexpected_terminations:
            found.append(f"{self.unexpected_terminations} nodes were terminated with pods on them")
        return found


def result_of(
    report: dict[str, Any],
    *,
    baseline: dict[str, Any],
    booked_usd: str,
    types_skipped: int,
    moves_planned_again: int,
    seconds: float,
) -> Result:
    """Join the sandbox's two reports: before the first plan, and at the end."""
    before, after = float(baseline["usd_per_hour"]), float(report["usd_per_hour"])
    on_demand = [node["on_demand_usd_per_hour"] for node in report["fleet"]]
    packing = None if None in on_demand else (before - sum(on_demand)) / before
    ratio = (before - after) / before
    return Result(
        baseline_usd_per_hour=round(before, 4),
        final_usd_per_hour=round(after, 4),
        savings_ratio=round(ratio, 4),
        savings_from_packing=None if packing is None else round(packing, 4),
        savings_from_capacity_type=None if packing is None else round(ratio - packing, 4),
        nodes_before=baseline["nodes"],
        nodes_after=report["nodes"],
        pods=sum(node["pods"] for node in report["fleet"]) + report["pods_pending"],
        pods_pending_after=report["pods_pending"],
        pdb_violations=report["pdb_violations"],
        unexpected_terminations=report["unexpected_terminations"],
        interruptions_handled=report["interruptions_handled"],
        types_skipped=types_skipped,
        moves_planned_again=moves_planned_again,
        booked_savings_usd=float(booked_usd),
        seconds=round(seconds, 1),
    )
