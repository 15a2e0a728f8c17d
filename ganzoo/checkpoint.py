"""Checkpoints: written beside and renamed, safetensors and JSON only, so that none is ever half there or runs code.

RUN/checkpoints/000012000/   named by images seen
  networks.safetensors       weights, averaged weights as `ema.NAME`, and what is needed to use them as metadata
  training.safetensors       tensors of optimizers, pools and the like
  state.json                 the shape of that state and its plain values, and the sha256 of all three
"""

import hashlib
import json
import re
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict
from pathlib import Path
from textwrap import shorten
from typing import Annotated, Any, Literal

import safetensors.torch
import torch
from pydantic import (
    AfterValidator,
    BaseModel,
    Field,
    Json,
    NonNegativeInt,
    ValidationError,
    ValidationInfo,
    field_validator,
)
from safetensors import SafetensorError, safe_open
from torch import Tensor, nn
from torch.nn.modules.module import register_module_parameter_registration_hook
from torch.nn.parameter import is_lazy
from torch.utils._pytree import tree_leaves

from ganzoo.errors import GanzooError
from ganzoo.files import sync, unwritable
from ganzoo.recipe import Recipe
from ganzoo.registry import registry
from ganzoo.runfolder import RunFolder
from ganzoo.trainer import DataSpec, Trainer

NETWORKS, TRAINING, STATE = "networks.safetensors", "training.safetensors", "state.json"
EMA = "ema."  # before the names of averaged weights
SPARED = 2**27  # most parameters of the networks that a packed file does without


def _printable(name: str) -> str:
    if not name.isprintable():
        raise ValueError("it holds characters that cannot be shown")
    return name


Name = Annotated[str, Field(min_length=1, max_length=200), AfterValidator(_printable)]


class About(BaseModel):
    """What a file of weights says about itself: enough to use it anywhere the plugin is installed."""

    format: Literal["ganzoo 1"]
    model: Name
    distribution: Name
    version: Name
    recipe: str
    spec: Json[DataSpec]
    images: NonNegativeInt
    left_out: Json[list[Name]] = []
    """names of weights, or of all those below a name, that a packed file does without"""
    directions: Json[list[tuple[Name, Name]]] | None = None
    """the (source, target) pairs that its weights serve; None: all that the model has"""

    @field_validator("spec")
    @classmethod
    def _is_sound(cls, spec: DataSpec) -> DataSpec:
        grouped = {name for names in (*spec.groups, *spec.label_sets) for name in names}
        channels = spec.channels.values()
        if not spec.domains or spec.size < 1 or {*spec.channels} != {*spec.domains} or not {*channels} <= {1, 2, 3, 4}:
            raise ValueError("domains, channels and size are needed, and have to agree")
        if not grouped <= {*spec.labels}:
            raise ValueError("groups name labels that there are not")
        return spec

    @field_validator("directions")
    @classmethod
    def _are_of_its_domains(
        cls, directions: list[tuple[str, str]] | None, found: ValidationInfo
    ) -> list[tuple[str, str]] | None:
        named, spec = {name for direction in directions or () for name in direction}, found.data.get("spec")
        if directions is not None and spec and not (directions and named <= {*spec.domains}):
            raise ValueError("directions have to be between its domains")
        return directions


def save(final: Path, networks: dict[str, Tensor], state: dict[str, Any], about: dict[str, str]) -> Path:
    """Writes the checkpoint `final` beside and renames it; one that is there already stays as it is.

    `networks`: the weights, and averages of some of them as `ema.NAME`. Raises GanzooError if a weight is not finite,
    or if it cannot be written.
    """
    if final.is_dir() and not final.is_symlink():
        return final
    if ill := _not_finite(networks):
        raise GanzooError(f'The weights "{ill}" are no longer finite numbers.')
    beside = final.with_name(f".{final.name}")
    tensors: dict[str, Tensor] = {}
    layout = _flatten(state, tensors, "")
    unique, aliases = unshared(networks)
    facts = about | {"aliases": json.dumps(aliases)}
    try:
        _remove(beside)
        beside.mkdir(parents=True)
        sums = {
            NETWORKS: _write(beside / NETWORKS, safetensors.torch.save(unique, facts)),
            TRAINING: _write(beside / TRAINING, safetensors.torch.save(tensors)),
            STATE: _sha256_of(layout),
        }
        _write(beside / STATE, json.dumps({"sha256": sums, "state": layout}).encode())
        for file in (*beside.iterdir(), beside):
            sync(file)
        beside.rename(final)
        sync(final.parent)
    except OSError as error:
        with suppress(OSError):
            _remove(beside)
        raise unwritable(final, error) from error
    return final


def prune(run: RunFolder, keep: int, best: int | None = None) -> None:
    """Removes all checkpoints but the newest `keep` and the one at `best` images; and those half written when killed.

    Raises OSError in the end if some cannot be removed.
    """
    spared = None if best is None else run.checkpoint(best)
    half_written = [path for path in run.checkpoints_folder.glob(".*") if re.fullmatch(r"\.[0-9]{9,}", path.name)]
    problem: OSError | None = None
    for old in (*run.checkpoints()[:-keep], *half_written):
        try:
            if old != spared:
                _remove(old)
        except OSError as error:
            problem = error
    if problem:
        raise problem


def _remove(checkpoint: Path) -> None:
    """What `save` has written there, and nothing else. Raises OSError if that cannot be removed, or is not all."""
    if checkpoint.is_dir() and not checkpoint.is_symlink():
        for name in (NETWORKS, TRAINING, STATE):
            (checkpoint / name).unlink(missing_ok=True)
        checkpoint.rmdir()


def load_networks(path: Path, ema: bool = False) -> tuple[dict[str, Tensor], dict[str, str]]:
    """Weights by name and what the file says about itself, from a checkpoint folder or its networks file.

    `ema`: the averaged weights instead of the live ones, where there are such.
    """
    tensors, about = _read(file := networks_file(path))
    try:
        for name, original in json.loads(about.get("aliases", "{}")).items():
            tensors[name] = tensors[original]
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise unreadable(file, error) from error
    averaged = {name.removeprefix(EMA): tensors.pop(name) for name in list(tensors) if name.startswith(EMA)}
    return tensors | averaged if ema else tensors, about


def located(path: Path) -> Path:
    """The newest checkpoint of a run folder; anything else as it is. Raises GanzooError where there is nothing."""
    run = RunFolder(path)
    if run.checkpoints_folder.is_dir():
        latest = run.latest()
        if latest is None:
            raise GanzooError(f"{path} has no checkpoint yet: let it train a little longer.")
        return latest
    if not path.exists():
        raise GanzooError(f"There is no run {path}. `ganzoo run RECIPE` makes one.")
    if path.is_dir() and not (path / NETWORKS).exists():
        raise GanzooError(f"{path} is not a run folder: it has no checkpoints in it.")
    return path


def networks_file(path: Path) -> Path:
    """Of a checkpoint folder, or that file itself."""
    return path / NETWORKS if path.is_dir() else path


def read_about(path: Path) -> About:
    """What a checkpoint folder or its networks file says about itself. Raises GanzooError if it is not ganzoo's."""
    file = networks_file(path)
    try:
        with safe_open(file, framework="pt") as content:
            facts = content.metadata() or {}
    except (OSError, SafetensorError) as error:
        raise unreadable(file, error) from error
    if facts.get("format") != "ganzoo 1":
        raise GanzooError(f"{path} was not written by ganzoo, or by a version that this one does not know.")
    try:
        return About.model_validate(facts)
    except ValidationError as error:
        raise unsound(path, error) from error


def unsound(path: Path, error: Exception) -> GanzooError:
    """What to say of a file of weights that cannot be used."""
    return GanzooError(f"{path} is not a sound ganzoo file ({_why(error)}). Get it again from where it came from.")


@contextmanager
def no_larger_than(size: int, packed: bool = False) -> Iterator[None]:
    """Inside, networks can be built that have about as many parameters as a file of `size` bytes may hold.

    So whoever wrote the recipe in it cannot fill the memory, or the time until the weights are compared. `packed`: some
    networks are not in it.
    """
    left = 2**24 + size  # a parameter takes 2 to 8 bytes there
    left += SPARED if packed else 0

    def count(module: nn.Module, name: str, parameter: nn.Parameter | None) -> None:
        nonlocal left
        if parameter is not None and not is_lazy(parameter):
            left -= 1 + parameter.numel()
        if left < 0:
            raise GanzooError("the networks of its recipe are larger than the file.")

    hook = register_module_parameter_registration_hook(count)
    try:
        yield
    finally:
        hook.remove()


def about(trained: Recipe, spec: DataSpec, images: int) -> dict[str, str]:
    """What a file of weights says about itself, enough to use it anywhere the plugin is installed."""
    entry = registry().find("model", trained.model)
    return {
        "format": "ganzoo 1",
        "model": entry.name,
        "distribution": entry.distribution,
        "version": entry.version,
        "recipe": trained.to_toml(),
        "spec": json.dumps(asdict(spec)),
        "range": "-1 1",
        "images": str(images),
    }


class _LeftOut:
    """In the place of weights that a packed file does without: whatever needs them is told so."""

    def __init__(self, name: str, path: Path) -> None:
        said = f'The weights "{name}" were left out of {path}, as what it is for needs none of them.'
        self._error = GanzooError(f"{said} Use the run, or all the files, that it was made from.")

    @classmethod
    def __torch_function__(cls, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> None:
        raise next(one._error for one in tree_leaves((args, kwargs)) if isinstance(one, cls))

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_"):
            raise AttributeError(name)
        raise self._error


def below(trainer: Trainer, names: list[str]) -> dict[str, Tensor]:
    """The weights of these names, and those below them, as the networks have them now."""
    chosen = set(names)
    return {name: value for name, value in trainer.state_dict().items() if not chosen.isdisjoint(and_above(name))}


def leave_out(trainer: Trainer, names: list[str], path: Path) -> None:
    """Takes the weights of these names, and those below them, out of the networks; see `About.left_out`.

    They are no parameters or buffers any more, and any use of them raises GanzooError; so does it if nothing is left.
    """
    absent = below(trainer, names)
    for prefix, module in list(trainer.named_modules()):
        for store in (module._parameters, module._buffers):
            for name in list(store):
                if (full := f"{prefix}.{name}".lstrip(".")) in absent:
                    del store[name]
                    object.__setattr__(module, name, _LeftOut(full, path))
    if next(trainer.parameters(), None) is None:
        raise unsound(path, ValueError("all weights are left out"))


def outside(names: Iterable[str], kept: Iterable[str]) -> list[str]:
    """Of names, those that are not kept, or what they are below, where nothing below that is kept."""
    names = list(names)
    needed = {above for name in kept for above in and_above(name)}
    others = (name for name in names if name not in needed)
    return sorted({next(above for above in and_above(name) if above not in needed) for name in others})


def and_above(name: str) -> list[str]:
    """The name, and those of what it is a part of: "G", "G.A", "G.A.weight"."""
    parts = name.split(".")
    return [".".join(parts[:end]) for end in range(1, len(parts) + 1)]


def restore(trainer: Trainer, weights: dict[str, Tensor], path: Path) -> None:
    """Strict loading of weights; GanzooError if they are another model's, or not finite."""
    if ill := _not_finite(weights):
        raise unsound(path, ValueError(f'the weights "{ill}" are not finite numbers'))
    try:
        trainer.load_state_dict(weights)
    except RuntimeError as error:
        reason = str(error).splitlines()[-1].strip()
        said = f"The weights in {path} are of another model than the recipe's: {reason}"
        raise GanzooError(f"{said} Use the recipe they were trained with, or begin a new run.") from error


def _not_finite(weights: dict[str, Tensor]) -> str | None:
    """The first weights that are not."""
    return next((name for name, value in weights.items() if not value.isfinite().all()), None)


def load_state(path: Path) -> dict[str, Any]:
    """The training state that `save` was given. Raises GanzooError if a file is not the one that was saved."""
    file = path / STATE
    try:
        saved = _StateFile.model_validate(json.loads(file.read_text(encoding="utf-8")))
        found = {STATE: _sha256_of(saved.state)}
        for name in (NETWORKS, TRAINING):
            with (path / name).open("rb") as content:
                found[name] = hashlib.file_digest(content, "sha256").hexdigest()
        for name in found:
            file = path / name
            if saved.sha256.get(name) != found[name]:
                raise ValueError("it has changed since it was saved")
        tensors, _ = _read(path / TRAINING)
        return _unflatten(saved.state, tensors)
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise unreadable(file, error) from error


class _StateFile(BaseModel):
    sha256: dict[str, str]
    state: dict[str, Any]


def _write(file: Path, content: bytes) -> str:
    file.write_bytes(content)
    return hashlib.sha256(content).hexdigest()


def _sha256_of(layout: dict[str, Any]) -> str:
    return hashlib.sha256(json.dumps(layout).encode()).hexdigest()


def _read(file: Path) -> tuple[dict[str, Tensor], dict[str, str]]:
    try:
        with safe_open(file, framework="pt") as content:
            # Copied, so that each begins where memory is aligned, as when it was saved: sums depend on that to the bit.
            tensors = {name: content.get_tensor(name).clone() for name in content.keys()}  # noqa: SIM118
            return tensors, content.metadata() or {}
    except (OSError, SafetensorError) as error:
        raise unreadable(file, error) from error


def unreadable(file: Path, error: Exception) -> GanzooError:
    """What to say where a checkpoint, or a file of it, could not be read."""
    return GanzooError(
        f"{file} cannot be read ({_why(error)}). If it is damaged, remove its folder to go on from the checkpoint "
        "before."
    )


def _why(error: Exception) -> str:
    """In one line."""
    if isinstance(error, ValidationError):
        first = error.errors(include_url=False)[0]
        text = ": ".join((*map(str, first["loc"]), first["msg"].removeprefix("Value error, ")))
    else:
        text = str(error) or type(error).__name__
    return shorten(text, 300, placeholder=" ...")


def unshared(tensors: dict[str, Tensor]) -> tuple[dict[str, Tensor], dict[str, str]]:
    """Each tensor once, as safetensors wants it, and the other names that it goes by."""
    first: dict[Any, str] = {}
    unique, aliases = {}, {}
    for name, value in tensors.items():
        place = (value.data_ptr(), value.shape, value.stride(), value.dtype)
        original = first.setdefault(place, name) if value.numel() else name
        if original != name:
            aliases[name] = original
            continue
        unique[name] = value.detach().cpu().clone(memory_format=torch.contiguous_format)  # of nothing else a part
    return unique, aliases


def _flatten(value: Any, tensors: dict[str, Tensor], name: str) -> Any:
    """The same structure as JSON; tensors go to `tensors` and leave their name. Dicts become lists of pairs."""
    if isinstance(value, Tensor):
        while name in tensors:  # {"a": {"b": ...}, "a.b": ...}
            name += "_"
        tensors[name] = value.detach().cpu().clone().contiguous()
        return {"tensor": name}
    if isinstance(value, dict):
        return {"dict": [[key, _flatten(item, tensors, f"{name}.{key}".lstrip("."))] for key, item in value.items()]}
    if isinstance(value, list | tuple):
        kind = "list" if isinstance(value, list) else "tuple"
        return {kind: [_flatten(item, tensors, f"{name}.{i}") for i, item in enumerate(value)]}
    if value is None or isinstance(value, bool | int | float | str):
        return {"value": value}
    kind = type(value).__name__
    raise TypeError(f"a state_dict may hold tensors, numbers, text, lists and dicts; {name} is a {kind}")


def _unflatten(node: dict[str, Any], tensors: dict[str, Tensor]) -> Any:
    ((kind, content),) = node.items()
    if kind == "value":
        return content
    if kind == "tensor":
        return tensors[content]
    if kind == "dict":
        return {key: _unflatten(item, tensors) for key, item in content}
    return {"list": list, "tuple": tuple}[kind](_unflatten(item, tensors) for item in content)
