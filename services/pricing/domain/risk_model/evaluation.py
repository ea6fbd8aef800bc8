"""A model's report: by kind and horizon, beside every baseline, each zone judged by a member that never saw it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

import numpy as np

from services.pricing.domain.risk_model import baselines, metrics
from services.pricing.domain.risk_model.metrics import Scored
from services.pricing.domain.risk_model.model import RiskModel, Rival, Sample, samples
from services.pricing.domain.risk_model.traces import HORIZON_SECONDS, Floats, Trace, TraceKind

BOTH: Final = "both"
NOT_ENOUGH_DATA: Final = "not enough data"


@dataclass(frozen=True, slots=True, eq=False)
class Judged:
    """One trace at one horizon: what happened, what the model said, what each baseline said."""

    trace: Trace
    model: Scored
    rivals: Mapping[str, Scored]


def judge(
    model: RiskModel, traces: Sequence[Trace], *, ratings: baselines.Ratings
) -> dict[str, list[Judged]]:
    """Ask model and baselines about every window of every trace."""
    rivals = baselines.rivals(ratings)
    judged: dict[str, list[Judged]] = {}
    floors: dict[str, Floats] = {}
    for horizon, seconds in HORIZON_SECONDS.items():
        if horizon not in model.horizons:
            judged[horizon] = []
            continue
        judged[horizon] = [
            _judge(model, horizon, seconds, sample, rivals, floors) for sample in samples(traces, seconds)
        ]
    return judged


def report(judged: Mapping[str, Sequence[Judged]]) -> dict[str, Any]:
    """Give `by_kind`, `by_pool` and the number of independent blocks."""
    kinds = sorted({j.trace.kind for found in judged.values() for j in found})
    by_kind = {
        kind: {
            horizon: _scores([j for j in found if kind in (BOTH, j.trace.kind)], HORIZON_SECONDS[horizon])
            for horizon, found in judged.items()
        }
        for kind in ([*kinds, BOTH] if len(kinds) > 1 else kinds)
    }
    shortest = next((found for found in judged.values() if found), [])
    blocks = metrics.count_blocks([j.model for j in shortest], horizon_seconds=0)
    return {"blocks": blocks, "by_kind": by_kind, "by_pool": _by_pool(judged)}


def _judge(
    model: RiskModel,
    horizon: str,
    seconds: float,
    sample: Sample,
    rivals: Mapping[str, Rival],
    floors: dict[str, Floats],
) -> Judged:
    trace, w = sample.trace, sample.windows
    member = model.horizons[horizon].member_for(trace.zone)
    # Nothing less at a longer horizon than at a shorter one, tick by tick.
    everywhere = np.zeros(len(trace.up))
    everywhere[w.ticks] = member.probability(sample.past, w.ticks)
    everywhere = np.maximum(everywhere, floors.get(trace.name, 0.0))
    floors[trace.name] = everywhere
    opened_at = np.asarray(w.ticks * trace.tick_seconds, dtype=np.float64)
    scored = Scored(trace.collection, opened_at, w.at_risk, w.lost, everywhere[w.ticks])
    said = {}
    for name in (baselines.BASE_RATE, baselines.SPOT_ADVISOR, baselines.PERSISTENCE):
        p = baselines.probability(
            name, rivals.get(name), member, trace=trace, ticks=w.ticks, horizon_seconds=seconds
        )
        if p is not None:
            said[name] = replace(scored, probability=p)
    return Judged(trace, scored, said)


def _scores(judged: Sequence[Judged], seconds: float) -> dict[str, Any] | None:
    if not judged:
        return None
    ours = [j.model for j in judged]
    means = metrics.scores(ours)
    blocks = metrics.count_blocks(ours, horizon_seconds=seconds)
    names = dict.fromkeys(name for j in judged for name in j.rivals)
    result: dict[str, Any] = {
        "n": int(sum(s.at_risk.sum() for s in ours)),
        "events": int(sum(s.lost.sum() for s in ours)),
        "traces": len(ours),
        "blocks": blocks,
        "brier": means.brier,
        "log_loss": means.log_loss,
        "auc": metrics.auc(ours),
        "ece": metrics.calibration_error(ours),
        "ece_by_chance": list(noise)
        if (noise := metrics.calibration_noise(ours, horizon_seconds=seconds))
        else None,
        "baselines": {},
        "skill": {},
        "log_loss_skill": {},
    }
    for name in names:
        pairs = [(j.model, j.rivals[name]) for j in judged if name in j.rivals]
        mine, theirs = [a for a, _ in pairs], [b for _, b in pairs]
        rival, own = metrics.scores(theirs), metrics.scores(mine)
        result["baselines"][name] = {
            "brier": rival.brier,
            "log_loss": rival.log_loss,
            "traces": len(pairs),
            "model_brier": own.brier,
            "model_log_loss": own.log_loss,
        }
        for key, loss in (("skill", "brier"), ("log_loss_skill", "log_loss")):
            interval = metrics.skill_interval(mine, theirs, horizon_seconds=seconds, loss=loss)
            result[key][name] = list(interval) if interval else [None, _point(own, rival, loss), None]
    if blocks < metrics.LEAST_BLOCKS:
        result["note"] = NOT_ENOUGH_DATA
    return result


def _point(own: metrics.Scores, rival: metrics.Scores, loss: str) -> float | None:
    mine, theirs = (own.brier, rival.brier) if loss == "brier" else (own.log_loss, rival.log_loss)
    return 1 - mine / theirs if theirs > 0 else None


def _by_pool(judged: Mapping[str, Sequence[Judged]]) -> dict[str, Any]:
    pools: dict[str, Any] = {}
    for horizon, found in judged.items():
        for j in found:
            entry = pools.setdefault(
                j.trace.name,
                {
                    "kind": TraceKind(j.trace.kind).value,
                    "zone": j.trace.zone,
                    "instance_type": j.trace.instance_type,
                },
            )
            s = j.model
            mine = metrics.scores([s]).brier
            base = metrics.scores([j.rivals[baselines.BASE_RATE]]).brier
            entry[horizon] = {
                "n": int(s.at_risk.sum()),
                "rate": float(s.lost.sum() / s.at_risk.sum()),
                "predicted": float((s.probability * s.at_risk).sum() / s.at_risk.sum()),
                "brier": mine,
                "skill_over_base_rate": 1 - mine / base if base > 0 else None,
            }
    return pools
