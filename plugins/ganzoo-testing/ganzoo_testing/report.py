"""How the kit says what is wrong."""

from collections.abc import Iterator
from contextlib import contextmanager


class ConformanceError(AssertionError):
    """Something registered that breaks the contract: what was expected, what was found, where to look."""


def wrong(what: str, where: str, expected: str) -> ConformanceError:
    """`what` is the type and the name of what is checked, `expected` goes on after "expected"."""
    return ConformanceError(f"{what}, {where}: expected {expected}.")


@contextmanager
def expecting(what: str, where: str, expected: str) -> Iterator[None]:
    """Inside, whatever the code under test raises becomes a ConformanceError."""
    try:
        yield
    except ConformanceError:
        raise
    except Exception as error:
        reason = (str(error).strip() or "no message").splitlines()[0]
        raise wrong(what, where, f"{expected}; it gives {type(error).__name__}: {reason}") from error
