"""How the program ends when something goes wrong: with a sentence, and a file for a traceback that nobody expected."""

import os
import platform
import shlex
import sys
import traceback
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path

from ganzoo import __version__, registry
from ganzoo.errors import GanzooError
from ganzoo.files import write_text

SHOW = "GANZOO_TRACEBACK"  # in the environment: unexpected errors keep their traceback
TOO_MUCH = ("allocate memory", "Storage size calculation overflowed", "CUDA out of memory")  # says torch


def sentence(error: Exception) -> tuple[str, int]:
    """What to tell of the error that ended the program, and its exit code."""
    if isinstance(error, GanzooError):
        return str(error), error.exit_code
    if isinstance(error, OSError) and error.strerror:
        return f"{error.strerror}: {error.filename or 'what is printed cannot be written'}.", 2
    if isinstance(error, MemoryError) or any(words in str(error) for words in TOO_MUCH):
        reason = f" ({first_line(error)})" if str(error) else ""
        return f"The memory does not suffice{reason}. Lower data.batch, data.size or the width of the networks.", 1
    if found := _damaged(error):
        return found[0], 2
    return _unexpected(error), 1


def first_line(error: BaseException) -> str:
    """The first line of its message, or its name."""
    return (str(error).strip() or type(error).__name__).splitlines()[0]


def _damaged(error: Exception) -> list[str]:
    """The installations, perhaps of something else, that the error came from."""
    modules = {frame.f_globals.get("__name__") for frame, _ in traceback.walk_tb(error.__traceback__)}
    return registry.registry().damaged if "importlib.metadata" in modules else []


def _unexpected(error: Exception) -> str:
    where = "".join(f" {note}" for note in getattr(error, "__notes__", ()))
    said = f"This should not have happened{where}: {type(error).__name__}: {first_line(error)}"
    culprit = next(_plugins(error), None)
    who = f"It was in the plugin {culprit}: tell its author" if culprit else "It is a bug of ganzoo: please report it"
    try:
        return f"{said}\n  {who}. The traceback is in {_keep(error)}; {SHOW}=1 shows it here."
    except GanzooError:  # no place for it
        return f"{said}\n  {who}. {SHOW}=1 shows the traceback."


def _plugins(error: Exception) -> Iterator[str]:
    """The plugins that the error passed through, innermost first, each with the line."""
    if not registry.registry.cache_info().currsize:  # it was in the registry
        return
    packages = {entry.target.partition(":")[0].partition(".")[0]: entry for entry in registry.registry().entries}
    for frame, line in reversed(list(traceback.walk_tb(error.__traceback__))):
        module = str(frame.f_globals.get("__name__", ""))
        entry = packages.get(module.partition(".")[0])
        if entry and entry.distribution != "ganzoo":
            yield f"{entry.package} ({module}, line {line})"


def _keep(error: Exception) -> Path:
    """Writes the traceback to a file of its own. Raises GanzooError where that cannot be."""
    from platformdirs import user_log_path

    file = user_log_path("ganzoo") / f"{datetime.now():%Y-%m-%d-%H%M%S}-{os.getpid()}.txt"
    about = f"ganzoo {__version__}, Python {platform.python_version()}, {platform.platform()}"
    told = [about, shlex.join(sys.argv), "", *traceback.format_exception(error)]
    write_text(file, "\n".join(line.encode(errors="backslashreplace").decode() for line in told))
    return file
