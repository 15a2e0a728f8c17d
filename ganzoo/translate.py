"""A trained run applied to images."""

import io
import re
import tomllib
from collections.abc import Iterator, Sequence
from itertools import chain
from pathlib import Path
from typing import Any

import torch
from PIL import Image, ImageOps
from torch import Tensor
from torch.nn import functional as F

from ganzoo import checkpoint, errors, grid, pretrained, recipe
from ganzoo.attributes import parse_target
from ganzoo.clock import derive_seed, seeded
from ganzoo.data.downloads import Progress, Say
from ganzoo.data.images import KINDS, ImageRef, LeftOut, convert, find_images, tell, to_image, to_tensor
from ganzoo.data.transforms import test_transform
from ganzoo.errors import GanzooError, out_of_memory
from ganzoo.files import refuse_existing, write_bytes
from ganzoo.registry import did_you_mean, registry
from ganzoo.runtime import device_kind
from ganzoo.text import printable
from ganzoo.trainer import NEEDS_REFERENCE, TAKES_NO_REFERENCE, TRANSLATES_NOTHING, Trainer

GENERATED = 16  # new images where no number is given
ImageLike = Image.Image | str | Path
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
        """The (source, target) pairs that `translate` serves; empty for a model that only generates."""
        return self.trainer.directions()

    def direction(self, to: str | None = None, source: str | None = None) -> tuple[str, str]:
        """The (source, target) that leads `to` a domain, or to labels such as "blond,smiling".

        What is not given is the first that fits, as the recipe orders its domains. Raises GanzooError for a domain or
        a label that the run does not know.
        """
        if not self.trainer.translates:
            raise GanzooError(TRANSLATES_NOTHING)
        sources = list(dict.fromkeys(here for here, _ in self.directions))
        if source not in (None, *sources):
            raise _unknown(f'from "{source}"', source, sources)
        fitting = [(here, there) for here, there in self.directions if source in (None, here)]
        if to is not None and self.spec.labels:
            parse_target(self.spec, to)
            return fitting[0][0], to
        for here, there in fitting:
            if to in (None, there):
                return here, there
        whence = f"from {source} " if source else ""
        raise _unknown(f'{whence}to "{to}"', to, list(dict.fromkeys(there for _, there in fitting)))

    def translate(
        self,
        image: ImageLike,
        to: str | None = None,
        source: str | None = None,
        reference: ImageLike | None = None,
        seed: int | None = None,
    ) -> Image.Image:
        """The image (PIL, or a path), of the domain `source`, in the domain `to`, in the size it had.

        A model with styles takes one from the `reference`, an image of the domain `to` in any size, or from the `seed`,
        a whole number from 0 on, which also fixes everything else at random; by default it is 0. torch's global
        generators are left as they are. Raises GanzooError where an image cannot be read, there is no such direction,
        or the model has no use for a reference or a seed.
        """
        source, target = self.direction(to, source)
        style = self.reference_tensor(reference, target, seed)
        tensor = to_tensor(convert(_opened(image), self.spec.channels[source]))
        return to_image(self.translate_tensor(tensor[None], source, target, seed or 0, style)[0])

    def grid(
        self,
        image: ImageLike,
        source: str | None = None,
        reference: ImageLike | None = None,
        seeds: Sequence[int | None] = (None,),
    ) -> Image.Image:
        """The image and all it can be translated to, with each of the seeds, side by side under their names."""
        source, image = self.direction(None, source)[0], _opened(image)
        tiles = {source: image}
        if reference is not None:
            reference = _opened(reference)
            tiles["reference"] = ImageOps.contain(convert(reference, 3), image.size)
        for target in (there for here, there in self.directions if here == source):
            for seed in seeds:
                title = target if len(seeds) == 1 else f"{target}, seed {seed}"
                tiles[title] = self.translate(image, target, source, reference, seed)
        return grid.titled(tiles)

    def translate_tensor(
        self, images: Tensor, source: str, target: str, seed: int = 0, reference: Tensor | None = None
    ) -> Tensor:
        """(batch, channels, height, width) in [-1, 1], any height and width, to the same in the target domain.

        `reference`, such a tensor of the training size, gives the style; else the seed does.
        """
        height, width = images.shape[-2:]
        padded = _pad(images, self.trainer)
        with self.trainer.inference():
            return self.trainer.translate_with(padded, source, target, seed, reference)[..., :height, :width]

    def reference_tensor(self, image: ImageLike | None, target: str, seed: int | None = None) -> Tensor | None:
        """A reference image of `target`, (1, channels, height, width) in [-1, 1] as the networks saw it in training.

        Raises GanzooError where the model takes no reference, takes nothing else, or has no use for the seed.
        """
        trainer = self.trainer
        if image is not None and seed is not None:
            raise GanzooError("A reference image gives a style, and so does a seed: give one of them.")
        if image is not None and not trainer.encodes_styles:
            raise GanzooError(TAKES_NO_REFERENCE)
        if image is None and trainer.encodes_styles and not trainer.samples_styles:
            raise GanzooError(NEEDS_REFERENCE)
        if seed is not None and not trainer.stochastic:
            raise GanzooError("This model has one translation of an image: leave out the seed and variants.")
        if image is None:
            return None
        image = convert(_opened(image), self.spec.channels_of(target))
        return to_tensor(test_transform(image, self.recipe.data, trainer.multiple))[None]

    def generate(self, count: int | None = None, label: str | None = None, seed: int = 0) -> Iterator[Image.Image]:
        """New images, of a label such as "7" or "blond,smiling" if the model knows labels; 16 if no `count` is given.

        They have the size of the training images. The image at a place depends on the seed alone, not on how many
        are asked for. torch's global generators are left as they are. Raises GanzooError for a model that generates
        none, or fewer different ones.
        """
        for place in range(self.generated(count)):
            with self.trainer.inference(), seeded(derive_seed(seed, place), next(self.trainer.parameters()).device):
                image = self.trainer.generate(1, label)[0]
            yield to_image(image)

    def generated(self, count: int | None = None) -> int:
        """How many images `generate` gives. Raises GanzooError where the model has fewer different ones."""
        most = self.trainer.distinct_images
        if count is not None and most is not None and count > most:
            raise GanzooError(f"This model generates {most} image{'s' if most > 1 else ''}, not {count}.")
        return count or min(GENERATED, most or GENERATED)


def load(
    path: str | Path,
    device: str = "cpu",
    say: Say = errors.tell,
    progress: Progress = lambda done, total: None,
) -> Translator:
    """A trained model from a run folder, one of its checkpoints, a networks.safetensors file, or a published model.

    What exists at a path goes before a published model of that name, which is downloaded when it is first used; `say`
    is given its licence, paper and source, `progress` (bytes done, bytes in all or 0). Averaged weights are used where
    the run kept them. `device`: auto, cpu, cuda or mps. Raises GanzooError where there is no such run, the file is not
    ganzoo's, or the plugin that it needs is not installed.
    """
    path = checkpoint.located(locate(path, say, progress))
    about = checkpoint.read_about(path)
    _require_plugin(about)
    try:
        document = tomllib.loads(about.recipe)
        lost = _leave_out_lost_metrics(document)
        made_from = recipe.parse(document)
        # networks are built with random weights
        size = checkpoint.no_larger_than(checkpoint.networks_file(path).stat().st_size, bool(about.left_out))
        with size, seeded(0, torch.device("cpu")):
            trainer = made_from.trainer(made_from.options, about.spec)
    except GanzooError as error:
        raise GanzooError(f"{path} cannot be used here: {error}") from error
    except Exception as error:  # whatever a model makes of options and data that it was never trained with
        raise checkpoint.unsound(path, error) from error
    weights = checkpoint.load_networks(path, ema=True)[0]
    checkpoint.restore(trainer, checkpoint.below(trainer, about.left_out) | weights, path)
    checkpoint.leave_out(trainer, about.left_out, path)
    if (served := about.directions) is not None:
        trainer.directions = lambda: served  # type: ignore[method-assign]
    return Translator(trainer.to(device_kind(device)).eval(), made_from, about.images, lost)


def locate(name: str | Path, say: Say = errors.tell, progress: Progress = lambda done, total: None) -> Path:
    """The path of what `load` is given: that path where it exists, or the bundle of a published model in the cache."""
    path = Path(name)
    if path.exists() or path.is_symlink():
        return path
    if registry().matches("pretrained model", str(name)):
        return pretrained.pull(str(name), progress=progress, say=say)
    if len(path.parts) == 1 and (near := did_you_mean(str(name), registry().names("pretrained model"))):
        raise GanzooError(f"There is no run {path}, nor a published model of that name.{near}")
    return path


def _leave_out_lost_metrics(document: dict[str, Any]) -> list[str]:
    """Takes the metrics that are not installed here out of a recipe, and names them."""
    train = document["train"]
    named = {metric if isinstance(metric, str) else metric["name"]: metric for metric in train["metrics"]}
    lost = [name for name in named if not registry().matches("metric", name)]
    train["metrics"] = [metric for name, metric in named.items() if name not in lost]
    train["best"] = "" if train["best"] in lost else train["best"]
    return lost


def translate_files(
    translator: Translator,
    input: Path,
    output: Path,
    to: str | None = None,
    source: str | None = None,
    *,
    reference: Path | None = None,
    seed: int | None = None,
    variants: int | None = None,
    grid: bool = False,
    say: Say = print,
) -> Iterator[tuple[int, int, str | None]]:
    """Translates an image or every image in a folder, with names and sizes kept; yields (done, of, what failed).

    `variants`: N translations of each image, NAME-1, NAME-2 and so on, with the seed and those after it. `grid`:
    instead of the translation an image of all translations. `say` is given what is left out of the folder. Raises
    GanzooError, before anything is written, if a result would overwrite a file or has a suffix of no image.
    """
    seeds = [seed] if variants is None else range(seed or 0, (seed or 0) + variants)
    numbers = range(1, variants + 1) if variants and not grid else ()
    pairs = [
        (file, [result.with_stem(f"{result.stem}-{number}") for number in numbers] or [result])
        for file, result in _pairs(input, output, say)
    ]
    style = None if reference is None else _opened(reference)
    translator.reference_tensor(style, translator.direction(to, source)[1], seeds[0])
    for result in chain(*(results for _, results in pairs)):
        _format(result)
        refuse_existing(result)
    for done, (file, results) in enumerate(pairs, start=1):
        try:
            image = _opened(file)
            if grid:
                made = [translator.grid(image, source, style, seeds)]
            else:
                made = [translator.translate(image, to, source, style, each) for each in seeds]
            contents = [_encoded(translation, result) for translation, result in zip(made, results, strict=True)]
        except GanzooError as error:
            yield done, len(pairs), str(error)
            continue
        except (MemoryError, RuntimeError) as error:
            if not out_of_memory(error):
                raise
            yield done, len(pairs), f"{file} is too large for the memory here ({image.width}x{image.height} pixels)"
            continue
        for content, result in zip(contents, results, strict=True):
            write_bytes(result, content)
        yield done, len(pairs), None


def generate_files(
    translator: Translator, output: Path, count: int | None = None, label: str | None = None, seed: int = 0
) -> Iterator[tuple[int, int]]:
    """Writes new images to the folder as 000.png, 001.png, ...; yields (done, of).

    Raises GanzooError, before anything is written, if one would overwrite a file.
    """
    if output.is_file():
        raise GanzooError(f"{output} is a file. Give a folder for the images.")
    count = translator.generated(count)
    digits = max(3, len(str(count - 1)))
    results = [output / f"{place:0{digits}d}.png" for place in range(count)]
    for result in results:
        refuse_existing(result)
    for done, (image, result) in enumerate(zip(translator.generate(count, label, seed), results, strict=True), start=1):
        write_bytes(result, _encoded(image, result))
        yield done, count


def _unknown(what: str, name: str | None, known: list[str]) -> GanzooError:
    near = did_you_mean(name or "", known)
    return GanzooError(f"This run cannot translate {what}.{near} It knows: {', '.join(known)}.")


def _opened(image: ImageLike) -> Image.Image:
    if isinstance(image, Image.Image):
        return image
    try:
        return ImageRef(Path(image)).open()
    except GanzooError as error:  # what it says of recipes does not belong here
        raise GanzooError(str(error).split(" Replace")[0]) from error


def _pairs(source: Path, target: Path, say: Say) -> list[tuple[Path, Path]]:
    if source.is_dir():
        left_out: LeftOut = {}
        images = find_images(source, left_out=left_out)
        for sentence in tell(left_out, source):
            say(sentence)
        if not images:
            raise GanzooError(f"{source} holds no images ({KINDS}).")
        return [(p, target / p.relative_to(source)) for p in images]
    if not source.exists():
        raise GanzooError(f"There is no image or folder {source}.")
    return [(source, target / source.name if target.is_dir() or not target.suffix else target)]


def _encoded(image: Image.Image, path: Path) -> bytes:
    """The file that the image should be at `path`, in the format that this name says."""
    if path.suffix.lower() in WITHOUT_ALPHA:
        image = convert(image, 1 if image.mode in ("L", "LA") else 3)
    kind = _format(path)
    try:
        image.save(file := io.BytesIO(), format=kind, quality=95)
    except (OSError, ValueError) as error:  # of one that is too large for the format, say
        raise GanzooError(f"{path} cannot be written as {kind} ({error}). Give it another suffix.") from error
    return file.getvalue()


def _format(path: Path) -> str:
    """Pillow's name of the format that a suffix stands for. Raises GanzooError for one that it cannot write."""
    kind = Image.registered_extensions().get(path.suffix.lower(), "")
    if kind not in Image.SAVE:
        raise GanzooError(f'{path}: "{path.suffix}" is no kind of image that can be written. Use .png or .jpg.')
    return kind


def least_multiples(trainer: Trainer) -> int:
    """How many multiples a side has at least: two if the networks were trained on that.

    Norms and mirrored borders need more than one position inside.
    """
    return 2 if 2 * trainer.multiple <= trainer.spec.size else 1


def _pad(images: Tensor, trainer: Trainer) -> Tensor:
    """Right and below to multiples, mirrored where the image is large enough for it, else repeating its edge."""
    height, width = images.shape[-2:]
    least = least_multiples(trainer) * trainer.multiple
    below, right = (max(least - side, -side % trainer.multiple) for side in (height, width))
    mode = "reflect" if below < height and right < width else "replicate"
    return F.pad(images, (0, right, 0, below), mode=mode)


def _require_plugin(about: checkpoint.About) -> None:
    package, model = about.distribution, printable(about.model)
    if registry().matches("model", about.model):
        return
    a_file = package.endswith(".py")  # such a plugin has no version
    if not re.fullmatch(r"\w([\w.-]*\w)?", package if a_file else package + about.version):
        raise GanzooError(f'The model "{model}" is not installed here, nor does the file say whose it is.')
    how = f" {about.version}, which is not installed here: pip install {package}"
    if a_file:
        how = f", a file that is not installed: ganzoo --plugin path/to/{package} ..."
    raise GanzooError(f'This was trained with the model "{model}" of {package}{how}')
