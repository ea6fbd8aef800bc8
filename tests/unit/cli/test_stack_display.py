"""What `spotopt up` prints: every change once, in lines or in a table."""

import io

from rich.console import Console

from deploy.cli.stack_display import Display


def test_without_a_terminal_each_change_is_one_line() -> None:
    out = io.StringIO()
    with Display(Console(file=out, width=40)) as display:
        display.told("nats", "runs on port 1")
        for _ in range(2):
            display.show(
                "gateway", "not ready", "database: [Errno 111] Connect call failed, and much more to say"
            )
        display.show("gateway", "ready")
        display.foot("API: http://127.0.0.1:1/api/v1")
    assert out.getvalue().splitlines() == [
        "nats       starting   runs on port 1",
        "gateway    not ready  database: [Errno 111] Connect call failed, and much more to say",
        "gateway    ready",
        "API: http://127.0.0.1:1/api/v1",
    ]


def test_on_a_terminal_the_last_picture_stays() -> None:
    out = io.StringIO()
    with Display(Console(file=out, width=80, force_terminal=True, color_system=None)) as display:
        display.told("nats", "runs on port 1")
        display.show("nats", "running")
        display.show("gateway", "not ready", "bus: [closed]")
        display.foot("API: http://127.0.0.1:1/api/v1")
    last = out.getvalue().rpartition("part ")[2]
    assert "running" in last
    assert "bus: [closed]" in last
    assert "API: http://127.0.0.1:1/api/v1" in last
    assert "runs on port" not in last
