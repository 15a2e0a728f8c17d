"""How a run looks: live progress under a terminal, plain lines elsewhere."""

import os
import sys
import time
from pathlib import Path
from typing import Any

from rich.console import Console, Group
from rich.live import Live
from rich.panel import Panel
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table
from rich.text import Text

from ganzoo import evaluation
from ganzoo.runfolder import RunFolder, read_table
from ganzoo.runtime import rank

PLAIN_EVERY = 10.0  # seconds between plain lines


def make_screen() -> "RichScreen | PlainScreen | NullScreen":
    if rank() > 0:
        return NullScreen()
    return RichScreen() if sys.stdout and sys.stdout.isatty() else PlainScreen()


class NullScreen:
    """Says nothing: the screen of every process but the first."""

    def say(self, text: str) -> None: ...
    def download(self, done: int, total: int) -> None: ...
    def start(self, seen: int, total: int) -> None: ...
    def advance(self, seen: int) -> None: ...
    def log(self, line: dict[str, Any]) -> None: ...
    def stop(self) -> None: ...
    def done(self, folder: Path) -> None: ...


class PlainScreen:
    """Lines for a file or a pipe. One that is closed meanwhile ends the lines, not the training."""

    def __init__(self) -> None:
        self._total = self._first = 0
        self._line: dict[str, Any] = {}
        self._began = self._last = 0.0

    def say(self, text: str) -> None:
        try:
            print(text, flush=True)
        except OSError:
            sys.stdout = open(os.devnull, "w")  # noqa: SIM115 - also for what is printed elsewhere

    def download(self, done: int, total: int) -> None:
        now = time.monotonic()
        if now - self._last > PLAIN_EVERY or done == total:
            self._last = now
            self.say(f"downloaded {done / 1e6:.0f} of {total / 1e6:.0f} MB")

    def start(self, seen: int, total: int) -> None:
        self._first, self._total, self._began = seen, total, time.monotonic()
        self._last = self._began

    def log(self, line: dict[str, Any]) -> None:
        self._line = line

    def advance(self, seen: int) -> None:
        now = time.monotonic()
        if self._line and (now - self._last > PLAIN_EVERY or seen >= self._total):
            self._last = now
            left = (now - self._began) / max(1, seen - self._first) * max(0, self._total - seen)
            terms = "  ".join(f"{n} {v:.3f}" for values in self._line["terms"].values() for n, v in values.items())
            self.say(f"{seen:,}/{self._total:,} images  {_rate(self._line)}  {_time(left)} left  {terms}")

    def stop(self) -> None: ...

    def done(self, folder: Path) -> None:
        self.say(_closing(folder))


class RichScreen:
    """A bar with time left and the newest terms, phase by phase."""

    def __init__(self) -> None:
        self._console = Console()
        self._bar = Progress(
            TextColumn("[bold]{task.description}"),
            BarColumn(bar_width=None),
            TextColumn("{task.completed:,.0f}/{task.total:,.0f} images"),
            TextColumn("[cyan]{task.fields[rate]}"),
            TimeRemainingColumn(),
            TextColumn("left"),
            expand=True,
        )
        self._task = self._bar.add_task("training", rate="", total=None)
        self._terms: Any = Text("")
        self._live: Live | None = None
        self._loader: Progress | None = None

    def say(self, text: str) -> None:
        self._console.print(text, highlight=False, markup=False)

    def download(self, done: int, total: int) -> None:
        if self._loader is None:
            columns = (TextColumn("downloading"), BarColumn(), DownloadColumn(), TimeRemainingColumn())
            self._loader = Progress(*columns, console=self._console, transient=True)
            self._loader.add_task("", total=total)
            self._loader.start()
        self._loader.update(self._loader.task_ids[0], completed=done, total=total)
        if done >= total:
            self._loader.stop()
            self._loader = None

    def start(self, seen: int, total: int) -> None:
        if self._loader:
            self._loader.stop()
        self._bar.update(self._task, completed=seen, total=total)
        self._live = Live(get_renderable=self._render, console=self._console, refresh_per_second=4)
        self._live.start()

    def _render(self) -> Group:
        return Group(self._terms, self._bar)

    def advance(self, seen: int) -> None:
        self._bar.update(self._task, completed=seen)

    def log(self, line: dict[str, Any]) -> None:
        self._bar.update(self._task, rate=_rate(line))
        grid = Table.grid(padding=(0, 2))
        for phase, values in line["terms"].items():
            grid.add_row(f"[bold]{phase}", *(f"[dim]{name}[/] {value:.3f}" for name, value in values.items()))
        self._terms = grid

    def stop(self) -> None:
        if self._live:
            self._live.stop()

    def done(self, folder: Path) -> None:
        self._console.print(Panel(Text(_closing(folder)), title="done", expand=False))


def _rate(line: dict[str, Any]) -> str:
    return f"{line['images_per_s']:.1f} images/s" if line.get("images_per_s") else ""


def _time(seconds: float) -> str:
    minutes, seconds = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{seconds:02d}" if hours else f"{minutes}:{seconds:02d}"


def _closing(folder: Path) -> str:
    run = RunFolder(folder)
    metrics = read_table(run.metrics)
    use = f"generate {folder}" if "generated" in metrics else f"translate {folder} PICTURES"
    lines = [f"Look at it:   {run.report}", f"Use it:       ganzoo {use} OUTPUT"]
    return "\n".join(evaluation.summary(metrics) + lines)
