"""Print a plan for people and for programs."""

import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from deploy.cli import plan_risk
from deploy.cli.output import Form

if TYPE_CHECKING:
    from services.optimizer.domain.drafts import LaunchDraft, MoveDraft, PlanDraft
    from services.optimizer.domain.explain import Explanation

SHOWN_MOVES = 15
SHOWN = 10


def as_document(
    draft: "PlanDraft", notes: Sequence[str], answers: Sequence["Explanation"] = (), *, solve_seconds: float
) -> dict[str, Any]:
    """Give the plan as plain values."""
    from services.optimizer.handlers import assurances

    assured = draft.assurance
    return {
        "nodes": [
            {
                "name": n.node.name,
                "instance_type": n.node.instance_type,
                "zone": n.node.zone,
                "capacity_type": (n.node.capacity_type or "on-demand"),
                "usd_per_hour": n.usd_per_hour,
                "existing": n.existing,
                "pods": list(n.pods),
            }
            for n in draft.nodes
        ],
        "cost_usd_per_hour": draft.cost_after_usd_per_hour,
        "objective_usd_per_hour": draft.objective_usd_per_hour,
        "baseline_usd_per_hour": draft.cost_before_usd_per_hour,
        "lower_bound_usd_per_hour": draft.lower_bound_usd_per_hour,
        "gap_ratio": draft.gap_ratio,
        "bound_leaves_out": list(draft.bound_leaves_out),
        "ended_by": draft.ended_by.value,
        "savings_from_packing_usd_per_hour": draft.savings_from_packing_usd_per_hour,
        "savings_from_capacity_type_usd_per_hour": draft.savings_from_capacity_type_usd_per_hour,
        "moves": [_move(m) for m in draft.moves],
        "unplaced": [{"pod": u.pod, "reasons": list(u.reasons)} for u in draft.unplaced],
        **(assurances.document(assured, draft.expected_interruptions_per_day_after) if assured else {}),
        "skip_reason": draft.skip_reason,
        "conflicts": [asdict(c) for c in draft.conflicts],
        "notes": [*notes, *draft.notes],
        "explanations": [asdict(a) for a in answers],
        "solve_seconds": round(solve_seconds, 3),
    }


def _move(move: "MoveDraft") -> dict[str, Any]:
    return {
        "id": move.id,
        "kind": move.kind.value,
        "reason": move.reason.value,
        "launches": [_launch(launch) for launch in move.launches],
        "drains": list(move.drains),
        "savings_usd_per_hour": move.savings_usd_per_hour,
        "worth_usd_per_hour": move.worth_usd_per_hour,
        "disruption_pods": move.disruption_pods,
        "disruption_usd": move.disruption_usd,
        "payback_seconds": move.payback_seconds,
        "interruptions_per_day_before": move.interruptions_per_day_before,
        "interruptions_per_day_after": move.interruptions_per_day_after,
        "explanation": move.explanation,
        "runner_up": move.runner_up,
        "runner_up_extra_usd_per_hour": move.runner_up_extra_usd_per_hour,
        "binding_constraint": move.binding_constraint,
    }


def _launch(launch: "LaunchDraft") -> dict[str, Any]:
    return {
        "id": launch.id,
        "offerings": [
            {
                "instance_type": o.pool.instance_type,
                "zone_id": o.pool.zone_id,
                "capacity_type": o.pool.capacity_type.value,
                "usd_per_hour": o.usd_per_hour,
            }
            for o in launch.offers
        ],
        "pods": list(launch.pods),
    }


def show(document: dict[str, Any], output: Form) -> None:
    """Print it on standard output."""
    if output is Form.JSON:
        print(json.dumps(document, indent=2, default=str))  # noqa: T201 - this is what the command is for
    elif output is Form.YAML:
        import yaml

        plain = json.loads(json.dumps(document, default=str))
        print(yaml.safe_dump(plain, sort_keys=False), end="")  # noqa: T201
    else:
        _tables(document)


def _tables(document: dict[str, Any]) -> None:
    from rich.console import Console
    from rich.table import Table

    console = Console()
    fleet = Table(title="Fleet", title_justify="left")
    for column in ("nodes", "instance type", "capacity", "zone", "USD/h each", "pods", ""):
        fleet.add_column(column, justify="right" if column in ("nodes", "USD/h each", "pods") else "left")
    counts: Counter[tuple[str, ...]] = Counter()
    pods: Counter[tuple[str, ...]] = Counter()
    for node in document["nodes"]:
        kind: tuple[str, ...] = (
            str(node["instance_type"] or "unknown"),
            str(node["capacity_type"]),
            str(node["zone"] or ""),
            _usd(node["usd_per_hour"]),
            "stays" if node["existing"] else "new",
        )
        counts[kind] += 1
        pods[kind] += len(node["pods"])
    for key in sorted(counts):
        fleet.add_row(str(counts[key]), *key[:4], str(pods[key]), key[4])
    console.print(fleet)
    _summary(console, document)


def _summary(console: Any, document: dict[str, Any]) -> None:
    before, after = document["baseline_usd_per_hour"], document["cost_usd_per_hour"]
    saved = f", {1 - after / before:.1%} less" if before and after is not None and after < before else ""
    today = "" if before is None else f" (today {_usd(before)}{saved})"
    console.print(f"Cost: {_usd(after)} USD/h{today}; solved in {document['solve_seconds']:.1f} s.")
    for line in plan_risk.lines(document):
        console.print(line, markup=False, highlight=False)
    if document["gap_ratio"] is not None:
        left_out = document["bound_leaves_out"]
        unknown = f" The bound leaves out: {', '.join(left_out)}." if left_out else ""
        console.print(
            f"Proven: no fleet has an objective below {_usd(document['lower_bound_usd_per_hour'])} USD/h;"
            f" this one's is at most {document['gap_ratio']:.2%} above"
            f" ({document['ended_by']}).{unknown}",
            highlight=False,
        )
    if document["skip_reason"]:
        console.print(document["skip_reason"], markup=False)
    for number, move in enumerate(document["moves"][:SHOWN_MOVES], start=1):
        console.print(f"{number:3}. {move['explanation']}", markup=False, highlight=False)
    if len(document["moves"]) > SHOWN_MOVES:
        console.print(f"     and {len(document['moves']) - SHOWN_MOVES} more moves (-o json shows all)")
    for item in document["unplaced"][:SHOWN]:
        console.print(f"Unplaced: {item['pod']}: {'; '.join(item['reasons'])}", markup=False)
    if len(document["unplaced"]) > SHOWN:
        console.print(f"and {len(document['unplaced']) - SHOWN} more unplaced pods")
    for note in document["notes"][:SHOWN]:
        console.print(f"Note: {note}", markup=False)
    if len(document["notes"]) > SHOWN:
        console.print(f"and {len(document['notes']) - SHOWN} more notes (-o json shows all)")
    told = [c for c in document["conflicts"] if c["held_by"] != "stability"]
    for conflict in told[:SHOWN]:
        console.print(
            f"Decided: {conflict['subject']}: {conflict['objection']}, so not: {conflict['wish']}"
            f" ({conflict['winner']} won).",
            markup=False,
        )
    if len(told) > SHOWN:
        console.print(f"and {len(told) - SHOWN} more decisions (-o json shows all)")
    for answer in document["explanations"]:
        _explanation(console, answer)


def _explanation(console: Any, answer: dict[str, Any]) -> None:
    console.print(f"\n{answer['kind'].capitalize()} {answer['subject']}: {answer['placement']}", markup=False)
    for title, lines in (("Why", answer["why"]), ("Why not cheaper", answer["why_not_cheaper"])):
        if lines:
            console.print(f"  {title}:")
        for line in lines:
            console.print(f"  - {line}", markup=False, highlight=False)


def _usd(amount: float | None) -> str:
    return "unknown" if amount is None else f"{amount:.4f}"
