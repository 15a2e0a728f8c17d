"""The command line: `ganzoo VERB`. One small file a verb, imported when it is used, with all that it needs."""

import io
import os
import re
import sys
from importlib import import_module
from pathlib import Path

import click

from ganzoo import registry
from ganzoo.cli import mistakes
from ganzoo.errors import GanzooError

VERBS = (
    *("run", "sweep", "translate", "generate", "export", "pack", "push", "evaluate", "compare", "report", "demo"),
    *("pretrained", "pull", "import"),
    *("recipes", "copy", "list", "show", "cite", "data", "bench", "new", "schema", "doctor"),
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
        return registry.registry().load("command", name)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        super().format_commands(ctx, formatter)
        if rows := [(entry.name, entry.summary) for entry in registry.registry().entries if entry.type == "command"]:
            with formatter.section("Commands of plugins"):
                formatter.write_dl(sorted(rows))


def _use_files(ctx: click.Context, param: click.Parameter, files: tuple[str, ...]) -> None:
    for file in map(Path, files):
        registry.check_file(file)
        registry.FILES.append(file)


def _show_traceback(ctx: click.Context, param: click.Parameter, wanted: bool) -> None:
    if wanted:
        os.environ[mistakes.SHOW] = "1"


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
@click.option(
    "--traceback",
    is_flag=True,
    callback=_show_traceback,
    expose_value=False,
    help="Show the traceback of an error that nobody expected, as GANZOO_TRACEBACK=1 does.",
)
def cli() -> None:
    """A zoo of adversarial image models behind one engine.

    \b
    ganzoo list                               what is installed
    ganzoo run cyclegan_monet --quick         train
    ganzoo translate runs/x photos/ out/      use
    """


def main() -> None:
    """The program `ganzoo`. Whatever ends it is told in a sentence; see mistakes.py for what nobody expected."""
    from ganzoo.cli.output import say

    os.environ.setdefault("PYTHONSAFEPATH", "1")  # its processes take no module from the current folder
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")  # on a terminal that knows ASCII only
    color = False if os.environ.get("NO_COLOR") else None
    try:
        code = cli(standalone_mode=False, color=color)  # the exit code that a command asked for
        if sys.stdout:
            sys.stdout.flush()
    except click.ClickException as error:
        error.show()
        code = error.exit_code
    except (click.Abort, KeyboardInterrupt):
        say("Aborted.", err=True)
        code = 130
    except Exception as error:
        if os.environ.get(mistakes.SHOW) and not isinstance(error, GanzooError):
            raise
        if isinstance(error, OSError):  # perhaps of the output itself, which must not fail again when Python ends
            sys.stdout = open(os.devnull, "w")  # noqa: SIM115
        told, code = mistakes.sentence(error)
        told = re.sub(r"\n(?!  )", "\n  ", told)  # what a stranger's line break begins must not look like our own line
        with click.Context(cli, color=color):
            say(told, err=True, label="Error:", color="red")
    sys.exit(code)
