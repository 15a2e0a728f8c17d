"""The signals that ask a run to end: it finishes its step, saves, and ends."""

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from ganzoo.errors import Stopped

STOP = tuple(
    getattr(signal, name)
    for name in ("SIGINT", "SIGTERM", "SIGHUP", "SIGUSR1")  # the last two: a terminal that is lost, SLURM's warning
    if hasattr(signal, name)
)
IMPATIENT = (signal.SIGINT, signal.SIGTERM)  # a second one ends the program at once; a lost terminal sends two


class StopRequest:
    """What a run has been asked."""

    number = 0
    """the first signal that came, 0 before"""
    heeded = False
    """whether the run looks at `number` after each step; elsewhere a signal interrupts what it does"""


@contextmanager
def stop_requests() -> Iterator[StopRequest]:
    """Inside, the signals of `STOP` are noted, except those that are ignored already (as nohup has it).

    Only the main thread hears signals; in another one nothing is noted. Raises Stopped, with the message of a
    KeyboardInterrupt that comes out.
    """
    asked = StopRequest()

    def note(number: int, frame: Any) -> None:
        first = not asked.number
        asked.number = asked.number or number
        if number in IMPATIENT:
            signal.signal(number, before[number])
        if first and not asked.heeded:
            raise KeyboardInterrupt

    main = threading.current_thread() is threading.main_thread()
    before = {number: signal.getsignal(number) for number in STOP if main}
    before = {number: handler for number, handler in before.items() if handler is not signal.SIG_IGN}
    for number in before:
        signal.signal(number, note)
    try:
        yield asked
    except KeyboardInterrupt as interrupt:
        raise Stopped(asked.number or signal.SIGINT, str(interrupt)) from None
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
