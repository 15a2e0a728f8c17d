"""Models that somebody trained and published: fetched, converted and kept when one is first used.

Light: `ganzoo pretrained` imports it.
"""

import shutil
import string
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from filelock import FileLock
from safetensors import SafetensorError, safe_open

from ganzoo.data.downloads import Progress, Say, cache_folder, cache_problems, expected, make_way, obtain, trust
from ganzoo.data.published import Published
from ganzoo.errors import GanzooError
from ganzoo.files import expanded
from ganzoo.registry import registry

FOLDER = "pretrained"  # in the cache


@dataclass(frozen=True, kw_only=True)
class TrainedOn:
    """What is known of the images that weights were trained on; the weights alone do not tell."""

    domains: tuple[str, ...] = ()
    """names, in order; of a single direction the source and the target; empty: A, B and so on"""
    size: int | None = None
    """side of the training images, pixels; None: what the networks suggest, or else 256"""
    labels: tuple[str, ...] = ()
    """names of the labels, in order"""
    groups: tuple[tuple[str, ...], ...] = ()
    """labels of which at most one holds, such as hair colours"""

    def names(self, count: int) -> tuple[str, ...]:
        """Those of N domains. Raises GanzooError where others are known."""
        if self.domains and len(self.domains) != count:
            given = f"{len(self.domains)} ({', '.join(self.domains)})"
            raise GanzooError(f"These weights are of {count} domains, and {given} are named: name {count}, or none.")
        for name in self.domains:
            if self.domains.count(name) > 1:
                raise GanzooError(f"Two domains are called {name}: give each a name of its own.")
        return self.domains or tuple(string.ascii_uppercase[:count])


@dataclass(frozen=True, kw_only=True)
class Pretrained(Published):
    """Published weights: a bundle of `ganzoo pack`, or what an importer reads: a file, or files in a zip or tar."""

    model: str
    """the registered model; its importer reads what is no bundle"""
    trained_on: TrainedOn = TrainedOn()
    """domains, size and labels, which a bundle says itself"""
    parameters: int
    """of all networks in the files"""
    paper: str = ""
    """of these weights; empty: the model's"""
    members: tuple[str, ...] = ()
    """of an archive: the files, in the order that the importer wants, each by the end of its path; empty: no archive"""
    saved_as: str = ""
    """what the file is called where it is kept, if another one's address ends in the same name"""

    @property
    def file(self) -> str:
        """What the file is called, also in a folder of $GANZOO_MIRROR."""
        return self.saved_as or super().file

    @property
    def key(self) -> str:
        """Under which its checksum is recorded in the cache."""
        return f"{FOLDER}/{self.file}"

    @property
    def by_hand(self) -> str:
        """Converting another file oneself."""
        return "convert a file that you have with `ganzoo import`"

    @property
    def without_network(self) -> str:
        """A copy of the file."""
        return f"download the file by hand and run `ganzoo pull {self.name} --file FILE`"

    @property
    def published_in(self) -> str:
        """The paper of the weights, or of their model; empty where none is known."""
        return self.paper or next((e.facts.get("paper", "") for e in registry().matches("model", self.model)), "")


def find(name: str) -> Pretrained:
    """The published weights of that name. Raises GanzooError if there are none or they do not load."""
    found: Pretrained = registry().load("pretrained model", name)
    return found


def pull(
    name: str,
    local: Path | str | None = None,
    progress: Progress = lambda done, total: None,
    say: Say = print,
) -> Path:
    """The bundle, a file of weights as ganzoo writes it, of the published weights of that name.

    It is kept in the cache; made of the file `local`, or of one that is downloaded, when it is first asked for. `say`
    is given licence, paper and source; `progress` (bytes done, bytes in all or 0). Raises Offline when no mirror
    delivers; GanzooError when there is no such name, the file is another one than before, or not sound.
    """
    wanted, local = find(name), expanded(local) if local else None
    folder = cache_folder() / FOLDER
    with cache_problems():
        if local and not local.is_file():
            raise GanzooError(f'There is no file "{local}".')
        if not _is_kept(wanted, folder):
            folder.mkdir(parents=True, exist_ok=True)
            with FileLock(folder / f".{wanted.file}.lock"):
                if not _is_kept(wanted, folder):  # by another process meanwhile
                    _fill(wanted, folder, local, progress, say)
    return _bundle(wanted, folder)


def _bundle(wanted: Pretrained, folder: Path) -> Path:
    return folder / f"{wanted.name}.safetensors"


def _is_kept(wanted: Pretrained, folder: Path) -> bool:
    """Whether the bundle is there, made of the file that it should be made of where that is known."""
    bundle, digest = _bundle(wanted, folder), expected(wanted)
    if bundle.is_symlink() or not bundle.is_file():
        return False
    with suppress(SafetensorError), safe_open(bundle, framework="numpy") as content:
        return digest in (None, (content.metadata() or {}).get("sha256"))
    return False  # it is damaged


def _fill(wanted: Pretrained, folder: Path, local: Path | None, progress: Progress, say: Say) -> None:
    """Puts the bundle into the cache, and those of other published weights that come in the same archive."""
    from ganzoo.data.archives import extract

    work = folder / f".{wanted.file}.partial"
    shutil.rmtree(work, ignore_errors=True)  # of a process that was killed
    work.mkdir()
    try:
        paper = f" Paper: {wanted.published_in}." if wanted.published_in else ""
        say(f"{wanted.name}: published weights of {wanted.model}.{paper} Source: {', '.join(wanted.urls)}")
        file, digest = obtain(wanted, local, work / wanted.file, progress, say)
        if wanted.members:
            (work / "files").mkdir()
            extract(file, work / "files")
        _convert(wanted, file, work / "files", folder, digest, say)
        for other in _others(wanted):
            if not _is_kept(other, folder):
                try:
                    _convert(other, file, work / "files", folder, digest, say)
                except GanzooError as error:
                    say(f"{other.name}, which came with it, cannot be used: {error}")
        if not local:
            trust(wanted, digest, say)
    finally:
        shutil.rmtree(work, ignore_errors=True)


def _convert(wanted: Pretrained, file: Path, unpacked: Path, folder: Path, digest: str, say: Say) -> None:
    """Writes the bundle of one download, or of the members of an archive that is unpacked already."""
    from ganzoo.importer import adopt, import_files, is_bundle

    files = [_member(unpacked, name, wanted, file) for name in wanted.members] or [file]
    facts = {"source": wanted.urls[0], "sha256": digest, "licence": wanted.licence, "paper": wanted.published_in}
    make_way(_bundle(wanted, folder), say)
    if is_bundle(files[0]):
        adopt(files[0], _bundle(wanted, folder), wanted.model, facts)
        return
    import_files(files, _bundle(wanted, folder), wanted.trained_on, wanted.model, facts)


def _member(unpacked: Path, name: str, wanted: Pretrained, file: Path) -> Path:
    ending = Path(name).parts
    found = [path for path in sorted(unpacked.rglob(ending[-1])) if path.parts[-len(ending) :] == ending]
    if len(found) != 1 or not found[0].is_file():
        raise GanzooError(
            f"{file} holds {len(found) or 'no'} {name}, so it is not that of {wanted.name}: get it again."
        )
    return found[0]


def _others(wanted: Pretrained) -> Iterator[Pretrained]:
    """The other published weights that come in the same archive."""
    for entry in registry().entries if wanted.members else ():
        if entry.type == "pretrained model":
            with suppress(GanzooError):  # of a plugin that does not load
                other = find(entry.qualified)
                if other.urls == wanted.urls and other != wanted:
                    yield other
