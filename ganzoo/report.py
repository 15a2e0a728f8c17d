"""The page of a run: RUN/report.html, one file that needs no network, made only from the files of the run folder."""

import base64
import io
import json
import math
import shlex
import tomllib
from collections.abc import Callable, Iterator, Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from PIL import Image

from ganzoo.files import write_bytes
from ganzoo.registry import registry

SHEETS, SHEET_SIZE, POINTS = 24, (1600, 2400), 400


def write(run: Path) -> Path:
    """Write RUN/report.html from what the run folder holds by now, in one step, and return its path."""
    env = Environment(loader=FileSystemLoader(Path(__file__).parent), autoescape=True, undefined=StrictUndefined,
                      trim_blocks=True, lstrip_blocks=True)  # fmt: skip
    env.filters.update(text=_text, duration=_duration, flat=_flat, quote=lambda path: shlex.quote(str(path)))
    page = env.get_template("report.html.j2").render(_context(run))
    target = run / "report.html"
    write_bytes(target, page.encode(errors="replace"))
    return target


def best(run: Path, metric: str | None) -> tuple[int, float] | None:
    """Images seen at the checkpoint that measured best by a metric, and that figure, a mean over all directions.

    None where no metric is asked for, nothing was measured, or no plugin says which way is better.
    """
    found, sign = [], _better().get(metric, 0)
    for row in _read_log(run / "figures.jsonl"):
        values = [v for v in map(_number, _by_direction(row, metric).values()) if math.isfinite(v)]
        if sign and values and row["images"]:  # before the first step there is nothing to keep
            found.append((row["images"], sum(values) / len(values)))
    return max(found, key=lambda one: sign * one[1], default=None)


def _context(run: Path) -> dict[str, Any]:
    """Everything that the template shows; `problems` tells which files are there but cannot be read."""
    problems: list[str] = []
    files = {name: _read(run / f"{name}.json", json.loads, problems) for name in ("env", "status", "metrics")}
    files["recipe"] = _read(run / "recipe.toml", tomllib.loads, problems)
    log, sheets = _read_log(run / "log.jsonl"), _numbered(run / "samples", ".png")
    measured, better = _read_log(run / "figures.jsonl"), _better()
    train = _table(files["recipe"].get("train"))
    phases = {phase: None for row in log for phase in _table(row.get("terms"))}
    return files | {
        "run": run,
        "problems": problems,
        "now": _now(train, files["status"], log[-1] if log else {}),
        "checkpoints": [int(path.name) for path in _numbered(run / "checkpoints", "")],
        "best": best(run, train.get("best")),
        "sheets_total": len(sheets),
        "sheets": [sheet for path in _spread(sheets) if (sheet := _sheet(path))],
        "losses": [_chart(f"Losses of {p}", "loss", log, lambda r, p=p: _table(r.get("terms")).get(p)) for p in phases],
        "figures": [
            _chart(
                name,
                {1: "higher is better", -1: "lower is better"}.get(better.get(name, 0), ""),
                measured,
                lambda r, name=name: _by_direction(r, name),
            )
            for name in _columns(_table(measured[-1].get("figures")) if measured else {})
        ],
        "rates": [
            _chart("Learning rate", "step size", log, lambda r: r.get("lr")),
            _chart("Speed", "images/s", log, lambda r: {"images/s": r.get("images_per_s")}),
        ],
        "columns": _columns(files["metrics"]),
        "better": better,
        "written": datetime.now().astimezone(),
    }


def _read(path: Path, parse: Callable[[str], Any], problems: list[str]) -> dict[str, Any]:
    """The table in a file; empty while the file is missing or empty, and also, with a note, when it is broken."""
    try:
        content = path.read_text(encoding="utf-8") if path.exists() else ""
        return _table(parse(content)) if content.strip() else {}
    except (OSError, ValueError) as error:
        problems.append(f"{path.name}: {error}")
        return {}


def _read_log(path: Path) -> list[dict[str, Any]]:
    """The log's whole lines, `images` ascending: what a resumed run trained again replaces the earlier lines."""
    rows: list[dict[str, Any]] = []
    for line in path.read_text(encoding="utf-8", errors="replace").split("\n") if path.is_file() else ():
        try:
            row = _table(json.loads(line))
        except ValueError:  # the last line may still be being written
            continue
        if math.isfinite(_number(row.get("images"))):
            while rows and rows[-1]["images"] >= row["images"]:
                rows.pop()
            rows.append(row)
    return rows


def _now(train: Mapping[str, Any], status: Mapping[str, Any], last: Mapping[str, Any]) -> dict[str, float | None]:
    """Where the run stands: images done and wanted, times, speed and memory; None for what is not known."""
    known = {key: _known(last.get(key)) for key in ("seconds", "images_per_s", "memory_gb")}
    done = max(_known(status.get("images")) or 0, _known(last.get("images")) or 0)
    wanted, speed = _known(train.get("images")), known["images_per_s"]
    left = (wanted - done) / speed if wanted and speed and wanted > done else None
    return known | {"done": done, "wanted": wanted, "left": left, "share": min(1.0, done / wanted) if wanted else None}


def _numbered(folder: Path, suffix: str) -> list[Path]:
    """The entries of a folder that are named by images seen, earliest first."""
    entries = folder.iterdir() if folder.is_dir() else ()
    return sorted((p for p in entries if p.stem.isdecimal() and p.suffix == suffix), key=lambda p: int(p.stem))


def _spread(paths: list[Path]) -> list[Path]:
    """At most SHEETS of the paths, evenly spread, the first and the last among them."""
    steps = min(SHEETS, len(paths)) - 1
    return [paths[round(i * (len(paths) - 1) / steps)] for i in range(steps + 1)] if steps > 0 else paths


def _sheet(path: Path) -> dict[str, Any] | None:
    """One sample grid as a data URI; None for an image that cannot be read (half written, say)."""
    try:
        image = Image.open(path).convert("RGB")
    except (OSError, SyntaxError, ValueError):
        return None
    image.thumbnail(SHEET_SIZE, Image.Resampling.LANCZOS)
    image.save(buffer := io.BytesIO(), "WEBP", quality=82, method=2)
    uri = "data:image/webp;base64," + base64.b64encode(buffer.getvalue()).decode()
    return {"images": int(path.stem), "uri": uri, "width": image.width}


def _chart(title: str, unit: str, log: list[dict[str, Any]], pick: Callable[[dict], Any]) -> dict[str, Any]:
    """Lines over images seen in at most POINTS bins: each bin's range (`lo`, `hi`) and a smoothed mean (`mid`)."""
    rows = [_table(pick(row)) for row in log]
    starts = np.arange(0, len(rows), max(1, math.ceil(len(rows) / POINTS)))
    window = np.ones(2 * (len(starts) // 80) + 1)
    chart = {"title": title, "unit": unit, "series": [], "strange": 0}
    chart["x"] = [log[end - 1]["images"] for end in [*starts[1:].tolist(), len(rows)] if end]
    for name in {name: None for row in rows for name in row}:
        y = np.array([_number(row.get(name)) for row in rows])
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


def _by_direction(row: Mapping[str, Any], metric: str) -> dict[str, Any]:
    """A line of figures.jsonl as that metric's value in each direction."""
    tables = {direction: _table(table) for direction, table in _table(row.get("figures")).items()}
    return {direction: table[metric] for direction, table in tables.items() if metric in table}


def _columns(metrics: Mapping[str, Any]) -> dict[str, bool]:
    """The metrics of all directions, each with whether it was also taken of the identity baseline."""
    keys = {key: None for table in metrics.values() for key in _table(table)}
    return {(name := key.removesuffix("_identity")): f"{name}_identity" in keys for key in keys}


def _better() -> dict[str, int]:
    """Name of a figure -> 1 where higher is better, -1 where lower is."""
    signs = {"higher": 1, "lower": -1}
    found = {e.name: signs.get(e.facts.get("better", ""), 0) for e in registry().entries if e.type == "metric"}
    return found | dict.fromkeys(("asked", "kept", "asked_truth", "kept_truth"), 1)


def _flat(table: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """The leaves of nested tables with dotted names."""
    for key, value in table.items():
        if isinstance(value, dict) and value:
            yield from _flat(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value


def _table(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _number(value: Any) -> float:
    """A finite number as it is, anything else as NaN."""
    return value if type(value) in (int, float) and math.isfinite(value) else math.nan


def _known(value: Any) -> float | None:
    return None if math.isnan(_number(value)) else value


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
