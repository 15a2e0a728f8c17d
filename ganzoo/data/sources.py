"""Where pictures come from: the contract of a data source, and opening the one that a recipe names."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import ClassVar

from ganzoo.data import archives
from ganzoo.data.pictures import Picture
from ganzoo.errors import GanzooError
from ganzoo.options import DataOptions
from ganzoo.registry import nearest, registry
from ganzoo.trainer import KINDS, DataSpec


class Source(ABC):
    """Training and test pictures of named domains. Built with the recipe's `[data]` table and the model's kind of data.

    Kinds are those of `ganzoo.trainer.KINDS`. With kind "labelled" or "images" there is one domain, "image". With kind
    "paired", pictures of all domains at one index show the same thing. `truth`: so do the test pictures of other kinds,
    so that a translation can be checked.
    """

    kinds: ClassVar[tuple[str, ...]] = ("unpaired",)
    domains: tuple[str, ...] = ()
    labels: tuple[str, ...] = ()  # with kind "labelled": what the columns of `Picture.labels` mean
    groups: tuple[tuple[str, ...], ...] = ()  # labels of which exactly one holds
    truth: bool = False

    @abstractmethod
    def __init__(self, data: DataOptions, kind: str) -> None: ...

    @abstractmethod
    def pictures(self, split: str, domain: str) -> Sequence[Picture]:
        """The pictures of a domain in the split "train" or "test"; never empty for "train"."""

    def answer(self, picture: Picture, labels: dict[str, bool]) -> Picture | None:
        """The same picture with these labels, where the source knows it (built-in worlds do)."""
        return None


@dataclass(frozen=True)
class Opened:
    """A source, the `[data]` table that it was opened with, and why it is not the one asked for."""

    source: Source
    data: DataOptions
    fallback: dict[str, str] | None = None

    @property
    def spec(self) -> DataSpec:
        domains, channels = self.source.domains, self.data.channels
        if isinstance(channels, dict):
            for name in channels:
                if name not in domains:
                    raise GanzooError(
                        f'data.channels speaks of a domain "{name}".{nearest(name, list(domains))} '
                        f"The domains are: {', '.join(domains)}."
                    )
            for name in domains:
                if name not in channels:
                    raise GanzooError(
                        f'data.channels says nothing of the domain "{name}": add {name} = 3, or 1 if grey.'
                    )
        else:
            channels = dict.fromkeys(domains, channels)
        return DataSpec(domains, channels, self.data.size, self.source.labels, self.source.groups)


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
    if data.source in (*archives.ARCHIVES, *archives.WITHDRAWN):
        folder = archives.get(data.source, archive=data.archive or None, say=say, progress=progress)
        names = data.domains or archives.ARCHIVES[data.source].domains
        data = DataOptions(**(data.model_dump() | {"root": str(folder), "domains": names}))
        return registry().load("source", "folders")(data, kind)
    names = registry().names("source")
    if data.source not in names and "/" not in data.source:
        everything = names + sorted(archives.ARCHIVES)
        raise GanzooError(
            f'There is no data source "{data.source}".{nearest(data.source, everything)} '
            f'Your own pictures are source = "folders" with root = "FOLDER"; `ganzoo data list` shows the others.'
        )
    source = registry().load("source", data.source)
    if kind not in source.kinds:
        fitting = ", ".join(
            e.name for e in registry().entries if e.kind == "source" and kind in e.facts.get("data", "").split()
        )
        raise GanzooError(
            f'The data source "{data.source}" has no {kind} pictures, which this model needs ({KINDS[kind]}). '
            f"Sources that have: {fitting}."
        )
    return source(data, kind)
