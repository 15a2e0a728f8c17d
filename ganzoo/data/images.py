"""One image: opened, turned the right way up, with the channels asked for; as a tensor and back."""

import re
import warnings
from collections import deque
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError
from torch import Tensor
from torchvision.transforms.functional import pil_to_tensor, to_pil_image

from ganzoo.errors import GanzooError
from ganzoo.text import printable

EXTENSIONS = {".jpg", ".jpeg", ".png", ".webp", ".bmp", ".tif", ".tiff", ".ppm", ".avif", ".jp2"}
KINDS = "jpg, png, webp, bmp, tiff, ppm, avif, jp2"
FORMATS = ("JPEG", "PNG", "WEBP", "BMP", "TIFF", "PPM", "AVIF", "JPEG2000", "GIF")
"""what is decoded, whatever a file is called: other decoders of Pillow start programs (EPS) or are hardly maintained"""
MODES = {1: "L", 2: "LA", 3: "RGB", 4: "RGBA"}  # by number of channels
DARK = 1 / 16  # of the range: 12 bits in a file of 16, say, would look black
NO_IMAGE = "files that are no images"
LeftOut = dict[str, list[Path]]
"""Why -> what lies in folders of images and is not used."""


@dataclass(frozen=True)
class ImageRef:
    """An image in a file. Subclasses draw theirs instead; all are small, so that they travel to worker processes."""

    path: Path
    """the file that it is in"""
    labels: tuple[float, ...] = field(default=(), kw_only=True)
    """one number for each of the source's `labels`: 1, 0, or nan where it is not known"""

    @property
    def name(self) -> str:
        """How messages call this image."""
        return str(self.path)

    def open(self) -> Image.Image:
        """Decoded whole, 8 bits a channel, turned as its EXIF orientation says.

        Raises GanzooError where it cannot be read, or its numbers cannot be shown as they are.
        """
        try:
            with decoded(self.path) as image:
                return eight_bits(ImageOps.exif_transpose(image))
        except Exception as error:  # which ones decoders raise for damaged files is not documented
            raise GanzooError(
                f"{unreadable(self.path, error)}. Replace or remove it"
                ', or set data.broken = "skip" in the recipe to go on without such images.'
            ) from error


@contextmanager
def decoded(path: Path, formats: tuple[str, ...] = FORMATS) -> Iterator[Image.Image]:
    """The image in a file, decoded whole, as it lies there.

    Raises what Pillow's decoders raise for damaged files, and ValueError for numbers that would all be nearly black.
    """
    with warnings.catch_warnings(action="ignore"), Image.open(path, formats=formats) as image:
        deep = any(";16" in str(tile.args) for tile in image.tile)
        image.load()
        if deep and image.mode in MODES.values():  # Pillow has cut it to the upper 8 bits
            _check_range(0, 256 * int(np.asarray(image.convert("RGB")).max()) + 255, 65535)
        yield image


def unreadable(path: Path, error: Exception) -> str:
    """What to say where the image in a file cannot be decoded."""
    return f"{path} cannot be read as an image ({_why(error)})"


def _why(error: Exception) -> str:
    if isinstance(error, UnidentifiedImageError):
        return f"it is none of {KINDS}"
    if isinstance(error, MemoryError):
        return "it is too large for the memory here"
    return str(error) or type(error).__name__


def find_images(
    folder: Path, recursive: bool = True, left_out: LeftOut | None = None, suffixes: Collection[str] = EXTENSIONS
) -> list[Path]:
    """The image files in a folder, in natural order (2 before 10). Hidden ones, and hidden folders, are left out.

    Links are followed, and each folder is entered once. What else is not used, `left_out` is told. Raises GanzooError
    where the folder cannot be read.
    """
    found: list[Path] = []
    skipped: LeftOut = {} if left_out is None else left_out
    entered, waiting = set(), deque([folder])
    while waiting:
        here = waiting.popleft()
        try:
            about = here.stat()
            entries = {path: path.is_dir() for path in sorted(here.iterdir()) if not path.name.startswith(".")}
        except (FileNotFoundError, NotADirectoryError):
            continue
        except OSError as error:
            if here == folder:
                raise GanzooError(f"{folder} cannot be read ({error.strerror}). Check who may read it.") from error
            skipped.setdefault("folders that cannot be read", []).append(here)
            continue
        if (about.st_dev, about.st_ino) in entered:
            skipped.setdefault("links to folders that are there already", []).append(here)
            continue
        entered.add((about.st_dev, about.st_ino))
        for path, is_folder in entries.items():
            if is_folder and recursive and path.is_symlink():
                waiting.append(path)  # after those that are no links
            elif is_folder and recursive:
                waiting.appendleft(path)
            elif not is_folder and not path.is_file():
                skipped.setdefault("broken links and devices", []).append(path)
            elif not is_folder and path.suffix.lower() in suffixes:
                found.append(path)
            elif not is_folder:
                skipped.setdefault(NO_IMAGE, []).append(path)
    return sorted(found, key=lambda path: (natural(name := str(path.relative_to(folder))), name))


def tell(left_out: LeftOut, root: Path) -> tuple[str, ...]:
    """What to say of it: nothing, or a sentence that counts and names."""
    parts = []
    for why, paths in sorted(item for item in left_out.items() if item[1]):
        shown = (path.relative_to(root) if path.is_relative_to(root) else path for path in paths)
        names = sorted(printable(str(path)) for path in shown)
        parts.append(f"{why}: {len(names)} ({', '.join(names[:3])}{', ...' if len(names) > 3 else ''})")
    return (f"Left out of {root}: {'; '.join(parts)}.",) if parts else ()


def natural(text: str) -> list[tuple[int, int | str]]:
    """A key that sorts numbers inside text by value."""
    return [(0, int(part)) if part.isdecimal() else (1, part.lower()) for part in re.split(r"(\d+)", text) if part]


def convert(image: Image.Image, channels: int) -> Image.Image:
    """8 bits a channel, 1 to 4 channels; transparency without an alpha channel becomes white.

    Raises GanzooError for an image with numbers that cannot be shown as they are.
    """
    try:
        image = eight_bits(image)
    except ValueError as error:
        raise GanzooError(f"The image cannot be used: {error}.") from None
    if channels in (1, 3) and (image.mode in ("RGBA", "LA", "PA", "La", "RGBa") or "transparency" in image.info):
        image = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image)
    return image.convert(MODES[channels])


def eight_bits(image: Image.Image) -> Image.Image:
    """The same with 8 bits a channel: 16 bits are reduced, floating-point numbers go from 0 to 1.

    Raises ValueError for other numbers, and for those that would all be nearly black.
    """
    if image.mode == "LAB":
        return image.convert("RGB")
    if image.mode not in ("I", "F") and not image.mode.startswith("I;16"):
        return image
    most = 1 if image.mode == "F" else 65535
    values = np.asarray(image, dtype=np.float32)
    _check_range(values.min(), values.max(), most)
    return Image.fromarray((values / most * 255).round().astype(np.uint8))


def _check_range(low: float, high: float, most: float) -> None:
    if not 0 <= low <= high <= most or 0 < high < DARK * most:
        raise ValueError(
            f"its numbers go from {low:g} to {high:g} where 0 to {most} is black to white: save it with 8 bits"
        )


def to_tensor(image: Image.Image) -> Tensor:
    """(channels, height, width), float32 in [-1, 1]."""
    return pil_to_tensor(image).contiguous() / 127.5 - 1


def to_image(tensor: Tensor) -> Image.Image:
    """The reverse, clipped and rounded."""
    levels = tensor.detach().float().cpu() + 1
    return to_pil_image(levels.mul_(127.5).clamp_(0, 255).round_().byte())
