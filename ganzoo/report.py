"""The page of a run: RUN/report.html, one file that needs no network, made only from the files of the run folder."""

import base64
import io
import json
import math
import shlex
from collections.abc import Mapping
from datetime import datetime
from functools import lru_cache, partial
from pathlib import Path
from typing import Any

import numpy as np
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from PIL import Image

from ganzoo.files import write_bytes
from ganzoo.registry import registry
from ganzoo.runfolder import RunFolder, better, by_direction, entries, flat, number, read_lines, read_table, table

WHICH = ("", "higher is better", "lower is better")  # by 0, 1 and -1
GRIDS, GRID_SIZE, POINTS = 24, (1600, 2400), 400


def write(run: Path) -> Path:
    """Write RUN/report.html from what the run folder holds by now, in one step, and return its path."""
    folder = RunFolder(run)
    write_bytes(folder.report, render("report.html.j2", _context(folder)).encode(errors="replace"))
    return folder.report


def render(template: str, context: Mapping[str, Any]) -> str:
    """A page from one of ganzoo's templates."""
    env = Environment(loader=FileSystemLoader(Path(__file__).parent), autoescape=True, undefined=StrictUndefined,
                      trim_blocks=True, lstrip_blocks=True)  # fmt: skip
    env.filters.update(text=_text, duration=_duration, flat=flat, quote=lambda path: shlex.quote(str(path)))
    return env.get_template(template).render(context)


def _context(run: RunFolder) -> dict[str, Any]:
    """Everything that the template shows; `problems` tells which files are there but cannot be read."""
    problems: list[str] = []
    files = {name: read_table(getattr(run, name), problems) for name in ("env", "status", "metrics", "recipe")}
    log, grids, measured, signs = read_lines(run.log), run.sample_grids(), read_lines(run.metrics_log), better()
    train, history = table(files["recipe"].get("train")), files["env"].pop("history", [])
    terms = [table(row.get("terms")) for row in log]
    chart, chart_metric = partial(_chart, log), partial(_chart, measured)
    return files | {
        "run": run,
        "problems": problems,
        "papers": [e.facts.get("paper", "") for e in registry().matches("model", str(files["recipe"].get("model")))],
        "history": [row | {"warnings": entries(row.get("warnings"))} for row in map(table, entries(history))],
        "now": _now(train, files["status"], log[-1] if log else {}),
        "checkpoints": [int(path.name) for path in run.checkpoints()],
        "best": run.best(str(train.get("best", ""))),
        "grids_total": len(grids),
        "grids": [grid for path in _spread(grids) if (grid := _grid(path))],
        "losses": [
            chart(f"Losses of {phase}", "loss", [row.get(phase) for row in terms])
            for phase in dict.fromkeys(phase for row in terms for phase in row)
        ],
        "metrics_log": [
            chart_metric(name, WHICH[signs.get(name, 0)], [by_direction(row, name) for row in measured])
            for name in _columns(table(measured[-1].get("metrics")) if measured else {})
        ],
        "rates": [
            chart("Learning rate", "step size", [row.get("lr") for row in log]),
            chart("Speed", "images/s", [{"images/s": row.get("images_per_s")} for row in log]),
        ],
        "columns": _columns(files["metrics"]),
        "better": signs,
        "written": datetime.now().astimezone(),
        "live": files["status"].get("state") == "running",
    }


def _now(train: Mapping[str, Any], status: Mapping[str, Any], last: Mapping[str, Any]) -> dict[str, float | None]:
    """Where the run stands: images done and wanted, times, speed and memory; None for what is not known."""
    known = {key: _known(last.get(key)) for key in ("seconds", "images_per_s", "memory_gb")}
    done = max(_known(status.get("images")) or 0, _known(last.get("images")) or 0)
    wanted, speed = _known(train.get("images")), known["images_per_s"]
    left = (wanted - done) / speed if wanted and speed and wanted > done else None
    return known | {"done": done, "wanted": wanted, "left": left, "share": min(1.0, done / wanted) if wanted else None}


def _spread(paths: list[Path]) -> list[Path]:
    """At most GRIDS of the paths, evenly spread, the first and the last among them."""
    places = np.linspace(0, len(paths) - 1, min(GRIDS, len(paths)))
    return [paths[round(place)] for place in places]


def _grid(path: Path) -> dict[str, Any] | None:
    """One sample grid as a data URI; None for an image that cannot be read (half written, say)."""
    try:
        return _encoded(path, path.stat().st_mtime_ns)
    except OSError:
        return None


@lru_cache(2 * GRIDS)  # a run writes its report again and again
def _encoded(path: Path, changed: int) -> dict[str, Any] | None:
    try:
        image = Image.open(path, formats=("PNG",)).convert("RGB")
    except Exception:  # which ones a decoder raises is not documented
        return None
    image.thumbnail(GRID_SIZE, Image.Resampling.LANCZOS)
    return {"images": int(path.stem), "uri": data_uri(image), "width": image.width}


def data_uri(image: Image.Image) -> str:
    """An image as the text that a page can hold it as."""
    image.save(buffer := io.BytesIO(), "WEBP", quality=85, method=2)
    return "data:image/webp;base64," + base64.b64encode(buffer.getvalue()).decode()


def _chart(log: list[dict[str, Any]], title: str, unit: str, values: list[Any]) -> dict[str, Any]:
    """Values of each line of a log over images seen, in at most POINTS bins.

    Each bin as its range (`lo`, `hi`) and a smoothed mean (`mid`).
    """
    rows = [table(row) for row in values]
    starts = np.arange(0, len(rows), max(1, math.ceil(len(rows) / POINTS)))
    window = np.ones(2 * (len(starts) // 80) + 1)
    chart: dict[str, Any] = {"title": title, "unit": unit, "series": [], "strange": 0}
    chart["x"] = [log[end - 1]["images"] for end in [*starts[1:].tolist(), len(rows)] if end]
    for name in {name: None for row in rows for name in row}:
        y = np.array([number(row.get(name)) for row in rows])
        seen = np.isfinite(y)
        chart["strange"] += sum(row.get(name) is not None for row in rows) - int(seen.sum())
        if seen.any():
            sums, counts = np.add.reduceat(np.where(seen, y, 0), starts), np.add.reduceat(seen.astype(float), starts)
            mean = np.convolve(sums, window, "same") / np.maximum(np.convolve(counts, window, "same"), 1)
            low, high = np.fmin.reduceat(y, starts), np.fmax.reduceat(y, starts)
            lines = {"lo": low, "hi": high, "mid": np.where(counts, mean, np.nan)}
            short = {key: [_known(float(f"{v:.5g}")) for v in line] for key, line in lines.items()}
            chart["series"].append({"name": name, "last": float(y[seen][-1])} | short)
    return chart


def _columns(metrics: Mapping[str, Any]) -> dict[str, bool]:
    """The metrics of all directions, each with whether it was also taken of the identity baseline."""
    keys = {key: None for values in metrics.values() for key in table(values)}
    return {(name := key.removesuffix("_identity")): f"{name}_identity" in keys for key in keys}


def _known(value: Any) -> float | None:
    return None if math.isnan(number(value)) else value


def _text(value: Any) -> str:
    """A value for reading: numbers short, lists and empty tables as JSON, nothing as a dash."""
    if value is None or value == "":
        return "\u2013"
    if type(value) in (int, float):
        return f"{value:.4g}" if type(value) is float and abs(value) < 1e4 else f"{value:,.0f}"
    return json.dumps(value, ensure_ascii=False, default=str) if isinstance(value, bool | list | dict) else str(value)


def _duration(seconds: float) -> str:
    minutes, hours = int(seconds // 60), int(seconds // 3600)
    return f"{hours} h {minutes % 60} min" if hours else f"{minutes} min {int(seconds % 60)} s"
