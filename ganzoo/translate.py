"""A trained run applied to images."""

import html
import re
import tomllib
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from PIL import Image, ImageOps
from torch import Tensor, nn
from torch.nn import functional as F
from torchvision.transforms.functional import pil_to_tensor, to_pil_image

from ganzoo import checkpoint, errors, grid, hub, pretrained, recipe, tiles
from ganzoo.attributes import parse_target
from ganzoo.clock import derive_seed, seeded
from ganzoo.data.downloads import Progress
from ganzoo.data.images import convert, to_bytes, to_image, to_tensor
from ganzoo.data.transforms import test_transform
from ganzoo.errors import GanzooError, out_of_memory
from ganzoo.imagefile import ImageLike, Say, opened
from ganzoo.options import TrainOptions
from ganzoo.registry import did_you_mean, registry
from ganzoo.runtime import device_kind, settled_precision
from ganzoo.text import printable
from ganzoo.trainer import NEEDS_REFERENCE, TAKES_NO_REFERENCE, TRANSLATES_NOTHING, Generator, Trainer

GENERATED = 16  # new images where no number is given
AT_ONCE = 16  # images in a forward pass of a GPU; a processor computes one with all its threads
ALIKE = 0.02  # of the range of an image: what its neighbours in a forward pass may change by rounding
Images = Sequence[ImageLike | np.ndarray | Tensor]


class Prepared(NamedTuple):
    """An image on its way through the networks."""

    image: Image.Image
    """as `imagefile.opened` gives it"""
    pixels: Tensor
    """(channels, height, width), bytes"""


class Style(NamedTuple):
    """What is asked of an image."""

    source: str
    target: str
    seed: int = 0
    reference: Tensor | None = None


class Translator:
    """A trained model, as `ganzoo.load` gives it. `translate` takes images of any size.

    `recipe` is what it was trained with, `images` how many images of each domain it had seen, `trainer` the networks.
    `lost_metrics` are those that its recipe names and no plugin here knows: what was trained can do without them.
    """

    def __init__(
        self, trainer: Trainer, made_from: recipe.Recipe, images: int = 0, lost_metrics: Sequence[str] = ()
    ) -> None:
        self.trainer, self.recipe, self.images, self.lost_metrics = trainer, made_from, images, lost_metrics
        self.spec = trainer.spec
        self._bytes_per_pixel: dict[tuple[str, str], float] = {}
        self._precision: Callable[[], AbstractContextManager[Any]] = nullcontext
        self._compiled: list[nn.Module] = []

    def __repr__(self) -> str:
        return f"<Translator {', '.join(self._facts().values())}>"

    def _repr_html_(self) -> str:
        """What a notebook shows."""
        rows = "".join(f"<tr><th>{k}</th><td>{html.escape(printable(v))}</td></tr>" for k, v in self._facts().items())
        return f"<table>{rows}</table>"

    def _facts(self) -> dict[str, str]:
        trainer = self.trainer
        pairs = [f"{source} to {target}" for source, target in self.directions]
        labels = f"labels {', '.join(self.spec.labels)}" if self.spec.labels else ""
        count, weight = sum(p.numel() for p in trainer.parameters()), next(trainer.parameters())
        return {
            "model": self.recipe.model,
            "translates": labels or ", ".join(pairs) if trainer.translates else "nothing: it generates images",
            "trained on": f"{self.images:,} images of each domain at {self.spec.size} px",
            "weights": f"{count:,} parameters on {weight.device}",
        }

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
        image: ImageLike | np.ndarray | Tensor | Images,
        to: str | None = None,
        source: str | None = None,
        reference: ImageLike | None = None,
        seed: int | None = None,
        size: int | None = None,
        tile: int | None = None,
        say: Say = str,
    ) -> Any:
        """An image of the domain `source` in the domain `to`, in the size it had.

        A path, a PIL image or an array (height, width, channels) of bytes gives a PIL image, a tensor (channels,
        height, width) or (batch, channels, height, width) in [-1, 1] such a tensor, a list a list. Each image is
        translated by itself: the result does not depend on the others. Transparency is kept; EXIF data (without
        orientation, which is applied), resolution and an sRGB profile are in the PIL image's `info`.

        A model with styles takes one from the `reference`, an image of the domain `to` in any size, or from the `seed`,
        a whole number from 0 on, which also fixes everything else at random; by default it is 0. torch's global
        generators are left as they are.

        `size`: translate with that many pixels on the shorter side and give it back in its own size, with the detail of
        the original. `tile`: translate in tiles of about that many pixels a side; 0: of as many as fit. By default
        that is done where the whole image needs too much memory, and `say` is given a sentence about it.

        Raises GanzooError where an image cannot be read, there is no such direction, or the model has no use for a
        reference, a seed or tiles.
        """
        if isinstance(image, list | tuple):
            return [self.translate(one, to, source, reference, seed, size, tile, say) for one in image]
        if tile is not None and not self.trainer.tileable:
            raise GanzooError("This model has to see an image as a whole: leave out the tiles, or give a size.")
        style = self.style(to, source, reference, seed)
        if isinstance(image, Tensor):
            _check_tensor(image, self.spec.channels[style.source])
            fakes = [self.any_size(one, style, size, tile, say) for one in image.reshape(-1, *image.shape[-3:])]
            return torch.stack(fakes).reshape(*image.shape[:-3], *fakes[0].shape).to(image.device)
        found = _from_array(image) if isinstance(image, np.ndarray) else image
        prepared = self.prepared(opened(found, say), style.source)  # type: ignore[arg-type]
        return finished(prepared.image, to_bytes(self.any_size(prepared.pixels, style, size, tile, say)))

    def style(
        self,
        to: str | None = None,
        source: str | None = None,
        reference: ImageLike | None = None,
        seed: int | None = None,
    ) -> Style:
        """What `translate` is asked for. Raises GanzooError as it does."""
        source, target = self.direction(to, source)
        return Style(source, target, seed or 0, self.reference_tensor(reference, target, seed))

    def prepared(self, image: Image.Image, source: str) -> Prepared:
        """An image of the domain `source`, as `imagefile.opened` gives it, for the networks."""
        channels = self.spec.channels[source]
        return Prepared(image, pil_to_tensor(convert(_opaque(image) if channels in (1, 3) else image, channels)))

    def any_size(
        self, image: Tensor, style: Style, size: int | None = None, tile: int | None = None, say: Say = str
    ) -> Tensor:
        """(channels, height, width), in bytes or in [-1, 1], to the target domain, on the CPU."""
        with self.trainer.inference():
            return self._any_size(image[None], partial(self._apply, style=style), style[:2], size, tile, say)[0]

    def together(self, images: Sequence[Tensor], style: Style) -> list[Tensor]:
        """Images (channels, height, width), in bytes, through the networks at once, to bytes on their device.

        Their sizes are the same when padded (`stacks`), and each comes out as it does alone (`at_once`).
        """
        device = next(self.trainer.parameters()).device
        with self.trainer.inference():
            stack = torch.cat([_pad(tiles.as_unit(one.to(device)[None]), self.trainer) for one in images])
            fakes = to_bytes(self._apply(stack, style))
        return [fake[:, : one.shape[1], : one.shape[2]] for fake, one in zip(fakes, images, strict=True)]

    def stacks(self, images: Sequence[Tensor], style: Style) -> list[list[int]]:
        """The places of images (channels, height, width) in stacks of one size that fit into the memory."""
        sizes: dict[tuple[int, ...], list[int]] = {}
        multiple = self.trainer.multiple
        for place, image in enumerate(images):
            sizes.setdefault(tuple(tiles.round_up(side, multiple) for side in image.shape[1:]), []).append(place)
        found = []
        for (height, width), places in sizes.items():
            pixels = height * width
            room = pixels
            if len(places) > 1:
                apply = partial(self._apply, style=style)
                with self.trainer.inference():
                    room = int(self._pixels_at_once(apply, style[:2], pixels * len(places), 1.0))
            most = max(1, room // pixels)
            found += [places[first : first + most] for first in range(0, len(places), most)]
        return found

    def at_once(self, style: Style, wanted: int | None = None, say: Say = str) -> int:
        """How many images may share a forward pass: `wanted`, or what gains on this device.

        One where a trial shows that the others in it change an image, as batch statistics and random draws do.
        """
        most = wanted or (AT_ONCE if next(self.trainer.parameters()).device.type == "cuda" else 1)
        if most == 1:
            return 1
        alike = self.trainer.inference_mode == "eval"
        if alike:
            side, channels = self.spec.size, self.spec.channels[style.source]
            values = torch.rand(2, channels, side, side, generator=torch.Generator().manual_seed(0))
            pair = values * torch.tensor([0.2, 2.0])[:, None, None, None] - 1  # a dark one and a bright one
            with self._eager():
                alone = torch.cat([self.translate_tensor(one[None], *style) for one in pair]).float()
                both = self.translate_tensor(pair, *style).float()
            alike = bool((both - alone).abs().max() <= ALIKE * (alone.max() - alone.min()))
        if not alike:
            if wanted:
                say("With this model the images of a batch change each other: they are translated one by one.")
            return 1
        return most

    def make_fast(self, say: Say = errors.tell, compile: bool | None = None) -> None:
        """Translates in half precision where the device has units for it, channels last, and compiled on a GPU.

        What is translated differs by rounding. `compile`: by default on a GPU only. `say` is given what is
        done, and why not if it is not.
        """
        if not self.directions:
            raise GanzooError(TRANSLATES_NOTHING)
        device = next(self.trainer.parameters()).device
        half = settled_precision(TrainOptions(images=1, device=device.type, precision="auto"))
        dtype = torch.bfloat16 if half == "bf16-mixed" else torch.float16 if device.type == "cuda" else None
        done = [f"{dtype}".removeprefix("torch.") if dtype else "float32, as this device has no units for bfloat16"]
        if dtype:
            self._precision = partial(torch.autocast, device.type, dtype)
        self.trainer.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        done.append("channels last")
        if device.type == "cuda" if compile is None else compile:
            done.append("compiled" if (failed := self._compile()) is None else f"not compiled ({failed})")
        say(f"Fast on {device.type}: {', '.join(done)}.")

    def _compile(self) -> str | None:
        """Compiles the networks; why not, where that fails."""
        self._compiled = [m for m in self.trainer.modules() if isinstance(m, Generator)]
        for network in self._compiled:
            network.compile()
        style = Style(*self.directions[0])
        channels, side = self.spec.channels[style.source], self.spec.size
        try:
            style = style._replace(reference=None if self.trainer.samples_styles else self._any_reference(style.target))
            self.translate_tensor(torch.zeros(1, channels, side, side), *style)
        except Exception as error:  # torch's own, of the compiler, of what it starts
            for network in self._compiled:
                network._compiled_call_impl = None
            self._compiled = []
            return str(error).strip().splitlines()[0]
        return None

    def _any_reference(self, target: str) -> Tensor | None:
        side = self.spec.size
        return torch.zeros(1, self.spec.channels_of(target), side, side) if self.trainer.encodes_styles else None

    def _eager(self) -> AbstractContextManager[Any]:
        """Inside, compiled networks are run as they were: where hooks look into them, and for a trial."""
        return torch.compiler.set_stance("force_eager") if self._compiled else nullcontext()

    def _any_size(
        self,
        image: Tensor,
        apply: tiles.Translate,
        direction: tuple[str, str],
        size: int | None,
        tile: int | None,
        say: Say,
    ) -> Tensor:
        """(1, channels, height, width), in bytes or in [-1, 1], to the target domain, on the CPU."""
        height, width = image.shape[-2:]
        scale = size / min(height, width) if size else 1.0
        room = self._pixels_at_once(apply, direction, height * width, scale)
        shown = f"{width}x{height} pixels are too many for the memory at once"
        if not self.trainer.tileable and height * width * scale**2 > room:
            scale = (room / (height * width)) ** 0.5
            say(f"{shown}, and this model has to see an image as a whole: it is translated at {scale:.0%} of its size")
        small = image
        if scale != 1:
            sides = [max(1, round(side * scale)) for side in (height, width)]
            small = F.interpolate(image if scale < 1 else tiles.as_unit(image), sides, mode="bicubic", antialias=True)
        multiple, pixels = self.trainer.multiple, small.shape[-2] * small.shape[-1]
        least = max(tiles.SMALLEST, 2 * multiple)
        if tile == 0 or (tile is None and self.trainer.tileable and pixels > room):
            unit = tiles.round_up(32, multiple)
            side = max(least, min(tiles.LARGEST, int(room**0.5)) // unit * unit)
            if tile is None:
                say(f"{shown}: it is translated in tiles of {side} pixels")
        else:
            side = tile or max(small.shape[-2:])
        while True:
            try:
                with self._eager() if side < max(small.shape[-2:]) else nullcontext():
                    fake = tiles.tiled(apply, self.trainer, small, side, multiple)
                break
            except (MemoryError, RuntimeError) as error:
                side = min(side, *small.shape[-2:]) // 2
                if not out_of_memory(error) or side < least or not self.trainer.tileable:
                    raise
            say(f"the memory was not enough: it is translated in tiles of {side} pixels")
        if scale < 1:
            fake = tiles.restore_detail(fake, tiles.as_unit(small), image.cpu())
        elif scale > 1:
            fake = F.interpolate(fake, (height, width), mode="bicubic", antialias=True)
        return fake

    def _pixels_at_once(self, apply: tiles.Translate, direction: tuple[str, str], pixels: int, scale: float) -> float:
        """How many pixels of an image, which has as many as that, go through the networks at once."""
        least = float(self.spec.size**2)
        if pixels * scale**2 <= least:
            return least  # as in training
        if direction not in self._bytes_per_pixel:
            side = least_multiples(self.trainer) * tiles.round_up(64, self.trainer.multiple)
            probe = torch.zeros(1, self.spec.channels[direction[0]], side, side)
            with self._eager():
                self._bytes_per_pixel[direction] = tiles.bytes_per_pixel(apply, self.trainer, probe)
        device = next(self.trainer.parameters()).device
        free = (tiles.free_memory(device) - tiles.BUFFERS * pixels) / 3  # estimated from tensors alone
        return max(least, min(tiles.MOST_MEMORY, free) / self._bytes_per_pixel[direction])

    def grid(
        self,
        image: ImageLike,
        source: str | None = None,
        reference: ImageLike | None = None,
        seeds: Sequence[int | None] = (None,),
        size: int | None = None,
        tile: int | None = None,
        say: Say = str,
    ) -> Image.Image:
        """The image and all it can be translated to, with each of the seeds, side by side under their names."""
        source, image = self.direction(None, source)[0], opened(image, say)
        tiles = {source: image}
        if reference is not None:
            reference = opened(reference)
            tiles["reference"] = ImageOps.contain(convert(reference, 3), image.size)
        for target in (there for here, there in self.directions if here == source):
            for seed in seeds:
                title = target if len(seeds) == 1 else f"{target}, seed {seed}"
                tiles[title] = self.translate(image, target, source, reference, seed, size, tile, say)
        return grid.titled(tiles)

    def translate_tensor(
        self, images: Tensor, source: str, target: str, seed: int = 0, reference: Tensor | None = None
    ) -> Tensor:
        """(batch, channels, height, width) in [-1, 1], any height and width, to the same in the target domain.

        `reference`, such a tensor of the training size, gives the style; else the seed does.
        """
        with self.trainer.inference():
            return self._apply(images, Style(source, target, seed, reference))

    def _apply(self, images: Tensor, style: Style) -> Tensor:
        height, width = images.shape[-2:]
        padded = _pad(images, self.trainer)
        with self._precision():
            return self.trainer.translate_with(padded, *style)[..., :height, :width]

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
        image = convert(opened(image), self.spec.channels_of(target))
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

    The last by its name, or as "user/name" on the Hugging Face hub. What exists at a path goes before a published model
    of that name, which is downloaded when it is first used; `say` is given its licence, paper and source, `progress`
    (bytes done, bytes in all or 0). Averaged weights are used where the run kept them. `device`: auto, cpu, cuda, mps.
    Raises GanzooError where there is no such run, the file is not ganzoo's, or the plugin that it needs is not
    installed.
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
    """The path of what `load` is given: that path where it exists, or the file of a published model in a cache.

    Of one by its name, or of "user/name" on the Hugging Face hub.
    """
    path = Path(name)
    if path.exists() or path.is_symlink():
        return path
    if registry().matches("pretrained model", str(name)):
        return pretrained.pull(str(name), progress=progress, say=say)
    if hub.is_name(str(name)):
        return hub.pull(str(name))
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


def _unknown(what: str, name: str | None, known: list[str]) -> GanzooError:
    near = did_you_mean(name or "", known)
    return GanzooError(f"This run cannot translate {what}.{near} It knows: {', '.join(known)}.")


def _opaque(image: Image.Image) -> Image.Image:
    """Without its alpha channel, which is not mixed in."""
    return image.convert(image.mode.removesuffix("A")) if image.mode in ("LA", "RGBA") else image


def finished(image: Image.Image, fake: Tensor) -> Image.Image:
    """The translation (channels, height, width), in bytes, of an image, with its alpha and `info`."""
    made = to_pil_image(fake.cpu())
    alpha = image.getchannel("A") if image.mode in ("LA", "RGBA") else None
    if alpha and made.mode in ("L", "RGB"):
        made.putalpha(alpha)
    made.info = dict(image.info)
    return made


def _from_array(array: np.ndarray) -> Image.Image:
    """Raises GanzooError for an array that is no image of bytes."""
    if array.dtype == np.uint8 and (array.ndim == 2 or (array.ndim == 3 and 1 <= array.shape[2] <= 4)) and array.size:
        return Image.fromarray(array[:, :, 0] if array.ndim == 3 and array.shape[2] == 1 else array)
    raise GanzooError(
        f"An array of {array.dtype} and shape {array.shape} is no image: give (height, width, channels) as uint8, 0 to "
        "255, or a tensor (channels, height, width) in [-1, 1]."
    )


def _check_tensor(image: Tensor, channels: int) -> None:
    if image.ndim not in (3, 4) or image.shape[-3] != channels or not image.is_floating_point() or not image.numel():
        raise GanzooError(
            f"A tensor of {image.dtype} and shape {tuple(image.shape)} is no image of this domain: give floating-point "
            f"numbers in [-1, 1] as ({channels}, height, width) or (batch, {channels}, height, width)."
        )


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
    if not below and not right:  # which would be a copy
        return images
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
