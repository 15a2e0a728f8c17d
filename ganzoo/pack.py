"""A trained model as one file to pass on: what using it needs, and no more, with a model card beside it."""

import json
import tomllib
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import safetensors.torch
import tomlkit
import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from ganzoo import card, checkpoint, hub
from ganzoo.attributes import all_targets
from ganzoo.clock import seeded
from ganzoo.errors import GanzooError
from ganzoo.files import atomic, refuse_existing, to_json, write_bytes, write_text
from ganzoo.translate import Translator, load, locate

SIDE = 64  # pixels of the images on which it is tried what a model needs
HALF = 1e-2  # how far images in [-1, 1] of weights in half precision may be off: about one of 255 levels
PATHS = ("root", "archive", "labels")  # of `[data]`: of no use elsewhere, and nobody else's business
SUFFIX = ".safetensors"


def pack(path: Path, output: Path, half: bool = False) -> list[str]:
    """Writes the model of a run folder, a checkpoint or a bundle as the file `output`, and its card beside it.

    In it are the averaged weights, where there are such, of all networks that translating and generating need: which
    ones is found out by doing it, and the file is checked to give the same images to the bit; with `half`, in half
    precision, nearly the same. The card is `output` with the suffix .md, its samples with .png, where the run has some.
    Sentences on what was written are returned. Raises GanzooError if a file is there already, or the model cannot be
    used without what it is trained with.
    """
    if output.suffix != SUFFIX:
        raise GanzooError(f"{output}: give the file a name that ends in {SUFFIX}.")
    described, pictured = output.with_suffix(".md"), output.with_suffix(".png")
    for file in (output, described, pictured):
        refuse_existing(file)
    path = locate(path)
    known, translator = card.read(path), load(path)
    with _Used() as used:
        expected = list(_images(translator))
    saved = translator.trainer.state_dict(keep_vars=True)
    modules = {name.rpartition(".")[0] for name, value in saved.items() if id(value) in used.found}
    weights = {name: value.detach() for name, value in saved.items() if name.rpartition(".")[0] in modules}
    facts = checkpoint.load_networks(known.path)[1] | {
        "recipe": _without_paths(known.about.recipe),
        "left_out": json.dumps(sorted({*known.about.left_out, *checkpoint.outside(saved, weights)})),
        "metrics": to_json(known.metrics),
    }
    unique, aliases = checkpoint.unshared({name: _halved(value) if half else value for name, value in weights.items()})
    with atomic(output) as beside:
        beside.write_bytes(safetensors.torch.save(unique, facts | {"aliases": json.dumps(aliases)}))
        apart = max(
            (float((a - b).abs().max()) for a, b in zip(expected, _images(load(beside)), strict=True)), default=0.0
        )
    if apart > (HALF if half else 0):
        output.unlink()
        raise GanzooError(f"This model cannot be packed: without the rest its images are {apart:.2g} off.")
    if known.samples:
        write_bytes(pictured, known.samples.read_bytes())
    packed = card.read(output)
    write_text(described, card.markdown(packed, output.name, pictured.name if known.samples else ""))
    said = [f"{output}: {card.weights_of(packed)}", f"Before, it was {known.bytes / 1e6:.1f} MB."]
    same = f"up to {apart:.1e} off, of values from -1 to 1" if half else "the same to the bit"
    return [*said, f"Images made with it are {same}.", f"Model card: {described}. Read it before you pass it on."]


def publish(path: Path, name: str, half: bool = False, public: bool = False, licence: str = "unknown") -> list[str]:
    """Packs the model of a run folder, a checkpoint or a bundle and puts it on the hub as "user/name"; see `hub.push`.

    With a README, the model card with what the hub reads at its top. `licence`: as the hub calls it, such as
    "cc-by-4.0". Sentences on what was done are returned.
    """
    hub.may_push(name, public)
    with TemporaryDirectory() as made:
        folder = Path(made)
        said = pack(path, folder / hub.WEIGHTS, half)
        described, pictured = (folder / hub.WEIGHTS).with_suffix(".md"), (folder / hub.WEIGHTS).with_suffix(".png")
        described.unlink()
        known = card.read(folder / hub.WEIGHTS)
        text = card.front_matter(known, licence) + card.markdown(
            known, hub.WEIGHTS, pictured.name if pictured.exists() else "", how=name
        )
        write_text(folder / hub.CARD, text)
        url = hub.push(folder, name, public)
    who = "everybody" if public else "you alone, unless it was shared before"
    return [said[0].partition(": ")[2], said[2], f"{url} can be seen by {who}. Use it: ganzoo translate {name} ..."]


class _Used(TorchDispatchMode):
    """Inside, the tensors that anything is computed with are kept: `found` holds their ids."""

    def __init__(self) -> None:
        super().__init__()
        self.found: set[int] = set()

    def __torch_dispatch__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        self.found |= {id(value) for value in tree_leaves((args, kwargs)) if isinstance(value, Tensor)}
        return function(*args, **(kwargs or {}))


def _images(translator: Translator) -> Iterator[Tensor]:
    """Images of everything that the model can be asked for, as (1, channels, height, width) in [-1, 1]."""
    trainer, spec = translator.trainer, translator.spec
    for source, target in trainer.directions() if trainer.translates else ():
        image = _noise(spec.channels[source], spec.size if trainer.fixed_size else min(SIDE, spec.size))
        reference = _noise(spec.channels_of(target), spec.size)
        if trainer.samples_styles or not trainer.encodes_styles:
            yield translator.translate_tensor(image, source, target)
        if trainer.encodes_styles:
            yield translator.translate_tensor(image, source, target, reference=reference)
    for label in (None, *all_targets(spec)) if trainer.generates else ():
        with trainer.inference(), seeded(0, torch.device("cpu")):
            yield trainer.generate(1, label)


def _noise(channels: int, side: int) -> Tensor:
    return 2 * torch.rand((1, channels, side, side), generator=torch.Generator().manual_seed(0)) - 1


def _halved(weights: Tensor) -> Tensor:
    """In half precision, where it is about fractions and all of them have room there."""
    halved = weights.half() if weights.is_floating_point() else weights
    return halved if halved.isfinite().all() else weights


def _without_paths(recipe: str) -> str:
    """The recipe without the paths of the machine that it was trained on."""
    document = tomllib.loads(recipe)
    document["data"] = {key: value for key, value in document["data"].items() if key not in PATHS}
    return tomlkit.dumps(document)
