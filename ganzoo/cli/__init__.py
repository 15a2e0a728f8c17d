"""The command line: `ganzoo VERB`. One small file a verb; each imports what it needs when it runs."""

import sys
from pathlib import Path

import click

from ganzoo import registry
from ganzoo.cli.bench import bench_command
from ganzoo.cli.compare import compare_command
from ganzoo.cli.data import data_command
from ganzoo.cli.doctor import doctor_command
from ganzoo.cli.evaluate import evaluate_command
from ganzoo.cli.export import export_command
from ganzoo.cli.generate import generate_command
from ganzoo.cli.list import list_command
from ganzoo.cli.new import new_command
from ganzoo.cli.report import report_command
from ganzoo.cli.run import run_command
from ganzoo.cli.schema import schema_command
from ganzoo.cli.show import show_command
from ganzoo.cli.translate import translate_command
from ganzoo.errors import GanzooError


class Program(click.Group):
    """ganzoo's own commands, and those of plugins, which are imported when they are used."""

    def get_command(self, ctx: click.Context, name: str) -> click.Command | None:
        own, found = super().get_command(ctx, name), registry.registry
        if own or not found().matches("command", name):
            return own
        command = found().load("command", name)
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


commands = (
    run_command,
    translate_command,
    generate_command,
    export_command,
    evaluate_command,
    compare_command,
    report_command,
    list_command,
    show_command,
    data_command,
    bench_command,
    new_command,
    schema_command,
    doctor_command,
)
for command in commands:
    cli.add_command(command)


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
