"""Where images come from: the contract of a source, opening the one that a recipe names, what models must know."""

from abc import ABC, abstractmethod
from collections.abc import Collection, Iterable, Sequence
from typing import ClassVar

import numpy as np
from torch import nn

from ganzoo.data import archives
from ganzoo.data.downloads import Progress, Say
from ganzoo.data.images import ImageRef
from ganzoo.data.published import find
from ganzoo.errors import GanzooError
from ganzoo.options import DataOptions, find_source
from ganzoo.registry import did_you_mean, registry
from ganzoo.text import printable
from ganzoo.trainer import DataSpec

HELD_OUT = 20


def held_out(count: int, most: int = 50) -> tuple[np.ndarray, np.ndarray]:
    """Places among `count` images to train on and to test on, where a data set has no images for testing.

    Every 20th is for testing, `most` at most; of fewer than 40 images none is spared.
    """
    places = np.arange(count)
    if count < 2 * HELD_OUT:
        return places, places
    tested = places[::HELD_OUT][:most]
    return np.delete(places, tested), tested


class Source(ABC):
    """Training and test images of named domains: your own class of them is built with (options, kind, **own options).

    `options` is the recipe's `[data]` table, `kind` the kind of data asked for, and own options are keyword-only
    parameters, which a recipe sets with `source = { name = "...", option = ... }`. Small: it travels to the processes
    that prepare images. One that downloads raises `ganzoo.Offline` where it cannot, so that the recipe's fallback is
    used.

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
    left_out: tuple[str, ...] = ()
    """sentences on what lies beside its images and is not used, which the user is told"""

    @abstractmethod
    def __init__(self, options: DataOptions, kind: str) -> None: ...

    @abstractmethod
    def images(self, split: str, domain: str) -> Sequence[ImageRef]:
        """The images of a domain in the split "train" or "test"; never empty for "train".

        Raises GanzooError where there are none to train on.
        """

    def counterpart(self, image: ImageRef, labels: dict[str, bool]) -> ImageRef | None:
        """The same image with these labels, where the source knows it (rendered data sets do)."""
        return None


def open_source(options: DataOptions, kind: str, say: Say, progress: Progress) -> Source:
    """The source that `[data]` names, downloaded if need be. Raises GanzooError, Offline."""
    name = options.source.name
    try:
        return _opened(options, kind, say, progress)
    except OSError as error:
        why = f"{error.filename}: {error.strerror}" if error.filename else error
        raise GanzooError(
            f'The data of "{name}" cannot be read ({why}). Correct the path or who may read it.'
        ) from error


def _opened(options: DataOptions, kind: str, say: Say, progress: Progress) -> Source:
    name = options.source.name
    if find_source(name).type == "archive":
        if options.source.model_extra:
            raise GanzooError(f'The published archive "{name}" has no options of its own: write source = "{name}".')
        archive = find(name)
        folder = archives.get(archive, local=options.archive, say=say, progress=progress)
        places = {"root": str(folder), "domains": options.domains or archive.domains}
        return registry().load("source", "folders")(options.model_copy(update=places), kind)
    if kind not in registry().load("source", name).kinds:
        sources = (entry for entry in registry().entries if entry.type == "source")
        fitting = [entry.name for entry in sources if kind in entry.facts.get("data_kinds", "").split()]
        raise GanzooError(
            f'The data source "{name}" gives no data of kind "{kind}", which this model needs. Sources that do: '
            f"{', '.join(fitting) or 'none that is installed'}."
        )
    return options.source.build(options, kind)


def data_spec(source: Source, options: DataOptions) -> DataSpec:
    """The spec of a source opened with this `[data]` table. Raises GanzooError where the two do not fit."""
    domains, channels, sets = source.domains, options.channels, options.label_sets
    check_names(domains)
    if isinstance(channels, dict):
        check_known("data.channels: there is no domain", channels, domains)
        check_known("data.channels: missing domain", domains, channels)
    else:
        channels = dict.fromkeys(domains, channels)
    check_known("data.thicken: there is no domain", options.thicken, domains)
    listed = [name for names in sets for name in names]
    check_known("data.label_sets: there is no label", listed, source.labels)
    if sets:
        check_known("data.label_sets leaves out", source.labels, listed)
    for name in listed:
        if listed.count(name) > 1:
            raise GanzooError(f'data.label_sets has "{name}" twice: every label belongs to one set.')
    for name in source.labels:
        if f"no-{name}" in source.labels:
            raise GanzooError(f'The labels "{name}" and "no-{name}" cannot be told apart: rename one of them.')
    for group in source.groups:
        if sets and not any(set(group) <= set(names) for names in sets):
            raise GanzooError(f"data.label_sets takes {', '.join(group)} apart, of which only one holds.")
    return DataSpec(domains, channels, options.size, source.labels, source.groups, sets)


def check_known(problem: str, names: Iterable[str], known: Collection[str]) -> None:
    """Raises GanzooError, a sentence that begins with the problem, for a name that is not among the known ones."""
    for name in names:
        if name not in known:
            listed = f"It has: {', '.join(known)}." if known else "It has none."
            raise GanzooError(f'{problem} "{name}".{did_you_mean(name, list(known))} {listed}')


def check_names(domains: Iterable[str]) -> None:
    """Raises GanzooError for a domain that networks cannot be kept under."""
    for name in domains:
        if not name or "." in name or hasattr(nn.ModuleDict, name) or printable(name) != name:
            raise GanzooError(
                f'"{printable(name)}" cannot be the name of a domain, because networks are kept under it. Rename its '
                "folder, or give trainA, trainB ... names with data.domains."
            )
