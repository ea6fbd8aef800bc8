"""`spotopt`: one command for people who run the product and for those who try it.

Modules are imported by the command that needs them, so that `spotopt plan` starts at once.
"""

import sys
from typing import Any

import typer
from typer.core import TyperGroup

from deploy.cli import bus, demo, plan, prices, risk, service, up
from deploy.cli.output import described, plainly


class _Commands(TyperGroup):
    """Says what is wrong with an option in our words, whichever command it is of."""

    def invoke(self, ctx: Any) -> Any:
        try:
            return super().invoke(ctx)
        except typer.BadParameter as error:
            error.message = plainly(error.message)
            raise


app = typer.Typer(
    name="spotopt",
    cls=_Commands,
    help="Makes Kubernetes on AWS cheap without making it fragile.",
    no_args_is_help=True,
    rich_markup_mode="rich",
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
for name, command in (
    ("demo", demo.demo),
    ("plan", plan.plan),
    ("up", up.up),
    ("down", up.down),
    ("status", up.status),
    ("doctor", up.doctor),
    ("serve", service.serve),
    ("migrate", service.migrate),
):
    app.command(name, help=described(command))(command)
app.add_typer(bus.app, name="dlq")
app.add_typer(prices.app, name="prices")
app.add_typer(risk.app, name="risk")


def main() -> None:
    """Run the command line; Ctrl-C ends with 130 and no traceback."""
    try:
        app()
    except KeyboardInterrupt:
        sys.exit(130)


if __name__ == "__main__":
    main()
