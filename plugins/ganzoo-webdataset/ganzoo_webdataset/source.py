"""The source: images at known places in tar files, so that any of them can be read at any time."""

import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, BinaryIO, overload

import numpy as np
from braceexpand import braceexpand
from pydantic import Field

from ganzoo import GanzooError, ImageRef, Source
from ganzoo.data.sources import check_known, held_out
from ganzoo.options import DataOptions
from ganzoo_webdataset.shards import fetched, members

Shards = dict[str, str]


@dataclass(frozen=True)
class Member(ImageRef):
    """An image in a tar file."""

    member: str
    offset: int
    size: int

    @property
    def name(self) -> str:
        return f"{self.path}/{self.member}"

    def file(self) -> BinaryIO:
        with open(self.path, "rb") as shard:
            shard.seek(self.offset)
            return io.BytesIO(shard.read(self.size))


class Members(Sequence[ImageRef]):
    """The images of some shards in their order: some dozens of bytes each."""

    def __init__(self, shards: tuple[Path, ...], names: np.ndarray, places: np.ndarray) -> None:
        """`names` are bytes; `places` has a row for each: the number of its shard, its offset and its size."""
        self.shards, self.names, self.places = shards, names, places

    @classmethod
    def read(cls, shards: tuple[Path, ...]) -> "Members":
        names, places = [np.zeros(0, "S1")], [np.zeros((0, 3), np.int64)]
        for number, shard in enumerate(shards):
            found = list(members(shard))
            names.append(np.array([name.encode() for name, _, _ in found], dtype=np.bytes_))
            places.append(np.array([(number, *place) for _, *place in found], np.int64).reshape(-1, 3))
        return cls(shards, np.concatenate(names), np.concatenate(places))

    def __len__(self) -> int:
        return len(self.names)

    @overload
    def __getitem__(self, place: int) -> ImageRef: ...
    @overload
    def __getitem__(self, place: slice) -> "Members": ...
    def __getitem__(self, place: int | slice) -> "ImageRef | Members":
        if isinstance(place, slice):
            return Members(self.shards, self.names[place], self.places[place])
        shard, offset, size = self.places[place].tolist()
        return Member(self.shards[shard], self.names[place].decode(), offset, size)

    def held_out(self) -> tuple["Members", "Members"]:
        """Some for training and some for testing."""
        train, test = (Members(self.shards, self.names[some], self.places[some]) for some in held_out(len(self)))
        return train, test


class WebDataset(Source):
    """Tar files of images as the WebDataset library reads them, a list of them for each domain.

    Those on the web are downloaded once. Without `test`, every 20th image is held out, 50 at most.
    """

    kinds = ("unpaired", "domains", "images")

    def __init__(
        self,
        options: DataOptions,
        kind: str,
        *,
        train: Annotated[Shards, Field(min_length=1, description="domain -> its shards, with braces")],
        test: Annotated[Shards, Field(description="the same for testing; empty: some of `train` are held out")] = {},  # noqa: B006
    ) -> None:
        check_known("data.source.test: there is no domain", test, train)
        check_known("data.domains: there is no domain", options.domains, train)
        self.domains = options.domains or tuple(train)
        self._images: dict[str, dict[str, Members]] = {}
        for domain in self.domains:
            images = _opened(options, domain, train[domain])
            tested = (images, _opened(options, domain, test[domain])) if domain in test else images.held_out()
            self._images[domain] = dict(zip(("train", "test"), tested, strict=True))
        if kind == "images":
            if len(self.domains) > 1:
                raise GanzooError(
                    f"This model takes images of one kind: choose among {', '.join(train)} with data.domains."
                )
            self._images, self.domains = {"image": self._images[self.domains[0]]}, ("image",)

    def images(self, split: str, domain: str) -> Sequence[ImageRef]:
        return self._images[domain][split]


def _opened(options: DataOptions, domain: str, pattern: str) -> Members:
    try:
        names = list(braceexpand(pattern))
    except ValueError as error:
        raise GanzooError(f'The shards of "{domain}": {error}. Write, say, "photos-{{000..031}}.tar".') from None
    remote = ("http://", "https://")
    shards = [fetched(n) if n.startswith(remote) else (Path(options.root) / n).expanduser() for n in names]
    images = Members.read(tuple(shards))
    if not len(images):
        raise GanzooError(f'The shards of "{domain}" hold no images: {pattern}. Correct the path, or get them again.')
    return images
