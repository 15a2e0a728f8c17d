"""A trained run applied to images."""

import tomllib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import torch
from PIL import Image
from pydantic import TypeAdapter
from torch import Tensor
from torch.nn import functional as F

from ganzoo import checkpoint, grid, recipe
from ganzoo.attributes import parse_target
from ganzoo.clock import derive_seed
from ganzoo.data.images import ImageRef, convert, find_images, to_image, to_tensor
from ganzoo.errors import GanzooError
from ganzoo.files import atomic, refuse_existing
from ganzoo.registry import did_you_mean, registry
from ganzoo.runfolder import RunFolder
from ganzoo.runtime import device_kind
from ganzoo.trainer import DataSpec, Trainer

WITHOUT_ALPHA = {".jpg", ".jpeg", ".bmp", ".ppm"}


class Translator:
    """A trained model, as `ganzoo.load` gives it. `translate` takes and gives PIL images of any size.

    `recipe` is what it was trained with, `images` how many images of each domain it had seen, `trainer` the networks.
    `lost_metrics` are those that its recipe names and no plugin here knows: what was trained can do without them.
    """

    def __init__(
        self, trainer: Trainer, made_from: recipe.Recipe, images: int = 0, lost_metrics: Sequence[str] = ()
    ) -> None:
        self.trainer, self.recipe, self.images, self.lost_metrics = trainer, made_from, images, lost_metrics
        self.spec = trainer.spec

    @property
    def directions(self) -> list[tuple[str, str]]:
        """The (source, target) pairs that `translate` serves; empty for a model that only makes new images."""
        return self.trainer.directions()

    def direction(self, to: str | None = None, source: str | None = None) -> tuple[str, str]:
        """The (source, target) that leads `to` a domain, or to labels such as "blond,smiling".

        What is not given is the first that fits, as the recipe orders its domains. Raises GanzooError for a domain or
        a label that the run does not know.
        """
        if not self.directions:
            raise GanzooError("This model translates no images. `ganzoo generate RUN` makes new ones.")
        sources = list(dict.fromkeys(here for here, _ in self.directions))
        if source not in (None, *sources):
            raise GanzooError(
                f'This run cannot translate from "{source}".{did_you_mean(source, sources)} '
                f"It knows: {', '.join(sources)}."
            )
        fitting = [(here, there) for here, there in self.directions if source in (None, here)]
        if to is None:
            return fitting[0]
        if self.spec.labels:
            parse_target(self.spec, to)
            return fitting[0][0], to
        for here, there in fitting:
            if there == to:
                return here, there
        targets = list(dict.fromkeys(there for _, there in fitting))
        whence = f" from {source}" if source else ""
        raise GanzooError(
            f'This run cannot translate{whence} to "{to}".{did_you_mean(to, targets)} It knows: {", ".join(targets)}.'
        )

    def translate(
        self, image: "Image.Image | str | Path", to: str | None = None, source: str | None = None
    ) -> Image.Image:
        """The image (PIL, or a path), of the domain `source`, in the domain `to`, in the size it had.

        Raises GanzooError where the image cannot be read, or there is no such direction.
        """
        source, target = self.direction(to, source)
        tensor = to_tensor(convert(_opened(image), self.spec.channels[source]))
        return to_image(self.translate_tensor(tensor[None], source, target)[0])

    def grid(self, image: "Image.Image | str | Path", source: str | None = None) -> Image.Image:
        """The image and all it can be translated to, side by side under their names."""
        source, image = self.direction(None, source)[0], _opened(image)
        targets = [there for here, there in self.directions if here == source]
        return grid.titled({source: image} | {there: self.translate(image, there, source) for there in targets})

    def translate_tensor(self, images: Tensor, source: str, target: str) -> Tensor:
        """(batch, channels, height, width) in [-1, 1], any height and width, to the same in the target domain."""
        parameter = next(self.trainer.parameters())
        height, width = images.shape[-2:]
        padded = _pad(images.to(parameter), self.trainer.multiple, self.spec.size)
        with self.trainer.inference():
            return self.trainer.translate(padded, source, target)[..., :height, :width]

    def generate(self, count: int, label: str | None = None, seed: int = 0) -> Iterator[Image.Image]:
        """New images, of a label such as "7" or "blond,smiling" if the model knows labels.

        They have the size of the training images. The image at a place depends on the seed alone, not on how many
        are asked for. Raises GanzooError for a model that makes none from nothing.
        """
        with self.trainer.inference():
            for place in range(count):
                torch.manual_seed(derive_seed(seed, place))
                yield to_image(self.trainer.generate(1, label)[0])


def load(path: "str | Path", device: str = "cpu") -> Translator:
    """A trained model from a run folder, one of its checkpoints, or a networks.safetensors file.

    Averaged weights are used where the run kept them. `device`: auto, cpu, cuda or mps. Raises GanzooError where there
    is no such run, the file is not ganzoo's, or the plugin that it needs is not installed.
    """
    path = Path(path)
    run = RunFolder(path)
    if run.checkpoints_folder.is_dir():
        latest = run.latest()
        if latest is None:
            raise GanzooError(f"{path} has no checkpoint yet: let it train a little longer.")
        path = latest
    elif not path.exists():
        raise GanzooError(f"There is no run {path}. `ganzoo run RECIPE` makes one.")
    elif path.is_dir() and not (path / checkpoint.NETWORKS).exists():
        raise GanzooError(f"{path} is not a run folder: it has no checkpoints in it.")
    weights, facts = checkpoint.load_networks(path, ema=True)
    if facts.get("format") != "ganzoo 1":
        raise GanzooError(f"{path} was not written by ganzoo, or by a version that this one does not know.")
    _require_plugin(facts)
    document = tomllib.loads(facts["recipe"])
    lost = _leave_out_lost_metrics(document)
    made_from = recipe.parse(document)
    trainer = made_from.trainer(made_from.options, TypeAdapter(DataSpec).validate_json(facts["spec"]))
    checkpoint.restore(trainer, weights, path)
    return Translator(trainer.to(device_kind(device)).eval(), made_from, int(facts["images"]), lost)


def _leave_out_lost_metrics(document: dict[str, Any]) -> list[str]:
    """Takes the metrics that are not installed here out of a recipe, and names them."""
    train = document["train"]
    named = {metric if isinstance(metric, str) else metric["name"]: metric for metric in train.get("metrics", ())}
    lost = [name for name in named if not registry().matches("metric", name)]
    if lost:
        train["metrics"] = [metric for name, metric in named.items() if name not in lost]
    if train.get("best") in lost:
        train["best"] = ""
    return lost


def translate_files(
    translator: Translator,
    input: Path,
    output: Path,
    to: str | None = None,
    source: str | None = None,
    grid: bool = False,
) -> Iterator[tuple[int, int, str | None]]:
    """Translates an image or every image in a folder, with names and sizes kept; yields (done, of, what failed).

    `grid`: instead of the translation an image of all translations. Raises GanzooError, before anything is written, if
    a result would overwrite a file.
    """
    pairs = _pairs(input, output)
    translator.direction(to, source)
    for _, result in pairs:
        refuse_existing(result)
    for done, (file, result) in enumerate(pairs, start=1):
        try:
            image = translator.grid(file, source) if grid else translator.translate(file, to, source)
        except GanzooError as error:
            yield done, len(pairs), str(error).split(". Replace")[0]
        else:
            _write(image, result)
            yield done, len(pairs), None


def generate_files(
    translator: Translator, output: Path, count: int, label: str | None = None, seed: int = 0
) -> Iterator[tuple[int, int]]:
    """Writes new images to the folder as 000.png, 001.png, ...; yields (done, of).

    Raises GanzooError, before anything is written, if one would overwrite a file.
    """
    if output.is_file():
        raise GanzooError(f"{output} is a file. Give a folder for the images.")
    digits = max(3, len(str(count - 1)))
    results = [output / f"{place:0{digits}d}.png" for place in range(count)]
    for result in results:
        refuse_existing(result)
    for done, (image, result) in enumerate(zip(translator.generate(count, label, seed), results, strict=True), start=1):
        _write(image, result)
        yield done, count


def _opened(image: "Image.Image | str | Path") -> Image.Image:
    return image if isinstance(image, Image.Image) else ImageRef(Path(image)).open()


def _pairs(source: Path, target: Path) -> list[tuple[Path, Path]]:
    if source.is_dir():
        images = find_images(source)
        if not images:
            raise GanzooError(f"{source} holds no images (jpg, png, webp, bmp, tiff, ppm).")
        return [(p, target / p.relative_to(source)) for p in images]
    if not source.exists():
        raise GanzooError(f"There is no image or folder {source}.")
    return [(source, target / source.name if target.is_dir() or not target.suffix else target)]


def _write(image: Image.Image, path: Path) -> None:
    if path.suffix.lower() in WITHOUT_ALPHA:
        image = convert(image, 1 if image.mode in ("L", "LA") else 3)
    kind = Image.registered_extensions().get(path.suffix.lower())
    if kind not in Image.SAVE:
        raise GanzooError(f'{path}: "{path.suffix}" is no kind of image that can be written. Use .png or .jpg.')
    with atomic(path) as beside:
        image.save(beside, format=kind, quality=95)


def _pad(images: Tensor, multiple: int, size: int) -> Tensor:
    """Right and below to multiples, mirrored where the image is large enough for it, else repeating its edge.

    To two multiples at least if the networks were trained on that `size`: norms and mirrored borders need more than one
    position inside.
    """
    height, width = images.shape[-2:]
    least = 2 * multiple if 2 * multiple <= size else multiple
    below, right = (max(least - side, -side % multiple) for side in (height, width))
    mode = "reflect" if below < height and right < width else "replicate"
    return F.pad(images, (0, right, 0, below), mode=mode) if below or right else images


def _require_plugin(facts: dict[str, Any]) -> None:
    if registry().matches("model", facts["model"]):
        return
    package = facts["distribution"]
    trained = f'This was trained with the model "{facts["model"]}" of {package}'
    if package.endswith(".py"):
        raise GanzooError(f"{trained}, a file that is not installed: ganzoo --plugin path/to/{package} ...")
    raise GanzooError(f"{trained} {facts['version']}, which is not installed here: pip install {package}")
