"""Rendered landscapes and faces as data sources, whose ground truth is known."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from math import nan
from pathlib import Path

from PIL import Image

from ganzoo.data.images import ImageRef
from ganzoo.data.sources import Source
from ganzoo.errors import GanzooError
from ganzoo.options import DataOptions
from ganzoo.registry import did_you_mean
from ganzoo_worlds import faces, landscapes

TRAIN, TEST = 2000, 50  # images in each domain


@dataclass(frozen=True)
class Landscape(ImageRef):
    """One scene in one rendering."""

    seed: int
    rendering: str
    size: int
    rendered = True

    def open(self) -> Image.Image:
        return Image.fromarray(landscapes.render(self.seed, self.rendering, self.size))


class Landscapes(Source):
    """Rendered landscapes; the domains are renderings, by default photograph-like and painted.

    Unless they are paired, no scene is in the training images of two domains; the test images show the same scenes
    in all of them.
    """

    kinds = ("unpaired", "paired", "domains", "images")
    ground_truth = True

    def __init__(self, options: DataOptions, kind: str) -> None:
        self.options, self.kind = options, kind
        self.renderings = options.domains or ("photo", "painting")
        _check_names("landscapes", self.renderings, landscapes.RENDERINGS)
        self.domains = ("image",) if kind == "images" else self.renderings

    def images(self, split: str, domain: str) -> Sequence[ImageRef]:
        place = 0 if self.kind == "images" else self.domains.index(domain)
        seeds, size = _seeds(self.options, split, 0 if self.kind == "paired" else place)
        return [Landscape(Path(f"{seed:05d}.png"), seed, self.renderings[place], size) for seed in seeds]


@dataclass(frozen=True)
class Face(ImageRef):
    """One person in one rendering, perhaps with attributes changed."""

    seed: int
    rendering: str
    size: int
    changed: tuple[tuple[str, bool], ...] = field(default=())
    rendered = True

    def open(self) -> Image.Image:
        return Image.fromarray(faces.render(self.seed, self.rendering, self.size, **dict(self.changed)))


class Faces(Source):
    """Rendered faces. Domains are renderings (photo, cartoon) or attributes (blond: photographs of blond people).

    With labels: the attributes of `data.attributes`, by default all, in the rendering `data.domains` names. With
    `data.label_sets` a training image knows the labels of one set, as if each set came from another collection.
    """

    kinds = ("unpaired", "paired", "domains", "labelled", "images")
    ground_truth = True

    def __init__(self, options: DataOptions, kind: str) -> None:
        self.options, self.kind = options, kind
        self.renderings = options.domains or (("photo",) if kind in ("labelled", "images") else ("photo", "cartoon"))
        _check_names("faces", self.renderings, (*faces.RENDERINGS, *faces.ATTRIBUTES))
        self.domains = self.renderings
        if kind in ("labelled", "images"):
            self.domains, self.ground_truth = ("image",), False  # labels have a `counterpart` instead
        if kind == "labelled":
            self.labels = options.attributes or faces.ATTRIBUTES
            _check_names("faces", self.labels, faces.ATTRIBUTES)
            self.groups = tuple(group for group in faces.EXCLUSIVE if set(group) <= set(self.labels))

    def images(self, split: str, domain: str) -> Sequence[ImageRef]:
        place = 0 if self.domains == ("image",) else self.domains.index(domain)
        seeds, size = _seeds(self.options, split, 0 if self.kind == "paired" else place)
        sets = self.options.label_sets if split == "train" else ()
        return [
            self._face(seed, self.renderings[place], size, sets[i % len(sets)] if sets else self.labels)
            for i, seed in enumerate(seeds)
        ]

    def counterpart(self, image: ImageRef, labels: dict[str, bool]) -> ImageRef | None:
        assert isinstance(image, Face)
        changed = {**dict(image.changed), **labels}
        now = {**faces.attributes(image.seed), **changed}
        return replace(image, changed=tuple(changed.items()), labels=tuple(float(now[name]) for name in self.labels))

    def _face(self, seed: int, name: str, size: int, labels: Sequence[str]) -> Face:
        path = Path(f"{seed:05d}.png")
        if name in faces.ATTRIBUTES:
            return Face(path, seed, "photo", size, ((name, True),))
        known = faces.attributes(seed) if self.labels else {}
        return Face(path, seed, name, size, labels=tuple(float(known[x]) if x in labels else nan for x in self.labels))


def _seeds(options: DataOptions, split: str, place: int) -> tuple[range, int]:
    """Which seeds a split of the domain at a place has, and how large its images are rendered."""
    if split == "test":
        return range(TEST), options.size
    loaded = options.preprocess == "square" or options.preprocess.endswith("-and-crop")
    return range(TEST + place * TRAIN, TEST + (place + 1) * TRAIN), options.load_size if loaded else options.size


def _check_names(world: str, names: Sequence[str], known: Sequence[str]) -> None:
    for name in names:
        if name not in known:
            raise GanzooError(f'{world} has no "{name}".{did_you_mean(name, list(known))} It has: {", ".join(known)}.')
