"""The conformance test: what every model must do to get resume, devices, reports and translation from the engine.

In a plugin's tests, one line: `check_model("sketchgan", width=8)`, for a data source `check_source("scans")`, for a
metric `check_metric("ms-ssim")`.
"""

import copy
import multiprocessing
import os
import socket
import subprocess
import sys
import tempfile
import tomllib
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from ganzoo import checkpoint
from ganzoo import recipe as recipes
from ganzoo.attributes import all_targets
from ganzoo.clock import Clock
from ganzoo.data.kinds import load_kind, random_batch
from ganzoo.export import Direction, exported, steady
from ganzoo.loop import Engine
from ganzoo.recipe import Recipe
from ganzoo.registry import FILES, registry
from ganzoo.runtime import Runtime
from ganzoo.testing.metric import check_metric as check_metric
from ganzoo.testing.report import ConformanceError
from ganzoo.testing.source import check_source as check_source
from ganzoo.trainer import Batch, Carry, DataSpec, Phase, Terms

SIZE, BATCH, STEPS = 32, 2, 12
SERVERS = [method for method in ("forkserver", "spawn") if method in multiprocessing.get_all_start_methods()]


def check_model(
    name: str, size: int = SIZE, domains: tuple[str, ...] = (), overlapping: bool = False, **options: Any
) -> None:
    """Puts a registered model through its paces on random images, small and on the CPU. Raises ConformanceError.

    `options` make it small: they are keys of the model's Config. `size`: side of the images in pixels. `overlapping`
    says that the model means to train some parameters in more than one phase. Two more processes are started: call it
    from a test, or below `if __name__ == "__main__":`.
    """
    _check_light(name)
    recipe = _recipe(name, size, options)
    if not registry().matches("kind", recipe.data_kind):
        raise _wrong(name, "data_kind", f'a registered kind of data; it is "{recipe.data_kind}"')
    spec = load_kind(recipe.data_kind).example_spec(size)
    if domains:
        spec = replace(spec, domains=domains, channels=dict.fromkeys(domains, 3))
    _check_config(name, recipe)
    _check_owners(name, recipe, spec, overlapping)
    _check_phases(name, recipe, spec)
    _check_all_learn(name, recipe, spec)
    _check_translate(name, recipe, spec)
    _check_generate(name, recipe, spec)
    _check_resume(name, recipe, spec)
    _check_bf16(name, recipe, spec)
    _check_processes(name, recipe, spec)
    _check_export(name, recipe, spec)


def build(recipe: Recipe, spec: DataSpec) -> Engine:
    """A fresh engine on the CPU, with the recipe's seed."""
    runtime = Runtime(recipe.train, recipe.data.batch)
    runtime.launch()
    torch.manual_seed(recipe.train.seed)
    clock = Clock(recipe.train.seed, recipe.data.batch, runtime.rank, runtime.world)
    return Engine(recipe.trainer(recipe.options, spec), recipe.train, runtime, clock)


def _recipe(name: str, size: int, options: dict[str, Any]) -> Recipe:
    tables = {
        "model": name,
        "data": {"source": "none", "size": size, "batch": BATCH},
        "options": options,
        "train": {"images": 10 * BATCH * STEPS, "device": "cpu"},
    }
    return recipes.parse(tables)


def _check_light(name: str) -> None:
    """Importing the plugin's package, as `ganzoo list` does, imports no torch."""
    package, dot, _ = registry().find("model", name).target.partition(":")[0].partition(".")
    if not dot:  # a single file, for work that is not installed
        return
    code = f"import sys, {package}; sys.exit('torch' in sys.modules)"
    env = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    if subprocess.run([sys.executable, "-c", code], env=env, check=False).returncode:
        raise _wrong(
            name,
            f"package {package}",
            "an __init__.py that imports no torch, because every `ganzoo` command "
            "reads it; this one does: import what needs torch in the model's module only",
        )


def _check_config(name: str, recipe: Recipe) -> None:
    """Every option says what it means and survives TOML and JSON; the JSON Schema can be written."""
    config = recipe.trainer.Config
    for option, field in config.model_fields.items():
        if not field.description:
            raise _wrong(name, f"Config.{option}", "a string under the field that says what it means")
    config.model_json_schema()
    toml = recipes.parse(tomllib.loads(recipe.to_toml())).options
    json = config.model_validate_json(recipe.options.model_dump_json())
    for kind, again in (("TOML", toml), ("JSON", json)):
        for option in config.model_fields:
            before, after = getattr(recipe.options, option), getattr(again, option)
            if before != after:
                expected = f"a value that survives being written as {kind} and read again; {before!r} became {after!r}"
                raise _wrong(name, f"Config.{option}", expected)


def _check_owners(name: str, recipe: Recipe, spec: DataSpec, overlapping: bool) -> None:
    """Optimizers hold registered parameters, each of them in one phase."""
    engine = build(recipe, spec)
    names = [phase.name for phase in engine.phases]
    if not names or len(set(names)) != len(names):
        raise _wrong(name, "phases()", f"at least one phase, each with its own name; it gives {names}")
    known = {id(parameter): key for key, parameter in engine.trainer.named_parameters()}
    owners: dict[int, str] = {}
    for phase in engine.phases:
        for own in map(id, phase.parameters()):
            if own not in known:
                raise _wrong(
                    name,
                    f'phase "{phase.name}"',
                    "an optimizer of registered parameters only: keep networks as "
                    "attributes or in an nn.ModuleDict, not in a plain list or dict",
                )
            if own in owners and not overlapping:
                raise _wrong(
                    name,
                    known[own],
                    f'every parameter to be trained by one phase; both "{owners[own]}" and "{phase.name}" move it, so '
                    "one undoes the other's work. If that is meant, say check_model(..., overlapping=True)",
                )
            owners[own] = phase.name


def _check_phases(name: str, recipe: Recipe, spec: DataSpec) -> None:
    """Each phase gives finite named scalars and moves only its own parameters."""
    engine = build(recipe, spec)
    everything = dict(engine.trainer.named_parameters())
    plain = engine.run_phase

    def watched(phase: Phase, batch: Batch, carry: Carry) -> Terms:
        def loss(batch: Batch, carry: Carry) -> Terms:
            terms = phase.loss(batch, carry)
            for term, value in terms.items():
                where = f'phase "{phase.name}", term "{term}"'
                if not isinstance(value, Tensor) or value.ndim:
                    found = f"of shape {tuple(value.shape)}" if isinstance(value, Tensor) else repr(value)
                    raise _wrong(name, where, f"a scalar tensor, so a mean or a sum; it is {found}")
                if not value.isfinite():
                    raise _wrong(name, where, f"a finite number; it is {value.item()}")
            return terms

        before = {key: value.detach().clone() for key, value in everything.items()}
        terms = plain(replace(phase, loss=loss), batch, carry)
        own = set(map(id, phase.parameters()))
        for key, value in everything.items():
            if id(value) not in own and not torch.equal(value, before[key]):
                raise _wrong(name, f'phase "{phase.name}"', f"only its own parameters to move, but {key} moved")
        return terms

    engine.run_phase = watched
    _run(name, engine, spec, 0, STEPS)


def _check_all_learn(name: str, recipe: Recipe, spec: DataSpec) -> None:
    """No trainable parameter is left out."""
    engine = build(recipe, spec)
    left_out = dict(engine.trainer.named_parameters())
    plain = engine.run_phase

    def watched(phase: Phase, batch: Batch, carry: Carry) -> Terms:
        terms = plain(phase, batch, carry)
        for key in [key for key, value in left_out.items() if value.grad is not None]:
            del left_out[key]
        return terms

    engine.run_phase = watched
    _run(name, engine, spec, 0, STEPS)
    for key in left_out:
        raise _wrong(name, key, "every parameter to be trained by some phase; this one never got a gradient")


def _check_translate(name: str, recipe: Recipe, spec: DataSpec) -> None:
    """`translate` keeps the images' shape and range, changes nothing, and gives each domain images of its own."""
    engine = build(recipe, spec)
    trainer = engine.trainer
    before = copy.deepcopy(trainer.state_dict())
    batch = random_batch(spec, 0)
    found: dict[str, dict[str, Tensor]] = {}
    for source, target in trainer.directions():
        where = f"translate({source} to {target})"
        with trainer.inference():
            torch.manual_seed(0)
            made = trainer.translate_with(batch[source], source, target)
            torch.manual_seed(0)
            again = trainer.translate_with(batch[source], source, target)
        for key, value in trainer.state_dict().items():
            if not torch.equal(value, before[key]):
                raise _wrong(name, where, f"no lasting change, but {key} changed")
        expected = (len(batch[source]), spec.channels.get(target, spec.channels[source]), *batch[source].shape[2:])
        _check_images(name, where, made, again, expected)
        for other, images in found.setdefault(source, {}).items():
            if torch.allclose(made, images, atol=1e-5) and not spec.labels:
                raise _wrong(
                    name,
                    where,
                    f"other images than {source} to {other} gives; they are the same, so nothing tells the networks "
                    "where to go (a constant plane beside the image does not survive an instance norm)",
                )
        found[source][target] = made


def _check_generate(name: str, recipe: Recipe, spec: DataSpec) -> None:
    """A model that translates nothing makes images: of the right shape and range, by torch's dice alone."""
    trainer = build(recipe, spec).trainer
    if trainer.directions():
        return
    shape, rng = (3, spec.channels[spec.domains[0]], spec.size, spec.size), trainer.clock.shared.get_state()
    for label in (None, *all_targets(spec)):
        with trainer.inference():
            torch.manual_seed(0)
            made = trainer.generate(3, label)
            torch.manual_seed(0)
            again = trainer.generate(3, label)
        _check_images(name, f"generate(3, {label})", made, again, shape)
    if not torch.equal(trainer.clock.shared.get_state(), rng):
        raise _wrong(name, "generate", "draws from torch's own dice: those of self.clock belong to the training")


def _check_images(name: str, where: str, made: Tensor, again: Tensor, shape: tuple[int, ...]) -> None:
    if tuple(made.shape) != shape:
        raise _wrong(name, where, f"images of shape {shape}; they are {tuple(made.shape)}")
    if not made.isfinite().all() or made.abs().max() > 1 + 1e-4:
        raise _wrong(name, where, f"values in [-1, 1]; the largest is {made.abs().max():.3g}: end with a tanh")
    if not torch.equal(made, again):
        raise _wrong(name, where, "the same images for the same random seed")


def _check_resume(name: str, recipe: Recipe, spec: DataSpec) -> None:
    """A checkpoint gives back what was saved, and going on from it gives, to the bit, what never stopping gives."""
    straight = build(recipe, spec)
    _run(name, straight, spec, 0, STEPS // 2)
    images, weights = straight.clock.images, copy.deepcopy(straight.trainer.state_dict())
    torch.manual_seed(12345)  # nothing may depend on the random state that the process happens to have
    resumed = build(recipe, spec)
    with tempfile.TemporaryDirectory() as folder:
        try:
            saved = checkpoint.save(Path(folder) / "checkpoint", weights, straight.state_dict(), {})
            resumed.trainer.load_state_dict(checkpoint.load_networks(saved)[0])
            resumed.load_state_dict(checkpoint.load_state(saved))
        except Exception as error:
            expected = f"a state that can be saved and loaded; it gives {type(error).__name__}: {error}"
            raise _wrong(name, "checkpoint", expected) from error
    for key, value in resumed.trainer.state_dict().items():
        if not torch.equal(value, weights[key]):
            raise _wrong(name, key, "the weights that were saved, after loading")
    resumed.clock.set(images)
    for engine in (straight, resumed):
        _run(name, engine, spec, STEPS // 2, STEPS)
    for key, value in straight.trainer.state_dict().items():
        if not torch.equal(value, resumed.trainer.state_dict()[key]):
            raise _wrong(
                name,
                key,
                "the same weights, to the bit, after going on from a checkpoint; something is not in the checkpoint. "
                "State must live in parameters, buffers, or things with a state_dict; randomness must come from "
                "self.clock or torch, not from Python or numpy",
            )


def _check_bf16(name: str, recipe: Recipe, spec: DataSpec) -> None:
    """Trains under `train.precision = "bf16-mixed"`, to finite weights."""
    engine = build(_varied(recipe, precision="bf16-mixed"), spec)
    _run(name, engine, spec, 0, 3, ' under train.precision = "bf16-mixed"')
    for key, value in engine.trainer.state_dict().items():
        if not value.isfinite().all():
            raise _wrong(name, key, 'finite weights under train.precision = "bf16-mixed"')


def _check_processes(name: str, recipe: Recipe, spec: DataSpec) -> None:
    """Two processes that share a batch give the weights of one, in float64 and without dropout."""
    one = build(_varied(recipe, precision="64"), spec)
    _share(name, one, spec)
    two = _varied(recipe, precision="64", devices=2).to_toml()
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    context = multiprocessing.get_context(SERVERS[0])
    if SERVERS[0] == "forkserver":
        context.set_forkserver_preload(["ganzoo.run", "ganzoo.testing"])
    with tempfile.TemporaryDirectory() as folder:
        facts = (name, two, spec, list(FILES), port, Path(folder))
        parts = [context.Process(target=_part, args=(rank, *facts)) for rank in (0, 1)]
        for part in parts:
            part.start()
        for part in parts:
            part.join()
        failures = sorted(Path(folder).glob("*.txt"))
        if failures or any(part.exitcode for part in parts):
            reason = failures[0].read_text(encoding="utf-8") if failures else f"exit code {parts[0].exitcode}"
            raise _wrong(name, "two processes", f"training without errors; it gives: {reason}")
        shared = load_file(Path(folder) / "weights.safetensors")
    for key, value in one.trainer.state_dict().items():
        apart = (value.double() - shared[key].double()).abs().max().item() if value.numel() else 0.0
        if not apart <= 1e-7 * max(1.0, value.double().abs().max().item()):
            raise _wrong(
                name,
                key,
                f"the same weights when two processes share the batch; they are {apart:.2g} apart. Draw with "
                "self.clock.rand and randn, compute statistics over the batch with ganzoo.clock.everywhere, shuffle "
                "self.clock.gather(rows), use ganzoo's BatchNorm, and let losses be means over the images",
            )


def _check_export(name: str, recipe: Recipe, spec: DataSpec) -> None:
    """`translate` is exported by torch.export, to a program that makes the same images of any number of them."""
    trainer = build(recipe, spec).trainer
    for source, target in trainer.directions()[:1]:
        where, images = f"export({source} to {target})", random_batch(spec, 0, 3)[source]
        part = Direction(trainer, source, target)
        inputs = part.inputs(images).values()
        try:
            program = exported(part, images[:2])
        except Exception as error:
            reason = (str(error).strip() or type(error).__name__).splitlines()[0]
            expected = (
                "a translate that torch.export can follow, so one that does the same whatever the images show and "
                "however many there are (images.shape[0], not len(images))"
            )
            raise _wrong(name, where, f"{expected}; it gives {type(error).__name__}: {reason}") from error
        with steady(trainer):
            apart = (program.module()(*inputs) - part(*inputs)).abs().max().item()
        if not apart <= 1e-4:
            raise _wrong(name, where, f"the images of translate; they are {apart:.2g} apart")


def _part(rank: int, name: str, toml: str, spec: DataSpec, files: list[Path], port: int, folder: Path) -> None:
    """One of the two processes that share a batch."""
    os.environ |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port), "WORLD_SIZE": "2", "LOCAL_RANK": str(rank)}
    torch.set_num_threads(1)
    FILES[:] = files
    try:
        engine = build(recipes.parse(tomllib.loads(toml)), spec)
        _share(name, engine, spec)
        if rank == 0:
            weights = {key: value.clone().contiguous() for key, value in engine.trainer.state_dict().items()}
            save_file(weights, folder / "weights.safetensors")
        engine.runtime.close()
    except Exception as error:
        (folder / f"{rank}.txt").write_text(f"{type(error).__name__}: {error}", encoding="utf-8")
        raise SystemExit(1) from None


def _share(name: str, engine: Engine, spec: DataSpec) -> None:
    """Some steps on this process's part of the batches, without dropout, and with no Adam that enlarges rounding."""
    for group in (group for optimizer in engine.optimizers for group in optimizer.param_groups if "eps" in group):
        group["eps"] = 1e-3  # usually 1e-8: a gradient that is rounding alone would move its weight by the whole lr
    for module in engine.trainer.modules():
        if isinstance(module, nn.modules.dropout._DropoutNd):
            module.p = 0.0
    _run(name, engine, spec, 0, STEPS // 2)


def _varied(recipe: Recipe, **train: Any) -> Recipe:
    """The same model with other settings of the training."""
    return replace(recipe, train=recipe.train.model_copy(update=train))


def _run(name: str, engine: Engine, spec: DataSpec, start: int, stop: int, how: str = "") -> None:
    for step in range(start, stop):
        try:
            kind = load_kind(engine.trainer.choose_data_kind(engine.trainer.config))
            batch = kind.example(spec, step, BATCH)
            batch = {key: engine.clock.local_rows(rows) for key, rows in batch.items()}
            engine.step(engine.runtime.to_device(batch))
        except ConformanceError:
            raise
        except Exception as error:
            found = f"{type(error).__name__}: {error}"
            if "backward through the graph a second time" in found:
                found += " Leave tensors for later phases in `carry`, not in an attribute: the engine detaches it"
            raise _wrong(name, f"step {step}{how}", f"a step without errors; it gives {found}") from error


def _wrong(name: str, where: str, expected: str) -> ConformanceError:
    return ConformanceError(f'model "{name}", {where}: expected {expected}.')
