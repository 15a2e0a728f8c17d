"""What the commands print: lines, JSON, tables, and a bar for whatever has a count and an end.

Names of strangers pass through here on their way to the terminal, and can neither act on it nor be taken for markup.
"""

import sys
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from contextlib import contextmanager, nullcontext, suppress
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ganzoo.files import to_json
from ganzoo.text import printable

if TYPE_CHECKING:
    from ganzoo.translate import Translator


def say(text: object = "", err: bool = False, label: str = "", color: str | None = None) -> None:
    """Prints a line, or several, behind a coloured label; `err`: on the standard error."""
    shown = printable(str(text), keep="\n\t")
    if label:
        shown = f"{click.style(printable(label), fg=color, bold=True)} {shown}"
    with suppress(OSError, ValueError) if err else nullcontext():  # as `ganzoo.errors.tell`
        click.echo(shown, file=sys.stderr if err else sys.stdout)  # as it is: click takes ASCII for a mistake


def say_json(value: Any) -> None:
    """Prints a value for programs."""
    click.echo(to_json(value, indent=1))


@contextmanager
def bar(title: str) -> Iterator[Callable[[int, int], None]]:
    """Gives `update(done, total)`; shown on a terminal's standard error only, and gone afterwards."""
    from rich.console import Console
    from rich.markup import escape
    from rich.progress import Progress

    console = Console(stderr=True)
    with Progress(console=console, transient=True, disable=not console.is_terminal) as progress:
        task = progress.add_task(escape(printable(title)), total=None)
        yield lambda done, total: progress.update(task, completed=done, total=total)


def load(run: Path, device: str = "cpu") -> "Translator":
    """`ganzoo.load`, with a bar while it downloads a published model."""
    from ganzoo import translate

    with bar(f"loading {run}") as update:
        return translate.load(run, device, partial(say, err=True), update)


def print_table(
    columns: Sequence[str], rows: Iterable[Sequence[str]], title: str | None = None, right: Collection[str] = ()
) -> None:
    """Rows of text under their columns; those in `right` are set right, as numbers are."""
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    heading = None if title is None else Text(printable(title))
    table = Table(title=heading, title_justify="left", title_style="bold", box=None, header_style="dim")
    for place, column in enumerate(columns):
        justify = "right" if column in right else "left"
        style = "cyan" if place == 0 else ""
        table.add_column(Text(printable(column)), style=style, no_wrap=place == 0, justify=justify)  # type: ignore[arg-type]
    for row in rows:
        table.add_row(*(Text(printable(cell, keep="\n")) for cell in row))
    Console().print(table)
