"""The conformance test: what every model must do to get resume, devices, reports and translation from the engine.

In a plugin's tests, one line: `check_model("sketchgan", width=8)`.
"""

import copy
import tomllib
from typing import Any

import torch
from torch import Tensor, nn

from ganzoo import recipe as recipes
from ganzoo.attributes import targets
from ganzoo.clock import Clock
from ganzoo.loop import Engine, Tick
from ganzoo.recipe import Recipe
from ganzoo.runtime import Runtime
from ganzoo.trainer import KINDS, Batch, DataSpec

SIZE, BATCH, STEPS = 32, 2, 12


class ConformanceError(AssertionError):
    """A model that breaks the contract: what was expected, what was found, where to look."""


def check_model(name: str, size: int = SIZE, domains: tuple[str, ...] = (), **options: Any) -> None:
    """Puts a registered model through its paces on random pictures, small and on the CPU. Raises ConformanceError.

    `options` make it small: they are keys of the model's Config. `size`: side of the pictures in pixels.
    """
    recipe = _recipe(name, size, options)
    if recipe.kind not in KINDS:
        raise _wrong(name, "data", f'a kind of data; it is "{recipe.kind}"')
    if not domains:
        domains = ("left", "right", "middle") if recipe.kind == "domains" else ("left", "right")
    if recipe.kind in ("labelled", "images"):
        domains = ("image",)
    labelled = {"labels": ("black", "blond", "smiling"), "groups": (("black", "blond"),)}
    spec = DataSpec(domains, dict.fromkeys(domains, 3), size, **labelled if recipe.kind == "labelled" else {})
    _check_config(name, recipe)
    _check_phases(name, recipe, spec)
    _check_all_learn(name, recipe, spec)
    _check_translate(name, recipe, spec)
    _check_generate(name, recipe, spec)
    _check_resume(name, recipe, spec)


def build(recipe: Recipe, spec: DataSpec) -> Engine:
    """A fresh engine on the CPU, with the recipe's seed."""
    torch.manual_seed(recipe.train.seed)
    clock = Clock(recipe.train.seed, recipe.data.batch)
    return Engine(recipe.trainer(recipe.options, spec), recipe.train, Runtime(recipe.train, recipe.data.batch), clock)


def random_batch(spec: DataSpec, step: int, count: int = BATCH) -> Batch:
    """Smooth random pictures, and labels where the data has them; the same for the same step."""
    generator = torch.Generator().manual_seed(step)

    def pictures(channels: int) -> Tensor:
        coarse = torch.randn(count, channels, 4, 4, generator=generator)
        return nn.functional.interpolate(coarse, size=(spec.size, spec.size), mode="bilinear").clamp(-1, 1)

    batch = {domain: pictures(spec.channels[domain]) for domain in spec.domains}
    if spec.labels:
        batch["label"] = labels = torch.randint(2, (count, len(spec.labels)), generator=generator).float()
        for group in spec.groups:
            columns = [spec.labels.index(name) for name in group]
            one = torch.randint(len(group), (count,), generator=generator)
            labels[:, columns] = nn.functional.one_hot(one, len(group)).float()
    return batch


def two_domains(batch: Batch, step: int) -> Batch:
    """Two of the batch's domains, the same for the same step: what data of the kind "domains" looks like."""
    places = torch.randperm(len(batch), generator=torch.Generator().manual_seed(step))[:2].tolist()
    return {domain: batch[domain] for domain in (list(batch)[place] for place in places)}


def _recipe(name: str, size: int, options: dict[str, Any]) -> Recipe:
    tables = {
        "model": name,
        "data": {"source": "none", "size": size, "batch": BATCH},
        "options": options,
        "train": {"images": 10 * BATCH * STEPS, "device": "cpu"},
    }
    return recipes.parse(tables)


def _check_config(name: str, recipe: Recipe) -> None:
    again = recipes.parse(tomllib.loads(recipe.to_toml()))
    if again.options != recipe.options:
        raise _wrong(name, "Config", "options that survive being written as TOML and read again")
    recipe.trainer.Config.model_json_schema()
    for option, field in recipe.trainer.Config.model_fields.items():
        if not field.description:
            raise _wrong(name, f"Config.{option}", "a string under the field that says what it means")


def _check_phases(name: str, recipe: Recipe, spec: DataSpec) -> None:
    """Each phase gives finite named scalars and moves only its own parameters."""
    engine = build(recipe, spec)
    names = [phase.name for phase in engine.phases]
    if not names or len(set(names)) != len(names):
        raise _wrong(name, "phases()", f"at least one phase, each with its own name; it gives {names}")
    everything = dict(engine.trainer.named_parameters())
    known = {id(parameter) for parameter in everything.values()}
    plain = engine.run_phase

    def watched(phase: Any, batch: Batch, carry: Any) -> Any:
        before = {key: value.detach().clone() for key, value in everything.items()}
        terms = plain(phase, batch, carry)
        own = {id(p) for group in phase.optimizer.param_groups for p in group["params"]}
        if own - known:
            raise _wrong(
                name,
                f'phase "{phase.name}"',
                "an optimizer of registered parameters only: keep networks as "
                "attributes or in an nn.ModuleDict, not in a plain list or dict",
            )
        for key, value in everything.items():
            if id(value) not in own and not torch.equal(value, before[key]):
                raise _wrong(name, f'phase "{phase.name}"', f"only its own parameters to move, but {key} moved")
        for term, value in terms.items():
            if value.ndim or not value.isfinite():
                raise _wrong(name, f'phase "{phase.name}", term "{term}"', f"a finite scalar; it is {value}")
        return terms

    engine.run_phase = watched
    _run(name, engine, spec, 0, STEPS)


def _check_all_learn(name: str, recipe: Recipe, spec: DataSpec) -> None:
    """No trainable parameter is left out."""
    engine = build(recipe, spec)
    left_out = dict(engine.trainer.named_parameters())
    for step in range(STEPS):
        _run(name, engine, spec, step, step + 1)
        left_out = {key: value for key, value in left_out.items() if value.grad is None}
    for key in left_out:
        raise _wrong(name, key, "every parameter to be trained by some phase; this one never got a gradient")


def _check_translate(name: str, recipe: Recipe, spec: DataSpec) -> None:
    """`translate` keeps the pictures' shape and range, and changes nothing."""
    engine = build(recipe, spec)
    trainer = engine.trainer
    before = copy.deepcopy(trainer.state_dict())
    batch = random_batch(spec, 0)
    for source, target in trainer.directions():
        with trainer.inference():
            torch.manual_seed(0)
            made = trainer.translate(batch[source], source, target)
            torch.manual_seed(0)
            again = trainer.translate(batch[source], source, target)
        where = f"translate({source} to {target})"
        expected = (len(batch[source]), spec.channels.get(target, spec.channels[source]), *batch[source].shape[2:])
        if tuple(made.shape) != expected:
            raise _wrong(name, where, f"pictures of shape {expected}; they are {tuple(made.shape)}")
        if not made.isfinite().all() or made.abs().max() > 1 + 1e-4:
            raise _wrong(name, where, f"values in [-1, 1]; the largest is {made.abs().max():.3g}: end with a tanh")
        if not torch.equal(made, again):
            raise _wrong(name, where, "the same pictures for the same random seed")
    for key, value in trainer.state_dict().items():
        if not torch.equal(value, before[key]):
            raise _wrong(name, "translate", f"no lasting change, but {key} changed")


def _check_generate(name: str, recipe: Recipe, spec: DataSpec) -> None:
    """A model that translates nothing makes pictures: of the right shape and range, by torch's dice alone."""
    trainer = build(recipe, spec).trainer
    if trainer.directions():
        return
    shape, dice = (3, spec.channels[spec.domains[0]], spec.size, spec.size), trainer.clock.shared.get_state()
    for label in (None, *(targets(spec) if recipe.kind == "labelled" else ())):
        with trainer.inference():
            torch.manual_seed(0)
            made = trainer.generate(3, label)
            torch.manual_seed(0)
            again = trainer.generate(3, label)
        where = f"generate(3, {label})"
        if tuple(made.shape) != shape:
            raise _wrong(name, where, f"pictures of shape {shape}; they are {tuple(made.shape)}")
        if not made.isfinite().all() or made.abs().max() > 1 + 1e-4:
            raise _wrong(name, where, f"values in [-1, 1]; the largest is {made.abs().max():.3g}: end with a tanh")
        if not torch.equal(made, again):
            raise _wrong(name, where, "the same pictures for the same random seed")
    if not torch.equal(trainer.clock.shared.get_state(), dice):
        raise _wrong(name, "generate", "draws from torch's own dice: those of self.clock belong to the training")


def _check_resume(name: str, recipe: Recipe, spec: DataSpec) -> None:
    """Going on from a saved state gives, to the bit, what never stopping gives."""
    straight = build(recipe, spec)
    _run(name, straight, spec, 0, STEPS // 2)
    saved = copy.deepcopy((straight.trainer.state_dict(), straight.state_dict(), straight.clock.images))
    _run(name, straight, spec, STEPS // 2, STEPS)
    torch.manual_seed(12345)  # nothing may depend on the random state that the process happens to have
    resumed = build(recipe, spec)
    resumed.trainer.load_state_dict(saved[0])
    resumed.load_state_dict(saved[1])
    resumed.clock.set(saved[2])
    _run(name, resumed, spec, STEPS // 2, STEPS)
    for key, value in straight.trainer.state_dict().items():
        if not torch.equal(value, resumed.trainer.state_dict()[key]):
            raise _wrong(
                name,
                key,
                "the same weights, to the bit, after going on from a checkpoint. State must live in "
                "parameters, buffers, or things with a state_dict; randomness must come from self.clock or torch",
            )


def _run(name: str, engine: Engine, spec: DataSpec, start: int, stop: int) -> list[Tick]:
    ticks = []
    for step in range(start, stop):
        try:
            kind = engine.trainer.kind(engine.trainer.config)
            batch = random_batch(spec, 0 if kind == "still" else step)
            if kind == "domains":
                batch = two_domains(batch, step)
            ticks.append(engine.step(batch))
        except RuntimeError as error:
            raise _wrong(name, f"step {step}", f"a step without errors; it gives: {error}") from error
    return ticks


def _wrong(name: str, where: str, expected: str) -> ConformanceError:
    return ConformanceError(f'model "{name}", {where}: expected {expected}.')
