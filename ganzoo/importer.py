"""Weights that other programs wrote, made into a bundle: a file of weights as ganzoo writes and uses it."""

import hashlib
import json
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import safetensors.torch
import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file
from torch import Tensor

from ganzoo import checkpoint, recipe
from ganzoo.clock import seeded
from ganzoo.data.sources import check_names
from ganzoo.errors import GanzooError
from ganzoo.files import refuse_existing, write_bytes
from ganzoo.pretrained import TrainedOn
from ganzoo.registry import registry
from ganzoo.text import printable
from ganzoo.trainer import DataSpec, Trainer
from ganzoo.weights import plain_weights

Weights = dict[str, Tensor]
PREFIXES = ("module.", "_orig_mod.")  # of several GPUs, of torch.compile
SUFFIX = ".safetensors"


@dataclass(frozen=True, kw_only=True)
class Imported:
    """What an importer has made of weights."""

    spec: DataSpec
    """domains, channels, size and labels"""
    networks: dict[str, Weights]
    """networks of the trainer by their names there, such as "G.zebra", with all their weights; others stay absent"""
    options: dict[str, Any] = field(default_factory=dict)
    """those of the model that say what its networks are"""
    directions: Sequence[tuple[str, str]] | None = None
    """the (source, target) pairs that these networks serve; None: all that the model has"""


class Importer(ABC):
    """Reads weights of a model that another program wrote. Registered under the name of the model."""

    @abstractmethod
    def knows(self, weights: Weights) -> bool:
        """Whether these are the weights of a network of this model, by their names and shapes.

        What torch puts before the names, for several GPUs and compiled networks, is gone.
        """

    @abstractmethod
    def convert(self, files: Mapping[Path, Weights], known: TrainedOn) -> Imported:
        """The networks in files, path -> weights, all of which it knows, in the order they were given in.

        Raises GanzooError where they do not belong together, or something else has to be known.
        """


def import_files(
    files: Sequence[Path],
    output: Path,
    known: TrainedOn | None = None,
    model: str = "",
    facts: Mapping[str, str] | None = None,
) -> list[str]:
    """Writes the bundle `output` of files that another program wrote; no code in them is run.

    `model`: whose they are; by default the installed importers are asked. `facts` are added to the bundle's metadata.
    Gives sentences on what it is. Raises GanzooError, before anything is written, where the output exists, or the files
    are of no model here, damaged, or not of one model.
    """
    if output.suffix != SUFFIX:
        raise GanzooError(f"{output}: give the file a name that ends in {SUFFIX}.")
    refuse_existing(output)
    for file in files:
        if files.count(file) > 1:
            raise GanzooError(f"{file} is given twice: give each file once.")
    weights = {file: {_stripped(name): value for name, value in plain_weights(file).items()} for file in files}
    model = _choose(weights, model)
    importer: Importer = registry().load("importer", model)()
    try:
        found = importer.convert(weights, known or TrainedOn())
        check_names(found.spec.domains)
        trainer, made_from = _built(model, found, files)
    except GanzooError:
        raise
    except Exception as error:  # whatever it makes of names and shapes that nobody has seen
        what = f"{type(error).__name__}: {error}"
        raise GanzooError(f"{_listed(weights)} cannot be read as weights of {model} ({what}).") from error
    about = checkpoint.about(made_from, found.spec, 0) | dict(facts or {})
    about |= {"imported": ", ".join(f"{file.name} (sha256 {_sha256(file)})" for file in files)}
    if found.directions is not None:
        about["directions"] = json.dumps(found.directions)
    given = {f"{network}.{name}": value for network, each in found.networks.items() for name, value in each.items()}
    parts = tuple(f"{network}." for network in found.networks)
    absent = checkpoint.outside(names := trainer.state_dict(), [name for name in names if name.startswith(parts)])
    try:
        checkpoint.restore(trainer, checkpoint.below(trainer, absent) | given, files[0])
    except GanzooError as error:
        why = str(error.__cause__ or error).splitlines()[-1].strip()
        raise GanzooError(f"{_listed(weights)} cannot be used as weights of {model}: {why}") from error
    kept = {name: value for name, value in trainer.state_dict().items() if name.startswith(parts)}
    about["left_out"] = json.dumps(absent)
    write_bytes(output, safetensors.torch.save({name: value.contiguous() for name, value in kept.items()}, about))
    return _said(output, model, found, kept)


def is_bundle(file: Path) -> bool:
    """Whether it is a file of weights that ganzoo wrote."""
    if file.suffix != SUFFIX:
        return False
    with suppress(SafetensorError), safe_open(file, framework="pt") as content:
        return str((content.metadata() or {}).get("format", "")).startswith("ganzoo")
    return False


def adopt(file: Path, output: Path, model: str, facts: Mapping[str, str]) -> None:
    """Writes the bundle `output` as the bundle `file` is, with these facts in its metadata.

    Raises GanzooError where it exists, or the file is not sound or of another model.
    """
    refuse_existing(output)
    if (found := checkpoint.read_about(file).model) != model:
        raise GanzooError(f'{file} holds the model "{printable(found)}", not "{model}".')
    with safe_open(file, framework="pt") as content:
        metadata = content.metadata() | dict(facts)
    write_bytes(output, safetensors.torch.save(load_file(file), metadata))


def _choose(weights: dict[Path, Weights], model: str) -> str:
    """The model that all files are of."""
    known: dict[Path, list[str]] = {}
    for file, each in weights.items():
        names = [model] if model else registry().names("importer")
        known[file] = [name for name in names if registry().load("importer", name)().knows(each)]
        if not known[file]:
            first = next(iter(each), "nothing")
            raise GanzooError(
                f'{file} is no network of {", ".join(names)} that can be read here: it begins with "{first}". Give the '
                "files of its generators, with the weights alone."
            )
    shared = [name for name in next(iter(known.values())) if all(name in names for names in known.values())]
    if not shared:
        each_of = "; ".join(f"{file} is of {' or '.join(names)}" for file, names in known.items())
        raise GanzooError(f"These files are not of one model: {each_of}.")
    if len(shared) > 1:
        raise GanzooError(f"{_listed(weights)} may be of {' or '.join(shared)}: say which with --model.")
    return shared[0]


def _built(model: str, found: Imported, files: Sequence[Path]) -> tuple[Trainer, recipe.Recipe]:
    """The networks, with random weights, no larger than the files; and the recipe that says what they are."""
    try:
        made_from = recipe.parse(_tables(model, found))
        size = sum(file.stat().st_size for file in files)
        with checkpoint.no_larger_than(size, packed=True), seeded(0, torch.device("cpu")):
            return made_from.trainer(made_from.options, found.spec), made_from
    except GanzooError as error:
        raise GanzooError(f"{', '.join(map(str, files))} cannot be used as weights of {model}: {error}") from error


def _tables(model: str, found: Imported) -> dict[str, Any]:
    """The recipe of the bundle."""
    spec, channels = found.spec, list(found.spec.channels.values())
    data: dict[str, Any] = {"source": "folders", "size": spec.size}
    data["channels"] = channels[0] if len(set(channels)) == 1 else spec.channels
    if spec.labels:
        data |= {"attributes": list(spec.labels), "groups": [list(group) for group in spec.groups]}
    else:
        data["domains"] = list(spec.domains)
    return {"model": model, "data": data, "options": found.options, "train": {"images": 1}}


def _said(output: Path, model: str, found: Imported, weights: Weights) -> list[str]:
    spec, count = found.spec, sum(value.numel() for value in weights.values())
    if spec.labels:
        what, target = f"labels {', '.join(spec.labels)}", spec.labels[0]
    elif found.directions is not None:
        what, target = ", ".join(f"{a} to {b}" for a, b in found.directions), found.directions[0][1]
    else:
        what, target = " and ".join(spec.domains), spec.domains[-1]
    return [
        f"{output}: {model}, {what}, {count:,} weights, {spec.size} px.",
        f"Use it: ganzoo translate {output} PICTURES OUTPUT --to {target}",
    ]


def _stripped(name: str) -> str:
    while name.startswith(PREFIXES):
        name = name.split(".", 1)[1]
    return name


def _listed(weights: Mapping[Path, Weights]) -> str:
    return ", ".join(map(str, weights))


def _sha256(file: Path) -> str:
    with file.open("rb") as content:
        return hashlib.file_digest(content, "sha256").hexdigest()
