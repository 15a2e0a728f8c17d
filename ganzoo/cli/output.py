"""What the commands print beside plain lines: a bar for whatever has a count and an end, and tables."""

from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from contextlib import contextmanager


@contextmanager
def bar(title: str) -> Iterator[Callable[[int, int], None]]:
    """Gives `update(done, total)`; shown on a terminal's standard error only, and gone afterwards."""
    from rich.console import Console
    from rich.progress import Progress

    console = Console(stderr=True)
    with Progress(console=console, transient=True, disable=not console.is_terminal) as progress:
        task = progress.add_task(title, total=None)
        yield lambda done, total: progress.update(task, completed=done, total=total)


def print_table(
    columns: Sequence[str], rows: Iterable[Sequence[str]], title: str | None = None, right: Collection[str] = ()
) -> None:
    """Rows of text under their columns; those in `right` are set right, as numbers are."""
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    table = Table(title=title, title_justify="left", title_style="bold", box=None, header_style="dim")
    for place, column in enumerate(columns):
        table.add_column(column, style="cyan" if place == 0 else "", no_wrap=place == 0)
        if column in right:
            table.columns[place].justify = "right"
    for row in rows:
        table.add_row(*map(escape, row))
    Console().print(table)
