"""Images of one hue, rendered, and an archive that is published nowhere."""

import colorsys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import numpy as np
from PIL import Image
from pydantic import Field

from ganzoo import Archive, GanzooError, ImageRef, Source

HUES = {"red": 0.0, "green": 0.33, "blue": 0.66}
CARDS = Archive(
    name="cards",
    domains=("front", "back"),
    urls=(),
    licence="It cannot be downloaded: make one.",
    layout=("front", "back"),
)


@dataclass(frozen=True)
class Swatch(ImageRef):
    hue: float
    grain: float
    size: int

    def open(self) -> Image.Image:
        rng = np.random.default_rng(int(self.path.stem))
        colour = 255 * np.array(colorsys.hsv_to_rgb(self.hue, rng.uniform(0.6, 1), rng.uniform(0.5, 1)))
        pixels = colour + self.grain * rng.normal(0, 100, (self.size, self.size, 3))
        return Image.fromarray(pixels.clip(0, 255).astype(np.uint8))


class Swatches(Source):
    """The domains are hues; every tenth image is kept for testing."""

    kinds = ("domains", "images")

    def __init__(
        self,
        options,
        kind: str,
        *,
        count: Annotated[int, Field(ge=10, description="images of each hue")] = 50,
        grain: Annotated[float, Field(ge=0, le=1, description="noise in the images, 1 being much")] = 0.1,
    ) -> None:
        hues = options.domains or tuple(HUES)
        for hue in hues:
            if hue not in HUES:
                raise GanzooError(f'There is no hue "{hue}". Choose among {", ".join(HUES)} with data.domains.')
        self.hues, self.domains = hues, ("image",) if kind == "images" else hues
        self.count, self.grain, self.size = count, grain, options.load_size

    def images(self, split: str, domain: str) -> Sequence[ImageRef]:
        place = 0 if domain == "image" else self.domains.index(domain)
        numbers = [i for i in range(self.count) if (i % 10 == 0) == (split == "test")]
        hue = HUES[self.hues[place]]
        return [Swatch(Path(f"{place}{i:03d}.png"), hue, self.grain, self.size) for i in numbers]
