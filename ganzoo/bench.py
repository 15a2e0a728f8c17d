"""How fast a recipe trains, and where the time goes."""

import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from statistics import median
from typing import Any

import torch
from torch.utils.flop_counter import FlopCounterMode

from ganzoo.clock import Clock
from ganzoo.data.dataset import Dataset, batches
from ganzoo.loop import Engine, Means
from ganzoo.recipe import Recipe
from ganzoo.runtime import Runtime
from ganzoo.trainer import Batch, Carry, Phase, Terms

WARM_UP = 2  # steps that are not counted


def bench(
    recipe: Recipe, dataset: Dataset, steps: int, progress: Callable[[int, int], None] | None = None
) -> dict[str, Any]:
    """Trains a few steps as a run does, with its data and the means of its terms.

    Returns images/s, seconds a step for data and each phase (medians), GiB and TFLOP/s.
    """
    runtime = Runtime(recipe.train, recipe.data.batch)
    on_gpu = runtime.device.type == "cuda"
    runtime.check_room(recipe.data, dataset.spec)
    torch.manual_seed(recipe.train.seed)
    trainer = recipe.trainer(recipe.options, dataset.spec)
    engine, means = Engine(trainer, recipe.train, runtime, Clock(recipe.train.seed, recipe.data.batch)), Means()
    seconds: dict[str, list[float]] = defaultdict(list)

    @contextmanager
    def timed(name: str) -> Iterator[None]:
        began = _now(on_gpu)
        yield
        seconds[name].append(_now(on_gpu) - began)

    def run_phase(phase: Phase, batch: Batch, carry: Carry) -> Terms:
        with timed(phase.name):
            return Engine.run_phase(engine, phase, batch, carry)

    engine.run_phase = run_phase  # type: ignore[method-assign]
    samples, total = dataset.for_model(trainer).training_samples(recipe.train.seed), WARM_UP + steps
    stream = iter(batches(samples, engine.clock, total * recipe.data.batch, pin=on_gpu))
    for done in range(1, total + 1):
        with timed("step"):
            with timed("data"):
                batch = next(stream)
            means.add(engine.step(batch))
        if progress:
            progress(done, total)
    medians = {name: median(times[WARM_UP:] or times) for name, times in seconds.items()}
    step = medians.pop("step")
    with FlopCounterMode(display=False) as flops, torch.compiler.set_stance("force_eager"):
        engine.step(batch)
    return {
        "images_per_s": recipe.data.batch / step,
        "seconds_per_step": step,
        "seconds": medians,
        "memory_gb": runtime.memory_gb(),
        "tflops_per_s": flops.get_total_flops() / step / 1e12,
        "device": str(runtime.device),
        "threads": torch.get_num_threads(),
        "steps": steps,
    }


def _now(on_gpu: bool) -> float:
    """Seconds, once the device has done all that it was given."""
    if on_gpu:
        torch.cuda.synchronize()
    return time.perf_counter()
