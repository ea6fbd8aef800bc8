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
    from deploy.local.home import Home

Output = Annotated[Form, typer.Option("--output", "-o", help="How to print.")]

DETACH_SECONDS = 60
STOP_SECONDS = 60


def up(
    detach: Annotated[bool, typer.Option("--detach", "-d", help="Return once it runs.")] = False,
    port: Annotated[int, typer.Option(help="Of the API; 0 takes a free one.", envvar="SPOTOPT_PORT")] = 0,
    database_url: Annotated[
        str | None,
        typer.Option(help="A Postgres elsewhere (administrator's URL).", envvar="SPOTOPT_DATABASE_URL"),
    ] = None,
    nats_url: Annotated[
        str | None, typer.Option(help="A nats-server elsewhere.", envvar="SPOTOPT_NATS_URL")
    ] = None,
) -> None:
    """Run Postgres, nats-server and the five services on this machine, until Ctrl-C.

    AWS is reached with the credentials of your environment (AWS_PROFILE, AWS_ACCESS_KEY_ID, an instance role);
    what they must allow is in docs/aws-permissions.md. State is kept in $SPOTOPT_HOME between runs.

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
    """
    from deploy.local.home import Home, default_home

    home = Home(default_home())
    state = home.state()
    if state is None:
        typer.echo(f"Nothing runs in {home.path}.")
        return
    os.kill(state["pid"], signal.SIGTERM)
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


async def _stay_up(home: "Home", options: Any) -> None:
    """Start, say how it stands, and stop in order on a signal."""
    from rich.console import Console

    from deploy.local import stack
    from deploy.local.errors import StackError

    console = Console(stderr=True)
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)

    def told(name: str, text: str) -> None:
        console.print(f"[bold]{name:<10}[/bold] {text}", highlight=False)

    running = await stack.start(home, options, told)
    try:
        console.print(f"API: {running.gateway_url}/api/v1   logs: {home.logs}", highlight=False)
        waiting = asyncio.create_task(running.wait_ready(told))
        stopping = asyncio.create_task(stop.wait())
        await asyncio.wait({waiting, stopping}, return_when=asyncio.FIRST_COMPLETED)
        if waiting.done() and (trouble := waiting.exception()) is not None:
            if not isinstance(trouble, StackError):
                raise trouble
            console.print(f"{trouble}\nIt stays up and tries again; `spotopt status` shows how it stands.")
        elif waiting.done():
            console.print("Everything is ready. Ctrl-C stops it.")
        else:
            waiting.cancel()
        await stopping
        console.print("Stopping.")
    finally:
        await running.stop()


def _detach(home: "Home", *, port: int, database_url: str | None, nats_url: str | None) -> None:
    from deploy.local import processes
    from deploy.local.errors import StackError

    if home.state() is not None:
        fail(f"a stack already runs in {home.path}; stop it with `spotopt down`.")
    try:
        home.open()
    except StackError as error:
        fail(str(error))
    command = [sys.executable, "-m", "deploy.cli.main", "up", "--port", str(port)]
    command += ["--database-url", database_url] if database_url else []
    command += ["--nats-url", nats_url] if nats_url else []
    log = home.logs / "up.log"
    with log.open("wb") as out:
        child = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=out, stderr=out, start_new_session=True, cwd=Path("/")
        )
    for _ in range(DETACH_SECONDS * 10):
        if child.poll() is not None:
            fail(processes.tail(log, 1) or f"it ended with exit code {child.returncode}; see {log}")
        state = home.state()
        if state is not None:
            typer.echo(
                f"Started. API: {state['gateway_url']}/api/v1; `spotopt status` shows when it is ready."
            )
            return
        time.sleep(0.1)
    fail(f"it did not start within {DETACH_SECONDS} s; see {log}")


async def _services(state: dict[str, Any]) -> list[dict[str, Any]]:
    import aiohttp

    from deploy.local.stack import unready_reason

    async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=3)) as http:
        reasons = {name: await unready_reason(http, port) for name, port in state["health_ports"].items()}
    return [{"service": name, "ready": reason is None, "reason": reason} for name, reason in reasons.items()]
