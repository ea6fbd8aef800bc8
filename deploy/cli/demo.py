"""`spotopt demo`: the whole system in a sandbox, end to end."""

import asyncio
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from deploy.cli.output import Form, fail, show, table

if TYPE_CHECKING:
    from deploy.demo.options import Access, DemoOptions
    from deploy.demo.result import Result

SERVICES_AND_AGENT = ("gateway", "pricing", "optimizer", "executor", "reporting", "agent")


def demo(
    workload: Annotated[
        Path | None,
        typer.Option(
            help="openb CSV or `kubectl get pods -A -o json`; without it a built-in mix.", show_default=False
        ),
    ] = None,
    cpu_only: Annotated[
        bool, typer.Option("--cpu-only", help="Of an openb CSV, only rows without a GPU.")
    ] = False,
    pods: Annotated[
        int | None, typer.Option(min=1, help="Take only the first N pods.", show_default=False)
    ] = None,
    prices: Annotated[
        Path | None,
        typer.Option(help="Recorded spot prices (CSV, or AWS CLI JSON); without it a simulated market."),
    ] = None,
    on_demand: Annotated[
        Path | None, typer.Option(help="On-demand prices (CSV); without it the bundled list.")
    ] = None,
    idle_share: Annotated[
        float, typer.Option(min=0, max=0.9, help="Share of idle nodes in the starting cluster.")
    ] = 0.0,
    keep: Annotated[bool, typer.Option("--keep", help="Leave everything up until Ctrl-C.")] = False,
    seed: Annotated[int, typer.Option(help="Of everything that is random.")] = 1,
    kill: Annotated[
        str | None,
        typer.Option(help=f"SIGKILL one part during execution: {', '.join(SERVICES_AND_AGENT)}."),
    ] = None,
    still_market: Annotated[
        bool, typer.Option("--still-market", help="Prices stand still while the demo runs.")
    ] = False,
    report: Annotated[
        Path | None,
        typer.Option(help="Also write what the sandbox itself logged, as JSON.", show_default=False),
    ] = None,
    output: Annotated[Form, typer.Option("--output", "-o", help="How to print the result.")] = Form.TABLE,
) -> None:
    """Build an expensive cluster in a sandbox, let the product make it cheap, and count what happened.

    Examples:
      spotopt demo

      spotopt demo --pods 100 --keep

      spotopt demo --workload openb_pod_list_default.csv --cpu-only --pods 1000 --prices spot.csv.gz -o json

    Exit codes: 0 done; 1 it could not be carried through, or pods, budgets or nodes were harmed; 2 bad input.
    """
    from rich.console import Console

    from deploy.demo.errors import DemoError
    from deploy.demo.options import DemoOptions
    from deploy.local.errors import StackError

    if kill is not None and kill not in SERVICES_AND_AGENT:
        fail(f"--kill takes one of {', '.join(SERVICES_AND_AGENT)}, not {kill!r}.", code=2)
    options = DemoOptions(
        workload=workload,
        cpu_only=cpu_only,
        pods=pods,
        prices=prices,
        on_demand=on_demand,
        idle_share=idle_share,
        keep=keep,
        seed=seed,
        kill=kill,
        still_market=still_market,
        report=report,
    )
    try:
        result = _run(options, Console(stderr=True))
    except (DemoError, StackError) as error:
        fail(str(error), code=error.exit_code)
    if output is Form.TABLE:
        _print(result)
    else:
        show(result.as_json(), output)
    if result.problems:
        fail(f"{'; '.join(result.problems)}.")


def _run(options: "DemoOptions", console: "object") -> "Result":
    """Run in a folder of its own, which is removed unless the demo failed or is kept."""
    import shutil

    from rich.console import Console

    from deploy.demo.errors import DemoInputError
    from deploy.demo.run import run_demo
    from deploy.local import postgres
    from deploy.local.home import Home

    assert isinstance(console, Console)
    folder = Path(tempfile.mkdtemp(prefix="spotopt-demo-"))
    folder.chmod(0o711)

    async def stay(access: "Access", result: "Result") -> None:
        _print(result)
        console.print(
            f"\nThe API is at {access.url}/api/v1, user {access.email}, password {access.password}\n"
            f"State and logs are in {folder}. Ctrl-C stops everything.",
            highlight=False,
            soft_wrap=True,
        )
        await asyncio.Event().wait()

    keep_logs = True
    try:
        result = asyncio.run(run_demo(options, home=Home(folder), console=console, until_stopped=stay))
        keep_logs = bool(result.problems)
    except DemoInputError:
        keep_logs = False
        raise
    finally:
        if keep_logs:
            console.print(f"The logs are in {folder / 'logs'}.", highlight=False, soft_wrap=True)
        else:
            postgres.remove(folder / "postgres")
            shutil.rmtree(folder, ignore_errors=True)
    return result


def _print(result: "Result") -> None:
    def percent(share: float | None) -> str:
        return "unknown" if share is None else f"{share:.1%}"

    table(
        ("", "before", "after"),
        [
            ("cost per hour", f"${result.baseline_usd_per_hour:.2f}", f"${result.final_usd_per_hour:.2f}"),
            ("nodes", result.nodes_before, result.nodes_after),
            ("pods", result.pods, f"{result.pods} ({result.pods_pending_after} pending)"),
        ],
    )
    typer.echo()
    table(
        ("what it saved", ""),
        [
            ("savings", percent(result.savings_ratio)),
            ("  from packing", percent(result.savings_from_packing)),
            ("  from capacity type", percent(result.savings_from_capacity_type)),
            ("booked so far", f"${result.booked_savings_usd:.4f}"),
            ("moves of a plan right after", result.moves_planned_again),
            ("interruptions handled", result.interruptions_handled),
            ("disruption budgets violated", result.pdb_violations),
            ("unexpected terminations", result.unexpected_terminations),
            ("seconds", result.seconds),
        ],
    )
    typer.echo(
        "\nNext:\n"
        "  spotopt demo --keep                       look around: the API, its log-in, the logs\n"
        "  spotopt plan --cluster cluster.json --region us-east-1   a plan for your own cluster, no server\n"
        "  spotopt up                                the stack, against your AWS account and clusters"
    )
