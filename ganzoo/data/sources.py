"""Where images come from: the contract of a data source, and opening the one that a recipe names."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from typing import ClassVar

from ganzoo.data import archives
from ganzoo.data.images import ImageRef
from ganzoo.errors import GanzooError
from ganzoo.options import DataOptions
from ganzoo.registry import did_you_mean, registry
from ganzoo.trainer import KINDS


class Source(ABC):
    """Training and test images of named domains. Built with the recipe's `[data]` table and the model's kind of data.

    Kinds are those of `ganzoo.trainer.KINDS`. With kind "labelled" or "images" there is one domain, "image". With kind
    "paired", images of all domains at one index show the same thing.
    """

    kinds: ClassVar[tuple[str, ...]] = ("unpaired",)
    """the kinds of data that it can give"""
    domains: tuple[str, ...] = ()
    """names of the domains, in order"""
    labels: tuple[str, ...] = ()
    """with kind "labelled": what the columns of `ImageRef.labels` mean"""
    groups: tuple[tuple[str, ...], ...] = ()
    """labels of which at most one holds, such as hair colours"""
    ground_truth: bool = False
    """whether the test images of all domains at one index show the same thing, so that a translation can be checked"""

    @abstractmethod
    def __init__(self, data: DataOptions, kind: str) -> None: ...

    @abstractmethod
    def images(self, split: str, domain: str) -> Sequence[ImageRef]:
        """The images of a domain in the split "train" or "test"; never empty for "train".

        Raises GanzooError where there are none to train on.
        """

    def counterpart(self, image: ImageRef, labels: dict[str, bool]) -> ImageRef | None:
        """The same image with these labels, where the source knows it (rendered data sets do)."""
        return None


class Still(Source):
    """The first training image of each domain of another source, for training and testing alike."""

    def __init__(self, source: Source) -> None:
        self.source, self.domains = source, source.domains

    def images(self, split: str, domain: str) -> Sequence[ImageRef]:
        return self.source.images("train", domain)[:1]


def open_source(
    data: DataOptions, kind: str, say: Callable[[str], None], progress: Callable[[int, int], None] | None
) -> Source:
    """The source that `[data]` names, downloaded if need be. Raises GanzooError, archives.Offline."""
    if kind == "still":
        return Still(open_source(data, "unpaired", say, progress))
    if data.source in (*archives.ARCHIVES, *archives.WITHDRAWN):
        folder = archives.get(data.source, archive=data.archive or None, say=say, progress=progress)
        names = data.domains or archives.ARCHIVES[data.source].domains
        data = DataOptions(**(data.model_dump() | {"root": str(folder), "domains": names}))
        return registry().load("source", "folders")(data, kind)
    names = registry().names("source")
    if data.source not in names and "/" not in data.source:
        everything = names + sorted(archives.ARCHIVES)
        raise GanzooError(
            f'There is no data source "{data.source}".{did_you_mean(data.source, everything)} '
            f'Your own images are source = "folders" with root = "FOLDER"; `ganzoo data list` shows the others.'
        )
    source = registry().load("source", data.source)
    if kind not in source.kinds:
        fitting = ", ".join(
            e.name for e in registry().entries if e.type == "source" and kind in e.facts.get("data_kinds", "").split()
        )
        raise GanzooError(
            f'The data source "{data.source}" has no {kind} images, which this model needs ({KINDS[kind]}). '
            f"Sources that have: {fitting}."
        )
    opened = source(data, kind)
    count = len(opened.domains)
    if (kind in ("unpaired", "paired") and count != 2) or (kind == "domains" and count < 2):
        raise GanzooError(
            f"This model needs {'two or more' if kind == 'domains' else 'two'} domains, but there "
            f"{_are(opened.domains)}. Name those to use with data.domains."
        )
    return opened


def _are(domains: Sequence[str]) -> str:
    return f"{'is one' if len(domains) == 1 else f'are {len(domains)}'}: {', '.join(domains)}"
