"""Where the numbers and sample grids of a run go as it trains, beside its folder: `train.loggers`."""

import csv
import io
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from PIL import Image

from ganzoo.errors import GanzooError
from ganzoo.files import append_line, write_text
from ganzoo.runfolder import RunFolder, number


class Logger(ABC):
    """A place that a run's numbers and sample grids go to: your own class is built with (run, images, **own options).

    `run` is the run folder, `images` how many images of each domain were seen: more than 0 where a run goes on, which
    may have logged more before it was ended, and logs that again. What it keeps of its own lies in the run folder. A
    library that it needs is imported when it is built; whatever it raises, then or later, is told as a warning, and the
    training goes on without it. With several processes there is one, in the first.
    """

    @abstractmethod
    def __init__(self, run: Path, images: int) -> None: ...

    def settings(self, recipe: Mapping[str, Any]) -> None:  # noqa: B027 - optional
        """The resolved recipe: dotted key, such as "train.images", -> plain value."""

    @abstractmethod
    def scalars(self, values: Mapping[str, float], images: int) -> None:
        """Finite numbers at N images seen: "G/cycle_horse", "lr/G", "horse->zebra/ssim", "images_per_s"."""

    def sample(self, grid: Image.Image, images: int) -> None:  # noqa: B027 - optional
        """A sample grid, RGB."""

    def close(self, finished: bool) -> None:  # noqa: B027 - optional
        """The end of the run, or of this part of it where it was stopped or failed."""


class CSV(Logger):
    """RUN/log.csv, a line for each line of the log; a new column where there is a new number."""

    def __init__(self, run: Path, images: int) -> None:
        self.path = RunFolder(run).csv
        rows = _read(self.path)
        self._write([row for row in rows if number(_float(row.get("images"))) <= images])

    def scalars(self, values: Mapping[str, float], images: int) -> None:
        row = {"images": images, **values}
        if row.keys() <= set(self.columns):
            append_line(self.path, _line([row.get(column, "") for column in self.columns]))
        else:
            self._write([*_read(self.path), row])

    def _write(self, rows: Sequence[Mapping[str, Any]]) -> None:
        self.columns = list(dict.fromkeys(["images", *(column for row in rows for column in row)]))
        lines = [self.columns, *([row.get(column, "") for column in self.columns] for row in rows)]
        write_text(self.path, "".join(f"{_line(cells)}\n" for cells in lines))


class Loggers:
    """Those of a run. What goes wrong with one is told with `warn`, and it is left out from then on."""

    def __init__(self, parts: Sequence[Any], run: Path, images: int, warn: Callable[[str], None]) -> None:
        self._warn = warn
        self._open: dict[int, Logger] = {}
        self._names = [part.name for part in parts]
        for place, part in enumerate(parts):
            with self._optional(place):
                if link := next((entry for entry in run.iterdir() if entry.is_symlink()), None):
                    raise GanzooError(f"{link} is a link, and loggers write into the run folder only: move it away.")
                self._open[place] = part.build(run, images)

    def settings(self, recipe: Mapping[str, Any]) -> None:
        """The resolved recipe, with dotted keys."""
        self._each(lambda logger: logger.settings(recipe))

    def line(self, line: Mapping[str, Any]) -> None:
        """A line of the log, or of the metrics of a checkpoint."""
        tables = {**line.get("terms", {}), "lr": line.get("lr", {}), **line.get("metrics", {})}
        named = {f"{table}/{name}": value for table, values in tables.items() for name, value in values.items()}
        named |= {name: line[name] for name in ("seconds", "images_per_s", "memory_gb") if name in line}
        finite = {name: value for name, value in named.items() if number(value) == value}
        self._each(lambda logger: logger.scalars(finite, line["images"]))

    def sample(self, grid: Image.Image, images: int) -> None:
        """A sample grid."""
        self._each(lambda logger: logger.sample(grid, images))

    def close(self, finished: bool) -> None:
        """The end of this part of the run."""
        self._each(lambda logger: logger.close(finished))
        self._open.clear()

    def _each(self, use: Callable[[Logger], None]) -> None:
        for place, logger in list(self._open.items()):
            with self._optional(place):
                use(logger)

    @contextmanager
    def _optional(self, place: int) -> Iterator[None]:
        try:
            yield
        except (Exception, SystemExit) as error:
            self._open.pop(place, None)
            said = str(error) if isinstance(error, GanzooError) else f"{type(error).__name__}: {error}"
            self._warn(f'the logger "{self._names[place]}" is left out from here on: {said}')


def _line(cells: Sequence[Any]) -> str:
    text = io.StringIO()
    csv.writer(text, lineterminator="").writerow(cells)
    return text.getvalue()


def _read(path: Path) -> list[dict[str, str]]:
    """The whole rows of a CSV file; empty cells are left out."""
    if not path.is_file():
        return []
    header, *rows = list(csv.reader(io.StringIO(path.read_text(encoding="utf-8")))) or [[]]
    whole = (row for row in rows if len(row) == len(header))  # the last one may be half written
    return [{name: cell for name, cell in zip(header, row, strict=True) if cell} for row in whole]


def _float(text: str | None) -> float:
    try:
        return float(text or "nan")
    except ValueError:
        return float("nan")
