"""Print a plan for people and for programs."""

import json
import textwrap
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from deploy.cli import plan_moves, plan_risk
from deploy.cli.output import Form

if TYPE_CHECKING:
    from services.optimizer.domain.drafts import LaunchDraft, MoveDraft, PlanDraft
    from services.optimizer.domain.explain import Explanation

SHOWN_MOVES = 15
SHOWN = 10
MOVE_INDENT = "     "
NARROWEST = 40


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
    _say(console, f"Cost: {_usd(after)} USD/h{today}; solved in {document['solve_seconds']:.1f} s.")
    for line in plan_risk.lines(document):
        _say(console, line)
    if document["gap_ratio"] is not None:
        left_out = document["bound_leaves_out"]
        unknown = f" The bound leaves out: {', '.join(left_out)}." if left_out else ""
        _say(
            console,
            f"Proven: no fleet has an objective below {_usd(document['lower_bound_usd_per_hour'])} USD/h;"
            f" this one's is at most {document['gap_ratio']:.2%} above"
            f" ({document['ended_by']}).{unknown}",
        )
    if document["skip_reason"]:
        _say(console, document["skip_reason"])
    show_moves(console, document["moves"])
    _some(
        console,
        [f"Unplaced: {u['pod']}: {'; '.join(u['reasons'])}" for u in document["unplaced"]],
        "unplaced pods",
    )
    _some(console, [f"Note: {note}" for note in document["notes"]], "notes")
    told = [c for c in document["conflicts"] if c["held_by"] != "stability"]
    decided = [
        f"Decided: {c['subject']}: {c['objection']}, so not: {c['wish']} ({c['winner']} won)." for c in told
    ]
    _some(console, decided, "decisions")
    for answer in document["explanations"]:
        _explanation(console, answer)


def show_moves(console: Any, moves: Sequence[dict[str, Any]]) -> None:
    """Print the moves with what they say of themselves."""
    for number, move in enumerate(moves[:SHOWN_MOVES], start=1):
        _say(console, move["explanation"], first=f"{number:3}. ", rest=MOVE_INDENT)
        for line in plan_moves.lines(move):
            _say(console, line, first=MOVE_INDENT, rest=MOVE_INDENT)
    if len(moves) > SHOWN_MOVES:
        _say(console, f"and {len(moves) - SHOWN_MOVES} more moves (-o json shows all)", first=MOVE_INDENT)


def _some(console: Any, lines: Sequence[str], what: str) -> None:
    for line in lines[:SHOWN]:
        _say(console, line)
    if len(lines) > SHOWN:
        _say(console, f"and {len(lines) - SHOWN} more {what} (-o json shows all)")


def _explanation(console: Any, answer: dict[str, Any]) -> None:
    _say(console, f"{answer['kind'].capitalize()} {answer['subject']}: {answer['placement']}", before="\n")
    for title, lines in (("Why", answer["why"]), ("Why not cheaper", answer["why_not_cheaper"])):
        if lines:
            _say(console, f"{title}:", first="  ")
        for line in lines:
            _say(console, line, first="  - ", rest="    ")


def _say(console: Any, text: str, *, first: str = "", rest: str = "  ", before: str = "") -> None:
    """Print a line; what is too long for the terminal goes on below, indented by `rest`."""
    wrapped = textwrap.fill(
        text,
        width=max(console.width, NARROWEST),
        initial_indent=first,
        subsequent_indent=rest,
        break_long_words=False,
        break_on_hyphens=False,
    )
    console.print(before + wrapped, markup=False, highlight=False, soft_wrap=True)


def _usd(amount: float | None) -> str:
    return "unknown" if amount is None else f"{amount:.4f}"
