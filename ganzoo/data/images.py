"""One image: opened, turned the right way up, with the channels asked for; as a tensor and back."""

import os
import re
import sys
import warnings
from collections import deque
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cache
from hashlib import blake2b
from pathlib import Path
from typing import Any, BinaryIO, ClassVar, overload

import numpy as np
import torch
from PIL import Image, ImageOps, UnidentifiedImageError
from torch import Tensor
from torchvision.transforms.functional import to_pil_image

from ganzoo.errors import GanzooError
from ganzoo.text import printable

EXTENSIONS = {".jpg", ".jpeg", ".png", ".webp", ".bmp", ".tif", ".tiff", ".ppm", ".avif", ".jp2"}
KINDS = "jpg, png, webp, bmp, tiff, ppm, avif, jp2"
FORMATS = ("JPEG", "PNG", "WEBP", "BMP", "TIFF", "PPM", "AVIF", "JPEG2000", "GIF")
"""what is decoded, whatever a file is called: other decoders of Pillow start programs (EPS) or are hardly maintained"""
MODES = {1: "L", 2: "LA", 3: "RGB", 4: "RGBA"}  # by number of channels
DARK = 1 / 16  # of the range: 12 bits in a file of 16, say, would look black
NO_IMAGE = "files that are no images"
Pixels = Image.Image | Tensor
"""An image, or what `to_levels` gives of one."""
LeftOut = dict[str, list[Path]]
"""Why -> what lies in folders of images and is not used."""


@dataclass(frozen=True)
class ImageRef:
    """An image in a file. Subclasses draw theirs instead, or find it inside a file (`file`).

    All are small, so that they travel to worker processes, and `repr` tells one from another.
    """

    path: Path
    """the file that it is in, or a name where it is in none"""
    labels: tuple[float, ...] = field(default=(), kw_only=True)
    """one number for each of the source's `labels`: 1, 0, or nan where it is not known"""
    rendered: ClassVar[bool] = False
    """whether `open` draws it from these fields alone, so that it can be kept until the package's code changes"""

    @property
    def name(self) -> str:
        """How messages call this image."""
        return str(self.path)

    def origin(self) -> str | None:
        """All that its pixels depend on, for the cache of decoded images; None: they are not kept in files.

        Its fields with the size and time of its file, or with the code that renders it.
        """
        try:
            if self.rendered:
                return f"{self!r} {_code(type(self))}"  # type: ignore[arg-type]  # a class can be hashed
            about = os.stat(self.path)
        except OSError:
            return None
        return f"{self!r} {about.st_size} {about.st_mtime_ns}"

    def file(self) -> Path | BinaryIO:
        """Where the encoded image is read from. Subclasses whose images lie in an archive give an open file."""
        return self.path

    def open(self) -> Image.Image:
        """Decoded whole, 8 bits a channel, turned as its EXIF orientation says.

        Raises GanzooError where it cannot be read, or its numbers cannot be shown as they are.
        """
        return self.at_least(None)

    def at_least(self, least: int | None) -> Image.Image:
        """The same; a JPEG decoded at the smallest of its scales whose sides are at least N pixels."""
        try:
            with decoded(self.file(), least=least) as image:
                ImageOps.exif_transpose(image, in_place=True)
                return eight_bits(image)
        except Exception as error:  # which ones decoders raise for damaged files is not documented
            raise GanzooError(
                f"{unreadable(self.name, error)}. Replace or remove it"
                ', or set data.broken = "skip" in the recipe to go on without such images.'
            ) from error


@cache
def _code(rendered: type[ImageRef]) -> str:
    """A digest of the packages that a class and those it extends are from, and NumPy's version. Raises OSError."""
    digest = blake2b(np.__version__.encode(), digest_size=16)
    bases = (base for base in rendered.__mro__ if issubclass(base, ImageRef) and base is not ImageRef)
    for name in sorted({base.__module__.partition(".")[0] for base in bases}):
        files = [Path(getattr(sys.modules.get(name), "__file__", None) or "no file")]
        if files[0].stem == "__init__":
            below = files[0].parent.rglob("*")
            files = sorted(file for file in below if file.is_file() and "__pycache__" not in file.parts)
        for file in files:
            digest.update(f"{file} ".encode(errors="surrogateescape") + file.read_bytes())
    return digest.hexdigest()


@contextmanager
def decoded(
    file: Path | BinaryIO, formats: tuple[str, ...] = FORMATS, least: int | None = None
) -> Iterator[Image.Image]:
    """The image in a file, decoded whole, as it lies there; `least` as in `ImageRef.at_least`.

    Raises what Pillow's decoders raise for damaged files, and ValueError for numbers that would all be nearly black.
    """
    with warnings.catch_warnings(action="ignore"), Image.open(file, formats=formats) as image:
        if least:
            image.draft(None, (least, least))
        deep = any(";16" in str(tile.args) for tile in image.tile)
        image.load()
        if deep and image.mode in MODES.values():  # Pillow has cut it to the upper 8 bits
            _check_range(0, 256 * int(np.asarray(image.convert("RGB")).max()) + 255, 65535)
        yield image


def unreadable(name: Path | str, error: Exception) -> str:
    """What to say where the image in a file cannot be decoded."""
    return f"{name} cannot be read as an image ({_why(error)})"


def _why(error: Exception) -> str:
    if isinstance(error, UnidentifiedImageError):
        return f"it is none of {KINDS}"
    if isinstance(error, MemoryError):
        return "it is too large for the memory here"
    return str(error) or type(error).__name__


class ImageRefs(Sequence[ImageRef]):
    """Images under a folder, in their order: some dozens of bytes each, and an `ImageRef` when it is asked for.

    `names` are paths below `root`. `labels` has a row for each; `make(path, labels=...)` makes the reference.
    """

    def __init__(
        self,
        root: Path,
        names: Iterable[str],
        labels: np.ndarray | None = None,
        make: Callable[..., ImageRef] = ImageRef,
    ) -> None:
        self.root, self.labels, self.make = root, labels, make
        encoded = bytearray()

        def ends() -> Iterator[int]:
            for name in names:
                encoded.extend(os.fsencode(name))
                yield len(encoded)

        self._ends = np.fromiter(ends(), np.int64)
        self._names = bytes(encoded)

    def __len__(self) -> int:
        return len(self._ends)

    @overload
    def __getitem__(self, place: int) -> ImageRef: ...
    @overload
    def __getitem__(self, place: slice) -> "ImageRefs": ...
    def __getitem__(self, place: int | slice) -> "ImageRef | ImageRefs":
        chosen = range(len(self))[place]
        if isinstance(chosen, range):
            return self.take(chosen)
        labels = () if self.labels is None else tuple(self.labels[chosen].tolist())
        return self.make(self.root / self._below(chosen), labels=labels)

    @property
    def names(self) -> Iterator[str]:
        """Their paths below `root`."""
        return map(self._below, range(len(self)))

    def take(self, places: "Sequence[int] | np.ndarray") -> "ImageRefs":
        """Those at some places, in the order of these."""
        labels = None if self.labels is None else self.labels[list(places)]
        return ImageRefs(self.root, map(self._below, places), labels, self.make)

    def _below(self, place: int) -> str:
        return os.fsdecode(self._names[self._ends[place - 1] if place else 0 : self._ends[place]])

    def __eq__(self, other: object) -> bool:
        return isinstance(other, ImageRefs) and self._facts() == other._facts()

    __hash__ = None  # type: ignore[assignment]

    def _facts(self) -> tuple[Any, ...]:
        labels = b"" if self.labels is None else self.labels.tobytes()
        return self.root, self._names, self._ends.tobytes(), labels, repr(self.make)


def find_images(
    folder: Path, recursive: bool = True, left_out: LeftOut | None = None, suffixes: Collection[str] = EXTENSIONS
) -> list[Path]:
    """The image files in a folder, in natural order (2 before 10). Hidden ones, and hidden folders, are left out.

    Links are followed, and each folder is entered once. What else is not used, `left_out` is told. Raises GanzooError
    where the folder cannot be read.
    """
    return [folder / name for name in image_names(folder, recursive, left_out, suffixes)]


def image_names(
    folder: Path, recursive: bool = True, left_out: LeftOut | None = None, suffixes: Collection[str] = EXTENSIONS
) -> list[str]:
    """The same as paths below the folder, which takes a tenth of the memory."""
    names = sorted(_walk(folder, recursive, left_out, suffixes))
    names.sort(key=natural)  # in two steps, as keys of both would take as much memory again
    return names


def has_images(folder: Path) -> bool:
    """Whether there is one. Raises GanzooError where the folder cannot be read."""
    return any(_walk(folder))


def _walk(
    folder: Path, recursive: bool = True, left_out: LeftOut | None = None, suffixes: Collection[str] = EXTENSIONS
) -> Iterator[str]:
    skipped: LeftOut = {} if left_out is None else left_out
    entered, waiting = set(), deque([""])
    while waiting:
        below = waiting.popleft()
        here = folder / below
        try:
            about = os.stat(f"{here}{os.sep}.")  # which takes the right to enter it, as its images do
            entries = os.scandir(here)
        except (FileNotFoundError, NotADirectoryError):
            continue
        except OSError as error:
            if here == folder:
                raise GanzooError(f"{folder} cannot be read ({error.strerror}). Check who may read it.") from error
            skipped.setdefault("folders that cannot be read", []).append(here)
            continue
        with entries:
            if (about.st_dev, about.st_ino) in entered:
                skipped.setdefault("links to folders that are there already", []).append(here)
                continue
            entered.add((about.st_dev, about.st_ino))
            folders = []
            for entry in (entry for entry in entries if entry.name[0] != "."):
                name = f"{below}{entry.name}"
                try:
                    is_folder, is_file = entry.is_dir(), entry.is_file()
                except OSError:  # links in a circle
                    is_folder = is_file = False
                if is_folder:
                    folders.append((f"{name}/", entry.is_symlink()))
                elif not is_file:
                    skipped.setdefault("broken links and devices", []).append(folder / name)
                elif os.path.splitext(name)[1].lower() in suffixes:
                    yield name
                else:
                    skipped.setdefault(NO_IMAGE, []).append(folder / name)
        for name, is_link in sorted(folders) if recursive else ():
            if is_link:
                waiting.append(name)  # after those that are no links
            else:
                waiting.appendleft(name)


def tell(left_out: LeftOut, root: Path) -> tuple[str, ...]:
    """What to say of it: nothing, or a sentence that counts and names."""
    parts = []
    for why, paths in sorted(item for item in left_out.items() if item[1]):
        shown = (path.relative_to(root) if path.is_relative_to(root) else path for path in paths)
        names = sorted(printable(str(path)) for path in shown)
        parts.append(f"{why}: {len(names)} ({', '.join(names[:3])}{', ...' if len(names) > 3 else ''})")
    return (f"Left out of {root}: {'; '.join(parts)}.",) if parts else ()


def natural(text: str) -> str:
    """A key that sorts numbers inside text by value, and before text."""
    return re.sub(r"\d+", _by_value, text.lower())


def _by_value(digits: re.Match[str]) -> str:
    number = str(int(digits[0]))
    return f"\0{chr(len(number))}{number}"


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
    return image if image.mode == MODES[channels] else image.convert(MODES[channels])


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


def to_levels(image: Pixels) -> Tensor:
    """(channels, height, width), uint8: a quarter of the bytes of `to_tensor`, to be kept and moved."""
    if isinstance(image, Tensor):
        return image
    levels = np.asarray(image)
    return torch.from_numpy(np.array(levels.reshape(*levels.shape[:2], -1).transpose(2, 0, 1), order="C"))


def from_levels(levels: Tensor) -> Tensor:
    """What `to_levels` gave as float32 in [-1, 1], where it is."""
    values = torch.empty(levels.shape)
    shown = np.divide(levels.numpy(), np.float32(127.5), out=values.numpy(), dtype=np.float32)  # of bytes, in one pass
    np.subtract(shown, 1, out=shown)
    return values


def to_tensor(image: Pixels) -> Tensor:
    """(channels, height, width), float32 in [-1, 1]."""
    return from_levels(to_levels(image))


def to_image(tensor: Tensor) -> Image.Image:
    """The reverse, clipped and rounded."""
    return to_pil_image(to_bytes(tensor).cpu())


def to_bytes(tensor: Tensor) -> Tensor:
    """Numbers in [-1, 1] as bytes, clipped and rounded."""
    return (tensor.detach().float() + 1).mul_(127.5).clamp_(0, 255).round_().byte()
