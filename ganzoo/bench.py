"""How fast a recipe trains beside a bare loop of torch, where the time goes, and what fits."""

import gc
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from statistics import median
from threading import Event, Thread
from typing import Any

import psutil
import torch
from pydantic import BaseModel, ConfigDict
from torch.optim import LBFGS
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_map_only
from torch.utils.flop_counter import FlopCounterMode

from ganzoo.clock import Clock
from ganzoo.cores import Cores
from ganzoo.data.dataset import Dataset
from ganzoo.data.kinds import load_kind
from ganzoo.data.loader import batches
from ganzoo.errors import GanzooError
from ganzoo.loop import Engine, Means
from ganzoo.recipe import Recipe
from ganzoo.runtime import Runtime, settled_precision, threads_of
from ganzoo.trainer import Batch, Phase, Terms

WARM_UP = 2  # steps that are not counted
SEEN = 2**26  # bytes by which the memory must grow: less drowns in what is kept for later


class Fit(BaseModel):
    """What fits in the memory that is free, estimated from how its use grows with the batch."""

    model_config = ConfigDict(extra="forbid", strict=True)

    batch: int
    """the largest one at the recipe's size"""
    size: int | None
    """the largest one at the recipe's batch, pixels; None: this model has a fixed size"""
    free_gb: float
    """GiB that the training may use"""


class Measured(BaseModel):
    """What `bench` found. Seconds and operators are means over the steps, each kind of step counted at its median."""

    model_config = ConfigDict(extra="forbid", strict=True)

    recipe: str
    size: int
    batch: int
    precision: str
    device: str
    threads: int
    steps: int
    images_per_s: float
    seconds_per_step: float
    seconds: dict[str, float]
    """of a step, for data and for each phase"""
    bare_seconds: float
    """a step of the bare loop"""
    operators: float
    bare_operators: float
    memory_gb: float
    """GiB at most"""
    tflops_per_s: float
    fit: Fit | None = None


def bench(
    recipe: Recipe,
    dataset: Dataset,
    steps: int,
    progress: Callable[[int, int], None] = lambda done, total: None,
    say: Callable[[str], None] = lambda text: None,
    fit: bool = False,
) -> Measured:
    """Trains a few steps as a run of one process does, with its data and the means of its terms.

    A bare loop takes turns with it, step by step: the same networks and losses on the same batch, driven by torch
    alone. `fit`: says what fits, too, which takes a few larger steps. `say` is told of threads given up.
    """
    cores = Cores()
    recipe = replace(recipe, train=recipe.train.model_copy(update={"devices": 1, "nodes": 1}))
    runtime = Runtime(recipe.train, recipe.data.batch)
    runtime.check_room(recipe.data, dataset.spec)
    with threads_of(runtime.settled_threads(recipe.train.threads, cores, say)):
        measured = _measured(recipe, dataset, runtime, steps, progress)
        return measured.model_copy(update={"fit": _fit(recipe, dataset, runtime)}) if fit else measured


def _measured(
    recipe: Recipe, dataset: Dataset, runtime: Runtime, steps: int, progress: Callable[[int, int], None]
) -> Measured:
    torch.manual_seed(recipe.train.seed)
    trainer = recipe.trainer(recipe.options, dataset.spec)
    engine, means = Engine(trainer, recipe.train, runtime, Clock(recipe.train.seed, recipe.data.batch)), Means()
    on_gpu, clock = runtime.device.type == "cuda", engine.clock
    seconds: dict[str, list[float]] = defaultdict(list)

    @contextmanager
    def timed(name: str) -> Iterator[None]:
        began = _now(on_gpu)
        yield
        seconds[name].append(_now(on_gpu) - began)

    def run_phase(phase: Phase, *given: Any) -> Terms:
        with timed(phase.name):
            return Engine.run_phase(engine, phase, *given)

    if recipe.train.compile != "graph":  # which is waited for as a whole
        vars(engine)["run_phase"] = run_phase
    samples, total = dataset.for_model(trainer).training_samples(recipe.train.seed), WARM_UP + steps
    stream = iter(batches(samples, clock, 2 * total * recipe.data.batch, pin=on_gpu))
    kinds: Counter[str] = Counter()  # of steps, by their phases
    example: dict[str, int] = {}  # one of each kind: images seen
    for done in range(1, total + 1):
        seen, kind = clock.images, " ".join(phase.name for phase in engine.phases if phase.when(clock.step))
        if done == WARM_UP + 1:
            seconds.clear()
        if done > WARM_UP:
            kinds[kind], example[kind] = kinds[kind] + 1, seen
        with timed(f"engine {kind}"):
            with timed("data"):
                batch = next(stream)
            means.add(engine.step(batch))
        batch = runtime.to_device(next(stream))  # as many as are taken in a run while such a step is computed
        clock.set(seen)
        with timed(f"bare {kind}"):
            bare_step(engine, batch)
        clock.advance()
        progress(done, total)
    spent = {name: median(times) * len(times) / steps for name, times in seconds.items()}
    flops, operators = 0.0, {"engine": 0.0, "bare": 0.0}
    for kind, count in kinds.items():
        for name in operators:
            clock.set(example[kind])
            with (
                torch.compiler.set_stance("force_eager"),
                FlopCounterMode(display=False) as counted,
                Operators() as ops,
            ):
                means.add(engine.step(batch)) if name == "engine" else bare_step(engine, batch)
            operators[name] += ops.count * count / steps
        flops += counted.get_total_flops() * count / steps
    step, bare = (sum(spent.pop(f"{name} {kind}") for kind in kinds) for name in operators)
    return Measured(
        recipe=recipe.name,
        size=recipe.data.size,
        batch=recipe.data.batch,
        precision=settled_precision(recipe.train),
        device=str(runtime.device),
        threads=torch.get_num_threads(),
        steps=steps,
        images_per_s=recipe.data.batch / step,
        seconds_per_step=step,
        seconds=spent,
        bare_seconds=bare,
        operators=operators["engine"],
        bare_operators=operators["bare"],
        memory_gb=runtime.memory_gb(),
        tflops_per_s=flops / step / 1e12,
    )


def bare_step(engine: Engine, batch: Batch) -> None:
    """The updates of one step as a hand-written loop has them, on a batch that is on the device already.

    Losses, gradients and optimizers, under autocast where the recipe asks for it; no data, means, averages or checks.
    """
    trainer, kind = engine.trainer, engine.runtime.device.type
    reduced = {"bf16-mixed": torch.bfloat16, "16-mixed": torch.float16}.get(settled_precision(engine.train_options))
    for phase in engine.phases:
        for parameter in phase.parameters():
            parameter.requires_grad_(True)
    with torch.autocast(kind, reduced, enabled=reduced is not None):
        shared = trainer(batch)
    carry: dict[str, Any] = {}
    for phase in engine.phases:
        if not phase.when(engine.clock.step):
            continue
        seen = shared | carry
        trainer.requires_grad_(False)
        for parameter in phase.parameters():
            parameter.requires_grad_(True)

        def gradients(phase: Phase = phase, seen: dict[str, Any] = seen) -> torch.Tensor:
            for optimizer in phase.stepped:
                optimizer.zero_grad()
            with torch.autocast(kind, reduced, enabled=reduced is not None):
                terms = list(phase.loss(batch, seen).values())
            total = sum(terms[1:], terms[0])
            total.backward()  # type: ignore[no-untyped-call]
            return total

        if isinstance(phase.optimizers, LBFGS):
            phase.optimizers.step(gradients)
        else:
            gradients()
            for optimizer in phase.stepped:
                optimizer.step()
        left = {key: value for key, value in seen.items() if value is not shared.get(key)}
        carry = tree_map_only(torch.Tensor, torch.Tensor.detach, left)


class Operators(TorchDispatchMode):
    """Counts the operators that compute something: views are free."""

    def __init__(self) -> None:
        super().__init__()
        self.count = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        self.count += not func.is_view and func is not torch.ops.aten.detach.default
        return func(*args, **(kwargs or {}))


def _now(on_gpu: bool) -> float:
    """Seconds, once the device has done all that it was given."""
    if on_gpu:
        torch.cuda.synchronize()
    return time.perf_counter()


def _fit(recipe: Recipe, dataset: Dataset, runtime: Runtime) -> Fit:
    """Activations, which are most of it, grow with the pixels of a batch; the rest stays as it is."""
    batch, size, free = recipe.data.batch, recipe.data.size, _free(runtime)
    images, before, growth = batch, _peak(recipe, dataset, runtime, batch), 0.0
    while growth < SEEN:
        if 2 * before > free:
            raise GanzooError(
                f"A batch of {images} at {size} px takes {before / 2**30:.1f} of {free / 2**30:.1f} GiB, too much to "
                "measure how a larger one takes more. Lower data.size or data.batch, or leave out --fit."
            )
        now = _peak(recipe, dataset, runtime, 2 * images)
        images, before, growth = 2 * images, now, now - before
    largest = images + (free - before) / (2 * growth / images)
    trainer = recipe.trainer(recipe.options, dataset.spec)
    side = int(size * (largest / batch) ** 0.5 / trainer.multiple) * trainer.multiple
    return Fit(batch=int(largest), size=None if trainer.fixed_size else side, free_gb=free / 2**30)


def _peak(recipe: Recipe, dataset: Dataset, runtime: Runtime, images: int) -> int:
    """Bytes in use at most while batches of N images are trained on."""
    gc.collect()
    spec = dataset.spec
    engine = Engine(recipe.trainer(recipe.options, spec), recipe.train, runtime, Clock(recipe.train.seed, images))
    batch = load_kind(recipe.data_kind).example(spec, 0, images)
    engine.step(batch)  # in which optimizers make their state
    engine.clock.set(0)  # where every phase has its turn
    if runtime.device.type == "cuda":
        torch.cuda.reset_peak_memory_stats()
        engine.step(batch)
        return torch.cuda.max_memory_allocated()
    process, done = psutil.Process(), Event()
    seen = [process.memory_info().rss]

    def watch() -> None:
        while not done.wait(0.002):
            seen.append(process.memory_info().rss)

    watching = Thread(target=watch)
    watching.start()
    try:
        engine.step(batch)
    finally:
        done.set()
        watching.join()
    return max(seen)


def _free(runtime: Runtime) -> int:
    """Bytes that the training may use: what is free, and what this process has already."""
    if runtime.device.type == "cuda":
        return torch.cuda.mem_get_info()[0] + torch.cuda.memory_reserved()
    return psutil.virtual_memory().available + psutil.Process().memory_info().rss


def read(path: Path) -> Measured:
    """What `ganzoo bench --json` printed into a file. Raises GanzooError."""
    try:
        return Measured.model_validate_json(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        why = error.strerror if isinstance(error, OSError) else "it does not hold the figures of a measurement"
        raise GanzooError(
            f"{path} cannot be read: {why}. Write one with: ganzoo bench RECIPE --json > {path}"
        ) from error


def rows(*found: Measured) -> list[tuple[str, ...]]:
    """What is shown of one, or of two: name, value of each, and in the end the ratio of the second to the first."""
    tables = [_figures(one) for one in found]
    names = dict.fromkeys(name for table in tables for name in table)
    table = []
    for name in names:
        values = [one.get(name) for one in tables]
        cells = ["" if value is None else f"{value[0]:{value[1]}}" for value in values]
        if len(values) == 2:
            before, after = (value[0] if value else 0 for value in values)
            cells.append(f"{after / before:.2f}" if before and after else "")
        table.append((name, *cells))
    return table


def _figures(found: Measured) -> dict[str, tuple[float, str]]:
    """Name -> value, and the format in which it is shown."""
    step = found.seconds_per_step
    figures: dict[str, tuple[float, str]] = {
        "images/s": (found.images_per_s, ".2f"),
        "speed / bare loop's": (found.bare_seconds / step, ".3f"),
        "ms a step": (1000 * step, ".1f"),
    }
    for name, seconds in found.seconds.items():
        figures[f"  {name}, ms"] = (1000 * seconds, ".1f")
    figures |= {
        "wait for data, % of a step": (100 * found.seconds.get("data", 0) / step, ".2f"),
        "operators a step": (found.operators, ".0f"),
        "more than in a bare loop, %": (100 * (found.operators / found.bare_operators - 1), ".2f"),
        "memory at most, GiB": (found.memory_gb, ".2f"),
        "TFLOP/s": (found.tflops_per_s, ".3f"),
    }
    if found.fit:
        figures["largest batch at this size"] = (found.fit.batch, ".0f")
        if found.fit.size is not None:
            figures["largest size at this batch, px"] = (found.fit.size, ".0f")
    return figures
