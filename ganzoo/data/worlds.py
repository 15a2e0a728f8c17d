"""The built-in worlds as data sources: drawn from a seed, so that the true translation of a test picture is known."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from PIL import Image

from ganzoo.data import landscapes
from ganzoo.data.pictures import Picture
from ganzoo.data.sources import Source
from ganzoo.errors import GanzooError
from ganzoo.options import DataOptions
from ganzoo.registry import nearest

TRAIN, TEST = 2000, 50  # scenes in each domain


@dataclass(frozen=True)
class Landscape(Picture):
    """One scene in one rendering."""

    path: Path
    seed: int
    rendering: str
    size: int

    def open(self) -> Image.Image:
        return Image.fromarray(landscapes.render(self.seed, self.rendering, self.size))


class Landscapes(Source):
    """Drawn landscapes; the domains are renderings, by default photograph-like and painted.

    No scene is in the training pictures of two domains; the test pictures show the same scenes in all of them.
    """

    truth = True

    def __init__(self, data: DataOptions, kind: str) -> None:
        self.domains = data.domains or ("photo", "painting")
        for name in self.domains:
            if name not in landscapes.RENDERINGS:
                raise GanzooError(
                    f'landscapes has no rendering "{name}".{nearest(name, list(landscapes.RENDERINGS))} '
                    f"It has: {', '.join(landscapes.RENDERINGS)}."
                )
        self.data = data

    def pictures(self, split: str, domain: str) -> Sequence[Picture]:
        if split == "test":
            seeds, size = range(TEST), self.data.size
        else:
            place = self.domains.index(domain)
            seeds = range(TEST + place * TRAIN, TEST + (place + 1) * TRAIN)
            size = self.data.load_size if self.data.preprocess == "resize-and-crop" else self.data.size
        return [Landscape(Path(f"{seed:05d}.png"), seed, domain, size) for seed in seeds]
