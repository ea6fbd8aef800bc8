"""`spotopt risk`: fit an interruption model on recorded pools, say how good one is, and what its layers are worth."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from deploy.cli.output import Form, described, fail, show, table

if TYPE_CHECKING:
    from services.pricing.domain.risk_model.baselines import Ratings

app = typer.Typer(
    help="Interruption risk: train a model, judge one, see whether it has drifted.",
    no_args_is_help=True,
    rich_markup_mode="rich",
)
BAD_INPUT = 2

Traces = Annotated[
    Path,
    typer.Option(help="Folder of recordings; folders preemption and availability below it tell the kind."),
]
Advisor = Annotated[
    list[Path] | None,
    typer.Option(
        help="Spot Advisor file, repeatable; default: those in ../spot-advisor beside the recordings."
    ),
]


def train(
    traces: Traces,
    out: Annotated[Path, typer.Option(help="Model file to write; its card is written beside it.")],
    prices: Annotated[Path | None, typer.Option(help="Folder of spot price histories.")] = None,
    advisor: Advisor = None,
    output: Annotated[Form, typer.Option("--output", "-o", help="How to print its scores.")] = Form.TABLE,
) -> None:
    """Fit a model on recorded pools; write it and its card.

    Each zone is also left out once, so that `evaluate` can judge the model on a zone that it never saw.

    Example:
      spotopt risk train --traces preemptions --prices spot-prices --out risk.skops
    """
    # Nothing above needs these, so that --help and a wrong option answer at once.
    from deploy.risk import market_files, training
    from deploy.risk.traces import read_traces
    from services.pricing.domain.risk_model import model_file
    from shared.kernel.errors import PermanentError

    try:
        recordings = read_traces(traces)
        ratings = _ratings(traces, advisor)
        coverage = market_files.read_price_coverage(prices) if prices else None
        model = training.train(recordings.traces, ratings=ratings, progress=_progress)
        report = training.evaluate(model, recordings.traces, ratings=ratings, progress=_progress)
        body = model_file.to_bytes(model)
        training.write(out, body, training.card(body, model, recordings.traces, report, coverage))
    except PermanentError as error:
        fail(str(error), code=BAD_INPUT)
    _print({"model": out.name, **report, "other_clouds": recordings.other_clouds}, output)
    typer.echo(f"Wrote {out} ({len(body)} bytes) and {training.card_path(out)}.", err=True)


def evaluate(
    traces: Traces,
    model: Annotated[Path | None, typer.Option(help="Model file; default: the one that ships.")] = None,
    advisor: Advisor = None,
    output: Annotated[Form, typer.Option("--output", "-o", help="How to print.")] = Form.TABLE,
) -> None:
    """Judge a model on recorded pools, beside what anyone could know without it.

    A zone of its training data is judged by that part of the model which was fitted without it.

    Examples:
      spotopt risk evaluate --traces preemptions

      spotopt risk evaluate --model risk.skops --traces preemptions -o json
    """
    from deploy.risk import training
    from deploy.risk.traces import read_traces
    from shared.kernel.errors import PermanentError

    try:
        read, name = training.read(model or training.DEFAULT_MODEL)
        recordings = read_traces(traces)
        report = training.evaluate(
            read, recordings.traces, ratings=_ratings(traces, advisor), progress=_progress
        )
    except PermanentError as error:
        fail(str(error), code=BAD_INPUT)
    _print({"model": name, **report, "other_clouds": recordings.other_clouds}, output)


def ablate(
    traces: Traces,
    advisor: Advisor = None,
    output: Annotated[Form, typer.Option("--output", "-o", help="How to print.")] = Form.TABLE,
) -> None:
    """Leave one layer of the model out at a time, and say what it is worth on zones never seen.

    Takes a few minutes: each row is a whole training.

    Example:
      spotopt risk ablate --traces preemptions
    """
    from deploy.risk import ablation
    from deploy.risk.traces import read_traces
    from shared.kernel.errors import PermanentError

    try:
        rows = ablation.ablate(
            read_traces(traces).traces, ratings=_ratings(traces, advisor), progress=_progress
        )
    except PermanentError as error:
        fail(str(error), code=BAD_INPUT)
    if output is not Form.TABLE:
        show({"rows": rows}, output)
        return
    horizons = list(rows[0]["by_horizon"])
    table(
        ("model", *horizons),
        [
            [
                row["model"],
                *(
                    f"{s['skill']:+.1%} / {s['log_loss_skill']:+.1%} / {s['ece']:.1%}" if s else "-"
                    for s in row["by_horizon"].values()
                ),
            ]
            for row in rows
        ],
    )
    typer.echo("better than the base rate on Brier / on log loss / calibration error")


def drift(
    traces: Traces,
    model: Annotated[Path | None, typer.Option(help="Model file; default: the one that ships.")] = None,
    output: Annotated[Form, typer.Option("--output", "-o", help="How to print.")] = Form.TABLE,
) -> None:
    """Compare weeks of recorded pools with what a model learnt from, by the population stability index.

    Also draws 3 to 40 of these weeks again and again, and says how often chance alone would look like drift.

    Example:
      spotopt risk drift --traces preemptions
    """
    from deploy.risk import drifting, training
    from deploy.risk.traces import read_traces
    from shared.kernel.errors import PermanentError

    try:
        read, _ = training.read(model or training.DEFAULT_MODEL)
        found = drifting.compare(read, read_traces(traces).traces, progress=_progress)
    except PermanentError as error:
        fail(str(error), code=BAD_INPUT)
    if output is not Form.TABLE:
        show(found, output)
        return
    table(("feature", "index"), [[name, _number(value)] for name, value in found["index"].items()])
    typer.echo("")
    table(
        ("pools drawn", "mean index", "taken for drift"),
        [[row["pools"], _number(row["mean_index"]), f"{row['alarms']:.1%}"] for row in found["by_chance"]],
    )
    typer.echo(f"all {found['pools']} weeks: {'drift' if found['is_drift'] else 'no drift'}")


for name_, command in (("train", train), ("evaluate", evaluate), ("ablate", ablate), ("drift", drift)):
    app.command(name_, help=described(command))(command)


def _ratings(traces: Path, advisor: list[Path] | None) -> "Ratings":
    from deploy.risk import market_files

    beside = sorted((traces.absolute().parent / "spot-advisor").glob("*.json"))
    return market_files.read_ratings_of(beside if advisor is None else advisor)


def _progress(sentence: str) -> None:
    if sys.stderr.isatty():
        typer.echo(f"… {sentence}", err=True)


def _print(report: dict[str, Any], form: Form) -> None:
    if form is not Form.TABLE:
        show(report, form)
        return
    entries = [
        (kind, horizon, scores)
        for kind, by_horizon in report["by_kind"].items()
        for horizon, scores in by_horizon.items()
        if scores
    ]
    counts, losses = ("n", "events", "blocks"), ("brier", "log_loss", "auc", "ece")
    scored = [
        [
            kind,
            horizon,
            *(scores[key] for key in counts),
            *(_number(scores[key]) for key in losses),
            _chance(scores["ece_by_chance"]),
        ]
        for kind, horizon, scores in entries
    ]
    compared = [
        [kind, horizon, name, _interval(interval), _interval(scores["log_loss_skill"][name])]
        for kind, horizon, scores in entries
        for name, interval in scores["skill"].items()
    ]
    typer.echo(
        f"model {report['model']}, {report['traces']} recordings, {report['blocks']} independent blocks"
    )
    table(("kind", "horizon", *counts, *losses, "ece by chance, 95 %"), scored)
    typer.echo("")
    table(("kind", "horizon", "baseline", "better on Brier, 95 %", "better on log loss, 95 %"), compared)


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.4f}"


def _chance(noise: list[float] | None) -> str:
    """Say what a calibration error is without any being there: the mean and what 95 % stay below."""
    return "(not enough data)" if noise is None else f"{noise[0]:.4f}, {noise[1]:.4f}"


def _interval(interval: list[float | None]) -> str:
    low, mid, high = interval
    if mid is None:
        return "-"
    if low is None or high is None:
        return f"{mid:+.1%} (not enough data)"
    return f"{mid:+.1%} [{low:+.1%}, {high:+.1%}]"
