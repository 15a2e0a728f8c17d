"""A recipe becomes a trained run: the whole journey, top to bottom. What it leaves behind is in runfolder.py."""

import signal
import tomllib
from collections.abc import Callable, Iterable
from contextlib import closing, nullcontext
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import torch

from ganzoo import checkpoint, recipe
from ganzoo.clock import Clock
from ganzoo.cores import Cores
from ganzoo.data.dataset import Dataset, open_dataset
from ganzoo.data.loader import batches
from ganzoo.errors import GanzooError, multiples_around
from ganzoo.loop import Engine
from ganzoo.options import DataOptions
from ganzoo.recipe import Recipe
from ganzoo.runfolder import RunFolder, flat, number, read_lines, read_table
from ganzoo.runtime import Runtime, settled_precision, threads_of
from ganzoo.runwriter import RunWriter, Screen
from ganzoo.signals import stop_requests
from ganzoo.trainer import Trainer

RESOLVED = ("data.source", "data.fallback", "data.domains")  # when a run begins
STOP_CHECK = 8  # steps between asking other processes whether they were told to stop
CHANGEABLE = {  # what may differ when a run goes on: nothing that changes its mathematics, but its length
    *(f"train.{key}" for key in ("images", "checkpoint_every", "sample_every", "keep", "metrics", "best", "loggers")),
    *(f"train.{key}" for key in ("threads", "device", "devices", "nodes", "checkpoint_activations")),
    *(f"data.{key}" for key in ("root", "archive", "workers", "cache", "broken")),
}


def start(recipe: Recipe, path: Path, screen: Screen) -> None:
    """Trains what the recipe says, into a new run folder.

    Raises GanzooError, with exit code 1 once training has begun, or Stopped.
    """
    settled = recipe.train.model_copy(update={"precision": settled_precision(recipe.train)})  # kept when it goes on
    _train(replace(recipe, train=settled), RunFolder(path), screen, _refuse_existing)


def resume(path: Path, screen: Screen, changes: Iterable[str] = (), given: Recipe | None = None) -> None:
    """Goes on with a run from its last checkpoint, with the recipe that it began with and `changes` (KEY=VALUE) to it.

    What a recipe that is `given` now says otherwise is not taken, and told. Raises GanzooError, also where a change is
    to what the run's mathematics hangs on, or Stopped.
    """
    folder = RunFolder(path)
    folder.refuse_links()
    began, changed = recipe.read(folder.recipe), recipe.read(folder.recipe, changes=changes)
    for key in differences(changed, began):
        if key not in CHANGEABLE:
            raise GanzooError(
                f"{key} cannot change in the middle of a run. Begin a new run with another --out, or leave it out; "
                f"these can change: {', '.join(sorted(CHANGEABLE))}. The learning rate's schedule follows train.images."
            )
    other = [key for key in differences(given, changed) if not key.startswith(RESOLVED)] if given else []
    for key in ("precision", "threads"):
        if given and getattr(given.train, key) == "auto":
            other = [name for name in other if name != f"train.{key}"]  # settled when the run began
    if given and other:
        said = f"{path} goes on with the recipe it began with. Not taken from {given.path or given.name}"
        screen.say(f"{said}: {', '.join(other)}.")
    _train(changed, folder, screen, partial(_last_checkpoint, began))


def _refuse_existing(folder: RunFolder) -> None:
    """Raises GanzooError where a new run would not have the folder for itself."""
    if RunFolder.is_run(path := folder.path):
        raise GanzooError(f"{path} exists. Go on with it by adding --resume, or give another folder with --out.")
    begun = {folder.env.name} if "history" in read_table(folder.env) else set()  # killed before it had a recipe
    if any(entry.name[0] != "." and entry.name not in begun for entry in path.iterdir()):
        raise GanzooError(f"{path} exists and is no run folder. Give another folder with --out.")


def _last_checkpoint(began: Recipe, folder: RunFolder) -> Path | None:
    """Where a run goes on that began with this recipe; None if it was ended before its first checkpoint."""
    last = folder.latest()
    if last is None:
        log, saved = read_lines(folder.log), number(read_table(folder.status).get("checkpoint"))
        trained = log[-1]["images"] if log else 0
        if saved > 0 or trained >= began.train.checkpoint_every + began.data.batch:
            raise GanzooError(
                f"{folder.path} was trained to image {max(trained, saved):,.0f}, but {folder.checkpoints_folder} holds "
                "no checkpoint. Put the checkpoints back, or begin a new run with another --out."
            )
        return None
    try:
        theirs = recipe.parse(tomllib.loads(checkpoint.read_about(last).recipe))
    except (ValueError, RecursionError) as error:
        raise checkpoint.unreadable(last, error) from error
    if other := [key for key in differences(theirs, began) if key not in CHANGEABLE]:
        raise GanzooError(
            f"{last} was trained with another recipe than {folder.recipe}: they differ in {', '.join(other)}. Put the "
            "right ones together, or begin a new run with another --out."
        )
    return last


def _train(recipe: Recipe, folder: RunFolder, screen: Screen, find: Callable[[RunFolder], Path | None]) -> None:
    """From the recipe to the weights; `find` gives the checkpoint to begin with, or refuses the folder."""
    cores = Cores()
    runtime = Runtime(recipe.train, recipe.data.batch)
    with folder.locked() if runtime.rank == 0 else nullcontext():
        found: Any = None
        if runtime.rank == 0:
            last = find(folder)
            dataset = open_dataset(recipe.data, recipe.data_kind, screen.say, screen.download)
            found = last, dataset, runtime.settled_threads(recipe.train.threads, cores, screen.say)
        runtime.launch()
        last, dataset, threads = runtime.fabric.broadcast(found)
        train = recipe.train.model_copy(update={"threads": threads})
        with threads_of(threads):
            _go(replace(recipe, data=dataset.options, train=train), folder, screen, runtime, last, dataset)


def _go(
    recipe: Recipe, folder: RunFolder, screen: Screen, runtime: Runtime, last: Path | None, dataset: Dataset
) -> None:
    """What every process does."""
    with runtime.fail_together():
        runtime.check_room(recipe.data, dataset.spec)
        torch.manual_seed(recipe.train.seed)
        trainer = recipe.trainer(recipe.options, dataset.spec)
        dataset = dataset.for_model(trainer)
        _check_size(recipe.data, trainer)
        clock = Clock(recipe.train.seed, recipe.data.batch, runtime.rank, runtime.world)
        engine = Engine(trainer, recipe.train, runtime, clock)
        writer = RunWriter(recipe, dataset, engine, folder, screen)
        if last:
            writer.restore(last)
    samples = dataset.training_samples(recipe.train.seed)
    stream = batches(samples, clock, recipe.train.images, runtime.device.type == "cuda", screen.say)
    with stop_requests() as asked, writer.open(), runtime.fail_together(), closing(stream):
        asked.heeded = True
        for batch in stream:
            writer.record(engine.step(batch))
            ask = runtime.world == 1 or clock.step % STOP_CHECK == 0  # asking the others costs a message
            if ask and runtime.any(bool(asked.number)):
                writer.stop(asked.number or signal.SIGTERM)
        asked.heeded = False
    runtime.close()


def differences(new: Recipe, old: Recipe) -> list[str]:
    """The keys that differ, such as "data.size"."""
    ours, theirs = dict(flat(new.tables())), dict(flat(old.tables()))
    return sorted(key for key in ours.keys() | theirs.keys() if ours.get(key) != theirs.get(key))


def _check_size(data: DataOptions, trainer: Trainer) -> None:
    multiple = trainer.multiple
    if data.preprocess != "none" and data.size % multiple:  # images that are left as they are get sides that fit
        near = multiples_around(data.size, multiple)
        raise GanzooError(f"data.size = {data.size} does not fit the generators: take {near}.")
    if trainer.fixed_size and data.preprocess in ("scale-width", "scale-width-and-crop", "none"):
        raise GanzooError(
            f"This model trains on squares of data.size = {data.size} pixels only, and data.preprocess = "
            f'"{data.preprocess}" keeps other shapes: set it to "resize-and-crop", "square" or "crop".'
        )
