"""An image as the networks see it: resized, cropped, mirrored."""

import numpy as np
from PIL import Image, ImageFilter

from ganzoo.options import DataOptions


def thicken(image: Image.Image, side: int) -> Image.Image:
    """Each pixel as dark as the darkest around it in a window of this side: dark lines grow."""
    return image.filter(ImageFilter.MinFilter(side))


def prepare(image: Image.Image, options: DataOptions) -> Image.Image:
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


def train_transform(image: Image.Image, options: DataOptions, multiple: int, rng: np.random.Generator) -> Image.Image:
    """A prepared training image as the networks see it: cropped and mirrored at random."""
    left, top, mirror = rng.random(3)
    if options.preprocess == "resized-crop":
        image = _resize(_zoomed(image, left, top, rng), (options.size, options.size), options)
    image = _framed(image, options, multiple, left, top)
    return image.transpose(Image.Transpose.FLIP_LEFT_RIGHT) if options.flip and mirror < 0.5 else image


def test_transform(image: Image.Image, options: DataOptions, multiple: int) -> Image.Image:
    """A test image, without anything random."""
    if options.preprocess in ("resize-and-crop", "square", "resized-crop"):
        return _resize(_middle(image, options), (options.size, options.size), options)
    if options.preprocess == "scale-width-and-crop":  # whole, at the width that the crops were taken from
        width, height = _scaled(image, options.load_size, options)
        return _resize(image, (_near(width, multiple), _near(height, multiple)), options)
    if options.preprocess == "scale-shortside-and-crop":
        image = _resize(image, _scaled(image, options.size, options), options)
    return _framed(image, options, multiple, 0.5, 0.5)


def _scaled(image: Image.Image, side: int, options: DataOptions) -> tuple[int, int]:
    """Width and height once the shorter side, or the width, is `side`, shape kept."""
    now = image.width if options.preprocess == "scale-width-and-crop" else min(image.size)
    return max(1, round(image.width * side / now)), max(1, round(image.height * side / now))


def _middle(image: Image.Image, options: DataOptions) -> Image.Image:
    """The largest square in the middle, if that is wanted."""
    if options.preprocess != "square":
        return image
    side = min(image.size)
    left, top = (image.width - side) // 2, (image.height - side) // 2
    return image.crop((left, top, left + side, top + side))


def _zoomed(image: Image.Image, left: float, top: float, rng: np.random.Generator) -> Image.Image:
    """Half of the images whole, half a crop of 80 to 100 % of the area, 0.9 to 1.1 times as wide as the image."""
    zoomed, scale, ratio = rng.random(3)
    if zoomed < 0.5:
        return image
    area, wider = 0.8 + 0.2 * scale, (1.1 / 0.9) ** ratio * 0.9
    width = min(image.width, round(image.width * (area * wider) ** 0.5))
    height = min(image.height, round(image.height * (area / wider) ** 0.5))
    x, y = int(left * (image.width - width + 1)), int(top * (image.height - height + 1))
    return image.crop((x, y, x + width, y + height))


def _framed(image: Image.Image, options: DataOptions, multiple: int, left: float, top: float) -> Image.Image:
    width, height = image.size
    if options.preprocess == "none":
        return _resize(image, (_near(width, multiple), _near(height, multiple)), options)
    if options.preprocess == "scale-width":
        return _resize(image, (options.size, _near(round(height * options.size / width), multiple)), options)
    if min(width, height) < options.size:  # a crop that is larger than the image: enlarge it just enough
        scale = options.size / min(width, height)
        width, height = (max(options.size, round(side * scale)) for side in image.size)
        image = _resize(image, (width, height), options)
    x, y = int(left * (width - options.size + 1)), int(top * (height - options.size + 1))
    return image.crop((x, y, x + options.size, y + options.size))


def _near(side: int, multiple: int) -> int:
    return max(multiple, round(side / multiple) * multiple)


def _resize(image: Image.Image, size: tuple[int, int], options: DataOptions) -> Image.Image:
    if image.size == size:
        return image
    if options.interpolation == "bilinear-no-antialias":  # of four pixels, however many there are for each new one
        matrix = (image.width / size[0], 0, 0, 0, image.height / size[1], 0)
        return image.transform(size, Image.Transform.AFFINE, matrix, Image.Resampling.BILINEAR)
    return image.resize(size, Image.Resampling[options.interpolation.upper()])
