"""Where images come from: the contract of a data source, and opening the one that a recipe names."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import ClassVar

from torch import nn

from ganzoo.data import archives
from ganzoo.data.images import ImageRef
from ganzoo.errors import GanzooError
from ganzoo.options import DataOptions
from ganzoo.registry import did_you_mean, registry
from ganzoo.trainer import KINDS, DataSpec


class Source(ABC):
    """Training and test images of named domains. Built with the recipe's `[data]` table and the model's kind of data.

    Kinds are those of `ganzoo.trainer.KINDS`. With kind "labelled" or "images" there is one domain, "image". With kind
    "paired", images of all domains at one index show the same thing. `truth`: so do the test images of other kinds,
    so that a translation can be checked.
    """

    kinds: ClassVar[tuple[str, ...]] = ("unpaired",)
    """the kinds of data that it can give"""
    domains: tuple[str, ...] = ()
    """names of the domains, in order"""
    labels: tuple[str, ...] = ()
    """with kind "labelled": what the columns of `Image.labels` mean"""
    groups: tuple[tuple[str, ...], ...] = ()
    """labels of which at most one holds, such as hair colours"""
    truth: bool = False
    """whether the test images of all domains at one index show the same thing"""

    @abstractmethod
    def __init__(self, data: DataOptions, kind: str) -> None: ...

    @abstractmethod
    def images(self, split: str, domain: str) -> Sequence[ImageRef]:
        """The images of a domain in the split "train" or "test"; never empty for "train".

        Raises GanzooError where there are none to train on.
        """

    def answer(self, image: ImageRef, labels: dict[str, bool]) -> ImageRef | None:
        """The same image with these labels, where the source knows it (built-in worlds do)."""
        return None


class Still(Source):
    """The first training image of each domain of another source, for training and testing alike."""

    def __init__(self, source: Source) -> None:
        self.source, self.domains = source, source.domains

    def images(self, split: str, domain: str) -> Sequence[ImageRef]:
        return self.source.images("train", domain)[:1]


@dataclass(frozen=True)
class Opened:
    """A source, the `[data]` table that it was opened with, and why it is not the one asked for."""

    source: Source
    data: DataOptions
    fallback: dict[str, str] | None = None

    @property
    def spec(self) -> DataSpec:
        domains, channels = self.source.domains, self.data.channels
        check_names(domains)
        if isinstance(channels, dict):
            for name in channels:
                if name not in domains:
                    raise GanzooError(
                        f'data.channels names a domain "{name}".{did_you_mean(name, list(domains))} '
                        f"The domains are: {', '.join(domains)}."
                    )
            for name in domains:
                if name not in channels:
                    raise GanzooError(
                        f'data.channels says nothing of the domain "{name}": add {name} = 3, or 1 if grey.'
                    )
        else:
            channels = dict.fromkeys(domains, channels)
        labels, sets = self.source.labels, self.data.label_sets
        _check_sets(labels, self.source.groups, sets)
        return DataSpec(domains, channels, self.data.size, labels, self.source.groups, sets)


def check_names(domains: Sequence[str]) -> None:
    """Raises GanzooError for a domain that networks cannot be kept under."""
    for name in domains:
        if "." in name or hasattr(nn.ModuleDict, name):
            raise GanzooError(
                f'"{name}" cannot be the name of a domain, because networks are kept under it. Rename its folder, '
                "or give trainA, trainB ... names with data.domains."
            )


def _check_sets(
    labels: tuple[str, ...], groups: tuple[tuple[str, ...], ...], sets: tuple[tuple[str, ...], ...]
) -> None:
    listed = [name for names in sets for name in names]
    for name in listed:
        if name not in labels:
            raise GanzooError(
                f'data.label_sets names "{name}".{did_you_mean(name, list(labels))} '
                f"The data has: {', '.join(labels) or 'no labels'}."
            )
        if listed.count(name) > 1:
            raise GanzooError(f'data.label_sets has "{name}" twice: every label belongs to one set.')
    for name in labels if sets else ():
        if name not in listed:
            raise GanzooError(f'data.label_sets leaves out "{name}": add it to a set, or choose data.attributes.')
    for group in groups:
        if sets and not any(set(group) <= set(names) for names in sets):
            raise GanzooError(f"data.label_sets takes {', '.join(group)} apart, of which only one holds.")


def open_source(
    data: DataOptions,
    kind: str,
    say: Callable[[str], None] = print,
    progress: Callable[[int, int], None] | None = None,
) -> Opened:
    """The source that `[data]` names, downloaded if need be; its fallback when the download cannot be had."""
    try:
        return Opened(_open(data, kind, say, progress), data)
    except archives.Offline as error:
        if not data.fallback:
            raise
        say(f'NOT the data you asked for: "{data.fallback}" instead of "{data.source}". {error}')
        used = DataOptions(**(data.model_dump() | {"source": data.fallback, "fallback": "", "domains": ()}))
        because = {"wanted": data.source, "used": data.fallback, "because": str(error)}
        return Opened(_open(used, kind, say, progress), used, because)


def _open(
    data: DataOptions, kind: str, say: Callable[[str], None], progress: Callable[[int, int], None] | None
) -> Source:
    if kind == "still":
        return Still(_open(data, "unpaired", say, progress))
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
