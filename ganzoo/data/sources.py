"""Where pictures come from: the contract of a data source, and opening the one that a recipe names."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from ganzoo.data import archives
from ganzoo.data.pictures import Picture
from ganzoo.errors import GanzooError
from ganzoo.options import DataOptions
from ganzoo.registry import nearest, registry
from ganzoo.trainer import DataSpec


class Source(ABC):
    """Training and test pictures of named domains. Built with the recipe's `[data]` table and the model's kind of data.

    `truth`: test pictures of all domains at one index show the same thing, so that a translation can be checked.
    """

    domains: tuple[str, ...] = ()
    labels: tuple[str, ...] = ()
    truth: bool = False

    @abstractmethod
    def __init__(self, data: DataOptions, kind: str) -> None: ...

    @abstractmethod
    def pictures(self, split: str, domain: str) -> Sequence[Picture]:
        """The pictures of a domain in the split "train" or "test"; never empty for "train"."""


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
                    raise GanzooError(f'data.channels says nothing of the domain "{name}": add {name} = 3, or 1 if grey.')
        else:
            channels = dict.fromkeys(domains, channels)
        return DataSpec(domains, channels, self.data.size, self.source.labels)


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
    if data.source in archives.ARCHIVES:
        folder = archives.get(data.source, archive=Path(data.archive) if data.archive else None, say=say, progress=progress)
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
    return registry().load("source", data.source)(data, kind)
