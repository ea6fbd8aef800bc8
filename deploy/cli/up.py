"""`spotopt up`, `down`, `status`, `doctor`: the embedded stack on this machine."""

import asyncio
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from deploy.cli.output import Form, fail, show, table

if TYPE_CHECKING:
    from deploy.cli.stack_display import Display
    from deploy.local.home import Home
    from deploy.local.stack import Options, Stack

Output = Annotated[Form, typer.Option("--output", "-o", help="How to print.")]

DETACH_SECONDS = 60
STOP_SECONDS = 60
EAGER_SECONDS = 0.2
CALM_SECONDS = 2.0


def up(
    detach: Annotated[bool, typer.Option("--detach", "-d", help="Return once it runs.")] = False,
    port: Annotated[
        int,
        typer.Option(
            min=0,
            max=65535,
            help="Of the API; 0 takes a free one, and it again next time.",
            envvar="SPOTOPT_PORT",
        ),
    ] = 0,
    database_url: Annotated[
        str | None,
        typer.Option(help="A Postgres elsewhere (administrator's URL).", envvar="SPOTOPT_DATABASE_URL"),
    ] = None,
    nats_url: Annotated[
        str | None, typer.Option(help="A nats-server elsewhere.", envvar="SPOTOPT_NATS_URL")
    ] = None,
) -> None:
    """Run Postgres, nats-server and the five services on this machine, until Ctrl-C.

    Exit codes: 0 it was stopped; 1 it cannot run; 2 a wrong option.

    AWS is reached with the credentials of your environment (AWS_PROFILE, AWS_ACCESS_KEY_ID, an instance role);
    what they must allow is in docs/aws-permissions.md. State is kept in $SPOTOPT_HOME between runs. For root, which
    Postgres refuses to serve, what its user `nobody` cannot reach there lies in $SPOTOPT_OPEN_ROOT
    (/var/lib/spot-optimizer).

    Examples:
      spotopt up

      spotopt up -d --port 8080

      SPOTOPT_DATABASE_URL=postgresql://postgres:…@db:5432/spot spotopt up
    """
    from deploy.local import stack
    from deploy.local.errors import StackError
    from deploy.local.home import Home, default_home

    home = Home(default_home())
    if detach:
        _detach(home, port=port, database_url=database_url, nats_url=nats_url)
        return
    options = stack.Options(
        gateway_port=port,
        database_url=database_url,
        nats_url=nats_url,
        nats_password=os.environ.get("SPOTOPT_NATS_PASSWORD"),
    )
    try:
        asyncio.run(_stay_up(home, options))
    except StackError as error:
        fail(str(error), code=error.exit_code)


def down() -> None:
    """Stop the stack that `spotopt up` started; its data stays.

    Example:
      spotopt down

    Exit codes: 0 nothing runs any more; 1 it could not be stopped.
    """
    from deploy.local.home import Home, default_home

    home = Home(default_home())
    state = home.state()
    if state is None:
        typer.echo(f"Nothing runs in {home.path}.")
        return
    try:
        os.kill(state["pid"], signal.SIGTERM)
    except PermissionError:
        fail(f"process {state['pid']} belongs to another user; ask them to stop it.")
    for _ in range(STOP_SECONDS * 10):
        if home.state() is None:
            typer.echo("Stopped.")
            return
        time.sleep(0.1)
    fail(f"process {state['pid']} still runs after {STOP_SECONDS} s; its logs are in {home.logs}.")


def status(output: Output = Form.TABLE) -> None:
    """Show what runs and whether it can work.

    Exit codes: 0 all is ready; 3 something is not; 4 nothing runs.

    Examples:
      spotopt status

      spotopt status -o json
    """
    from deploy.local.home import Home, default_home

    home = Home(default_home())
    state = home.state()
    if state is None:
        if output is Form.TABLE:
            typer.echo(f"Nothing runs in {home.path}; `spotopt up` starts it.")
        else:
            show({"running": False, "services": []}, output)
        raise typer.Exit(4)
    services = asyncio.run(_services(state))
    if output is Form.TABLE:
        table(
            ("service", "state", "reason"),
            [(s["service"], "ready" if s["ready"] else "not ready", s["reason"] or "") for s in services],
        )
        typer.echo(f"API: {state['gateway_url']}/api/v1   logs: {home.logs}")
    else:
        show({"running": True, "gateway_url": state["gateway_url"], "services": services}, output)
    if not all(s["ready"] for s in services):
        if output is Form.TABLE:
            typer.echo("`spotopt doctor` says where to look.")
        raise typer.Exit(3)


def doctor(output: Output = Form.TABLE) -> None:
    """Look for what is wrong with this installation, and say what to do about it.

    Exit codes: 0 nothing is wrong; 1 something is.

    Example:
      spotopt doctor
    """
    from deploy.local import doctor as checks
    from deploy.local.home import Home, default_home

    found = asyncio.run(checks.examine(Home(default_home())))
    if output is Form.TABLE:
        table(
            ("check", "result", "what to do"), [(f.check, "ok" if f.ok else "WRONG", f.advice) for f in found]
        )
    else:
        show([{"check": f.check, "ok": f.ok, "advice": f.advice} for f in found], output)
    if not all(f.ok for f in found):
        raise typer.Exit(1)


async def _stay_up(home: "Home", options: "Options") -> None:
    """Start, show how it stands, and stop in order on a signal, whenever it comes."""
    from rich.console import Console

    from deploy.cli.stack_display import Display
    from deploy.local import stack

    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        if signal.getsignal(number) is not signal.SIG_IGN:  # nohup
            loop.add_signal_handler(number, stop.set)
    stopping = asyncio.create_task(stop.wait())
    with Display(Console(stderr=True)) as display:
        starting = asyncio.create_task(stack.start(home, options, display.told))
        await asyncio.wait({starting, stopping}, return_when=asyncio.FIRST_COMPLETED)
        if stop.is_set() and not starting.done():
            starting.cancel()
            (started,) = await asyncio.gather(starting, return_exceptions=True)
            if not isinstance(started, BaseException):
                # Until Python 3.12 a cancellation can get lost on its way; then the start came to its end.
                await started.stop()
            return
        running = await starting
        try:
            display.foot(f"API: {running.gateway_url}/api/v1   logs: {home.logs}")
            await _watch(running, display, stopping)
            display.foot("Stopping.")
        finally:
            await running.stop()


async def _watch(running: "Stack", display: "Display", stopping: "asyncio.Task[bool]") -> None:
    """Show changes until told to stop; closely until all is ready for the first time."""
    from deploy.cli.stack_display import look

    was_ready = False
    while not stopping.done():
        if await look(running, display) and not was_ready:
            was_ready = True
            display.foot(f"Everything is ready at {running.gateway_url}/api/v1. Ctrl-C stops it.")
        await asyncio.wait({stopping}, timeout=CALM_SECONDS if was_ready else EAGER_SECONDS)


def _detach(home: "Home", *, port: int, database_url: str | None, nats_url: str | None) -> None:
    """Run this command again in a session of its own; addresses go by environment, they may hold passwords."""
    from deploy.local.errors import StackError

    if home.state() is not None:
        fail(f"a stack already runs in {home.path}; stop it with `spotopt down`.")
    try:
        home.open()
    except StackError as error:
        fail(str(error))
    command = [sys.executable, "-m", "deploy.cli.main", "up", "--port", str(port)]
    given = {"SPOTOPT_DATABASE_URL": database_url, "SPOTOPT_NATS_URL": nats_url}
    log = home.logs / "up.log"
    typer.echo(f"Starting; what it does is in {log}.", err=True)
    with log.open("wb") as out:
        child = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=out,
            start_new_session=True,
            cwd=Path("/"),
            env={
                **os.environ,
                "SPOTOPT_HOME": str(home.path),
                **{key: value for key, value in given.items() if value},
            },
        )
    for _ in range(DETACH_SECONDS * 10):
        if child.poll() is not None:
            said = log.read_text(errors="replace").rpartition("error: ")[2].strip()
            fail(said or f"it ended with exit code {child.returncode}; see {log}.")
        state = home.state()
        if state is not None:
            typer.echo(
                f"Started. API: {state['gateway_url']}/api/v1; `spotopt status` shows when it is ready."
            )
            return
        time.sleep(0.1)
    fail(f"it did not start within {DETACH_SECONDS} s; see {log}.")


async def _services(state: dict[str, Any]) -> list[dict[str, Any]]:
    import aiohttp

    from deploy.local.stack import unready_reason

    async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=3)) as http:
        reasons = {name: await unready_reason(http, port) for name, port in state["health_ports"].items()}
    return [{"service": name, "ready": reason is None, "reason": reason} for name, reason in reasons.items()]
