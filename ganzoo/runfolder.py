"""The run folder: what lies where in it, and how it is read. Nothing else in ganzoo spells these names out.

RUN/recipe.toml      resolved, with every default    RUN/samples/000012000.png   sample grids, by images seen
RUN/env.json         versions, hardware, data used   RUN/checkpoints/000012000/  see checkpoint.py
RUN/log.jsonl        a line every `log_every`        RUN/report.html             everything as one page
RUN/status.json      running, finished, stopped ...  RUN/metrics.json            on the test images, at the end
RUN/metrics.jsonl    those of each checkpoint, where the recipe asks for the best one
RUN/log.csv          log.jsonl and metrics.jsonl as a table, where train.loggers names csv
RUN/.lock            who trains into it now
"""

import json
import math
import os
import re
import socket
import tomllib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from ganzoo.errors import GanzooError
from ganzoo.files import unwritable
from ganzoo.registry import registry

HIGHER_IS_BETTER = (  # of evaluation's own metrics; "cycle_l1" alone is better where it is lower
    *("target_accuracy", "target_accuracy_gt", "preservation", "preservation_gt"),
    *("confidence", "mode_coverage", "diversity"),
)


class RunFolder:
    """Where everything of a run lies. It is read as it is found: perhaps half written, or damaged."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.recipe = path / "recipe.toml"
        self.env = path / "env.json"
        self.status = path / "status.json"
        self.log = path / "log.jsonl"
        self.csv = path / "log.csv"
        self.metrics_log = path / "metrics.jsonl"
        self.metrics = path / "metrics.json"
        self.samples = path / "samples"
        self.checkpoints_folder = path / "checkpoints"
        self.report = path / "report.html"
        self.lock = path / ".lock"

    @classmethod
    def is_run(cls, path: Path) -> bool:
        """Whether a run has begun in this folder."""
        run = cls(path)
        return os.path.isfile(run.recipe) and os.path.isfile(run.env)  # those of Path raise where nobody may look

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Inside, no other process trains into this folder. It is made, and removed in the end if it is still empty.

        Raises GanzooError where another one does, a part of it is a link, or the operating system refuses.
        """
        self.refuse_links()
        made = [folder for folder in (self.path, *self.path.parents) if not folder.exists()]
        lock = FileLock(self.lock)
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            lock.acquire(blocking=False)
        except Timeout:
            who = self._holder()
            raise GanzooError(
                f"{self.path} is being trained by {who}. Wait until that has ended, or stop it."
            ) from None
        except FileExistsError:
            raise GanzooError(f"{self.path} exists and is no run folder. Give another folder with --out.") from None
        except OSError as error:
            raise unwritable(self.path, error) from error
        try:
            if (
                type(lock) is FileLock
            ):  # on file systems that know no locks it becomes another, which writes this itself
                with suppress(OSError):
                    self.lock.write_text(f"{os.getpid()}\n{socket.gethostname()}\n", encoding="utf-8")
            yield
        finally:
            with suppress(OSError):
                self.lock.unlink()  # while it is held: whoever has opened it meanwhile sees that it is gone
            lock.release()
            for folder in made:
                with suppress(OSError):
                    folder.rmdir()

    def _holder(self) -> str:
        """Who trains, as the lock says."""
        with suppress(OSError, ValueError):
            process, host, *_ = self.lock.read_text(encoding="utf-8").splitlines()
            return f"process {int(process)} on {host!a}"
        return "another process"

    def refuse_links(self) -> None:
        """Raises GanzooError where a part of the folder is a link: what is read and written would lie elsewhere."""
        for part in vars(self).values():
            if part != self.path and part.is_symlink():
                raise GanzooError(
                    f"{part} is a link to {os.readlink(part)}, and a run is read and written in its own folder only. "
                    "Put what it leads to in its place; the whole run folder may be a link."
                )

    def sample(self, images: int) -> Path:
        """The sample grid at N images seen."""
        return self.samples / f"{images:09d}.png"

    def sample_grids(self) -> list[Path]:
        """Earliest first."""
        return _numbered(self.samples, ".png")

    def checkpoint(self, images: int) -> Path:
        """The checkpoint at N images seen."""
        return self.checkpoints_folder / f"{images:09d}"

    def checkpoints(self) -> list[Path]:
        """The whole checkpoints, oldest first. Raises GanzooError if their folder cannot be read."""
        return _numbered(self.checkpoints_folder, "")

    def latest(self) -> Path | None:
        """The newest checkpoint."""
        return next(reversed(self.checkpoints()), None)

    def best(self, metric: str) -> tuple[int, float] | None:
        """Images seen at the checkpoint that is best by a metric, and that metric, a mean over all directions.

        None where none is asked for, nothing was measured, or no plugin says which way is better.
        """
        sign, found = better().get(metric, 0), []
        for row in read_lines(self.metrics_log):
            values = [v for v in map(number, by_direction(row, metric).values()) if not math.isnan(v)]
            if sign and values and row["images"]:  # before the first step there is nothing to keep
                found.append((row["images"], sum(values) / len(values)))
        return max(found, key=lambda one: sign * one[1], default=None)


def better() -> dict[str, int]:
    """Name of a metric, registered or evaluation's own -> 1 where higher is better, -1 where lower is."""
    known = {"cycle_l1": "lower"} | dict.fromkeys(HIGHER_IS_BETTER, "higher")
    for entry in registry().entries:
        if entry.type == "metric":
            known |= dict.fromkeys((entry.qualified, entry.name), entry.facts.get("better", ""))
    known |= {f"{name}_diversity": "higher" for name, which in known.items() if which == "lower"}
    return {name: 1 if which == "higher" else -1 for name, which in known.items() if which in ("higher", "lower")}


def read_table(file: Path, problems: list[str] | None = None) -> dict[str, Any]:
    """The table in a TOML or JSON file; empty if it is missing, empty, or broken, which is added to `problems`."""
    parse = tomllib.loads if file.suffix == ".toml" else json.loads
    try:
        content = file.read_text(encoding="utf-8") if file.exists() else ""
        return table(parse(content)) if content.strip() else {}
    except (OSError, ValueError, RecursionError) as error:
        if problems is not None:
            problems.append(f"{file.name}: {error}")
        return {}


def read_lines(file: Path) -> list[dict[str, Any]]:
    """The whole lines of a log, `images` ascending: what a resumed run trained again replaces the earlier lines."""
    rows: list[dict[str, Any]] = []
    for line in file.read_text(encoding="utf-8", errors="replace").split("\n") if file.is_file() else ():
        try:
            row = table(json.loads(line))
        except (ValueError, RecursionError):  # the last line may still be being written
            continue
        if type(row.get("images")) is int:
            while rows and rows[-1]["images"] >= row["images"]:
                rows.pop()
            rows.append(row)
    return rows


def by_direction(row: Mapping[str, Any], metric: str) -> dict[str, Any]:
    """A line of the metrics of each checkpoint as that metric in each direction."""
    tables = {direction: table(values) for direction, values in table(row.get("metrics")).items()}
    return {direction: values[metric] for direction, values in tables.items() if metric in values}


def flat(nested: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """The leaves of nested tables with dotted names."""
    for key, value in nested.items():
        if isinstance(value, dict) and value:
            yield from flat(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value


def table(value: Any) -> dict[str, Any]:
    """The value if it is a table, else an empty one."""
    return value if isinstance(value, dict) else {}


def entries(value: Any) -> list[Any]:
    """The value if it is a list, else an empty one."""
    return value if isinstance(value, list) else []


def number(value: Any) -> float:
    """The value if it is a finite number, else NaN."""
    return value if type(value) in (int, float) and math.isfinite(value) else math.nan


def _numbered(folder: Path, suffix: str) -> list[Path]:
    """The entries of a folder that are named by images seen, as we name them, in their order; links are not ours."""
    try:
        entries = list(folder.iterdir()) if folder.exists() else []
    except OSError as error:
        raise GanzooError(f"{folder} cannot be read ({error.strerror}).") from error
    numbered = (p for p in entries if re.fullmatch(r"[0-9]{9,}", p.stem) and p.suffix == suffix and not p.is_symlink())
    return sorted(numbered, key=lambda p: int(p.stem))
