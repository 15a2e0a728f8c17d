"""The same recipes again with other settings and seeds: a grid of runs in one folder, and statistics over the seeds.

SWEEP/sweep.json                 the plan: which runs there are
SWEEP/SETTING/seed-0/            a run folder for each of them
"""

import csv
import io
import json
import os
import re
import shlex
import signal
import statistics
import subprocess
import sys
import time
import tomllib
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from itertools import product
from pathlib import Path
from typing import Annotated

from PIL import Image
from pydantic import Field, TypeAdapter, ValidationError

from ganzoo import recipe
from ganzoo.errors import GanzooError, Stopped
from ganzoo.files import refuse_existing, write_json, write_text
from ganzoo.report import data_uri, render
from ganzoo.runfolder import RunFolder, better, number, read_table
from ganzoo.signals import stop_requests

PLAN = "sweep.json"


@dataclass(frozen=True)
class Job:
    """One run of a sweep."""

    setting: Annotated[str, Field(pattern=r"^[\w=+][\w.=+-]*$")]
    """the name of its settings, and of the folder that holds its seeds"""
    seed: Annotated[int, Field(ge=0)]
    arguments: list[str]
    """of `ganzoo run`, but for the folder"""

    @property
    def folder(self) -> Path:
        """Relative to the sweep's."""
        return Path(self.setting) / f"seed-{self.seed}"


@dataclass(frozen=True)
class Summary:
    """A metric over the seeds of one setting."""

    mean: float
    deviation: float | None
    """standard deviation of the sample; None of a single seed"""
    seeds: int


Table = dict[str, dict[str, dict[str, Summary]]]
"""direction -> metric -> setting -> Summary"""


def plan(
    recipes: Sequence[Path], changes: Sequence[str], seeds: int, quick: bool = False, preset: str = ""
) -> list[Job]:
    """Every recipe with every combination of the changes (KEY=VALUE,VALUE,...), each with seeds 0, 1, ...

    Raises GanzooError for a recipe that cannot be read with them, before anything is trained.
    """
    options = [(key, values(text)) for key, text in map(_split, changes)]
    flags = [*(["--quick"] if quick else []), *(["--preset", preset] if preset else [])]
    jobs = []
    for path in recipes:
        for chosen in product(*(found for _, found in options)):
            sets = [f"{key}={value}" for (key, _), value in zip(options, chosen, strict=True)]
            recipe.read(path, quick, sets, preset)
            varied = [text for text, (_, found) in zip(sets, options, strict=True) if len(found) > 1]
            short = (text.partition("=")[0].rpartition(".")[2] + "=" + text.partition("=")[2] for text in varied)
            name = re.sub(r"[^\w.=+]+", "-", "-".join([path.stem, *(text.replace('"', "") for text in short)])).strip(
                "-."
            )
            for seed in range(seeds):
                told = [word for text in (*sets, f"train.seed={seed}") for word in ("--set", text)]
                jobs.append(Job(name, seed, [str(path), *flags, *told]))
    twice = next((job for i, job in enumerate(jobs) if job.folder in [other.folder for other in jobs[:i]]), None)
    if twice:
        raise GanzooError(f"Two settings would both be called {twice.setting}: rename a recipe, or give other values.")
    return jobs


def values(text: str) -> list[str]:
    """ "5,10" or '["a", "b"],["c"]' as the values that are separated by commas, each as TOML; bare words are text."""
    try:
        return [json.dumps(value) for value in tomllib.loads(f"values = [{text}]")["values"]]
    except (tomllib.TOMLDecodeError, TypeError):
        return [word.strip() for word in text.split(",")]


def begin(jobs: Sequence[Job], folder: Path) -> None:
    """Writes the plan; one that is there must be the same. Raises GanzooError where something else is there."""
    written, there = [asdict(job) for job in jobs], read_table(folder / PLAN).get("jobs")
    if there is None:
        refuse_existing(folder)
        write_json(folder / PLAN, {"jobs": written})
    elif there != written:
        raise GanzooError(f"{folder} holds another sweep. Go on with that by its own command, or give another --out.")


def finished(folder: Path, job: Job) -> bool:
    return read_table(RunFolder(folder / job.folder).status).get("state") == "finished"


def train(jobs: Sequence[Job], folder: Path, at_once: int, say: Callable[[str], None]) -> list[Job]:
    """Runs what is not finished, `at_once` at a time, each on a GPU of its own where there are; gives what failed.

    What each run says goes to SETTING/seed-K.log where several run at once. Raises Stopped when the program is asked to
    stop, once all that run have saved.
    """
    waiting = [job for job in jobs if not finished(folder, job)]
    say(f"{len(jobs)} runs in {folder}, {len(jobs) - len(waiting)} of them finished.")
    running: dict[int, tuple[Job, subprocess.Popen[bytes]]] = {}
    failed, done, began, total = [], 0, time.monotonic(), len(waiting)
    with stop_requests() as asked:
        asked.heeded = True
        while running or (waiting and not asked.number):
            for place in range(at_once):
                if place not in running and waiting and not asked.number:
                    running[place] = (job := waiting.pop(0)), _start(job, folder, place, at_once)
                    say(f"{job.folder} ...")
            for place, (job, process) in list(running.items()):
                if process.poll() is None:
                    continue
                del running[place]
                done += 1
                left = (time.monotonic() - began) / done * (total - done)
                ended = "finished" if process.returncode == 0 else f"ended with exit code {process.returncode}"
                say(f"{job.folder} {ended}, {done} of {total}" + (f", about {_hours(left)} left" if left else ""))
                failed += [job] if process.returncode else []
            time.sleep(0.05)
            if asked.number and running:
                for _, process in running.values():
                    process.send_signal(
                        getattr(signal, "SIGUSR1", signal.SIGTERM)
                    )  # any of them may have heard already
                while any(process.poll() is None for _, process in running.values()):
                    time.sleep(0.05)
        if asked.number:
            raise Stopped(asked.number, "Stopped. Go on with the same command.")
    return failed


def slurm_script(jobs: Sequence[Job], command: Sequence[str]) -> str:
    """A script for `sbatch` that trains each run as one task of an array."""
    return "\n".join(
        [
            "#!/bin/bash",
            f"#SBATCH --array=0-{len(jobs) - 1}",
            "#SBATCH --signal=B:USR1@120   # two minutes before the time is over the run saves; submit again to go on",
            "#SBATCH --gpus-per-task=1",
            "#SBATCH --time=24:00:00",
            f"cd {shlex.quote(str(Path.cwd()))}",
            f"exec {shlex.join(command)} --only $SLURM_ARRAY_TASK_ID",
            "",
        ]
    )


def summarise(folder: Path) -> Table:
    """The metrics of the finished runs of a sweep, over seeds. Raises GanzooError if none is finished."""
    found: dict[tuple[str, str, str], list[float]] = defaultdict(list)
    for setting, run in _runs(folder):
        for direction, metrics in read_table(run.metrics).items():
            for metric, value in metrics.items() if isinstance(metrics, dict) else ():
                if (measured := number(value)) == measured:
                    found[direction, metric, setting].append(measured)
    if not found:
        raise GanzooError(f"{folder} holds no finished run yet: go on with `ganzoo sweep`.")
    table: Table = {}
    for (direction, metric, setting), several in found.items():
        deviation = statistics.stdev(several) if len(several) > 1 else None
        summary = Summary(statistics.fmean(several), deviation, len(several))
        table.setdefault(direction, {}).setdefault(metric, {})[setting] = summary
    return table


def best(metric: str, summaries: dict[str, Summary]) -> str | None:
    """The setting with the best mean; None where no plugin says which way is better, or there is one setting alone."""
    sign = better().get(metric, 0)
    return max(summaries, key=lambda setting: sign * summaries[setting].mean) if sign and len(summaries) > 1 else None


def cell(metric: str, summaries: dict[str, Summary], setting: str) -> str:
    """ "0.061 ± 0.003*", with the star of the best."""
    if setting not in summaries:
        return ""
    found = summaries[setting]
    deviation = "" if found.deviation is None else f" ± {found.deviation:.3f}"
    star = "*" if best(metric, summaries) == setting else ""
    return f"{found.mean:.3f}{deviation}{star}".replace(" ", "\u00a0")  # in one line


def write_csv(table: Table, path: Path) -> None:
    """A line for each direction, metric and setting. Raises GanzooError where something is there."""
    refuse_existing(path)
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["direction", "metric", "setting", "mean", "deviation", "seeds"])
    for direction, metrics in table.items():
        for metric, summaries in metrics.items():
            for setting, found in summaries.items():
                deviation = "" if found.deviation is None else found.deviation
                writer.writerow([direction, metric, setting, found.mean, deviation, found.seeds])
    write_text(path, text.getvalue())


def write_page(table: Table, folder: Path, path: Path) -> None:
    """One HTML file: a table and a plot of each direction's metrics, and the settings' last sample grids."""
    refuse_existing(path)
    context = {
        "name": folder.resolve().name,
        "table": {
            d: {m: by for m, by in metrics.items() if not m.endswith("_identity")} for d, metrics in table.items()
        },
        "baselines": table,
        "best": best,
        "cell": cell,
        "strips": strips,
        "grids": {setting: data_uri(Image.open(grid)) for setting, grid in last_grids(folder).items()},
    }
    write_text(path, render("sweep.html.j2", context))


def strips(metric: str, metrics: dict[str, dict[str, Summary]]) -> dict[str, dict[str, float | None]]:
    """Where to draw each setting's mean, deviation to both sides, and identity baseline, in percent of the width."""
    summaries, baselines = metrics[metric], metrics.get(f"{metric}_identity", {})
    places: dict[str, dict[str, float | None]] = {}
    for setting, found in summaries.items():
        low, high = found.mean - (found.deviation or 0), found.mean + (found.deviation or 0)
        baseline = baselines[setting].mean if setting in baselines else None
        places[setting] = {"low": low, "mean": found.mean, "high": high, "baseline": baseline}
    every = [value for place in places.values() for value in place.values() if value is not None]
    scale = 94 / ((max(every) - min(every)) or 1.0)  # 3 % are left on each side
    return {
        setting: {name: None if v is None else round(3 + scale * (v - min(every)), 2) for name, v in place.items()}
        for setting, place in places.items()
    }


def last_grids(folder: Path) -> dict[str, Path]:
    """Setting -> the last sample grid of its first finished seed."""
    grids: dict[str, Path] = {}
    for setting, run in _runs(folder):
        if found := run.sample_grids():
            grids.setdefault(setting, found[-1])
    return grids


def _runs(folder: Path) -> Iterator[tuple[str, RunFolder]]:
    try:
        jobs = TypeAdapter(list[Job]).validate_python(read_table(folder / PLAN).get("jobs"))
    except ValidationError as error:
        raise GanzooError(f"{folder / PLAN} is not the plan of a sweep ({error.errors()[0]['msg']}).") from None
    return ((job.setting, RunFolder(folder / job.folder)) for job in jobs if finished(folder, job))


def _split(change: str) -> tuple[str, str]:
    key, equals, text = change.partition("=")
    if not equals or not key.strip() or not text.strip():
        raise GanzooError(f"--set {change} should be KEY=VALUE,VALUE, such as --set options.cycle=5,10.")
    return key.strip(), text


def _start(job: Job, folder: Path, place: int, at_once: int) -> "subprocess.Popen[bytes]":
    import torch

    environment = dict(os.environ)
    if devices := torch.cuda.device_count():
        environment["CUDA_VISIBLE_DEVICES"] = str(place % devices)
    elif at_once > 1:
        environment.setdefault("OMP_NUM_THREADS", str(max(1, (os.cpu_count() or 1) // at_once)))
    out = folder / job.folder
    out.parent.mkdir(parents=True, exist_ok=True)
    command = [sys.executable, "-m", "ganzoo", "run", *job.arguments, "--out", str(out), "--resume"]
    if at_once == 1:
        return subprocess.Popen(command, env=environment)
    with out.with_name(f"{out.name}.log").open("ab") as log:
        return subprocess.Popen(command, env=environment, stdout=log, stderr=log)


def _hours(seconds: float) -> str:
    minutes = round(seconds / 60)
    return f"{minutes // 60}:{minutes % 60:02d} h" if minutes >= 60 else f"{max(1, minutes)} min"
