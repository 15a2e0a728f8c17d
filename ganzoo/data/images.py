"""One image: opened, turned the right way up, with the channels asked for; as a tensor and back."""

import re
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps
from torch import Tensor
from torchvision.transforms.functional import pil_to_tensor, to_pil_image

from ganzoo.errors import GanzooError

EXTENSIONS = {".jpg", ".jpeg", ".png", ".webp", ".bmp", ".tif", ".tiff", ".ppm"}
MODES = {1: "L", 2: "LA", 3: "RGB", 4: "RGBA"}  # by number of channels


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
        """Decoded whole and turned as its EXIF orientation says. Raises GanzooError where it cannot be read."""
        try:
            with Image.open(self.path) as image:
                image.load()
                return ImageOps.exif_transpose(image)
        except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
            raise GanzooError(
                f"{self.path} cannot be read as an image ({error}). Replace or remove it"
                ', or set data.broken = "skip" in the recipe to go on without such images.'
            ) from error


def find_images(folder: Path, recursive: bool = True) -> list[Path]:
    """The image files in a folder, in natural order (2 before 10). Hidden ones, and hidden folders, are left out."""
    found = folder.rglob("*") if recursive else folder.glob("*")
    names = {p: p.relative_to(folder) for p in found if p.suffix.lower() in EXTENSIONS and p.is_file()}
    shown = [path for path, name in names.items() if not any(part.startswith(".") for part in name.parts)]
    return sorted(shown, key=lambda path: natural(str(names[path])))


def natural(text: str) -> list[tuple[int, int | str]]:
    """A key that sorts numbers inside text by value."""
    return [(0, int(part)) if part.isdecimal() else (1, part.lower()) for part in re.split(r"(\d+)", text) if part]


def convert(image: Image.Image, channels: int) -> Image.Image:
    """8 bits a channel, 1 to 4 channels; 16 bits are reduced, transparency without an alpha channel becomes white."""
    if image.mode.startswith("I;16") or image.mode == "I":
        image = Image.fromarray((np.asarray(image, dtype=np.float64) / 257).clip(0, 255).round().astype(np.uint8))
    if channels in (1, 3) and (image.mode in ("RGBA", "LA", "PA", "La", "RGBa") or "transparency" in image.info):
        image = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image)
    return image.convert(MODES[channels])


def to_tensor(image: Image.Image) -> Tensor:
    """(channels, height, width), float32 in [-1, 1]."""
    return pil_to_tensor(image).contiguous() / 127.5 - 1


def to_image(tensor: Tensor) -> Image.Image:
    """The reverse, clipped and rounded."""
    return to_pil_image(((tensor.detach().float().cpu() + 1) * 127.5).clamp(0, 255).round().byte())
