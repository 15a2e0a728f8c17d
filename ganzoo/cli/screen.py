"""How a run looks: live progress under a terminal, plain lines elsewhere."""

import math
import os
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any, TextIO, cast

from PIL import Image
from rich.columns import Columns
from rich.console import Console, ConsoleOptions, RenderableType, RenderResult
from rich.panel import Panel
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table
from rich.text import Text

from ganzoo import evaluation
from ganzoo.runfolder import RunFolder, read_table
from ganzoo.text import printable

Callback = Callable[[dict[str, Any], Image.Image | None], None]
"""is given what is recorded: a line of the log or metrics, or how many images were seen and their sample grid"""
PLAIN_EVERY = 10.0  # seconds between plain lines


def make_screen(rank: int) -> "RichScreen | PlainScreen":
    """Only the first process says anything, and it does as long as somebody can read that."""
    if sys.stdout:
        sys.stdout = cast(TextIO, _Lasting(sys.stdout))
    if rank == 0 and sys.stdout and sys.stdout.isatty():
        return RichScreen()
    return PlainScreen(silent=rank > 0)


class _Lasting:
    """A stream that cannot fail: once it is closed, or full, what is written to it is lost."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def write(self, text: str) -> int:
        try:
            return self._stream.write(text)
        except OSError:
            return self._give_up(text)

    def flush(self) -> None:
        try:
            self._stream.flush()
        except OSError:
            self._give_up("")

    def _give_up(self, text: str) -> int:
        self._stream = open(os.devnull, "w")  # noqa: SIM115 - until the program ends
        return len(text)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


class PlainScreen:
    """Lines for a file or a pipe."""

    def __init__(self, silent: bool = False, callback: Callback | None = None) -> None:
        self._silent, self._callback = silent, callback
        self._total, self._last = 0, 0.0
        self._line: dict[str, Any] = {}

    def say(self, text: str) -> None:
        if not self._silent:
            print(printable(text, keep="\n"), flush=True)

    def download(self, done: int, total: int) -> None:
        now = time.monotonic()
        if now - self._last > PLAIN_EVERY or done == total:
            self._last = now
            self.say(f"downloaded {done / 1e6:.0f} of {total / 1e6:.0f} MB")

    def start(self, seen: int, total: int) -> None:
        self._total, self._last = total, time.monotonic()

    def record(self, line: dict[str, Any], grid: Image.Image | None = None) -> None:
        self._line = line if "terms" in line else self._line
        if self._callback:
            self._callback(line, grid)

    def advance(self, seen: int) -> None:
        now = time.monotonic()
        if self._line and (now - self._last > PLAIN_EVERY or seen >= self._total):
            self._last = now
            speed = self._line["images_per_s"] or math.inf
            left = timedelta(seconds=round(max(0, self._total - seen) / speed))
            terms = "  ".join(f"{n} {v:.3f}" for values in self._line["terms"].values() for n, v in values.items())
            self.say(f"{seen:,}/{self._total:,} images  {_rate(self._line)}  {left} left  {terms}")

    def stop(self) -> None: ...

    def done(self, folder: Path) -> None:
        self.say(_closing(folder))


class RichScreen:
    """A bar with time left and the newest terms, phase by phase."""

    def __init__(self, callback: Callback | None = None) -> None:
        self._console, self._callback = Console(), callback
        self._bars = _Bars(
            TextColumn("[bold]{task.description}"),
            BarColumn(bar_width=None),
            TextColumn("{task.completed:,.0f}/{task.total:,.0f} {task.fields[unit]}"),
            TextColumn("[cyan]{task.fields[rate]}"),
            TimeRemainingColumn(),
            TextColumn("left"),
            expand=True,
            console=self._console,
        )
        self._download, self._training = (
            self._bars.add_task(what, visible=False, rate="", unit=unit)
            for what, unit in (("downloading", "MB"), ("training", "images"))
        )

    def say(self, text: str) -> None:
        self._console.print(printable(text, keep="\n"), highlight=False, markup=False, emoji=False)

    def download(self, done: int, total: int) -> None:
        self._bars.start()
        self._bars.update(self._download, completed=done / 1e6, total=total / 1e6, visible=done < total)

    def start(self, seen: int, total: int) -> None:
        self._bars.update(self._download, visible=False)
        self._bars.update(self._training, completed=seen, total=total, visible=True)
        self._bars.start()

    def advance(self, seen: int) -> None:
        self._bars.update(self._training, completed=seen)

    def record(self, line: dict[str, Any], grid: Image.Image | None = None) -> None:
        if "terms" in line:
            self._bars.update(self._training, rate=_rate(line))
            self._bars.terms = Table.grid(padding=(0, 2))
            for phase, values in line["terms"].items():
                terms = [Text.assemble((printable(name), "dim"), f" {v:.3f}") for name, v in values.items()]
                self._bars.terms.add_row(Text(printable(phase), "bold"), Columns(terms, padding=(0, 2)))
        if self._callback:
            self._callback(line, grid)

    def stop(self) -> None:
        self._bars.stop()

    def done(self, folder: Path) -> None:
        self._console.print(Panel(Text(printable(_closing(folder), keep="\n")), title="done", expand=False))


class _Bars(Progress):
    """Bars under a table of terms."""

    terms = Table.grid()

    def get_renderables(self) -> Iterator[RenderableType]:
        yield self.terms
        yield _RoomForAbort(self.make_tasks_table(self.tasks))


@dataclass
class _RoomForAbort:
    """Leaves room in the last line, where the cursor waits: the terminal's ^C would go to the next one without it."""

    bars: Table

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        return console.render(self.bars, options.update_width(options.max_width - len("^C") - 1))


def _rate(line: dict[str, Any]) -> str:
    return f"{line['images_per_s']:.1f} images/s" if line.get("images_per_s") else ""


def _closing(folder: Path) -> str:
    run = RunFolder(folder)
    metrics = read_table(run.metrics)
    use = f"generate {folder}" if "generated" in metrics else f"translate {folder} PICTURES"
    lines = [f"Look at it:   {run.report}", f"Use it:       ganzoo {use} OUTPUT"]
    return "\n".join(evaluation.summary(metrics) + lines)
