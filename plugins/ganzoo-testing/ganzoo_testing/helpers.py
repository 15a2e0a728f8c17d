"""For the tests of models: a small engine that is ready to step, batches for it, and how far two networks are apart."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from ganzoo import recipe as recipes
from ganzoo.clock import Clock
from ganzoo.data.kinds import load_kind
from ganzoo.loop import Engine
from ganzoo.recipe import Recipe
from ganzoo.runtime import Runtime
from ganzoo.trainer import Batch, DataSpec, Trainer

SIZE, BATCH = 32, 2
LENGTH = 80  # images of a training: with `constant`, the rates of a few steps fall as those of a real one


def engine(
    model: str,
    options: Mapping[str, Any] | None = None,
    spec: DataSpec | None = None,
    *,
    size: int = SIZE,
    batch: int = BATCH,
    preset: str = "",
    **train: Any,
) -> Engine:
    """A small engine on the CPU, ready to step: `engine("sketchgan", {"width": 4}, precision="64")`.

    `options` are keys of the model's Config. `spec` is by default an example of the model's kind of data, with images
    of `size` x `size` pixels. `train` are keys of the recipe's table, which says `images = 80` if nothing else.
    """
    return build(parsed(model, options, spec.size if spec else size, batch, preset, **train), spec)


def trainer(
    model: str,
    options: Mapping[str, Any] | None = None,
    spec: DataSpec | None = None,
    *,
    size: int = SIZE,
    preset: str = "",
) -> Trainer:
    """The model alone, as `engine` has it, with random weights. Raises what its constructor raises."""
    recipe = parsed(model, options, spec.size if spec else size, preset=preset)
    return recipe.trainer(recipe.options, spec or load_kind(recipe.data_kind).example_spec(size))


def batch(engine: Engine, step: int = 0) -> Batch:
    """Random images, and labels, of the kind that the engine's model takes; the same for the same step.

    In a group of processes: this one's rows.
    """
    kind = load_kind(engine.trainer.choose_data_kind(engine.trainer.config))
    rows = kind.example(engine.trainer.spec, step, engine.clock.batch)
    return engine.runtime.to_device({key: engine.clock.local_rows(value) for key, value in rows.items()})


def difference(a: nn.Module | Mapping[str, Tensor], b: nn.Module | Mapping[str, Tensor]) -> float:
    """The largest difference of any number in two networks or their states, parameters and buffers alike.

    It is infinite where one is not a number. Raises ValueError if they do not hold the same names.
    """
    ours, theirs = (dict(x.state_dict() if isinstance(x, nn.Module) else x) for x in (a, b))
    if ours.keys() != theirs.keys():
        raise ValueError(f"only one of them has: {', '.join(sorted(ours.keys() ^ theirs.keys()))}")
    apart = [(ours[key].double() - theirs[key].double()).abs() for key in ours if ours[key].numel()]
    return max((x.nan_to_num(torch.inf, torch.inf).max().item() for x in apart), default=0.0)


def parsed(
    model: str, options: Mapping[str, Any] | None, size: int, batch: int = BATCH, preset: str = "", **train: Any
) -> Recipe:
    """The recipe of a small training on a CPU."""
    tables = {
        "model": model,
        "preset": preset,
        "data": {"source": "none", "size": size, "batch": batch},
        "options": dict(options or {}),
        "train": {"images": LENGTH, "device": "cpu"} | train,
    }
    return recipes.parse(tables)


def build(recipe: Recipe, spec: DataSpec | None = None) -> Engine:
    """A fresh engine with the recipe's seed, in the group of processes that this one belongs to."""
    runtime = Runtime(recipe.train, recipe.data.batch)
    runtime.launch()
    torch.manual_seed(recipe.train.seed)
    spec = spec or load_kind(recipe.data_kind).example_spec(recipe.data.size)
    clock = Clock(recipe.train.seed, recipe.data.batch, runtime.rank, runtime.world)
    return Engine(recipe.trainer(recipe.options, spec), recipe.train, runtime, clock)
