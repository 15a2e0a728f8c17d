"""Gets published archives: downloaded from a mirror, checked, and unpacked once into the cache."""

import errno
import hashlib
import os
import re
import shutil
import tarfile
import threading
import time
import zipfile
from collections.abc import Callable
from concurrent.futures import Future
from pathlib import Path, PureWindowsPath
from stat import S_IFDIR, S_IFMT, S_IFREG

import requests
from filelock import FileLock
from platformdirs import user_cache_dir
from urllib3.exceptions import HTTPError

from ganzoo.data.published import Archive
from ganzoo.errors import GanzooError, Offline
from ganzoo.files import expanded, write_text

CONNECT, STALL = 5.0, 15.0  # seconds: to connect, without a byte
DEADLINE = 15.0  # seconds until all mirrors must have answered
SLOWEST = 10_000  # bytes per second on average, after the seconds of STALL
CHUNK = 1 << 16  # bytes
SWOLLEN = 100  # times the size of the archive: images hardly compress
ALWAYS_FINE = 1 << 30  # bytes to unpack
MARKER = ".ganzoo-complete"  # written last into an unpacked folder; holds the sha256 of its archive
PLAIN = {"Accept-Encoding": "identity"}
WHY = {
    "SSLError": "its certificate was refused",
    "ProxyError": "the proxy did not let it through",
    "ConnectTimeout": "it did not answer",
    "ReadTimeout": "it did not answer",
    "ConnectionError": "it cannot be reached, or stopped answering",
    "ProtocolError": "the connection broke off",
    "IncompleteRead": "the connection broke off",
    "ReadTimeoutError": "it cannot be reached, or stopped answering",
}
Progress = Callable[[int, int], None]
Say = Callable[[str], None]


def cache_folder() -> Path:
    """Where archives are kept: $GANZOO_CACHE, or the system's cache folder for ganzoo. It may not exist yet."""
    return expanded(os.environ.get("GANZOO_CACHE") or user_cache_dir("ganzoo"))


def get(
    archive: Archive, local: Path | str | None = None, progress: Progress = lambda done, total: None, say: Say = print
) -> Path:
    """The folder that holds `archive.layout`: from the cache, from the file `local`, or downloaded.

    `progress` is given (bytes done, bytes in all or 0). Raises Offline when no mirror delivers; GanzooError when the
    checksum or the archive is wrong, or the disk is full.
    """
    cache, local = cache_folder(), expanded(local) if local else None
    try:
        if local and not local.is_file():
            raise GanzooError(f'There is no file "{local}": correct `data.archive`, or remove it to download the file.')
        if not _is_complete(cache / archive.name, _expected(archive)):
            cache.mkdir(parents=True, exist_ok=True)
            with FileLock(cache / f".{archive.name}.lock"):
                if not _is_complete(cache / archive.name, _expected(archive)):  # by another process meanwhile
                    _fill(cache, archive, local, progress, say)
    except OSError as error:
        raise GanzooError(
            f"Cannot use {error.filename or cache} ({error.strerror or error}): free some space, check who may read "
            "and write there, or set GANZOO_CACHE to another folder, and run again."
        ) from error
    return cache / archive.name


def _fill(cache: Path, archive: Archive, local: Path | None, progress: Progress, say: Say) -> None:
    """Puts the files of the archive into the cache."""
    target, work, expected = cache / archive.name, cache / f".{archive.name}.partial", _expected(archive)
    shutil.rmtree(work, ignore_errors=True)  # of a process that was killed
    work.mkdir()
    try:
        file = local or _download(archive, work / "archive", expected, progress, say)
        found = _sha256(file)
        if expected not in (None, found):
            raise GanzooError(f"{file} is not the expected {archive.name}: its sha256 is {found}, not {expected}. "
                              f"{_way_out(archive)}")  # fmt: skip
        if not _is_complete(target, found):
            _unpack(file, archive, work / "files", target, found, say)
        if not expected and not local:
            write_text(_record(archive), found)
            say(f"{archive.name} has no published checksum, so this file is trusted, and later ones are compared with "
                f"it: sha256 {found}, recorded in {_record(archive)}.")  # fmt: skip
    finally:
        shutil.rmtree(work, ignore_errors=True)


def _record(archive: Archive) -> Path:
    return cache_folder() / f"{archive.name}.sha256"


def _expected(archive: Archive) -> str | None:
    """The digest that the file must have, None if nothing is known."""
    record = _record(archive)
    if archive.sha256 or record.is_symlink() or not record.is_file():
        return archive.sha256
    found = record.read_bytes().decode(errors="replace").strip()
    if not re.fullmatch("[0-9a-f]{64}", found):
        raise GanzooError(f"{record} should hold a sha256. Delete it if you trust the file that is downloaded next.")
    return found


def _sha256(file: Path) -> str:
    with file.open("rb") as opened:
        return hashlib.file_digest(opened, "sha256").hexdigest()


def _is_complete(target: Path, digest: str | None) -> bool:
    """Whether `target` was unpacked to the end, from the archive with this digest."""
    marker = target / MARKER
    links = target.is_symlink() or marker.is_symlink()
    return not links and digest is not None and marker.is_file() and marker.read_bytes() == digest.encode()


def _way_out(archive: Archive) -> str:
    again = f"Get it again from {archive.urls[0]}, or" if archive.urls else "You can"
    forget = "" if archive.sha256 else f" delete {_record(archive)} if you trust the new file, or"
    return f'{again}{forget} unpack it yourself and set `data.source = "folders"` and `data.root = "FOLDER"`.'


def _download(archive: Archive, file: Path, expected: str | None, progress: Progress, say: Say) -> Path:
    """Downloads from the first mirror that has the right file."""
    if not archive.urls:
        raise GanzooError(f"{archive.name} cannot be downloaded. {archive.licence}")
    own = os.environ.get("GANZOO_MIRROR", "").rstrip("/")
    urls = ((f"{own}/{archive.urls[0].rpartition('/')[2]}",) if own else ()) + archive.urls
    size = f"{archive.bytes / 1e6:.1f} MB" if archive.bytes else "of unknown size"
    say(f"Downloading {archive.name}, {size}. {archive.licence}")
    failed, wrong = [], False
    for url in urls:
        try:
            _transfer(url, file, archive, expected, progress, DEADLINE / len(urls))
        except (requests.RequestException, HTTPError) as error:
            answer, why = getattr(error, "response", None), WHY.get(type(error).__name__, str(error))
            failed.append(f"{url}: {why if answer is None else f'it answered {answer.status_code} {answer.reason}'}")
            continue
        if expected in (None, found := _sha256(file)):
            return file
        wrong = True
        failed.append(f"{url}: its file has sha256 {found}")
    message = f"Cannot download {archive.name} ({'; '.join(failed)}"
    if wrong:
        raise GanzooError(f"{message}; expected sha256 {expected}). {_way_out(archive)}")
    raise Offline(f"{message}): connect to the internet and run again, or download the file by hand and set "
                  '`data.archive = "FILE"`, or set `data.fallback` to a source that needs no download.')  # fmt: skip


def _transfer(
    url: str, file: Path, archive: Archive, expected: str | None, progress: Progress, patience: float
) -> None:
    begun = time.monotonic()
    with _answer(url, patience) as response:
        for answer in (*response.history, response):
            if not expected and not answer.url.startswith("https:"):
                raise requests.RequestException(f"without a checksum only https is taken, not {answer.url}")
        response.raise_for_status()
        if "text/html" in response.headers.get("Content-Type", ""):
            raise requests.RequestException("it sent a web page instead of the file, perhaps this network's login")
        told = response.headers.get("Content-Length", "")
        total, done = int(told) if told.isdecimal() and len(told) < 20 else archive.bytes or 0, 0
        with file.open("wb") as out:
            while chunk := response.raw.read1(CHUNK, decode_content=False):  # servers call .gz an encoding, too
                done += out.write(chunk)
                if archive.bytes and done > archive.bytes:
                    raise requests.RequestException(f"it sends more than the {archive.bytes:,} bytes of the file")
                if time.monotonic() - begun > STALL + done / SLOWEST:
                    raise requests.RequestException(f"it sends less than {SLOWEST // 1000} kB a second")
                progress(done, total)
        if done < total:
            raise requests.RequestException("the connection broke off")


def _answer(url: str, patience: float) -> requests.Response:
    """Asks in a thread, because nothing else bounds a name query."""
    answer: Future[requests.Response] = Future()

    def ask() -> None:
        try:
            answer.set_result(requests.get(url, stream=True, headers=PLAIN, timeout=(CONNECT, STALL)))
        except requests.RequestException as error:
            answer.set_exception(error)
        except Exception as error:  # of a host's name that is too long, say
            answer.set_exception(requests.RequestException(str(error)))

    threading.Thread(target=ask, daemon=True).start()
    try:
        return answer.result(patience)
    except TimeoutError:
        raise requests.RequestException(f"no answer within {patience:g} s") from None


def _unpack(file: Path, archive: Archive, beside: Path, target: Path, digest: str, say: Say) -> None:
    """Unpacks beside `target` and renames, so that `target` is whole or absent."""
    beside.mkdir()
    _extract(file, beside)
    places = (beside, *beside.glob("*/"), *beside.glob("*/*/"))
    root = next((place for place in places if (place / archive.layout[0]).is_dir()), None)
    if not root:
        raise GanzooError(f'{file} has no folder "{archive.layout[0]}", so it is not {archive.name}: get it again.')
    (root / MARKER).write_text(digest)
    if target.exists() or target.is_symlink():  # from another file, or not our work: not ours to delete
        target.rename(aside := target.with_name(f"{target.name}.moved-{time.time_ns()}"))
        say(f"{target} is not from this file, and was moved to {aside}.")
    root.rename(target)
    published = zip(archive.layout, archive.counts, strict=False)  # counts may be empty
    rows = [(part, len([*target.glob(f"{part}/[!.]*")]), count) for part, count in published]
    if wrong := [f"{part} has {there}, not {count}" for part, there, count in rows if there != count]:
        say(f"{archive.name} does not hold the published numbers of images ({'; '.join(wrong)}): results may differ.")


def _extract(file: Path, into: Path) -> None:
    """Writes the files of a zip or tar below the new folder `into`; GanzooError if it holds links or is damaged."""
    room = max(ALWAYS_FINE, SWOLLEN * file.stat().st_size)
    try:
        if zipfile.is_zipfile(file):
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
            f"{file} was refused: unpacked it would be more than {SWOLLEN} times as large, which images never are. "
            "Get it from a source you trust."
        )
    path = PureWindowsPath(name)  # parts at both kinds of slashes
    if not plain or path.anchor or ".." in path.parts:
        raise GanzooError(f"{file} was refused: {name} in it is a link, a device or outside its own folder. "
                          "Get it from a source you trust.")  # fmt: skip
