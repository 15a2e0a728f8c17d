"""A page that compares images with their translations: one file that needs no network."""

from pathlib import Path
from typing import Any

from PIL import Image

from ganzoo.data.images import convert
from ganzoo.files import write_bytes
from ganzoo.report import data_uri, render
from ganzoo.text import printable

SIDES = {50: 1600, 200: 1000}  # the longer side of images on a page of up to N images, in pixels
SMALL = 600  # on larger pages


class Gallery:
    """Images of the domain `source` and their translations to `target`, about `count` of them, collected one by one."""

    def __init__(self, source: str, target: str, count: int) -> None:
        self.source, self.target = source, target
        self.side = next((side for most, side in SIDES.items() if count <= most), SMALL)
        self.images: list[dict[str, Any]] = []

    def entry(self, name: str, before: Image.Image, after: Image.Image) -> dict[str, Any]:
        """One of `images`: an image and its translation, both of one size, reduced if they are large."""
        facts: dict[str, Any] = {"name": printable(name), "size": after.size}
        for key, image in (("before", before), ("after", after)):
            shown = convert(image, 3)
            shown.thumbnail((self.side, self.side), Image.Resampling.LANCZOS)
            facts |= {key: data_uri(shown), "width": shown.width, "height": shown.height}
        return facts

    def write(self, path: Path) -> None:
        """The page. Raises GanzooError where it cannot be written."""
        write_bytes(path, render("gallery.html.j2", vars(self)).encode(errors="replace"))
