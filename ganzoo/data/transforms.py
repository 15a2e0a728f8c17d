"""An image as the networks see it: resized, cropped, mirrored."""

import numpy as np
from PIL import Image

from ganzoo.options import DataOptions


def train_transform(image: Image.Image, options: DataOptions, multiple: int, rng: np.random.Generator) -> Image.Image:
    """A training image as the networks see it: resized, cropped and mirrored at random."""
    left, top, mirror = rng.random(3)
    if options.preprocess == "resized-crop":
        image = _resize(_zoomed(image, left, top, rng), options.size, options.size)
    if options.preprocess in ("resize-and-crop", "square"):
        image = _resize(_middle(image, options), options.load_size, options.load_size)
    image = _framed(image, options, multiple, left, top)
    return image.transpose(Image.Transpose.FLIP_LEFT_RIGHT) if options.flip and mirror < 0.5 else image


def test_transform(image: Image.Image, options: DataOptions, multiple: int) -> Image.Image:
    """A test image, without anything random."""
    if options.preprocess in ("resize-and-crop", "square", "resized-crop"):
        return _resize(_middle(image, options), options.size, options.size)
    return _framed(image, options, multiple, 0.5, 0.5)


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
        return _resize(image, _near(width, multiple), _near(height, multiple))
    if options.preprocess == "scale-width":
        return _resize(image, options.size, _near(round(height * options.size / width), multiple))
    if min(width, height) < options.size:  # a crop that is larger than the image: enlarge it just enough
        scale = options.size / min(width, height)
        image = _resize(image, max(options.size, round(width * scale)), max(options.size, round(height * scale)))
        width, height = image.size
    x, y = int(left * (width - options.size + 1)), int(top * (height - options.size + 1))
    return image.crop((x, y, x + options.size, y + options.size))


def _near(side: int, multiple: int) -> int:
    return max(multiple, round(side / multiple) * multiple)


def _resize(image: Image.Image, width: int, height: int) -> Image.Image:
    return image if image.size == (width, height) else image.resize((width, height), Image.Resampling.BICUBIC)
