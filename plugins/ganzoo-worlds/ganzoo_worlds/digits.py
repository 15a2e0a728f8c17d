"""Handwritten digits without a download: the 8x8 images that come with scikit-learn."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
from PIL import Image
from sklearn.datasets import load_digits

from ganzoo.data.images import ImageRef
from ganzoo.data.sources import Source
from ganzoo.options import DataOptions

TESTED = 5  # every fifth digit is kept for testing


@dataclass(frozen=True)
class Digit(ImageRef):
    index: int

    def open(self) -> Image.Image:
        return Image.fromarray((_digits()[0][self.index] * (255 / 16)).round().astype(np.uint8))


class Digits(Source):
    """1,797 grey digits, 8x8 pixels, labelled 0 to 9 (Alpaydin and Kaynak 1998; in scikit-learn, BSD licence)."""

    kinds = ("labelled", "images")
    domains = ("image",)
    labels = tuple("0123456789")
    groups = (labels,)

    def __init__(self, options: DataOptions, kind: str) -> None:
        numbers = _digits()[1]
        everything = [
            Digit(Path(f"{i:04d}.png"), i, labels=tuple(float(n == other) for other in range(10)))
            for i, n in enumerate(numbers)
        ]
        self._images = {
            "train": [d for d in everything if d.index % TESTED],
            "test": [d for d in everything if d.index % TESTED == 0],
        }

    def images(self, split: str, domain: str) -> Sequence[ImageRef]:
        return self._images[split]


@cache
def _digits() -> tuple[np.ndarray, np.ndarray]:
    found = load_digits()
    return found.images, found.target
