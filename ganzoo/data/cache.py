"""Training images that are kept decoded and resized: in memory, or in files that processes and runs share."""

import os
import shutil
import zlib
from contextlib import suppress
from hashlib import blake2b
from math import prod
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
from filelock import FileLock
from torch import Tensor

from ganzoo.data.downloads import cache_folder
from ganzoo.data.images import ImageRef, Pixels, to_levels
from ganzoo.errors import GanzooError
from ganzoo.files import atomic

FOLDER = "decoded"  # in the cache
LAYOUT = "planes"  # how the pixels of an image lie there
SHARE = 10  # all these files use a tenth of the disk, at most
ENTRY = np.dtype("<u8,<u8,<u4,<u4,<u4,<u4")  # identity, offset, channels, height, width, checksum


class Cache(Protocol):
    """Small before it is used: it travels to the processes that prepare images."""

    def get(self, place: int, ref: ImageRef) -> Tensor | None:
        """The image that is kept at a place, if it is that of `ref`, as of `to_levels`."""

    def put(self, place: int, ref: ImageRef, image: Pixels) -> None:
        """Keeps it, if there is room."""


class Memory:
    """At most N bytes of this process.

    When they are full no more are kept, and none makes way for another: each epoch sees all images, so those that are
    there are as good as any.
    """

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.kept: dict[int, Tensor] = {}

    def get(self, place: int, ref: ImageRef) -> Tensor | None:
        return self.kept.get(place)

    def put(self, place: int, ref: ImageRef, image: Pixels) -> None:
        if self.limit and (levels := to_levels(image)).nbytes <= self.limit:
            self.kept[place] = levels
            self.limit -= levels.nbytes
        else:
            self.limit = 0


class Files:
    """A folder with `pixels`, that images are added to, and `index`, an ENTRY for each place.

    Nothing in them is believed: an entry holds a checksum, and what the image was made from (`ImageRef.origin`), and
    each process compares both when it first reads it. So processes may write at once without locks, and an image that
    was changed, damaged or never written to the end is decoded again. A full disk ends the writing, not the run.
    """

    def __init__(self, folder: Path, count: int, limit: int) -> None:
        self.folder, self.count, self.limit = folder, count, limit
        self._known = np.zeros(0, bool)

    def __reduce__(self) -> tuple[Any, ...]:
        return Files, (self.folder, self.count, self.limit)

    def _open(self) -> None:
        self._known = np.zeros(self.count, bool)  # places that were compared
        self._index: Any = np.zeros(self.count, ENTRY)
        try:
            self._pixels = open(self.folder / "pixels", "a+b", buffering=0)  # noqa: SIM115 - until the process ends
            self._index = np.memmap(self.folder / "index", ENTRY, "r+", shape=self.count)
        except (OSError, ValueError):  # another run has removed them
            self.limit = 0

    def get(self, place: int, ref: ImageRef) -> Tensor | None:
        if not len(self._known):
            self._open()
        identity, offset, *shape, crc = self._index[place].item()
        if not identity or (not self._known[place] and identity != _identity(ref)):
            return None
        with suppress(OSError):
            if offset + prod(shape) <= self._pixels.seek(0, os.SEEK_END):
                self._pixels.seek(offset)
                content = (levels := torch.empty(shape, dtype=torch.uint8)).numpy().data
                whole = self._pixels.readinto(content) == content.nbytes
                if whole and (self._known[place] or zlib.adler32(content) == crc):
                    self._known[place] = True
                    return levels
        return None

    def put(self, place: int, ref: ImageRef, image: Pixels) -> None:
        if not self.limit or not (identity := _identity(ref)):
            return
        content = (levels := to_levels(image)).numpy().data
        with suppress(OSError):
            room = self.limit - self._pixels.seek(0, os.SEEK_END) - content.nbytes
            if room >= 0 and self._pixels.write(content) == content.nbytes:  # at the end, whoever else writes
                offset = self._pixels.tell() - content.nbytes
                self._index[place] = identity, offset, *levels.shape, zlib.adler32(content)
                self._known[place] = True
                return
        self.limit = 0  # it is used up, or the disk is full


def _identity(ref: ImageRef) -> int:
    """What an image is made from; 0 where that is not known."""
    origin = ref.origin()
    if origin is None:
        return 0
    return int.from_bytes(blake2b(origin.encode(errors="surrogateescape"), digest_size=8).digest(), "little") or 1


def open_files(facts: str, count: int, needed: int) -> Files | None:
    """The files for `count` images of `needed` bytes in all, made from `facts`; None where there is no room for them.

    All such files together take at most a tenth of the disk; those that were not used for longest make way.
    """
    root = cache_folder() / FOLDER
    folder = root / blake2b(f"{LAYOUT} {facts}".encode(errors="surrogateescape"), digest_size=12).hexdigest()
    try:
        root.mkdir(parents=True, exist_ok=True)
        with FileLock(root / ".lock"):
            others = sorted((f for f in root.iterdir() if f.is_dir() and f != folder), key=lambda f: f.stat().st_mtime)
            sizes = {other: _size(other) for other in [*others, folder]}
            room = (shutil.disk_usage(root).free + sum(sizes.values())) // SHARE
            if needed > room:
                return None
            for other in others:
                if sum(sizes.values()) - sizes[folder] + needed <= room:
                    break
                shutil.rmtree(other, ignore_errors=True)
                del sizes[other]
            index = folder / "index"
            if not index.is_file() or index.stat().st_size != count * ENTRY.itemsize:
                with atomic(index) as beside:
                    beside.write_bytes(bytes(count * ENTRY.itemsize))
            os.utime(folder)
        return Files(folder, count, room - sum(size for other, size in sizes.items() if other != folder))
    except (OSError, GanzooError):
        return None


def _size(folder: Path) -> int:
    return sum(file.stat().st_size for file in folder.glob("*"))
