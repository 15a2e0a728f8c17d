"""Published datasets by name: found on a mirror, downloaded with resume, checksummed, unpacked once into the cache."""

import contextlib
import difflib
import errno
import os
import shutil
import tarfile
import threading
import time
import zipfile
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Literal

import pooch
import requests
from filelock import FileLock, Timeout
from urllib3 import exceptions as urllib3

from ganzoo.errors import GanzooError

CONNECT, STALL, GRACE = 5.0, 15.0, 2.0  # seconds: to connect, without a byte, for better mirrors after the first answer
RETRIES, PAUSE = 3, 0.5  # retries in a row that bring nothing new, for each mirror; seconds before the first, doubling
CHUNK = 1 << 16  # bytes
MARKER = ".ganzoo-complete"  # written last into an unpacked folder; holds the sha256 of its archive
PLAIN = {"Accept-Encoding": "identity"}
BROKEN = (requests.RequestException, urllib3.HTTPError)
WHY = (
    ((requests.Timeout, urllib3.TimeoutError), "it stopped answering"),
    (requests.exceptions.SSLError, "its certificate was refused"),
    (requests.exceptions.ProxyError, "the proxy did not let it through"),
    (requests.ConnectionError, "it cannot be reached"),
    (urllib3.HTTPError, "the connection broke off"),
)
DAMAGED = (zipfile.BadZipFile, tarfile.TarError, zlib.error, EOFError, RuntimeError, ValueError, OSError)

Say = Callable[[str], None]
Progress = Callable[[int, int], None]


class Offline(GanzooError):
    """No mirror could deliver the archive; a recipe's `fallback` is meant for this, and only for this."""


@dataclass(frozen=True)
class Archive:
    """A published dataset. `domains` are A and B, in a "paired" one the left and right half of each image."""

    name: str
    domains: tuple[str, str]
    counts: tuple[int, ...]  # images in trainA, trainB, testA, testB; if "paired" in train; () where not published
    bytes: int | None  # None where not published
    sha256: str | None  # None where not published: the first download is trusted and recorded
    urls: tuple[str, ...]  # mirrors, best first
    licence: str
    kind: Literal["unpaired", "paired"] = "unpaired"

    @property
    def file(self) -> str:
        """The archive's file name: on a mirror and in the cache."""
        return f"{self.name}.zip" if self.kind == "unpaired" else f"{self.name.removeprefix('pix2pix_')}.tar.gz"

    @property
    def parts(self) -> tuple[str, ...]:
        """The folders that `counts` counts; the first one is in every archive of the kind."""
        return ("trainA", "trainB", "testA", "testB") if self.kind == "unpaired" else ("train",)


_HOSTS = ("https://efrosgans.eecs.berkeley.edu", "http://efrosgans.eecs.berkeley.edu")
_RIGHTS = "No licence is published with it: the rights stay with their owners, so check before you pass anything on."
_PAINTINGS = f"Paintings from WikiArt, photographs from Flickr. {_RIGHTS}"
_FLICKR, _IMAGENET = f"Photographs from Flickr. {_RIGHTS}", f"Photographs from ImageNet. {_RIGHTS}"
_FACADES, _MAPS = f"From the CMP Facade Database. {_RIGHTS}", f"Images from Google Maps. {_RIGHTS}"


def _zip(name: str, a: str, b: str, counts: tuple[int, ...], size: int, sha256: str, licence: str) -> Archive:
    urls = tuple(f"{host}/cyclegan/datasets/{name}.zip" for host in _HOSTS)
    return Archive(name, (a, b), counts, size, sha256, urls, licence)


def _tar(name: str, a: str, b: str, counts: tuple[int, ...], licence: str) -> Archive:
    urls = tuple(f"{host}/pix2pix/datasets/{name}.tar.gz" for host in _HOSTS)
    return Archive(f"pix2pix_{name}", (a, b), counts, None, None, urls, licence, "paired")


# fmt: off
_ALL = (
    _zip("apple2orange", "apple", "orange", (995, 1019, 266, 248), 78456409,
         "845a191e9af8926408ea597001cd03a452e3300a1f44a79fe329b3d59f6e3eb8", _IMAGENET),
    _zip("cezanne2photo", "cezanne", "photo", (525, 6287, 58, 751), 279885071,
         "3a6c10ca21f9485862f1cbd707744b9dc258954a04631271d23a3605eeb63cff", _PAINTINGS),
    _zip("facades", "photo", "label", (400, 400, 106, 106), 35135868,
         "9a31ebf3a31b9b5cd195dd5bf62e9308e00cb94604d1019e3889ac84248695c0", _FACADES),
    _zip("horse2zebra", "horse", "zebra", (1067, 1334, 120, 140), 116867962,
         "a74d9d392eecca9966b51287a76ca126af473d9de4f3e8fc0e9cda08fa1730a1", _IMAGENET),
    _zip("iphone2dslr_flower", "iphone", "dslr", (1812, 3325, 569, 480), 339964458,
         "8fcb5e374d631b107e1d961b8c4cd0a186aa2a4ff3e279923f4c426128de7113", _FLICKR),
    _zip("maps", "aerial", "map", (1096, 1096, 1098, 1098), 1476754427,
         "639534f69dbf9f36bef8d6292a7698006361221f83f0285d7c9ca78afe6e8a9e", _MAPS),
    _zip("monet2photo", "monet", "photo", (1072, 6287, 121, 751), 305231073,
         "88f91b00fc228f97c9411fbf1880ec1d119c98f1722e4cfcfaa2fb35fac05b04", _PAINTINGS),
    _zip("summer2winter_yosemite", "summer", "winter", (1231, 962, 309, 238), 132640856,
         "167fe1726807a9d22bd106b4a6c0bd7953b688af924ac1bf967439c4961e49f9", _FLICKR),
    _zip("ukiyoe2photo", "ukiyoe", "photo", (562, 6287, 263, 751), 292946532,
         "02a2a2fb5ecf425ca1bf86aca7304377da64a2a1d3b86df54eb65e4068bf3b08", _PAINTINGS),
    _zip("vangogh2photo", "vangogh", "photo", (400, 6287, 400, 751), 306590349,
         "362c3473e70be0944bda08d49d660eafdc2854df55d697835b8186d1d79caaff", _PAINTINGS),
    _tar("facades", "photo", "label", (400,), _FACADES),
    _tar("maps", "aerial", "map", (1096,), _MAPS),
    _tar("edges2shoes", "edges", "shoes", (), f"Shoes of UT Zappos50K, edges by HED. {_RIGHTS}"),
    _tar("edges2handbags", "edges", "handbags", (), f"Amazon handbags of the iGAN project, edges by HED. {_RIGHTS}"),
    _tar("night2day", "night", "day", (), f"From the Transient Attributes dataset. {_RIGHTS}"),
)
# fmt: on
ARCHIVES: dict[str, Archive] = {archive.name: archive for archive in _ALL}
WITHDRAWN: dict[str, str] = dict.fromkeys(
    ("cityscapes", "pix2pix_cityscapes"),
    "cityscapes was withdrawn by its publishers for licence reasons, so ganzoo cannot download it: get the images "
    'from https://www.cityscapes-dataset.com and set `data.source = "folders"` and `data.root = "FOLDER"`.',
)


def cache_folder() -> Path:
    """Where archives are kept: $GANZOO_CACHE, or the system's cache folder for ganzoo. It may not exist yet."""
    chosen = os.environ.get("GANZOO_CACHE")
    return Path(chosen).expanduser() if chosen else Path(pooch.os_cache("ganzoo"))


def get(
    name: str,
    *,
    archive: Path | None = None,
    progress: Progress | None = None,
    say: Say = print,
    deadline: float = 12.0,
) -> Path:
    """The folder that holds trainA and the rest (train if "paired"): from the cache, from a local file, or downloaded.

    `progress` gets (bytes done, bytes in all or 0); `deadline` is in seconds, for finding a mirror. Offline when no
    mirror delivers; GanzooError when the name, the checksum or the archive is wrong, or the disk is full.
    """
    spec = find(name)
    cache = cache_folder()
    target, record = cache / spec.name, cache / f"{spec.file}.sha256"
    local = Path(archive).expanduser() if archive else None
    with _disk(cache):
        wanted = spec.sha256 or (_sha256(local) if local and local.is_file() else None)
        if _is_complete(target, wanted):
            return target
        if local and not local.is_file():
            raise GanzooError(f'There is no file "{local}": mend `data.archive`, or remove it to download the file.')
        cache.mkdir(parents=True, exist_ok=True)
        with _lock(cache / f"{spec.name}.lock", say):
            if _is_complete(target, wanted):
                return target
            expected = spec.sha256 or (record.read_text().split()[0] if record.exists() else None)
            file, found = (local, _sha256(local)) if local else _fetch(spec, expected, progress, say, deadline)
            if expected not in (None, found):
                raise GanzooError(f"{file} is not the expected {name}: its sha256 is {found}, not {expected}. Get it "
                                  f"again from {spec.urls[0]}{_insist(spec)}.")  # fmt: skip
            _unpack(file, spec, target, found, ours=not local)
            if expected is None:
                record.write_text(f"{found}  {spec.file}\n")
                say(f"{name} has no published checksum, so this file is trusted, and later ones are compared with it: "
                    f"sha256 {found}, recorded in {record}.")  # fmt: skip
    if warning := verify(target, spec):
        say(warning)
    return target


def find(name: str) -> Archive:
    """The archive of that name; GanzooError if there is none, or none any more."""
    if name in ARCHIVES:
        return ARCHIVES[name]
    near = difflib.get_close_matches(name, ARCHIVES, n=1)
    hint = f'did you mean "{near[0]}"?' if near else f"choose one of {', '.join(ARCHIVES)}."
    raise GanzooError(WITHDRAWN.get(name, f'There is no published archive called "{name}": {hint}'))


def verify(folder: Path, archive: Archive) -> str:
    """A sentence if `folder` holds other numbers of images than were published, else ""."""
    found = {part: sum(not file.name.startswith(".") for file in folder.glob(f"{part}/*")) for part in archive.parts}
    published = zip(archive.parts, archive.counts, strict=False)
    wrong = [f"{part} has {found[part]}, not {count}" for part, count in published if found[part] != count]
    if not wrong:
        return ""
    return f"{archive.name} does not hold the published numbers of images ({'; '.join(wrong)}): results may differ."


@contextlib.contextmanager
def _disk(cache: Path) -> Iterator[None]:
    """Turns what the file system refuses into a sentence."""
    try:
        yield
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            way_out = "free some space, or set GANZOO_CACHE to a folder on a larger disk, and run again"
            raise GanzooError(f"The disk that holds {cache} is full: {way_out}; a download goes on.") from error
        way_out = "check who may read and write there, or set GANZOO_CACHE to another folder"
        where = f"{error.filename or cache} ({error.strerror or error})"
        raise GanzooError(f"Cannot use {where}: {way_out}.") from error


@contextlib.contextmanager
def _lock(path: Path, say: Say) -> Iterator[None]:
    lock = FileLock(path)
    try:
        lock.acquire(timeout=0)
    except Timeout:
        say(f"Another process is getting {path.stem}; waiting for it.")
        lock.acquire()
    try:
        yield
    finally:
        lock.release()


def _sha256(file: Path) -> str:
    return pooch.file_hash(str(file), alg="sha256")


def _done(part: Path) -> int:
    return part.stat().st_size if part.exists() else 0


def _note(part: Path) -> Path:
    """Beside a begun download: which version of the file it belongs to."""
    return part.with_name(f"{part.name}.tag")


def _is_complete(target: Path, digest: str | None) -> bool:
    """Whether `target` was unpacked to the end, from the archive with this digest (None: from any)."""
    marker = target / MARKER
    return marker.is_file() and digest in (None, marker.read_text())


def _insist(spec: Archive) -> str:
    forget = "" if spec.sha256 else f", or delete {cache_folder() / spec.file}.sha256 if you trust the new file"
    return f'{forget}, or unpack it yourself and set `data.source = "folders"` and `data.root = "FOLDER"`'


def _fetch(
    spec: Archive, expected: str | None, progress: Progress | None, say: Say, deadline: float
) -> tuple[Path, str]:
    """The archive in the cache and its digest: what is there already, else from the first mirror that is right."""
    file = cache_folder() / spec.file
    part = file.with_name(f"{file.name}.part")
    if file.exists():
        if expected in (None, found := _sha256(file)):
            return file, found
        say(f"{file} has sha256 {found}, not {expected}: it is removed and downloaded again.")
        file.unlink()
    own = os.environ.get("GANZOO_MIRROR", "").rstrip("/")
    urls = [*dict.fromkeys(((f"{own}/{spec.file}",) if own else ()) + spec.urls)]
    answers = _probe(urls, deadline)
    order = sorted(urls, key=lambda url: not isinstance(answers[url], int))  # a late answer still gets its turn
    if isinstance(size := answers[order[0]], int):
        size = f"{(spec.bytes or size) / 1e6:.1f} MB" if spec.bytes or size else "of unknown size"
        begun = f", {_done(part) / 1e6:.1f} MB of it here already" if _done(part) else ""
        say(f"Downloading {spec.name}, {size}{begun}. {spec.licence}")
    wrong = False
    for url in order:
        if not isinstance(answers[url], int):
            continue
        try:
            found = _from_mirror(url, part, expected, progress or (lambda done, total: None))
        except BROKEN as error:
            answers[url] = _why(error)
            continue
        if expected in (None, found):
            os.replace(part, file)
            _note(part).unlink(missing_ok=True)
            return file, found
        wrong, answers[url] = True, f"its file has sha256 {found}"
    failed = f"Cannot download {spec.name} ("
    failed += "; ".join(f"{url}: {answers[url] or f'no answer within {deadline:g} s'}" for url in urls)
    if wrong:
        raise GanzooError(f"{failed}; expected sha256 {expected}). The wrong file was removed from the cache: try "
                          f"another network or another day{_insist(spec)}.")  # fmt: skip
    go_on = f"run again, which goes on after {_done(part) / 1e6:.1f} MB" if _done(part) else "run again"
    by_hand = 'download the file by hand and set `data.archive = "FILE"`'
    raise Offline(f"{failed}): connect to the internet and {go_on}, or {by_hand}, or set `data.fallback` to a source "
                  "that is built in.")  # fmt: skip


def _probe(urls: list[str], deadline: float) -> dict[str, int | str | None]:
    """What each mirror says: the size in bytes (0: unknown), or why not, or None so far. It may still be filled later.

    Daemon threads, because nothing bounds a name query.
    """
    answers: dict[str, int | str | None] = dict.fromkeys(urls)
    news = threading.Condition()

    def ask(url: str) -> None:
        try:
            answer: int | str = _size(url, deadline)
        except Exception as error:
            answer = _why(error)
        with news:
            answers[url] = answer
            news.notify_all()

    for url in urls:
        threading.Thread(target=ask, args=(url,), daemon=True).start()
    end = time.monotonic() + deadline
    with news:
        news.wait_for(lambda: None not in answers.values() or any(type(x) is int for x in answers.values()), deadline)
        news.wait_for(lambda: None not in answers.values(), max(0.0, min(GRACE, end - time.monotonic())))
    return answers


def _size(url: str, seconds: float) -> int:
    """Asks for the first byte only: unlike HEAD, every server that can deliver the file knows this."""
    headers = PLAIN | {"Range": "bytes=0-0"}
    with requests.get(url, stream=True, headers=headers, timeout=(min(CONNECT, seconds), seconds)) as response:
        response.raise_for_status()
        if "text/html" in response.headers.get("Content-Type", ""):
            raise requests.RequestException("it sent a web page instead of the file, perhaps this network's login")
        whole = response.headers.get("Content-Range", "").rpartition("/")[2]
        length = whole if response.status_code == 206 else response.headers.get("Content-Length", "")
        return int(length) if length.isdecimal() else 0


def _from_mirror(url: str, part: Path, expected: str | None, progress: Progress) -> str:
    """Completes `part` and returns its digest; a wrong one is removed, and tried again if its beginning was older."""
    resumed = part.exists()
    best, tries = _done(part), 0
    while True:
        try:
            _attempt(url, part, expected is not None, progress)
            break
        except BROKEN:
            tries = 0 if _done(part) >= best + CHUNK else tries + 1
            best = max(best, _done(part))
            if tries > RETRIES:
                raise
            time.sleep(PAUSE * 2 ** max(0, tries - 1))
    if expected in (None, found := _sha256(part)):
        return found
    part.unlink()
    _note(part).unlink(missing_ok=True)
    return _from_mirror(url, part, expected, progress) if resumed else found


def _attempt(url: str, part: Path, checkable: bool, progress: Progress) -> None:
    """One request for what `part` lacks; without a version tag or a checksum to compare, for everything."""
    note = _note(part)
    tag = note.read_text() if note.exists() else ""
    start = _done(part) if tag or checkable else 0
    headers = PLAIN | ({"Range": f"bytes={start}-"} if start else {}) | ({"If-Range": tag} if start and tag else {})
    with requests.get(url, headers=headers, stream=True, timeout=(CONNECT, STALL)) as response:
        status, reach = response.status_code, response.headers.get("Content-Range", "")
        if start and status == 416 and reach == f"bytes */{start}":
            return  # it was complete
        fits = reach.startswith(f"bytes {start}-") and (not tag or _tag(response) in ("", tag))
        if status == 416 or (status == 206 and not fits):
            part.unlink(missing_ok=True)
            raise requests.RequestException("the file changed meanwhile")
        response.raise_for_status()
        if status != 206:
            start = 0
            part.unlink(missing_ok=True)  # before the note: a new note beside an old part would lie
            note.write_text(_tag(response))
        total = start + int(response.headers.get("Content-Length", -start))
        with part.open("ab") as out:
            for chunk in response.raw.stream(CHUNK, decode_content=False):
                out.write(chunk)
                out.flush()
                start += len(chunk)
                progress(start, total)
    if start < total:
        raise urllib3.HTTPError("broke off")


def _tag(response: requests.Response) -> str:
    etag = response.headers.get("ETag", "W/")
    return response.headers.get("Last-Modified", "") if etag.startswith("W/") else etag


def _why(error: Exception) -> str:
    """An exception of the network in a few words."""
    if isinstance(error, requests.HTTPError) and error.response is not None:
        return f"it answered {error.response.status_code} {error.response.reason}"
    return next((why for kind, why in WHY if isinstance(error, kind)), str(error))


def _unpack(file: Path, spec: Archive, target: Path, digest: str, *, ours: bool) -> None:
    """Unpacks beside `target` and renames, so that `target` is whole or absent; removes a bad `file` that is ours."""
    beside = target.with_name(f".{spec.name}.unpacking")
    shutil.rmtree(beside, ignore_errors=True)
    first = spec.parts[0]
    try:
        _extract(file, beside)
        inner = [hit.parent for depth in ("", "*/", "*/*/") for hit in beside.glob(depth + first) if hit.is_dir()]
        if not inner:
            raise GanzooError(f'{file} has no folder "{first}", so it is not {spec.name}: get it again.')
        (inner[0] / MARKER).write_text(digest)
        if _is_complete(target, None):
            shutil.rmtree(target)
        elif target.exists():  # not our work, so not ours to delete
            target.rename(target.with_name(f"{target.name}.moved-{time.time_ns()}"))
        inner[0].rename(target)
    except GanzooError:
        if ours:
            file.unlink(missing_ok=True)
        raise
    finally:
        shutil.rmtree(beside, ignore_errors=True)


def _extract(file: Path, into: Path) -> None:
    """All of a zip or tar; GanzooError if it is damaged or wants to write outside `into`."""
    unsafe = f"{file} wants to write outside its own folder (%s) and was refused: get it from a source you trust."
    try:
        if zipfile.is_zipfile(file):
            with zipfile.ZipFile(file) as opened:
                for name in opened.namelist():
                    path = PurePosixPath(name.replace("\\", "/"))
                    if path.is_absolute() or ".." in path.parts:
                        raise GanzooError(unsafe % name)
                opened.extractall(into)
        else:
            with tarfile.open(file) as opened:
                opened.extractall(into, filter="data")
    except tarfile.FilterError as error:
        raise GanzooError(unsafe % error.tarinfo.name) from error
    except DAMAGED as error:
        if isinstance(error, OSError) and error.errno not in (None, errno.EINVAL):
            raise  # the disk's fault, not the file's
        why = str(error).partition("\n")[0].rstrip(": ")
        raise GanzooError(f"{file} is damaged or is no zip or tar archive ({why}): get it again.") from error
