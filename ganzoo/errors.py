"""The exceptions that are printed as a sentence instead of a traceback."""

import sys
from contextlib import suppress

from ganzoo.text import printable

NO_MEMORY = ("out of memory", "not enough memory", "can't allocate memory", "alloc_cpu")  # in torch's RuntimeErrors


class GanzooError(Exception):
    """A mistake that the user can mend: the message says where it is and what to do next.

    `exit_code` is 2 while nothing has been trained yet and 1 once training has begun.
    """

    exit_code = 2
    """what the program ends with when it prints this mistake"""


class Offline(GanzooError):
    """Data that cannot be downloaded now; a recipe's `fallback` is used for this, and only for this."""


def multiples_around(number: int, multiple: int) -> str:
    """What to say where a number should be a multiple: "a multiple of 4, such as 60 or 64"."""
    below = number // multiple * multiple
    return f"a multiple of {multiple}, such as {f'{below} or ' if below else ''}{below + multiple}"


class Stopped(Exception):
    """The run was asked to stop, and has saved where it is."""

    def __init__(self, signal_number: int, message: str) -> None:
        super().__init__(message)
        self.exit_code = 128 + signal_number


def out_of_memory(error: BaseException) -> bool:
    """Whether that is what happened, here or on the device."""
    return isinstance(error, MemoryError) or (
        isinstance(error, RuntimeError) and any(words in str(error) for words in NO_MEMORY)
    )


def tell(message: str) -> None:
    """Prints to standard error; where nobody can read that (a lost terminal, a full disk) it is as well."""
    with suppress(OSError, ValueError):
        print(printable(message, keep="\n"), file=sys.stderr, flush=True)
