"""Gets published archives: downloaded, checked, and unpacked once into the cache."""

import errno
import shutil
import tarfile
import zipfile
from pathlib import Path, PureWindowsPath
from stat import S_IFDIR, S_IFMT, S_IFREG

from filelock import FileLock

from ganzoo.data.downloads import Progress, Say, cache_folder, cache_problems, expected, make_way, obtain, trust
from ganzoo.data.published import Archive
from ganzoo.errors import GanzooError
from ganzoo.files import expanded

SWOLLEN = 100  # times the size of the archive: images and weights hardly compress
ALWAYS_FINE = 1 << 30  # bytes to unpack
MARKER = ".ganzoo-complete"  # written last into an unpacked folder; holds the sha256 of its archive


def get(
    archive: Archive, local: Path | str | None = None, progress: Progress = lambda done, total: None, say: Say = print
) -> Path:
    """The folder that holds `archive.layout`: from the cache, from the file `local`, or downloaded.

    `progress` is given (bytes done, bytes in all or 0). Raises Offline when no mirror delivers; GanzooError when the
    checksum or the archive is wrong, or the disk is full.
    """
    cache, local = cache_folder(), expanded(local) if local else None
    with cache_problems():
        if local and not local.is_file():
            raise GanzooError(f'There is no file "{local}": correct `data.archive`, or remove it to download the file.')
        if not _is_complete(cache / archive.name, expected(archive)):
            cache.mkdir(parents=True, exist_ok=True)
            with FileLock(cache / f".{archive.name}.lock"):
                if not _is_complete(cache / archive.name, expected(archive)):  # by another process meanwhile
                    _fill(cache, archive, local, progress, say)
    return cache / archive.name


def _fill(cache: Path, archive: Archive, local: Path | None, progress: Progress, say: Say) -> None:
    """Puts the files of the archive into the cache."""
    target, work = cache / archive.name, cache / f".{archive.name}.partial"
    shutil.rmtree(work, ignore_errors=True)  # of a process that was killed
    work.mkdir()
    try:
        file, found = obtain(archive, local, work / "archive", progress, say)
        if not _is_complete(target, found):
            _unpack(file, archive, work / "files", target, found, say)
        if not local:
            trust(archive, found, say)
    finally:
        shutil.rmtree(work, ignore_errors=True)


def _is_complete(target: Path, digest: str | None) -> bool:
    """Whether `target` was unpacked to the end, from the archive with this digest."""
    marker = target / MARKER
    links = target.is_symlink() or marker.is_symlink()
    return not links and digest is not None and marker.is_file() and marker.read_bytes() == digest.encode()


def _unpack(file: Path, archive: Archive, beside: Path, target: Path, digest: str, say: Say) -> None:
    """Unpacks beside `target` and renames, so that `target` is whole or absent."""
    beside.mkdir()
    extract(file, beside)
    places = (beside, *beside.glob("*/"), *beside.glob("*/*/"))
    root = next((place for place in places if (place / archive.layout[0]).is_dir()), None)
    if not root:
        raise GanzooError(f'{file} has no folder "{archive.layout[0]}", so it is not {archive.name}: get it again.')
    (root / MARKER).write_text(digest)
    make_way(target, say)
    root.rename(target)
    published = zip(archive.layout, archive.counts, strict=False)  # counts may be empty
    rows = [(part, len([*target.glob(f"{part}/[!.]*")]), count) for part, count in published]
    if wrong := [f"{part} has {there}, not {count}" for part, there, count in rows if there != count]:
        say(f"{archive.name} does not hold the published numbers of images ({'; '.join(wrong)}): results may differ.")


def extract(file: Path, into: Path) -> None:
    """Writes the files of a zip or tar below the new folder `into`; GanzooError if it holds links or is damaged."""
    room = max(ALWAYS_FINE, SWOLLEN * file.stat().st_size)
    try:
        if zipfile.is_zipfile(file) and not tarfile.is_tarfile(file):  # such as a tar that ends with a zip
            with zipfile.ZipFile(file) as zipped:
                for info in zipped.infolist():
                    room -= info.file_size  # no more is read, whatever is there
                    _check(file, info.filename, S_IFMT(info.external_attr >> 16) in (0, S_IFREG, S_IFDIR), room)
                    zipped.extract(info, into)
        else:
            with tarfile.open(file) as tarred:
                for member in tarred:
                    room -= member.size
                    _check(file, member.name, member.isreg() or member.isdir(), room)
                    tarred.extract(member, into, filter="data")
    except GanzooError:
        raise
    except Exception as error:  # which ones the libraries raise for damaged files is not documented
        if isinstance(error, OSError) and error.errno not in (None, errno.EINVAL):
            raise  # the disk's fault, not the file's
        why = str(error).partition("\n")[0].rstrip(": ")
        raise GanzooError(f"{file} is damaged or is no zip or tar archive ({why}): get it again.") from error


def _check(file: Path, name: str, plain: bool, room: int) -> None:
    """Refuses what could be written outside. Without links in an archive, names alone say where a member goes."""
    if room < 0:
        raise GanzooError(
            f"{file} was refused: unpacked it would be more than {SWOLLEN} times as large, as no images or weights "
            "are. Get it from a source you trust."
        )
    path = PureWindowsPath(name)  # parts at both kinds of slashes
    if not plain or path.anchor or ".." in path.parts:
        raise GanzooError(f"{file} was refused: {name} in it is a link, a device or outside its own folder. "
                          "Get it from a source you trust.")  # fmt: skip
