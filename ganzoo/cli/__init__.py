"""The command line: `ganzoo VERB`. One small file a verb, imported when it is used, with all that it needs."""

import sys
from importlib import import_module
from pathlib import Path

import click

from ganzoo import registry
from ganzoo.errors import GanzooError

VERBS = (
    *("run", "translate", "generate", "export", "evaluate", "compare", "report"),
    *("list", "show", "cite", "data", "bench", "new", "schema", "doctor"),
)
"""ganzoo's own commands: each is `command` in the module of its name."""


class Program(click.Group):
    """ganzoo's own commands, and those of plugins."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return sorted(VERBS)

    def get_command(self, ctx: click.Context, name: str) -> click.Command | None:
        if name in VERBS:
            return import_module(f"ganzoo.cli.{name}").command
        if not registry.registry().matches("command", name):
            return None
        command = registry.registry().load("command", name)
        if not isinstance(command, click.Command):
            raise GanzooError(f'The command "{name}" is {command!r}: its author should make it with @click.command().')
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        super().format_commands(ctx, formatter)
        if rows := [(entry.name, entry.summary) for entry in registry.registry().entries if entry.type == "command"]:
            with formatter.section("Commands of plugins"):
                formatter.write_dl(sorted(rows))


def _use_files(ctx: click.Context, param: click.Parameter, files: tuple[str, ...]) -> None:
    registry.FILES.extend(Path(file) for file in files)


@click.group(cls=Program, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="ganzoo")
@click.option(
    "--plugin",
    multiple=True,
    metavar="FILE.py",
    callback=_use_files,
    expose_value=False,
    is_eager=True,
    help="A plugin that is not installed: one file.",
)
def cli() -> None:
    """A zoo of adversarial image models behind one engine.

    \b
    ganzoo list                               what is installed
    ganzoo run recipes/cyclegan_monet.toml    train
    ganzoo translate runs/x photos/ out/      use
    """


def main() -> None:
    """The program `ganzoo`. A GanzooError is printed as a sentence; anything else is a bug and keeps its traceback."""
    try:
        sys.exit(cli(standalone_mode=False))  # click returns the exit code that a command asked for
    except GanzooError as error:
        click.secho("Error: ", fg="red", bold=True, err=True, nl=False)
        click.echo(str(error), err=True)
        sys.exit(error.exit_code)
    except click.ClickException as error:
        error.show()
        sys.exit(error.exit_code)
    except (click.Abort, KeyboardInterrupt):
        click.echo("Aborted.", err=True)
        sys.exit(130)
