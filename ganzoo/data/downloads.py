"""Downloads published files: from the first mirror that has the right one, never another than the first time."""

import hashlib
import os
import re
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from pathlib import Path

import requests
from platformdirs import user_cache_dir
from urllib3.exceptions import HTTPError

from ganzoo.data.published import Published
from ganzoo.errors import GanzooError, Offline
from ganzoo.files import expanded, write_text

CONNECT, STALL = 5.0, 15.0  # seconds: to connect, without a byte
DEADLINE = 15.0  # seconds until all mirrors must have answered
SLOWEST = 10_000  # bytes per second on average, after the seconds of STALL
CHUNK = 1 << 16  # bytes
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
Say = Callable[[str], object]


def cache_folder() -> Path:
    """Where archives are kept: $GANZOO_CACHE, or the system's cache folder for ganzoo. It may not exist yet."""
    return expanded(os.environ.get("GANZOO_CACHE") or user_cache_dir("ganzoo"))


@contextmanager
def cache_problems() -> Iterator[None]:
    """Inside, what the operating system refuses is raised as a GanzooError that says what to do about the cache."""
    try:
        yield
    except OSError as error:
        raise GanzooError(
            f"Cannot use {error.filename or cache_folder()} ({error.strerror or error}): free some space, check who "
            "may read and write there, or set GANZOO_CACHE to another folder, and run again."
        ) from error


def obtain(what: Published, local: Path | None, file: Path, progress: Progress, say: Say) -> tuple[Path, str]:
    """The published file and its sha256: `local`, if there is such a copy, or else downloaded to `file`.

    `progress` is given (bytes done, bytes in all or 0). Raises Offline when no mirror delivers, GanzooError when it is
    another file than it should be.
    """
    wanted = expected(what)
    if not local:
        _download(what, file, wanted, progress, say)
    found = _sha256(local or file)
    if wanted not in (None, found):
        raise GanzooError(f"{local} is not the expected {what.name}: its sha256 is {found}, not {wanted}. "
                          f"{_way_out(what)}")  # fmt: skip
    return local or file, found


def trust(what: Published, found: str, say: Say) -> None:
    """Where no checksum is published, records that of the first download, which later ones must have."""
    if expected(what) is None:
        write_text(record(what), found)
        say(f"{what.name} has no published checksum, so this file is trusted, and later ones are compared with "
            f"it: sha256 {found}, recorded in {record(what)}.")  # fmt: skip


def make_way(target: Path, say: Say) -> None:
    """Moves aside what is at `target` in the cache: it is from another file, or not our work, so not ours to delete."""
    if target.exists() or target.is_symlink():
        target.rename(aside := target.with_name(f"{target.name}.moved-{time.time_ns()}"))
        say(f"{target} is not from this file, and was moved to {aside}.")


def record(what: Published) -> Path:
    """Where the sha256 of a first download is kept."""
    return cache_folder() / f"{what.key}.sha256"


def expected(what: Published) -> str | None:
    """The sha256 that the file must have, None if nothing is known."""
    file = record(what)
    if what.sha256 or file.is_symlink() or not file.is_file():
        return what.sha256
    found = file.read_bytes().decode(errors="replace").strip()
    if not re.fullmatch("[0-9a-f]{64}", found):
        raise GanzooError(f"{file} should hold a sha256. Delete it if you trust the file that is downloaded next.")
    return found


def _sha256(file: Path) -> str:
    with file.open("rb") as opened:
        return hashlib.file_digest(opened, "sha256").hexdigest()


def _way_out(what: Published) -> str:
    again = f"Get it again from {what.urls[0]}, or" if what.urls else "You can"
    forget = "" if what.sha256 else f" delete {record(what)} if you trust the new file, or"
    return f"{again}{forget} {what.by_hand}."


def _download(what: Published, file: Path, expected: str | None, progress: Progress, say: Say) -> None:
    """Downloads from the first mirror that has the right file."""
    if not what.urls:
        raise GanzooError(f"{what.name} cannot be downloaded. {what.licence}")
    own = os.environ.get("GANZOO_MIRROR", "").rstrip("/")
    urls = ((f"{own}/{what.file}",) if own else ()) + what.urls
    size = f"{what.bytes / 1e6:.1f} MB" if what.bytes else "of unknown size"
    say(f"Downloading {what.name}, {size}. {what.licence}")
    failed, wrong = [], False
    for url in urls:
        try:
            _transfer(url, file, what, expected, progress, DEADLINE / len(urls))
        except (requests.RequestException, HTTPError) as error:
            answer, why = getattr(error, "response", None), WHY.get(type(error).__name__, str(error))
            failed.append(f"{url}: {why if answer is None else f'it answered {answer.status_code} {answer.reason}'}")
            continue
        if expected in (None, found := _sha256(file)):
            return
        wrong = True
        failed.append(f"{url}: its file has sha256 {found}")
    message = f"Cannot download {what.name} ({'; '.join(failed)}"
    if wrong:
        raise GanzooError(f"{message}; expected sha256 {expected}). {_way_out(what)}")
    raise Offline(f"{message}): connect to the internet and run again, or {what.without_network}.")


def _transfer(url: str, file: Path, what: Published, expected: str | None, progress: Progress, patience: float) -> None:
    begun = time.monotonic()
    with _answer(url, patience) as response:
        for answer in (*response.history, response):
            if not expected and not answer.url.startswith("https:"):
                raise requests.RequestException(f"without a checksum only https is taken, not {answer.url}")
        response.raise_for_status()
        if "text/html" in response.headers.get("Content-Type", ""):
            raise requests.RequestException("it sent a web page instead of the file, perhaps this network's login")
        told = response.headers.get("Content-Length", "")
        total, done = int(told) if told.isdecimal() and len(told) < 20 else what.bytes or 0, 0
        with file.open("wb") as out:
            while chunk := response.raw.read1(CHUNK, decode_content=False):  # servers call .gz an encoding, too
                done += out.write(chunk)
                if what.bytes and done > what.bytes:
                    raise requests.RequestException(f"it sends more than the {what.bytes:,} bytes of the file")
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
