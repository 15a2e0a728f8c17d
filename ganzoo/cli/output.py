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

GAP = "  "  # between columns
NARROWEST = 24  # letters of a column of text beside the others


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
    """Rows of text under their columns; those in `right` are set right, as numbers are. Nothing is cut.

    Where that is too wide for the terminal the widest text is wrapped; where too little room is left for it, what
    belongs to a name stands below it. Without a terminal a row is one line.
    """
    from rich.cells import cell_len
    from rich.console import Console
    from rich.text import Text

    console = Console(highlight=False, soft_wrap=True)
    header, *table = ([" ".join(printable(cell, keep="\n\xa0").split()) for cell in row] for row in (columns, *rows))
    widths = [max(map(cell_len, cells)) for cells in zip(header, *table, strict=True)]
    widest = max(range(1, len(columns)), key=lambda place: (columns[place] not in right, widths[place]), default=0)
    over = sum(widths) + len(GAP) * (len(widths) - 1) - console.width if console.is_terminal else 0
    if title is not None:
        console.print(Text(printable(title), "bold"))
    if over > 0 and widths[widest] - over < NARROWEST:
        for row in table:
            first, others = Text(row[0], "cyan"), set(range(1, len(row)))
            if columns[widest] not in right:
                first = Text.assemble(first, GAP, row[widest])
                others.remove(widest)
            rest = (Text.assemble((f"{header[place]}: ", "dim"), row[place]) for place in sorted(others) if row[place])
            lines = [line for text in (first, Text(GAP).join(rest)) for line in text.wrap(console, console.width - 4)]
            for place, line in enumerate(lines):
                line.rstrip()
                console.print(Text("    " if place else "").append_text(line))
        return
    widths[widest] -= max(0, over)
    for row in (header, *table):
        wrapped: list[Any] = [
            Text(cell).wrap(console, width) if width else [] for cell, width in zip(row, widths, strict=True)
        ]
        for number in range(max(map(len, wrapped))):
            texts = [lines[number] if number < len(lines) else Text() for lines in wrapped]
            for text, width, column in zip(texts, widths, columns, strict=True):
                text.align("right" if column in right else "left", width)
            texts[0].stylize("cyan")
            shown = Text(GAP).join(texts)
            shown.rstrip()
            console.print(shown, style="dim" if row is header else "")
