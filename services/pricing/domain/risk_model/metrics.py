"""How good probabilities are: Brier score, log loss, AUC, expected calibration error; and how sure we are of it.

Every trace weighs the same, whatever its tick: a recording with a tick of 32 s says no more about its pool
than one with a tick of 10 min. Windows overlap and zones recorded together fall together, so the bootstrap
draws whole days of a collection, all of its traces at once.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from services.pricing.domain.risk_model.traces import Floats, Integers

LEAST_BLOCKS: Final = 10
"""Below this many independent blocks no interval is given: not enough data."""
DAY_SECONDS: Final = 86_400
DRAWS: Final = 2_000
SURE: Final = 1e-6
"""Log loss takes no probability nearer to 0 or 1 than this."""
CALIBRATION_BINS: Final = 10


@dataclass(frozen=True, slots=True, eq=False)
class Scored:
    """One trace's judged windows with the probability given to each."""

    collection: str
    seconds: Floats
    """When each window opens, from the collection's start."""
    at_risk: Integers
    lost: Integers
    probability: Floats


@dataclass(frozen=True, slots=True)
class Scores:
    """The mean over traces."""

    brier: float
    log_loss: float


def brier_terms(scored: Scored) -> Floats:
    """Give each window's summed squared error over its instances."""
    p = scored.probability
    return scored.lost * (1 - p) ** 2 + (scored.at_risk - scored.lost) * p**2


def log_loss_terms(scored: Scored) -> Floats:
    """Give each window's summed negative log likelihood over its instances."""
    p = np.clip(scored.probability, SURE, 1 - SURE)
    return -(scored.lost * np.log(p) + (scored.at_risk - scored.lost) * np.log1p(-p))


def scores(traces: Sequence[Scored]) -> Scores:
    """Average both losses over the instances of each trace, then over traces."""
    return Scores(
        brier=float(np.mean([brier_terms(t).sum() / t.at_risk.sum() for t in traces])),
        log_loss=float(np.mean([log_loss_terms(t).sum() / t.at_risk.sum() for t in traces])),
    )


def auc(traces: Sequence[Scored]) -> float | None:
    """Give P(a lost instance was given more risk than one that was kept); None without both."""
    probability, lost, kept = _pooled(traces)
    if lost.sum() <= 0 or kept.sum() <= 0:
        return None
    _, place = np.unique(probability, return_inverse=True)
    lost_at, kept_at = np.bincount(place, lost), np.bincount(place, kept)
    below = np.cumsum(kept_at) - kept_at
    return float((lost_at * (below + kept_at / 2)).sum() / (lost.sum() * kept.sum()))


def calibration_error(traces: Sequence[Scored]) -> float:
    """Give the mean distance of predicted from observed rates over ten bins of equal width."""
    probability, lost, kept = _pooled(traces)
    total = lost + kept
    at = np.minimum((probability * CALIBRATION_BINS).astype(np.int64), CALIBRATION_BINS - 1)
    predicted = np.bincount(at, probability * total, CALIBRATION_BINS)
    observed = np.bincount(at, lost, CALIBRATION_BINS)
    return float(np.abs(predicted - observed).sum() / total.sum())


def calibration_noise(
    traces: Sequence[Scored], *, horizon_seconds: float, seed: int = 42
) -> tuple[float, float] | None:
    """Give the calibration error that a model without any would show on so few blocks: mean and 95th percentile.

    Each bin's own error is taken off, then the rest of each block keeps or changes its sign as a coin falls (wild
    cluster bootstrap: Cameron, Gelbach, Miller 2008). None below LEAST_BLOCKS.
    """
    blocks = [block for trace in traces for block in _blocks(trace, horizon_seconds)]
    place = {block: number for number, block in enumerate(dict.fromkeys(blocks))}
    if len(place) < LEAST_BLOCKS:
        return None
    probability, lost, kept = _pooled(traces)
    total = lost + kept
    at = np.minimum((probability * CALIBRATION_BINS).astype(np.int64), CALIBRATION_BINS - 1)
    off = lost - probability * total
    in_bin = np.bincount(at, total, CALIBRATION_BINS)
    error = np.bincount(at, off, CALIBRATION_BINS) / np.where(in_bin > 0, in_bin, 1.0)
    by_block = np.zeros((len(place), CALIBRATION_BINS))
    np.add.at(by_block, (np.array([place[block] for block in blocks]), at), off - error[at] * total)
    signs = np.random.default_rng(seed).choice([-1.0, 1.0], size=(DRAWS, len(place)))
    found = np.abs(signs @ by_block).sum(axis=1) / total.sum()
    return float(found.mean()), float(np.quantile(found, 0.95))


def block_seconds(horizon_seconds: float) -> float:
    """Give the length of a block: a day, or two horizons where that is longer."""
    return max(DAY_SECONDS, 2 * horizon_seconds)


def count_blocks(traces: Sequence[Scored], *, horizon_seconds: float) -> int:
    """Count the independent blocks that hold at least one window."""
    return len({block for trace in traces for block in _blocks(trace, horizon_seconds)})


def skill_interval(
    model: Sequence[Scored],
    rival: Sequence[Scored],
    *,
    horizon_seconds: float,
    loss: str = "brier",
    seed: int = 42,
) -> tuple[float, float, float] | None:
    """Give 1 - model's loss / rival's loss with its 95 % interval; None below LEAST_BLOCKS."""
    terms = brier_terms if loss == "brier" else log_loss_terms
    blocks = sorted({block for trace in model for block in _blocks(trace, horizon_seconds)})
    if len(blocks) < LEAST_BLOCKS:
        return None
    place = {block: number for number, block in enumerate(blocks)}
    shape = (len(blocks), len(model))
    ours, theirs, weight = np.zeros(shape), np.zeros(shape), np.zeros(shape)
    for column, (a, b) in enumerate(zip(model, rival, strict=True)):
        at = np.array([place[block] for block in _blocks(a, horizon_seconds)])
        ours[:, column] = np.bincount(at, terms(a), len(blocks))
        theirs[:, column] = np.bincount(at, terms(b), len(blocks))
        weight[:, column] = np.bincount(at, a.at_risk, len(blocks))
    draws = _draws(blocks, np.random.default_rng(seed))
    low, high = np.quantile(_skill(draws @ ours, draws @ theirs, draws @ weight), [0.025, 0.975])
    whole = np.ones((1, len(blocks)))
    return float(low), float(_skill(whole @ ours, whole @ theirs, whole @ weight)[0]), float(high)


def _blocks(trace: Scored, horizon_seconds: float) -> list[tuple[str, int]]:
    numbers = (trace.seconds // block_seconds(horizon_seconds)).astype(np.int64)
    return [(trace.collection, int(number)) for number in numbers]


def _draws(blocks: Sequence[tuple[str, int]], rng: np.random.Generator) -> Floats:
    """Draw as many blocks of each collection as it has, with replacement, DRAWS times."""
    drawn = np.zeros((DRAWS, len(blocks)))
    collections = [collection for collection, _ in blocks]
    for collection in dict.fromkeys(collections):
        own = [number for number, name in enumerate(collections) if name == collection]
        drawn[:, own] = rng.multinomial(len(own), np.full(len(own), 1 / len(own)), size=DRAWS)
    return drawn


def _skill(ours: Floats, theirs: Floats, weight: Floats) -> Floats:
    """Compare means over traces; a trace that a draw left out counts in neither."""
    seen = np.where(weight > 0, weight, 1.0)
    mine = np.where(weight > 0, ours / seen, 0.0).sum(axis=1)
    rival = np.where(weight > 0, theirs / seen, 0.0).sum(axis=1)
    return np.asarray(1 - mine / np.where(rival > 0, rival, np.nan), dtype=np.float64)


def _pooled(traces: Sequence[Scored]) -> tuple[Floats, Floats, Floats]:
    """Join the traces, each with the same total weight; give probability, lost and kept weight."""
    probability = np.concatenate([t.probability for t in traces])
    lost = np.concatenate([t.lost / t.at_risk.sum() for t in traces])
    kept = np.concatenate([(t.at_risk - t.lost) / t.at_risk.sum() for t in traces])
    return probability, lost, kept
