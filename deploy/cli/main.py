"""`spotopt`: one command for people who run the product and for those who try it.

Modules are imported by the command that needs them, so that `spotopt plan` starts at once.
"""

import sys

import typer

from deploy.cli import bus, demo, plan, service, up

app = typer.Typer(
    name="spotopt",
    help="Makes Kubernetes on AWS cheap without making it fragile.",
    no_args_is_help=True,
    rich_markup_mode="markdown",
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.command("demo")(demo.demo)
app.command("plan")(plan.plan)
app.command("up")(up.up)
app.command("down")(up.down)
app.command("status")(up.status)
app.command("doctor")(up.doctor)
app.command("serve")(service.serve)
app.command("migrate")(service.migrate)
app.add_typer(bus.app, name="dlq")


def main() -> None:
    """Run the command line; Ctrl-C ends with 130 and no traceback."""
    try:
        app()
    except KeyboardInterrupt:
        sys.exit(130)


if __name__ == "__main__":
    main()
