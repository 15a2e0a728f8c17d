"""What a run records, and when: log, sample grids, metrics, checkpoints, report."""

import json
import math
import os
import platform
import shlex
import socket
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from functools import cached_property
from importlib.metadata import version
from pathlib import Path
from typing import Annotated, Any, Protocol

import torch
from PIL import Image
from pydantic import AfterValidator, BaseModel, ConfigDict, NonNegativeFloat, NonNegativeInt
from torch import Tensor
from torch.nn.modules.batchnorm import _BatchNorm

from ganzoo import checkpoint, grid, report
from ganzoo.clock import due, due_early, seeded
from ganzoo.cores import Crowding
from ganzoo.data.dataset import Dataset, Fingerprint
from ganzoo.errors import GanzooError, Stopped, out_of_memory, tell
from ganzoo.evaluation import Metrics, evaluate
from ganzoo.files import append_line, to_json, write_json, write_text
from ganzoo.loggers import Loggers
from ganzoo.loop import Engine, Means, Step, placed
from ganzoo.recipe import Recipe
from ganzoo.registry import registry
from ganzoo.runfolder import RunFolder, entries, flat, read_lines, read_table
from ganzoo.trainer import DataSpec

LIBRARIES = ("torch", "torchvision", "lightning-fabric", "numpy", "pillow", "safetensors")
REPORT_SHARE, REPORT_EVERY = 0.02, 5.0  # between checkpoints: at most this share of the time, and seconds, at least
LONG, LOOK = 12 * 3600, 5.0  # seconds: what is told to take long; of steps, until that is looked at


class Screen(Protocol):
    """Where a run tells how it goes."""

    def say(self, text: str) -> None: ...
    def download(self, done: int, total: int) -> None: ...
    def start(self, seen: int, total: int) -> None: ...
    def advance(self, seen: int) -> None: ...
    def record(self, line: dict[str, Any], grid: Image.Image | None = None) -> None: ...
    def stop(self) -> None: ...


def _check_alike(before: DataSpec, now: DataSpec) -> None:
    """Raises GanzooError where networks were trained on other domains or labels."""
    for what in ("domains", "channels", "size", "labels", "groups", "label_sets"):
        if getattr(before, what) != getattr(now, what):
            raise GanzooError(
                f"The {what} of the data were {getattr(before, what)} when this run was trained, and are "
                f"{getattr(now, what)} now. Put the data back, or begin a new run with another --out."
            )


def _rows(means: dict[str, Tensor]) -> dict[str, Tensor]:
    if any(rows.shape != (3, 1 + names.count("\n")) for names, rows in means.items()):
        raise ValueError("it should hold three numbers for each term")
    return means


class State(BaseModel):
    """What a run goes on from, beside the weights."""

    model_config = ConfigDict(arbitrary_types_allowed=True, extra="forbid", strict=True)

    images: NonNegativeInt
    engine: dict[str, Any]
    means: dict[str, Annotated[dict[str, Tensor], AfterValidator(_rows)]]  # `Means.sums`
    seconds: NonNegativeFloat
    logged_at: tuple[NonNegativeInt, NonNegativeFloat]
    lr: dict[str, float]
    data: Fingerprint


class RunWriter:
    """Keeps the run folder, and tells the screen. Every process has one, and the first one's writes."""

    def __init__(self, recipe: Recipe, dataset: Dataset, engine: Engine, folder: RunFolder, screen: Screen) -> None:
        self.recipe, self.dataset, self.engine, self.folder, self.screen = recipe, dataset, engine, folder, screen
        self.options, self.clock, self.means = recipe.train, engine.clock, Means()
        self.writes = engine.runtime.rank == 0
        self.metrics = self.options.build_metrics() if self.writes else {}  # now: what cannot be had is told at once
        self.seconds = 0.0  # of training, over all the times the run was gone on with
        self.logged_at = (0, 0.0)  # images and seconds at the last line of the log
        self._since = 0.0
        self._measured: dict[int, Metrics] = {}  # the newest, by images seen
        self._saved = 0  # images seen at the newest checkpoint
        self._finished = False
        self.loggers = Loggers((), folder.path, 0, self._warn)  # none before the run begins
        self._warnings: list[str] = []  # that belong to the run's history
        self._environment: dict[str, Any] = {}  # once it is written
        self._report_at = 0.0  # when the report may be written again between checkpoints
        self._step_began: float | None = None
        threads, runtime = torch.get_num_threads(), engine.runtime
        watched = self.writes and runtime.device.type == "cpu" and threads > 1
        self._crowding = Crowding(threads, runtime.place.devices) if watched else None  # until it was told
        self._steps: list[float] | None = []  # seconds that the first ones took; None once their speed was looked at

    def restore(self, path: Path) -> None:
        """Goes back to a checkpoint. Raises GanzooError if it is not as it was saved, or not of this run's data."""
        saved, about = checkpoint.load_state(path), checkpoint.read_about(path)
        _check_alike(about.spec, self.dataset.spec)
        weights, _ = checkpoint.load_networks(path)
        checkpoint.restore(self.engine.trainer, weights, path)
        try:
            state = State.model_validate(saved)
            if not state.images == about.images == int(path.name) or state.images % self.clock.batch:
                raise ValueError("it does not agree with itself on how many images were seen")
            self.engine.load_state_dict(state.engine)
            self.means.sums = placed(state.means, self.engine.runtime.device)
            self.clock.set(state.images)
            self._saved = state.images
            self.seconds, self.logged_at = state.seconds, state.logged_at
            rates = {phase: (state.lr[phase], rate) for phase, rate in self.engine.lr().items()}
        except (AttributeError, IndexError, KeyError, RuntimeError, TypeError, ValueError) as error:
            raise checkpoint.unreadable(path, error) from error
        self.screen.say(f"Going on from image {self.clock.images:,} of {self.options.images:,}.")
        if any(before != now for before, now in rates.values()):
            changes = ", ".join(
                f"{p} {before:.3g} before, {now:.3g} from here on" for p, (before, now) in rates.items()
            )
            self._warn(f"the learning rate follows the new train.images: {changes}.")
        if state.data != self.fingerprint:
            counts = [", ".join(f"{n:,} of {d}" for d, n in x.images.items()) for x in (state.data, self.fingerprint)]
            self._warn(
                f"these are not the training images that the run saw before ({counts[0]} then, {counts[1]} now, or "
                "others, or with other labels): from here on it is not what a run of either alone would give."
            )

    @cached_property
    def fingerprint(self) -> Fingerprint:
        """Of the training images."""
        return self.dataset.fingerprint()

    def _warn(self, text: str) -> None:
        self._warnings.append(text)
        self.screen.say(f"Warning: {text}")
        if self._environment:
            with self._optional(f"It is missing in {self.folder.env}."):
                write_json(self.folder.env, self._environment)

    @contextmanager
    def open(self) -> Iterator[None]:
        """The time from the first step to the end of the run; what ends it is recorded."""
        if not self.writes:
            yield
            return
        self.engine.runtime.tell = self._fail
        try:
            self._set_up()
            self._since = time.monotonic()
            yield
            self._finish()
        except Stopped as stopped:
            self._end("stopped", str(stopped))
            raise
        except KeyboardInterrupt:
            message = f"Stopped at image {self.clock.images:,}. {self._left}"
            self._end("stopped", message)
            raise KeyboardInterrupt(message) from None
        except BaseException as error:
            if not isinstance(error, GanzooError | OSError) and not out_of_memory(error):
                self._end("failed", f"{type(error).__name__}: {error}")
                raise
            failure = GanzooError(f"{_said(error)} {self._left}")
            failure.exit_code = 1
            self._end("failed", str(failure))
            raise failure from error
        finally:
            self.loggers.close(self._finished)
            self.screen.stop()

    def record(self, step: Step) -> None:
        """Whatever is due after a step."""
        self._tell_if_long()
        if self._crowding and (crowded := self._crowding.look(step.images)):
            self._crowding = None
            said, fewer = crowded
            self._warn(f"{said} Stop it, and go on with: {self._again} --set train.threads={fewer}")
        self.means.add(step)
        if self._due(self.options.log_every):
            self._log()
        self.screen.advance(step.images)
        if self.writes and (self._due(self.options.sample_every) or self._due_early()):
            self._sample()
        if self._due(self.options.checkpoint_every):
            self._save()
        elif self.writes and time.monotonic() >= self._report_at:
            self._report(running=True)
        self._step_began = time.monotonic()

    def _tell_if_long(self) -> None:
        """Once, after the first steps: how long the run takes, where that is long, and what to do about it."""
        if self._steps is None or self._step_began is None or not self.writes:
            return  # the very first step sets up much that the others find
        self._steps.append(time.monotonic() - self._step_began)
        if sum(self._steps) < (LOOK if len(self._steps) > 2 else 12 * LOOK):
            return
        speed = len(self._steps) * self.clock.batch / sum(self._steps)
        left = (self.options.images - self.clock.images) / speed
        self._steps = None
        if left > LONG:
            time_left = f"{left / 86400:,.0f} days" if left > 2 * 86400 else f"{left / 3600:.0f} hours"
            faster = (
                "A GPU is many times faster" if self.engine.runtime.device.type == "cpu" else "More GPUs are faster"
            )
            self.screen.say(
                f"This will take about {time_left} here, at {speed:.3g} images/s. {faster}; --quick, where the recipe "
                "has it, gives a first look in minutes; a smaller data.size or train.images takes less time."
            )

    def stop(self, signal_number: int) -> None:
        """Saves, and raises Stopped."""
        self._save()
        raise Stopped(signal_number, f"Stopped and saved at image {self.clock.images:,}. Go on with: {self._again}")

    def _due_early(self) -> bool:
        return due_early(self.clock.images, self.clock.batch, self.options.sample_every)

    def _due(self, every: int) -> bool:
        return self.clock.images >= self.options.images or due(self.clock.images, self.clock.batch, every)

    def _terms(self) -> dict[str, dict[str, float]]:
        """Means over all processes since the last line of the log. GanzooError if one is not finite."""
        return self.means.read(self.engine.runtime, self.clock.images)

    @property
    def _again(self) -> str:
        return f"ganzoo run {shlex.quote(str(self.folder.path))} --resume"

    @property
    def _left(self) -> str:
        """What there is to go on from."""
        last = None
        with suppress(GanzooError):  # of a folder that cannot be read
            last = self.folder.latest()
        if last:
            return f"The last good checkpoint is {last}. Go on with: {self._again}"
        if self._saved:
            return f"The checkpoints that were saved are no longer in {self.folder.checkpoints_folder}."
        return f"There is no checkpoint yet, so that {self._again} starts from the beginning."

    @contextmanager
    def _optional(self, loss: str) -> Iterator[None]:
        """Inside, what fails is told with what is lost by it, and no more: the training does not hang on it."""
        try:
            yield
        except Exception as error:
            self.screen.say(f"Warning: {_said(error)} {loss}")

    def _fail(self, said: str) -> None:
        """Records and tells how the run ended, where no exception can."""
        self._end("failed", f"{said} {self._left}")
        tell(f"Error: {said} {self._left}")

    def _finish(self) -> None:
        self.screen.say("Measuring on the test images ...")
        later = f"Training has finished, without metrics: ganzoo evaluate {shlex.quote(str(self.folder.path))}"
        with self._optional(later):
            write_json(self.folder.metrics, self._metrics())
            self._record_metrics()
        if best := self.folder.best(name := self.options.best):
            self.screen.say(f"Best by {name} ({best[1]:.4g}): {self.folder.checkpoint(best[0])}")
        self._end("finished", "")

    def _set_up(self) -> None:
        seen = self.clock.images
        self.loggers = Loggers(self.options.loggers, self.folder.path, seen, self._warn)  # a library may be missing
        if self.engine.parts > 1 and any(isinstance(m, _BatchNorm) for m in self.engine.trainer.modules()):
            batch, part = self.clock.batch, self.clock.batch // self.engine.runtime.world // self.engine.parts
            self._warn(f"batch norm sees each {part} images alone (train.micro_batch), not the batch of {batch}.")
        environment = self._environment = self._surroundings()
        comments = [f"ganzoo run {shlex.quote(str(self.folder.path))} --resume   goes on with this run"]
        if environment["fallback"]:
            comments.append('source is the fallback for "{wanted}": {because}'.format(**environment["fallback"]))
        write_json(self.folder.env, environment)
        write_text(self.folder.recipe, self.recipe.to_toml(*comments))
        for log in (self.folder.log, self.folder.metrics_log):
            if log.exists():  # what came after the checkpoint will be written again
                write_text(log, "".join(f"{json.dumps(row)}\n" for row in read_lines(log) if row["images"] <= seen))
        self.loggers.settings(dict(flat(self.recipe.tables())))
        self._status("running", "")
        what = f"{self.recipe.model} on {self.dataset.options.source.name} ({', '.join(self.dataset.spec.domains)})"
        where = f"{self.engine.runtime.world} x {self.engine.runtime.device}, into {self.folder.path}"
        self.screen.say(f"{what} at {self.dataset.options.size} px, {where}")
        self.screen.start(seen, self.options.images)
        if seen == 0:
            self._sample()
        self._measure_for_best()  # at first: a metric that cannot be had is told before hours of training
        self._report()

    def _surroundings(self) -> dict[str, Any]:
        entry = registry().find("model", self.recipe.model)
        before, runtime = read_table(self.folder.env), self.engine.runtime
        return {
            "ganzoo": version("ganzoo"),
            "plugin": {"distribution": entry.distribution, "version": entry.version},
            "device": torch.cuda.get_device_name() if runtime.device.type == "cuda" else platform.processor() or "cpu",
            "processes": runtime.world,
            "threads": torch.get_num_threads(),
            "platform": platform.platform(),
            "python": platform.python_version(),
            "libraries": {name: version(name) for name in LIBRARIES},
            "fallback": before.get("fallback") or self.dataset.fallback,
            "history": [*entries(before.get("history")), self._beginning()],
        }

    def _beginning(self) -> dict[str, Any]:
        """A line of the run's history: it was begun, or gone on with."""
        return {
            "time": datetime.now(UTC).isoformat(timespec="seconds"),
            "command": shlex.join([Path(sys.argv[0]).name, *sys.argv[1:]]),
            "images": self.clock.images,
            "host": socket.gethostname(),
            "process": os.getpid(),
            "warnings": self._warnings,
        }

    def _log(self) -> None:
        terms = self._terms()
        self.means.clear()
        if not self.writes:
            return
        before, self.logged_at = self.logged_at, (self.clock.images, self._elapsed())
        passed = self.logged_at[1] - before[1]
        line = {
            "images": self.clock.images,
            "terms": terms,
            "lr": self.engine.lr(),
            "seconds": round(self.logged_at[1], 3),
            "images_per_s": round((self.logged_at[0] - before[0]) / passed, 3) if passed > 0 else None,
            "memory_gb": round(self.engine.runtime.memory_gb(), 3),
        }
        append_line(self.folder.log, json.dumps(line))
        self.loggers.line(line)
        self.screen.record(line)

    def _sample(self) -> None:
        title = f"{self.folder.path.resolve().name} at {self.clock.images:,} images"
        with self.engine.ema.used(), seeded(self.options.seed, self.engine.runtime.device):
            tests = self.dataset.test_images(grid.SHOWN)
            image = grid.sample_grid(self.engine.trainer, tests, self.dataset.ground_truth, title)
        with self._optional("This sample grid is missing."):
            grid.save(image, self.folder.sample(self.clock.images))
        self.loggers.sample(image, self.clock.images)
        self.screen.record({"images": self.clock.images}, image)

    def _metrics(self) -> Metrics:
        if self.clock.images not in self._measured:
            with self.engine.ema.used():
                found = evaluate(self.engine.trainer, self.dataset, self.metrics)
            self._measured = {self.clock.images: found}
        return self._measured[self.clock.images]

    def _record_metrics(self) -> None:
        line = {"images": self.clock.images, "metrics": self._metrics()}
        self.loggers.line(line)
        self.screen.record(line)

    def _measure_for_best(self) -> None:
        """Once for each regular checkpoint. GanzooError where the metric that the best is chosen by is not there."""
        best, seen = self.options.best, self.clock.images
        measured = {row["images"] for row in read_lines(self.folder.metrics_log)}
        if not best or seen in measured or not self._due(self.options.checkpoint_every):
            return
        found = self._metrics()
        if not any(best in values for values in found.values()):
            why = f'train.best = "{best}" cannot be measured on these test images: it needs their ground truth, or two'
            raise GanzooError(f"{why} of each domain. Leave it out, or take a metric such as kid, which needs none.")
        append_line(self.folder.metrics_log, to_json({"images": seen, "metrics": found}))
        self._record_metrics()

    def _save(self) -> None:
        self._terms()  # nothing is saved once a term has gone wrong
        if not self.writes:
            return
        state = {
            "images": self.clock.images,
            "engine": self.engine.state_dict(),
            "means": self.means.sums,
            "seconds": self._elapsed(),
            "logged_at": self.logged_at,
            "lr": self.engine.lr(),
            "data": self.fingerprint.model_dump(),
        }
        averages = {f"{checkpoint.EMA}{name}": value for name, value in self.engine.ema.state_dict().items()}
        weights = self.engine.trainer.state_dict() | averages
        about = checkpoint.about(self.recipe, self.dataset.spec, self.clock.images)
        checkpoint.save(self.folder.checkpoint(self.clock.images), weights, state, about)
        self._saved = self.clock.images
        self._status("running", "")
        self._measure_for_best()
        best = self.folder.best(self.options.best)
        with self._optional("An older checkpoint stays."):
            checkpoint.prune(self.folder, self.options.keep, best and best[0])
        self._report()

    def _report(self, running: bool = False) -> None:
        """Where it fails, it is tried again at the next checkpoint; `running`: says how far the run is, too."""
        began, self._report_at = time.monotonic(), math.inf
        with self._optional("The report is not up to date."):
            if running:
                self._status("running", "")
            report.write(self.folder.path)
            now = time.monotonic()
            self._report_at = now + max(REPORT_EVERY, (now - began) / REPORT_SHARE)

    def _elapsed(self) -> float:
        now = time.monotonic()
        self.seconds, self._since = self.seconds + now - self._since, now
        return self.seconds

    def _status(self, state: str, message: str) -> None:
        status = {"state": state, "images": self.clock.images, "checkpoint": self._saved, "message": message}
        write_json(self.folder.status, status)

    def _end(self, state: str, message: str) -> None:
        """A folder that cannot be written must not hide why the run ended."""
        self._finished = state == "finished"
        try:
            self._status(state, message)
        except GanzooError as error:
            tell(str(error))
        self._report()


def _said(error: BaseException) -> str:
    if isinstance(error, GanzooError):
        return str(error)
    if out_of_memory(error):
        first = str(error).partition("\n")[0]
        return f"There was not enough memory ({first or type(error).__name__}): lower data.batch or data.size."
    return f"{error}." if isinstance(error, OSError) else f"{type(error).__name__}: {error}."
