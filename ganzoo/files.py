"""Writing files: whole or not at all, never through a link, and never over a file that somebody wants to keep."""

import errno
import json
import math
import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from ganzoo.errors import GanzooError

FULL = (errno.ENOSPC, errno.EDQUOT)


@contextmanager
def atomic(path: Path) -> Iterator[Path]:
    """Gives a new, empty file beside `path` to write to; it becomes `path` in the end, and is removed on failure.

    Its name cannot be guessed, so that no link can wait there. Missing folders are made. Raises GanzooError where the
    operating system refuses.
    """
    beside = path.with_name(f".{secrets.token_hex(8)}{path.suffix}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        os.close(os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666))
        mode = beside.stat().st_mode
        yield beside
        beside.chmod(mode)  # some libraries replace the file by one that nobody else may read
        sync(beside)
        os.replace(beside, path)
    except OSError as error:
        raise unwritable(path, error) from error
    finally:
        with suppress(OSError):
            beside.unlink()


def write_bytes(path: Path, content: bytes) -> None:
    """Raises GanzooError where it cannot be written; then what was there before is still there."""
    with atomic(path) as beside:
        beside.write_bytes(content)


def write_text(path: Path, text: str) -> None:
    """As UTF-8. Raises GanzooError as `write_bytes` does."""
    write_bytes(path, text.encode())


def write_json(path: Path, value: Any) -> None:
    """Raises GanzooError as `write_bytes` does."""
    write_text(path, to_json(value, indent=1))


def to_json(value: Any, indent: int | None = None) -> str:
    """Valid JSON: NaN and infinities, which it has not, become null."""
    return json.dumps(_finite(value), indent=indent, allow_nan=False)


def _finite(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _finite(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def append_line(path: Path, line: str) -> None:
    """Adds a line to a text file; one that is not there is begun. Raises GanzooError where it cannot be written."""
    flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | getattr(os, "O_NOFOLLOW", 0)  # Windows knows no such flag
    try:
        with open(os.open(path, flags, 0o666), "a", encoding="utf-8") as file:
            file.write(f"{line}\n")
    except OSError as error:
        raise unwritable(path, error) from error


def expanded(path: str | Path) -> Path:
    """The path with "~" replaced by a home folder. Raises GanzooError where there is no such user."""
    try:
        return Path(path).expanduser()
    except RuntimeError as error:
        raise GanzooError(f'"{path}": {str(error).rstrip(".")}. Write the path out.') from None


def refuse_existing(path: Path) -> None:
    """Raises GanzooError if there is something at `path`; an empty folder is nothing."""
    if path.exists() and not (path.is_dir() and not any(path.iterdir())):
        raise GanzooError(f"{path} exists and is not overwritten. Move it away, or give another name.")


def unwritable(path: Path, error: Exception) -> GanzooError:
    """What to say where `path` could not be written."""
    room = " Make room there, then try again." if getattr(error, "errno", None) in FULL else ""
    return GanzooError(f"{path} cannot be written ({getattr(error, 'strerror', None) or error}).{room}")


def sync(path: Path) -> None:
    """To the disk now, so that a rename never gets there before the content."""
    if os.name == "nt" and path.is_dir():
        return  # Windows cannot sync a folder
    descriptor = os.open(path, os.O_RDONLY if path.is_dir() else os.O_RDWR)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
