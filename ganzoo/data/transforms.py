"""An image as the networks see it: resized, cropped, mirrored. A tensor (`to_levels`) is cropped without a copy."""

import numpy as np
from PIL import Image, ImageFilter
from torch import Tensor
from torchvision.transforms.functional import to_pil_image

from ganzoo.data.images import Pixels, to_levels
from ganzoo.options import DataOptions


def thicken(image: Image.Image, side: int) -> Image.Image:
    """Each pixel as dark as the darkest around it in a window of this side: dark lines grow."""
    return image.filter(ImageFilter.MinFilter(side))


def prepare(image: Pixels, options: DataOptions) -> Pixels:
    """What happens to a training image before anything random does: it is resized to be cropped."""
    if options.preprocess in ("resize-and-crop", "square"):
        return _resize(_middle(image, options), (options.load_size, options.load_size), options)
    if options.preprocess in ("scale-shortside-and-crop", "scale-width-and-crop"):
        return _resize(image, _scaled(image, options.load_size, options), options)
    return image


def resized_to(options: DataOptions) -> int | None:
    """How many pixels of a side are enough for what is done to an image; None where it is cropped as it is.

    Twice as many as it is resized to: of fewer, decoders' coarse steps would show.
    """
    if options.preprocess in ("crop", "none"):
        return None
    return 2 * (options.size if options.preprocess in ("resized-crop", "scale-width") else options.load_size)


def train_transform(image: Pixels, options: DataOptions, multiple: int, rng: np.random.Generator) -> Tensor:
    """A prepared training image as the networks see it: cropped and mirrored at random, as of `to_levels`."""
    left, top, mirror = rng.random(3)
    if options.preprocess == "resized-crop":
        image = _resize(_zoomed(image, left, top, rng), (options.size, options.size), options)
    levels = to_levels(_framed(image, options, multiple, left, top))
    return levels.flip(-1) if options.flip and mirror < 0.5 else levels.clone()  # the cache's own stays as it is


def test_transform(image: Pixels, options: DataOptions, multiple: int) -> Pixels:
    """A test image, without anything random."""
    if options.preprocess in ("resize-and-crop", "square", "resized-crop"):
        return _resize(_middle(image, options), (options.size, options.size), options)
    if options.preprocess == "scale-width-and-crop":  # whole, at the width that the crops were taken from
        width, height = _scaled(image, options.load_size, options)
        return _resize(image, (_near(width, multiple), _near(height, multiple)), options)
    if options.preprocess == "scale-shortside-and-crop":
        image = _resize(image, _scaled(image, options.size, options), options)
    return _framed(image, options, multiple, 0.5, 0.5)


def _scaled(image: Pixels, side: int, options: DataOptions) -> tuple[int, int]:
    """Width and height once the shorter side, or the width, is `side`, shape kept."""
    width, height = size_of(image)
    now = width if options.preprocess == "scale-width-and-crop" else min(width, height)
    return max(1, round(width * side / now)), max(1, round(height * side / now))


def _middle(image: Pixels, options: DataOptions) -> Pixels:
    """The largest square in the middle, if that is wanted."""
    if options.preprocess != "square":
        return image
    width, height = size_of(image)
    side = min(width, height)
    return _crop(image, (width - side) // 2, (height - side) // 2, side, side)


def _zoomed(image: Pixels, left: float, top: float, rng: np.random.Generator) -> Pixels:
    """Half of the images whole, half a crop of 80 to 100 % of the area, 0.9 to 1.1 times as wide as the image."""
    zoomed, scale, ratio = rng.random(3)
    if zoomed < 0.5:
        return image
    area, wider = 0.8 + 0.2 * scale, (1.1 / 0.9) ** ratio * 0.9
    whole, tall = size_of(image)
    width, height = min(whole, round(whole * (area * wider) ** 0.5)), min(tall, round(tall * (area / wider) ** 0.5))
    return _crop(image, int(left * (whole - width + 1)), int(top * (tall - height + 1)), width, height)


def _framed(image: Pixels, options: DataOptions, multiple: int, left: float, top: float) -> Pixels:
    width, height = size_of(image)
    if options.preprocess == "none":
        return _resize(image, (_near(width, multiple), _near(height, multiple)), options)
    if options.preprocess == "scale-width":
        return _resize(image, (options.size, _near(round(height * options.size / width), multiple)), options)
    if min(width, height) < options.size:  # a crop that is larger than the image: enlarge it just enough
        scale = options.size / min(width, height)
        width, height = (max(options.size, round(side * scale)) for side in (width, height))
        image = _resize(image, (width, height), options)
    x, y = int(left * (width - options.size + 1)), int(top * (height - options.size + 1))
    return _crop(image, x, y, options.size, options.size)


def _near(side: int, multiple: int) -> int:
    return max(multiple, round(side / multiple) * multiple)


def size_of(image: Pixels) -> tuple[int, int]:
    """Width and height."""
    return (image.shape[-1], image.shape[-2]) if isinstance(image, Tensor) else image.size


def _crop(image: Pixels, x: int, y: int, width: int, height: int) -> Pixels:
    if isinstance(image, Tensor):
        return image[:, y : y + height, x : x + width]
    return image.crop((x, y, x + width, y + height))


def _resize(image: Pixels, size: tuple[int, int], options: DataOptions) -> Pixels:
    if size_of(image) == size:
        return image
    if isinstance(image, Tensor):
        return _resize(to_pil_image(image), size, options)
    if options.interpolation == "bilinear-no-antialias":  # of four pixels, however many there are for each new one
        matrix = (image.width / size[0], 0, 0, 0, image.height / size[1], 0)
        return image.transform(size, Image.Transform.AFFINE, matrix, Image.Resampling.BILINEAR)
    return image.resize(size, Image.Resampling[options.interpolation.upper()])
