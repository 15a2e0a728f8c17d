"""A recipe becomes a trained run: the whole journey, top to bottom.

RUN/recipe.toml       resolved, with every default       RUN/samples/000012000.png   test images, translated
RUN/env.json          versions, hardware, data used      RUN/checkpoints/000012000/  see checkpoint.py
RUN/log.jsonl         one line a tick                    RUN/report.html             everything as one page
RUN/status.json       running, finished, stopped ...     RUN/metrics.json            figures on the test images
RUN/figures.jsonl     those of each checkpoint, where the recipe asks for the best one
"""

import json
import os
import platform
import shlex
import signal
import sys
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any, Protocol

import torch

from ganzoo import checkpoint, report, sheet
from ganzoo import recipe as recipes
from ganzoo.clock import Clock, due
from ganzoo.data.batches import batches
from ganzoo.data.dataset import Dataset, open_dataset
from ganzoo.errors import GanzooError, Stopped
from ganzoo.evaluate import Figures, evaluate
from ganzoo.files import append_line, write_json, write_text
from ganzoo.loop import Engine, Means, Step, train
from ganzoo.options import DataOptions
from ganzoo.recipe import Recipe
from ganzoo.registry import registry
from ganzoo.runtime import Runtime, rank

SHOWN = 4  # test images on a sample grid
STOP_CHECK = 8  # steps between asking other processes whether they were told to stop
CHANGEABLE = {  # what may differ when a run goes on: nothing that changes its mathematics
    *(f"train.{key}" for key in ("images", "checkpoint_every", "sample_every", "keep", "best")),
    *(f"train.{key}" for key in ("device", "devices", "nodes")),
    *(f"data.{key}" for key in ("root", "archive", "workers", "broken")),
}


class Screen(Protocol):
    """Where a run tells how it goes."""

    def say(self, text: str) -> None: ...
    def download(self, done: int, total: int) -> None: ...
    def start(self, seen: int, total: int) -> None: ...
    def tick(self, seen: int) -> None: ...
    def log(self, line: dict[str, Any]) -> None: ...
    def stop(self) -> None: ...


def run(recipe: Recipe, out: Path, screen: Screen, resume: bool = False, changes: Iterable[str] = ()) -> Path:
    """Trains into the run folder `out` and returns it.

    `resume` goes on from its last checkpoint with the recipe it began with; `changes` were given on the command line.
    Raises GanzooError (exit code 1 once training has begun) or Stopped.
    """
    first = rank() == 0
    going_on = resume and (out / "recipe.toml").exists()
    if out.is_file():
        raise GanzooError(f"{out} is a file. Give a folder with --out.")
    if first and out.exists() and any(out.iterdir()) and not resume:
        raise GanzooError(f"{out} exists. Go on with it by adding --resume, or give another folder with --out.")
    if first and out.exists() and not going_on and any(p.name[0] != "." for p in out.iterdir()):
        raise GanzooError(f"{out} is no run folder: it has no recipe.toml. Give another folder with --out.")
    if going_on:
        recipe = resumed(recipe, out, screen if first else None, changes)
    runtime = Runtime(recipe.train, recipe.data.batch)
    dataset = open_dataset(recipe.data, recipe.data_kind, screen.say, screen.download) if first else None
    runtime.launch()
    if not first:
        sys.stdout = open(os.devnull, "w")  # noqa: SIM115 - one process speaks for all
    dataset = runtime.broadcast(dataset)
    recipe = replace(recipe, data=dataset.options)
    with runtime.fail_together():
        torch.manual_seed(recipe.train.seed)
        trainer = recipe.trainer(recipe.options, dataset.spec)
        dataset = dataset.for_model(trainer)
        _check_size(recipe.data, trainer.multiple)
        clock = Clock(recipe.train.seed, recipe.data.batch, runtime.rank, runtime.world)
        engine = Engine(trainer, recipe.train, runtime, clock)
        books = RunWriter(recipe, dataset, engine, out, screen if first else None)
        if going_on:
            books.restore()
    samples = dataset.training_samples(recipe.train.seed)
    with books.open():
        with runtime.fail_together(), _signals() as asked:
            for tick in train(engine, batches(samples, clock, recipe.train.images, pin=runtime.device.type == "cuda")):
                books.enter(tick)
                ask = runtime.world == 1 or clock.step % STOP_CHECK == 0  # asking the others costs a message
                if ask and runtime.any(bool(asked)):
                    books.stop(asked[0] if asked else signal.SIGTERM)
        books.finish()
    runtime.close()
    return out


def resumed(recipe: Recipe, out: Path, screen: Screen | None, changes: Iterable[str]) -> Recipe:
    """The recipe that the run in `out` began with, with changes that leave its mathematics alone."""
    began = recipes.read(out / "recipe.toml")
    changed = recipes.read(out / "recipe.toml", changes=changes)
    for key in _differences(changed, began):
        if key not in CHANGEABLE:
            raise GanzooError(
                f"{key} cannot change in the middle of a run. Begin a new run with another --out, or leave it out; "
                f"these can change: {', '.join(sorted(CHANGEABLE))}."
            )
    resolved = {"data.source", "data.fallback", "data.domains"}  # when the run began
    left_out = [key for key in _differences(recipe, changed) if key not in resolved]
    if left_out and screen:
        screen.say(f"{out} goes on with the recipe it began with. Not taken from {recipe.path}: {', '.join(left_out)}.")
    return replace(changed, path=recipe.path, quick=recipe.quick)


def _differences(new: Recipe, old: Recipe) -> list[str]:
    """The keys that differ, such as "data.size"."""
    ours, theirs = _flat(new.tables()), _flat(old.tables())
    return sorted(key for key in ours.keys() | theirs.keys() if ours.get(key) != theirs.get(key))


def _flat(tables: dict[str, Any]) -> dict[str, Any]:
    found = {}
    for name, value in tables.items():
        found |= {f"{name}.{key}": item for key, item in value.items()} if isinstance(value, dict) else {name: value}
    return found


def _check_size(data: DataOptions, multiple: int) -> None:
    if data.preprocess != "none" and data.size % multiple:  # images that are left as they are get sides that fit
        below = data.size // multiple * multiple
        sides = f"{below} or {below + multiple}" if below else f"{multiple}"
        raise GanzooError(
            f"data.size = {data.size} does not fit the generators: take a multiple of {multiple}, such as {sides}."
        )


class RunWriter:
    """Keeps a run folder: log, samples, checkpoints, report. Every process counts, only the first one writes."""

    def __init__(self, recipe: Recipe, dataset: Dataset, engine: Engine, out: Path, screen: Screen | None) -> None:
        self.recipe, self.dataset, self.engine, self.out, self.screen = recipe, dataset, engine, out, screen
        self.trainer, self.runtime, self.clock = engine.trainer, engine.runtime, engine.clock
        self.means = Means()
        self.seconds = 0.0  # of training, over all the times the run was gone on with
        self.logged_at = (0, 0.0)  # images and seconds at the last line of the log
        self.log_lines = 0
        self._since = 0.0
        self._measured: tuple[int, Figures] | None = None  # images seen, and the figures then
        self._tests: dict[str, list[torch.Tensor]] | None = None

    def restore(self) -> None:
        """Go back to the last checkpoint; the log is cut to it."""
        path = checkpoint.latest(self.out)
        if path is None:
            return
        weights, _ = checkpoint.load_networks(path)
        checkpoint.restore(self.trainer, weights, path)
        state = checkpoint.load_state(path)
        self.engine.load_state_dict(state["engine"])
        self.means.load_state_dict(state["means"], self.runtime.device)
        self.clock.set(state["images"])
        self.seconds, self.log_lines = state["seconds"], state["log_lines"]
        self.logged_at = tuple(state["logged_at"])
        if self.screen:
            self.screen.say(f"Going on from image {state['images']:,} of {self.recipe.train.images:,}.")

    @contextmanager
    def open(self) -> Iterator[None]:
        """The time between the first step and the last: the folder is set up, and failures are recorded in it."""
        try:
            if self.screen:
                self._set_up()
                data, device = self.recipe.data, self.runtime.device
                what = f"{self.recipe.model} on {data.source} ({', '.join(self.trainer.domains)}) at {data.size} px"
                self.screen.say(f"{what}, {self.runtime.world} x {device}, into {self.out}")
                self.screen.start(self.clock.images, self.recipe.train.images)
                if self.clock.images == 0:
                    self._sample()
                    if self.recipe.train.best:
                        self._measure()  # a figure that cannot be had is told before hours of training
            self._since = time.monotonic()
            yield
        except GanzooError as error:
            error.exit_code = 1
            self._record("failed", str(error))
            raise
        except OSError as error:
            failure = GanzooError(f"{error}. {self._go_on()}")
            failure.exit_code = 1
            self._record("failed", str(failure))
            raise failure from error
        except KeyboardInterrupt:
            self._record("stopped", f"Stopped. {self._go_on()}")
            raise
        except BaseException as error:
            if not isinstance(error, Stopped):
                self._record("failed", f"{type(error).__name__}: {error}")
            raise
        finally:
            if self.screen:
                self.screen.stop()

    def enter(self, tick: Step) -> None:
        """What is due after a step."""
        options, batch = self.recipe.train, self.clock.batch
        self.means.add(tick)
        last = tick.images >= options.images
        if last or due(tick.images, batch, options.log_every):
            self._log(tick.images)
        if self.screen:
            self.screen.tick(tick.images)
            if last or due(tick.images, batch, options.sample_every):
                self._sample()
        if last or due(tick.images, batch, options.checkpoint_every):
            self._save(measure=bool(options.best))

    def stop(self, signal_number: int) -> None:
        self._save()
        message = f"Stopped and saved at image {self.clock.images:,}. {self._go_on()}"
        self._record("stopped", message)
        raise Stopped(signal_number, message)

    def _go_on(self) -> str:
        return f"Go on with: ganzoo run {shlex.quote(str(self.out))} --resume"

    def finish(self) -> None:
        if self.screen:
            self.screen.say("Measuring on the test images ...")
            write_json(self.out / "metrics.json", self._figures())
            if best := report.best(self.out, name := self.recipe.train.best):
                self.screen.say(f"Best by {name} ({best[1]:.4g}): {checkpoint.folder(self.out, best[0])}")
            self._record("finished", "")

    def _set_up(self) -> None:
        comments = [f"ganzoo run {shlex.quote(str(self.out))} --resume   goes on with this run"]
        environment = self._environment()
        if environment["fallback"]:
            comments.append('source is the fallback for "{wanted}": {because}'.format(**environment["fallback"]))
        write_text(self.out / "recipe.toml", self.recipe.to_toml(*comments))
        _cut(self.out / "log.jsonl", self.log_lines)
        write_json(self.out / "env.json", environment)
        self._record("running", "")

    def _environment(self) -> dict[str, Any]:
        entry = registry().find("model", self.recipe.model)
        before = _read_json(self.out / "env.json")
        names = ("torch", "torchvision", "lightning-fabric", "numpy", "pillow", "safetensors")
        return {
            "ganzoo": version("ganzoo"),
            "plugin": {"distribution": entry.distribution, "version": entry.version},
            "device": torch.cuda.get_device_name()
            if self.runtime.device.type == "cuda"
            else platform.processor() or "cpu",
            "processes": self.runtime.world,
            "threads": torch.get_num_threads(),
            "platform": platform.platform(),
            "python": platform.python_version(),
            "libraries": {name: version(name) for name in names},
            "command": shlex.join([Path(sys.argv[0]).name, *sys.argv[1:]]),
            "started": before.get("started", datetime.now(UTC).isoformat(timespec="seconds")),
            "fallback": before.get("fallback") or self.dataset.fallback,
        }

    def _log(self, images: int) -> None:
        terms = self._terms(images)
        self.means.clear()
        before, self.logged_at = self.logged_at, (images, self._elapsed())
        if self.screen:
            passed = self.logged_at[1] - before[1]
            line = {
                "images": images,
                "terms": terms,
                "lr": self.engine.lr(),
                "seconds": round(self.logged_at[1], 3),
                "images_per_s": round((images - before[0]) / passed, 3) if passed > 0 else None,
                "memory_gb": round(self.runtime.memory_gb(), 3),
            }
            append_line(self.out / "log.jsonl", json.dumps(line))
            self.screen.log(line)
        self.log_lines += 1

    def _terms(self, images: int) -> dict[str, dict[str, float]]:
        try:
            return self.means.read(self.runtime, images)
        except GanzooError as error:
            raise GanzooError(f"{error} {checkpoint.last_good(self.out)}") from None

    def _sample(self) -> None:
        if self._tests is None:
            self._tests = self.dataset.test_images(SHOWN)
        torch.manual_seed(self.recipe.train.seed)
        title = f"{self.recipe.name} at {self.clock.images:,} images"
        with self.engine.ema.used():
            image = sheet.draw(self.trainer, self._tests, self.dataset.ground_truth, title)
        sheet.save(image, self.out / "samples" / f"{self.clock.images:09d}.png")

    def _figures(self) -> Figures:
        if self._measured is None or self._measured[0] != self.clock.images:
            metrics = self.recipe.train.measures()
            with self.engine.ema.used():
                figures = evaluate(self.trainer, self.dataset, metrics)
            self._measured = self.clock.images, figures
        return self._measured[1]

    def _measure(self) -> None:
        """A line of figures.jsonl. GanzooError where the figure that the best checkpoint is chosen by is not there."""
        best, figures = self.recipe.train.best, self._figures()
        if not any(best in values for values in figures.values()):
            raise GanzooError(
                f'train.best = "{best}" cannot be measured on these test images: it needs their right answers, or '
                "two images of each domain. Leave it out, or take a metric that needs no answers, such as kid."
            )
        append_line(self.out / "figures.jsonl", json.dumps({"images": self.clock.images, "figures": figures}))

    def _save(self, measure: bool = False) -> None:
        self._terms(self.clock.images)
        if self.screen:
            state = {
                "images": self.clock.images,
                "engine": self.engine.state_dict(),
                "means": self.means.state_dict(),
                "seconds": self._elapsed(),
                "logged_at": list(self.logged_at),
                "log_lines": self.log_lines,
            }
            about = checkpoint.about(self.recipe, self.trainer.spec, self.clock.images)
            weights, ema = self.trainer.state_dict(), self.engine.ema.state_dict()
            checkpoint.save(self.out, self.clock.images, weights, state, about, ema)
            if measure:
                self._measure()
            best = report.best(self.out, self.recipe.train.best)
            checkpoint.prune(self.out, self.recipe.train.keep, best and best[0])
            report.write(self.out)

    def _elapsed(self) -> float:
        now = time.monotonic()
        self.seconds, self._since = self.seconds + now - self._since, now
        return self.seconds

    def _record(self, state: str, message: str) -> None:
        """Into status.json and the report; a folder that cannot be written must not hide why the run ended."""
        if self.screen and self.out.is_dir():
            try:
                write_json(self.out / "status.json", {"state": state, "images": self.clock.images, "message": message})
                report.write(self.out)
            except GanzooError as error:
                print(error, file=sys.stderr)


@contextmanager
def _signals() -> Iterator[list[int]]:
    """Inside, Ctrl-C and SIGTERM are noted in the list; a second one ends the program at once."""
    asked: list[int] = []

    def note(number: int, frame: Any) -> None:
        asked.append(number)
        signal.signal(number, before[number])

    before = {number: signal.signal(number, note) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield asked
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _cut(log: Path, lines: int) -> None:
    """The log's first lines only: what was written after the checkpoint will be written again."""
    kept = log.read_text(encoding="utf-8").splitlines(keepends=True)[:lines] if log.exists() else []
    write_text(log, "".join(kept))


def _read_json(path: Path) -> dict[str, Any]:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
