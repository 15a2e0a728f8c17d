"""The processor cores that this process may use, and how many of them other programs leave."""

import os
import time
from contextlib import suppress

import psutil

EVERY = 5.0  # seconds between looks at a run
SHORTEST = 1.0  # seconds watched: counters move in steps of 10 ms


class Cores:
    """Watches the cores from when it is made; `count`: how many this process may use."""

    def __init__(self) -> None:
        allowed = os.sched_getaffinity(0) if hasattr(os, "sched_getaffinity") else range(os.cpu_count() or 1)
        self._allowed, self.count = frozenset(allowed), len(allowed)
        self._before = self._now()

    def _now(self) -> tuple[float, float, float]:
        """Seconds: of the clock, of the cores' idleness, and of computing in this process and those it started."""
        now, own = time.monotonic(), time.process_time()
        try:
            every = psutil.cpu_times(percpu=True)
        except OSError:  # a sandbox that does not tell: as if they were idle
            return now, now * self.count, 0.0
        cores = [times for core, times in enumerate(every) if core in self._allowed]
        if len(cores) < self.count:  # a container that numbers them in its own way
            cores = every
        idle = sum(times.idle + getattr(times, "iowait", 0.0) for times in cores)
        for child in psutil.Process().children(recursive=True):
            with suppress(psutil.Error):  # it has just ended
                own += sum(child.cpu_times()[:2])
        return now, idle, own

    def free(self) -> float:
        """How many cores, on the average since the last call, nobody else used. Waits where that was just now."""
        while time.monotonic() < self._before[0] + SHORTEST:
            pass  # computing, not asleep: of two runs that begin together, each has to see the other
        now = self._now()
        passed, idle, own = (new - old for new, old in zip(now, self._before, strict=True))
        self._before = now
        return min(float(self.count), max(0.0, (idle + own) / passed))


class Crowding:
    """Notices that other programs use the cores which a run of some processes, of several threads each, counts on.

    A thread that has no core to itself keeps all others waiting, many times in a step.
    """

    def __init__(self, threads: int, processes: int) -> None:
        self._threads, self._processes, self._cores = threads, processes, Cores()
        self._looked: tuple[float, int] | None = None  # when, and images seen then
        self._fastest = 0.0  # images/s between two looks

    def look(self, images: int) -> tuple[str, int] | None:
        """After each step, with the images seen: what is to be told, and how many threads would be faster."""
        now = time.monotonic()
        if self._looked and now < self._looked[0] + EVERY:
            return None
        (before, seen), self._looked = self._looked or (now, images), (now, images)
        if before == now:
            return None
        speed, fastest, free = (images - seen) / (now - before), self._fastest, self._cores.free()
        self._fastest = max(speed, fastest)
        used, fewer = self._cores.count - free, max(1, int(free / self._processes))
        alone = used < 0.5 or free > self._threads * self._processes - 0.5
        if alone or fewer >= self._threads or speed > fastest / 2 > 0:
            return None
        slow = f"{speed:.3g} images/s{f' instead of {fastest:.3g}' if fastest else ''}"
        return (
            f"{slow}, as other programs use {used:.1f} of the {self._cores.count} cores and {self._threads} threads of "
            f"this run wait for each other. Beside them it is faster with {fewer}.",
            fewer,
        )
