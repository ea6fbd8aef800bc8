"""How every command prints: a table for people, JSON or YAML for tools; progress and errors go to stderr."""

import inspect
import json
import sys
from collections.abc import Callable, Sequence
from enum import StrEnum
from typing import Any, NoReturn

import typer


class Form(StrEnum):
    """What -o takes."""

    TABLE = "table"
    JSON = "json"
    YAML = "yaml"


def described(function: Callable[..., Any]) -> str:
    """Give a command's docstring as its help: prose flows to the terminal's width, examples keep their lines."""
    paragraphs = inspect.cleandoc(function.__doc__ or "").split("\n\n")
    flowing = [part if _has_lines(part) else " ".join(part.split()) for part in paragraphs]
    return "\n\n".join(flowing).replace("[", "\\[")


def _has_lines(paragraph: str) -> bool:
    return any(line.startswith(" ") for line in paragraph.splitlines())


def plainly(message: str) -> str:
    """Give what a validator says of a value without the words that are about the validator."""
    return message.removeprefix("Value error, ").replace("Input should be", "it must be", 1)


def fail(sentence: str, *, code: int = 1) -> NoReturn:
    """End with one sentence on stderr."""
    typer.echo(f"error: {sentence}", err=True)
    raise typer.Exit(code)


def show(value: Any, form: Form) -> None:
    """Print a value for tools."""
    if form is Form.YAML:
        import yaml

        typer.echo(yaml.safe_dump(value, sort_keys=False).rstrip())
    else:
        typer.echo(json.dumps(value, indent=2 if sys.stdout.isatty() else None, default=str))


def table(columns: Sequence[str], rows: Sequence[Sequence[Any]]) -> None:
    """Print rows for people."""
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    drawn = Table(box=None, header_style="bold", pad_edge=False)
    for column in columns:
        drawn.add_column(column, overflow="fold")
    for row in rows:
        drawn.add_row(*(Text(str(cell)) for cell in row))
    Console().print(drawn)
