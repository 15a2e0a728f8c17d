"""Where images come from: the contract of a data source, and opening the one that a recipe names."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from typing import ClassVar

from ganzoo.data import archives
from ganzoo.data.images import ImageRef
from ganzoo.data.published import find
from ganzoo.errors import GanzooError
from ganzoo.options import DataOptions
from ganzoo.registry import did_you_mean, registry


class Source(ABC):
    """Training and test images of named domains, built with the recipe's `[data]` table and the kind of data asked for.

    With kind "labelled" or "images" there is one domain, "image". With kind "paired", images of all domains at one
    index show the same thing. "unpaired" are two domains and "domains" any number of them, with nothing to tie their
    training images together.
    """

    kinds: ClassVar[tuple[str, ...]] = ("unpaired",)
    """the kinds of data that it gives: "unpaired", "paired", "domains", "labelled", "images", or that of a plugin"""
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


def open_source(
    data: DataOptions, kind: str, say: Callable[[str], None], progress: Callable[[int, int], None] | None
) -> Source:
    """The source that `[data]` names, downloaded if need be. Raises GanzooError, archives.Offline."""
    claims = [entry for type_ in ("archive", "source") for entry in registry().matches(type_, data.source)]
    if len({entry.type for entry in claims}) > 1:
        choices = " or ".join(f'"{entry.qualified}" ({entry.type})' for entry in claims)
        raise GanzooError(f'Packages offer "{data.source}" as an archive and as a source. Write {choices}.')
    if registry().matches("archive", data.source):
        archive = find(data.source)
        folder = archives.get(archive, local=data.archive or None, say=say, progress=progress)
        names = data.domains or archive.domains
        data = DataOptions(**(data.model_dump() | {"root": str(folder), "domains": names}))
        return registry().load("source", "folders")(data, kind)
    names = registry().names("source")
    if data.source not in names and "/" not in data.source:
        everything = names + registry().names("archive")
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
            f'The data source "{data.source}" gives no data of kind "{kind}", which this model needs. Sources that do: '
            f"{fitting or 'none that is installed'}."
        )
    return source(data, kind)
