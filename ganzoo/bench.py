"""How fast a recipe trains, where the time goes, and what the engine costs over a bare loop."""

import copy
import time
from collections.abc import Callable
from itertools import chain, count
from statistics import median
from typing import Any

import torch
from torch.utils._pytree import tree_map_only
from torch.utils.flop_counter import FlopCounterMode

from ganzoo.clock import Clock
from ganzoo.data.batches import batches
from ganzoo.data.dataset import Dataset
from ganzoo.loop import Engine, Means, train
from ganzoo.recipe import Recipe
from ganzoo.runtime import Runtime
from ganzoo.trainer import Batch, Carry, Phase, Terms, Trainer

WARM_UP = 2  # pairs of steps that are not counted


def bench(
    recipe: Recipe, dataset: Dataset, steps: int, progress: Callable[[int, int], None] | None = None
) -> dict[str, Any]:
    """Trains the same model twice, step by step in turn: through the engine with its data and means, and bare.

    Returns images/s, seconds a step for data and each phase (medians), GiB, TFLOP/s, and `engine_over_bare`: the median
    over pairs of neighbouring steps of the time through the engine over the time without it.
    """
    runtime = Runtime(recipe.train, recipe.data.batch)
    torch.manual_seed(recipe.train.seed)
    trainer = recipe.trainer(recipe.options, dataset.spec)
    bare = _bare_loop(copy.deepcopy(trainer), recipe, runtime)
    engine = Engine(trainer, recipe.train, runtime, Clock(recipe.train.seed, recipe.data.batch))
    phases = _time_phases(engine, runtime)
    samples = dataset.for_model(trainer).training_samples(recipe.train.seed)
    total = WARM_UP + steps
    stream = batches(samples, engine.clock, total * recipe.data.batch, pin=runtime.device.type == "cuda")
    waits: list[float] = []
    means = Means()
    ticks = train(engine, _timed(stream, waits))
    kept = runtime.to_device(next(iter(batches(samples, Clock(1, recipe.data.batch), recipe.data.batch))))
    pairs = []
    for done in range(total):
        first_bare = done % 2 == 1  # whoever goes first finds another cache
        b = _clock(lambda: bare(kept), runtime) if first_bare else 0.0
        e = _clock(lambda: means.add(next(ticks)), runtime)
        pairs.append((e, b or _clock(lambda: bare(kept), runtime)))
        if progress:
            progress(done + 1, total)
    pairs = pairs[WARM_UP:]
    with FlopCounterMode(display=False) as flops:
        bare(kept)
    seconds = median(e for e, _ in pairs)
    return {
        "images_per_s": recipe.data.batch / seconds,
        "seconds_per_step": seconds,
        "seconds": {"data": median(waits[WARM_UP:])} | {n: median(t[WARM_UP:] or t) for n, t in phases.items()},
        "bare_seconds_per_step": median(b for _, b in pairs),
        "engine_over_bare": median(e / b for e, b in pairs),
        "memory_gb": runtime.memory_gb(),
        "tflops_per_s": flops.get_total_flops() / seconds / 1e12,
        "device": str(runtime.device),
        "threads": torch.get_num_threads(),
        "steps": steps,
    }


def _bare_loop(trainer: Trainer, recipe: Recipe, runtime: Runtime) -> Callable[[Batch], None]:
    """The loop that a careful person writes by hand for one model on one device, as a function of a batch."""
    trainer = trainer.to(runtime.device, runtime.dtype)
    phases = trainer.phases()
    parameters = {phase.name: phase.parameters() for phase in phases}
    numbers = count()
    half = recipe.train.precision == "bf16-mixed"

    def step(batch: Batch) -> None:
        number = next(numbers)
        for parameter in chain(*parameters.values()):
            parameter.requires_grad_(True)
        with torch.autocast(runtime.device.type, torch.bfloat16, enabled=half):
            carry = shared = trainer(batch)
        for phase in (phase for phase in phases if phase.when(number)):
            trainer.requires_grad_(False)
            for parameter in parameters[phase.name]:
                parameter.requires_grad_(True)

            def gradients(phase: Phase = phase, carry: Carry = carry) -> Any:
                for optimizer in phase.stepped:
                    optimizer.zero_grad()
                with torch.autocast(runtime.device.type, torch.bfloat16, enabled=half):
                    loss = torch.stack(list(phase.loss(batch, carry).values())).sum()
                loss.backward()
                return loss

            first, *others = phase.stepped
            first.step(gradients)  # L-BFGS asks for them several times
            for optimizer in others:
                optimizer.step()
            carry = tree_map_only(torch.Tensor, torch.Tensor.detach, carry) | shared

    return step


def _clock(work: Callable[[], Any], runtime: Runtime) -> float:
    """Seconds that the work takes, the device's part included."""
    synchronize = torch.cuda.synchronize if runtime.device.type == "cuda" else lambda: None
    synchronize()
    began = time.perf_counter()
    work()
    synchronize()
    return time.perf_counter() - began


def _timed(stream: Any, waits: list[float]) -> Any:
    began = time.perf_counter()
    for batch in stream:
        waits.append(time.perf_counter() - began)
        yield batch
        began = time.perf_counter()


def _time_phases(engine: Engine, runtime: Runtime) -> dict[str, list[float]]:
    """Has the engine note how long each phase takes."""
    spent: dict[str, list[float]] = {}
    plain = engine.run_phase

    def timed(phase: Phase, batch: Batch, carry: Carry) -> Terms:
        terms: Terms = {}
        seconds = _clock(lambda: terms.update(plain(phase, batch, carry)), runtime)
        spent.setdefault(phase.name, []).append(seconds)
        return terms

    engine.run_phase = timed  # type: ignore[method-assign]
    return spent
