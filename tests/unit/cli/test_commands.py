"""The command line without a server: help that reads well, exit codes, errors in one sentence."""

import json
import re
import socket
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml
from typer.testing import CliRunner, Result

from deploy.cli.main import app

COMMANDS = (
    *("demo", "plan", "up", "down", "status", "doctor", "serve", "migrate"),
    *("dlq list", "dlq replay", "dlq drop"),
)

Run = Callable[..., Result]


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Run:
    """Runs a command on a home of its own, on a wide terminal."""
    monkeypatch.setenv("SPOTOPT_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("SPOTOPT_OPEN_ROOT", str(tmp_path / "open"))
    monkeypatch.setenv("COLUMNS", "200")
    monkeypatch.setenv("TERMINAL_WIDTH", "200")

    def invoke(*arguments: str, **env: str) -> Result:
        for key, value in env.items():
            monkeypatch.setenv(key, value)
        return CliRunner().invoke(app, list(arguments))

    return invoke


def sentence(result: Result) -> str:
    """The one sentence that an error is."""
    assert result.exit_code != 0
    assert isinstance(result.exception, SystemExit), repr(result.exception)
    (line,) = result.stderr.strip().splitlines()
    assert line.startswith("error: ")
    assert line.endswith(".")
    return line.removeprefix("error: ")


@pytest.mark.parametrize("command", COMMANDS)
def test_help_has_an_example_on_a_line_of_its_own(run: Run, command: str) -> None:
    result = run(*command.split(), "--help")
    assert result.exit_code == 0
    example = re.compile(rf"^ {{3,}}(\w+=\S+ )*spotopt {command}\b")
    assert any(example.search(line) for line in result.stdout.splitlines()), result.stdout
    # A marker of paragraphs that was not understood would be seen; commands may go on in the next line.
    assert re.search(r"\\(?! *$)", result.stdout, re.MULTILINE) is None


def test_help_keeps_what_looks_like_markup(run: Run) -> None:
    assert "<SERVICE>_* environment variables" in run("--help").stdout
    assert "<SERVICE>_* environment variables" in run("serve", "--help").stdout
    assert "SPOTOPT_<SERVICE>_PASSWORD" in run("migrate", "--help").stdout
    assert "jq '.[].error'" in run("dlq", "list", "--help").stdout


def test_status_of_nothing(run: Run) -> None:
    result = run("status")
    assert (result.exit_code, "`spotopt up` starts it" in result.stdout) == (4, True)
    result = run("status", "-o", "json")
    assert (result.exit_code, json.loads(result.stdout)) == (4, {"running": False, "services": []})
    result = run("status", "-o", "yaml")
    assert (result.exit_code, yaml.safe_load(result.stdout)) == (4, {"running": False, "services": []})


def test_down_when_nothing_runs_is_no_error(run: Run) -> None:
    result = run("down")
    assert (result.exit_code, result.stdout.startswith("Nothing runs in")) == (0, True)


def test_doctor_reports_each_check(run: Run) -> None:
    found = {check["check"]: check for check in json.loads(run("doctor", "-o", "json").stdout)}
    assert found["servers are installed"]["ok"]
    assert found["state folder is private"]["ok"]
    assert "`spotopt up` starts it" in found["stack"]["advice"]


def test_doctor_without_a_state_folder_says_so(run: Run, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    result = run("doctor", "-o", "json", SPOTOPT_HOME=str(tmp_path / "file" / "home"))
    assert result.exit_code == 1
    (wrong,) = [check for check in json.loads(result.stdout) if not check["ok"]]
    assert "Set SPOTOPT_HOME to a folder you may write to" in wrong["advice"]


@pytest.mark.parametrize("arguments", [["up"], ["up", "-d"]])
def test_up_where_nothing_can_be_written(run: Run, tmp_path: Path, arguments: list[str]) -> None:
    (tmp_path / "file").write_text("")
    home = tmp_path / "file" / "home"
    assert sentence(run(*arguments, SPOTOPT_HOME=str(home))) == (
        f"{home} cannot be used: Not a directory. Set SPOTOPT_HOME to a folder you may write to."
    )


def test_up_on_a_port_in_use(run: Run, tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        result = run("up", "--port", str(port))
    assert sentence(result) == (
        f"port {port} cannot be used: Address already in use; choose another one with --port."
    )
    assert not (tmp_path / "home" / "stack.json").exists()


def test_up_with_options_that_are_none(run: Run) -> None:
    assert run("up", "--port", "99999").exit_code == 2
    assert run("serve", "nothing").exit_code == 2
    assert run("migrate").exit_code == 2
    assert run("dlq", "drop", "x").exit_code == 2


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("postgresql://ada:hush@127.0.0.1:9/spot", "Postgres at 127.0.0.1:9/spot does not answer: "),
        ("mysql://ada:hush@127.0.0.1/spot", "Postgres at 127.0.0.1/spot refuses: invalid DSN"),
        ("postgresql://ada:hush@[/spot", "Postgres at [/spot refuses: "),
    ],
)
def test_migrate_with_a_wrong_database(run: Run, url: str, said: str) -> None:
    result = run("migrate", "--database-url", url, "--nats-url", "nats://127.0.0.1:9")
    assert sentence(result).startswith(said)
    assert "hush" not in result.output


@pytest.mark.parametrize("url", ["nats://127.0.0.1:9", "http//x[", "nats://[::1"])
def test_dead_letters_of_a_bus_that_is_not_there(run: Run, url: str) -> None:
    assert "does not answer or refuses" in sentence(run("dlq", "list", "--nats-url", url))


def test_dead_letters_without_a_stack(run: Run) -> None:
    assert sentence(run("dlq", "list")) == (
        "no stack runs here; start it with `spotopt up`, or give --nats-url."
    )
    assert run("dlq", "drop", "1").exit_code == 1  # nobody answered the question


def test_serve_names_every_wrong_variable(run: Run) -> None:
    result = run("serve", "gateway", GATEWAY_HTTP_PORT="x", GATEWAY_LOG_LEVEL="loud")
    assert result.exit_code == 2
    said = sentence(result)
    assert "GATEWAY_HTTP_PORT: Input should be a valid integer" in said
    assert "GATEWAY_LOG_LEVEL: Input should be 'debug'" in said


@pytest.mark.parametrize(
    ("option", "said"),
    [
        (("-o", "xml"), "'xml' is not one of"),
        (("--max-pods", "0"), "it must be greater than or equal to 1"),
    ],
)
def test_a_value_that_an_option_does_not_take_is_told_in_plain_words(
    run: Run, option: tuple[str, str], said: str
) -> None:
    result = run("plan", "--cluster", "x", "--region", "us-east-1", *option)
    assert result.exit_code == 2
    assert said in result.stderr
    assert "Value error" not in result.stderr
    assert "Input should" not in result.stderr
