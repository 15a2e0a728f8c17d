"""Checkpoints: written beside and renamed, safetensors and JSON only, so that none is ever half there or runs code.

RUN/checkpoints/000012000/   named by images seen
  networks.safetensors       weights, averaged weights as `ema.NAME`, and what is needed to use them as metadata
  training.safetensors       tensors of optimizers, pools and the like
  state.json                 the shape of that state and its plain values
"""

import json
import re
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from typing import Any

import safetensors.torch
import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from ganzoo.errors import GanzooError
from ganzoo.files import sync, unwritable
from ganzoo.recipe import Recipe
from ganzoo.registry import registry
from ganzoo.runfolder import RunFolder
from ganzoo.trainer import DataSpec, Trainer

NETWORKS, TRAINING, STATE = "networks.safetensors", "training.safetensors", "state.json"
EMA = "ema."  # before the names of averaged weights


def save(final: Path, networks: dict[str, Tensor], state: dict[str, Any], about: dict[str, str]) -> Path:
    """Writes the checkpoint `final` beside and renames it; one that is there already stays as it is.

    `networks`: the weights, and averages of some of them as `ema.NAME`. Raises GanzooError if a weight is not finite,
    or if it cannot be written.
    """
    if final.is_dir() and not final.is_symlink():
        return final
    for name, value in networks.items():
        if value.is_floating_point() and not value.isfinite().all():
            raise GanzooError(f'The weights "{name}" are no longer finite numbers.')
    beside = final.with_name(f".{final.name}")
    tensors: dict[str, Tensor] = {}
    layout = _flatten(state, tensors, "")
    try:
        _remove(beside)
        beside.mkdir(parents=True)
        unique, aliases = _unshared(networks)
        (beside / NETWORKS).write_bytes(safetensors.torch.save(unique, about | {"aliases": json.dumps(aliases)}))
        (beside / TRAINING).write_bytes(safetensors.torch.save(tensors))
        (beside / STATE).write_text(json.dumps(layout), encoding="utf-8")
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
    file = path / NETWORKS if path.is_dir() else path
    tensors, about = _read(file)
    for name, original in json.loads(about.get("aliases", "{}")).items():
        tensors[name] = tensors[original]
    averaged = {name.removeprefix(EMA): tensors.pop(name) for name in list(tensors) if name.startswith(EMA)}
    return tensors | averaged if ema else tensors, about


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


def restore(trainer: Trainer, weights: dict[str, Tensor], path: Path) -> None:
    """Strict loading of weights; GanzooError if they are another model's."""
    try:
        trainer.load_state_dict(weights)
    except RuntimeError as error:
        reason = str(error).splitlines()[-1].strip()
        said = f"The weights in {path} are of another model than the recipe's: {reason}"
        raise GanzooError(f"{said} Use the recipe they were trained with, or begin a new run.") from error


def load_state(path: Path) -> dict[str, Any]:
    """The training state that `save` was given."""
    tensors, _ = _read(path / TRAINING)
    try:
        return _unflatten(json.loads((path / STATE).read_text(encoding="utf-8")), tensors)
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise unreadable(path / STATE, error) from error


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
        f"{file} cannot be read ({error}). If it is damaged, remove its folder to go on from the checkpoint before."
    )


def _unshared(tensors: dict[str, Tensor]) -> tuple[dict[str, Tensor], dict[str, str]]:
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
