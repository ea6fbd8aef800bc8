"""What a plan says of its risk, in lines for people."""

from collections.abc import Iterator
from typing import Any

SHOWN = 10


def lines(document: dict[str, Any]) -> Iterator[str]:
    """Give the lines; none for a document without these parts."""
    if "objective_parts" not in document:
        return
    yield _objective(document["objective_parts"], is_whole=document["cost_usd_per_hour"] is not None)
    yield from _residual(document["residual_risk"])
    at_risk = document["at_risk"]
    for item in at_risk[:SHOWN]:
        yield f"At risk: {item['workload']}: {item['reason']}"
    if len(at_risk) > SHOWN:
        yield f"and {len(at_risk) - SHOWN} more workloads at risk (-o json shows all)"
    for shape in document["headroom"]:
        size = f"{shape['cpu_millicores']}m CPU, {shape['memory_bytes'] / 2**20:.0f} MiB"
        yield f"Headroom: room for {shape['placed']} of {shape['wanted']} pods of {size}"
    use = document["commitments"]
    if use is not None:
        unused = ", ".join(f"{u['count']} {u['instance_type']}" for u in use["unused_instances"])
        yield (
            f"Commitments: they cover {use['covered_nodes']} nodes; unused:"
            f" {unused or 'no reservation'}, {float(use['unused_usd_per_hour']):.4f} USD/h of savings plans"
        )


def _objective(parts: dict[str, Any], *, is_whole: bool) -> str:
    of = "" if is_whole else " of the nodes whose price is known"
    price, risk = float(parts["price_usd_per_hour"]), float(parts["risk_usd_per_hour"])
    wishes = float(parts["preferences_usd_per_hour"])
    return (
        f"Objective ({parts['objective']}){of}: {price + risk + wishes:.4f} USD/h ="
        f" price {price:.4f} + risk {risk:.4f} (weight {parts['risk_weight']})"
        + (f" + preferences that are not met {wishes:.4f}" if wishes else "")
    )


def _residual(risk: dict[str, Any]) -> Iterator[str]:
    a_day = risk["expected_interruptions_per_day"]
    worst = risk["worst_pool_loss"]
    if worst is None:
        yield "Risk: no node is on spot"
        return
    expected = "unknown" if a_day is None else f"{a_day:.2g}"
    below = ", ".join(worst["below_minimum"][:SHOWN]) or "none"
    nodes, pods = worst["nodes"], worst["pods"]
    yield (
        f"Risk: {expected} interruptions a day expected; the worst loss is {worst['pool']}:"
        f" {nodes} node{'' if nodes == 1 else 's'}, {pods} pod{'' if pods == 1 else 's'},"
        f" {worst['vcpu_share_ratio']:.1%} of the requested vCPU; budgets below their minimum: {below}"
    )
    yield from (f"Limit not met: {sentence}" for sentence in risk["breaches"][:SHOWN])
