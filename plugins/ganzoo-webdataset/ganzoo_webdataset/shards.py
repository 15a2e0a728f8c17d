"""One tar file: fetched once if it is on the web, and where in it the images are."""

import hashlib
import os
import tarfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from filelock import FileLock

from ganzoo import GanzooError
from ganzoo.data.downloads import cache_folder, cache_problems, obtain, trust
from ganzoo.data.images import EXTENSIONS
from ganzoo.data.published import Published
from ganzoo.errors import tell

FOLDER = "shards"  # in ganzoo's cache


@dataclass(frozen=True, kw_only=True)
class Shard(Published):
    """A tar file on the web."""

    by_hand = "download it with another program and name the file in the recipe"  # type: ignore[assignment]
    without_network = "name files of this machine in the recipe"  # type: ignore[assignment]


def fetched(url: str) -> Path:
    """The shard in ganzoo's cache, downloaded when it is first asked for. Raises Offline, GanzooError."""
    name = f"{hashlib.sha256(url.encode()).hexdigest()[:12]}-{urlsplit(url).path.rpartition('/')[2] or 'shard.tar'}"
    target = cache_folder() / FOLDER / name
    with cache_problems():
        target.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(target.with_name(f".{name}.lock")):
            if not target.is_file():
                shard = Shard(name=name, urls=(url,), licence="")
                beside, found = obtain(
                    shard, None, target.with_name(f".{name}.partial"), lambda done, total: None, tell
                )
                trust(shard, found, tell)
                os.replace(beside, target)
    return target


def members(path: Path) -> Iterator[tuple[str, int, int]]:
    """Name, place in the file and bytes of each image, in their order. Raises GanzooError."""
    try:
        with tarfile.open(path, "r:") as shard:
            for member in shard:
                suffix = os.path.splitext(member.name)[1].lower()
                hidden = os.path.basename(member.name).startswith(".")
                if member.isreg() and not member.issparse() and suffix in EXTENSIONS and not hidden:
                    yield member.name, member.offset_data, member.size
                shard.members = []  # type: ignore[attr-defined] # it would keep them all
    except (tarfile.TarError, OSError) as error:
        raise GanzooError(
            f"{path} cannot be read as an uncompressed tar file ({error}). Get it again; shards that are compressed "
            "have to be unpacked first, as images are read from any place in them."
        ) from error
