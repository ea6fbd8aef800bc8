"""What a plan says of each of its moves beside the sentence: what it costs once, its risk, and what it beat."""

from collections.abc import Iterator
from typing import Any

MINUTE, HOUR = 60, 3600


def lines(move: dict[str, Any]) -> Iterator[str]:
    """Give what is known of a move, as `plan_output` tells it; a part of which nothing is known is left out."""
    once, risk = _once(move), _interruptions(move)
    yield f"{once}; {risk}." if once else f"{risk[0].upper()}{risk[1:]}."
    yield from (part for part in (_runner_up(move), _bound(move)) if part)


def _once(move: dict[str, Any]) -> str | None:
    seconds = move["payback_seconds"]
    if not move["drains"]:
        return None
    back = "" if seconds is None else f", earned back in {_duration(seconds)}"
    return f"Costs {move['disruption_usd']:.4g} USD once{back}"


def _interruptions(move: dict[str, Any]) -> str:
    gone, come = _a_day(move["interruptions_per_day_before"]), _a_day(move["interruptions_per_day_after"])
    if not move["drains"]:
        return f"interruptions a day: {come} of what comes"
    if not move["launches"]:
        return f"interruptions a day: {gone} of what goes"
    if gone == come:
        return f"interruptions a day: {gone} before and after"
    return f"interruptions a day: {gone} of what goes, {come} of what comes"


def _a_day(number: float | None) -> str:
    # Unknown is not none: only a chance that somebody has an estimate for is a number.
    return "unknown" if number is None else f"{number:.2g}"


def _runner_up(move: dict[str, Any]) -> str | None:
    other, extra = move["runner_up"], move["runner_up_extra_usd_per_hour"]
    if other is None:
        return None
    if extra is None:
        return f"Runner-up: {other}."
    if extra < 0:
        return f"Runner-up: {other}: cheaper for these pods alone."
    # An offer is told with what it costs beside the planned one; keeping what is there is not.
    by = "" if " against " in other else f", {extra:.4g} USD/h worse"
    return f"Runner-up: {other}{by}."


def _bound(move: dict[str, Any]) -> str | None:
    binding = move["binding_constraint"]
    if binding is None or binding.startswith("none"):
        return None
    return f"Bound by {binding}."


def _duration(seconds: int) -> str:
    if seconds < 2 * MINUTE:
        return f"{seconds} s"
    if seconds < 2 * HOUR:
        return f"{round(seconds / MINUTE)} min"
    return f"{seconds / HOUR:.1f} h"
