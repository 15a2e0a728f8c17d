"""Batches by the clock: processes that prepare images, where these are kept, and what becomes of workers that die."""

import ctypes
import os
import signal
import sys
import time
from collections.abc import Generator, Iterator
from contextlib import contextmanager, suppress
from multiprocessing import forkserver, resource_tracker
from multiprocessing.connection import wait
from multiprocessing.process import BaseProcess, parent_process
from statistics import median
from threading import Thread
from types import ModuleType
from typing import Any

import PIL
import psutil
import torch
from torch import Tensor
from torch.utils import data

from ganzoo.clock import Clock
from ganzoo.data.cache import Cache, Memory, open_files
from ganzoo.data.dataset import TrainingSamples
from ganzoo.data.downloads import Say
from ganzoo.data.images import from_levels
from ganzoo.errors import GanzooError
from ganzoo.signals import STOP
from ganzoo.trainer import Batch

FAST = 1000  # items a second that no training needs more of
AHEAD = 2  # batches that a worker prepares before they are asked for
TIMED = 8  # items that are prepared to see how long one takes


def batches(
    samples: TrainingSamples, clock: Clock, stop: int, pin: bool = False, say: Say = lambda text: None
) -> Generator[Batch, None, None]:
    """This process's part of every batch from the clock's time until `stop` images; close it to end its workers.

    With `pin` on the GPU, which is not waited for. `say` is given where images are kept. Raises GanzooError where
    images cannot be had, or where a worker was killed.
    """
    _keep_freed_memory()
    workers = samples.dataset.options.workers
    if workers is None:
        workers = _workers(samples, clock) if pin else 0
    samples.cache = _cache(samples, workers, clock, say)
    share = clock.batch // clock.world
    starts = range(clock.images + clock.rank * share, stop, clock.batch)
    loader = data.DataLoader(
        samples,
        batch_sampler=(list(range(start, start + share)) for start in starts),
        num_workers=workers,
        collate_fn=_Collate(),
        prefetch_factor=AHEAD if workers else None,
        pin_memory=pin,
        worker_init_fn=_prepare,
        multiprocessing_context=_context() if workers else None,
    )
    table = from_levels(torch.arange(256)).cuda() if pin else None
    with _loading(loader) as loaded:
        for batch in loaded:
            if isinstance(batch, GanzooError):
                raise batch
            yield {key: _shown(value, table) if value.dtype == torch.uint8 else value for key, value in batch.items()}


def _keep_freed_memory() -> None:
    """Lets glibc keep up to 1 GiB of what a step has freed for the next one, without page faults."""
    with suppress(AttributeError, OSError, TypeError):  # no glibc
        mallopt = ctypes.CDLL(None).mallopt
        mallopt(-3, 2**25)  # M_MMAP_THRESHOLD: the most that it accepts
        mallopt(-1, 2**30)  # M_TRIM_THRESHOLD


def _shown(levels: Tensor, table: Tensor | None) -> Tensor:
    """In [-1, 1]; on a GPU looked up, as its division rounds differently."""
    return from_levels(levels) if table is None else table[levels.cuda(non_blocking=True).int()]


def _workers(samples: TrainingSamples, clock: Clock) -> int:
    """As many as prepare FAST items a second together, of the cores that each process beside a GPU has."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    processes = min(clock.world, torch.cuda.device_count())
    seconds = []
    for i in range(TIMED):
        began = time.perf_counter()
        samples[clock.images + i]
        seconds.append(time.perf_counter() - began)
    return max(1, min(cores // processes, 1 + round(FAST * median(seconds))))


def _cache(samples: TrainingSamples, workers: int, clock: Clock, say: Say) -> Cache:
    """In memory, if all fit, nothing is rendered and no workers share it; else in files, if there is room."""
    dataset, options = samples.dataset, samples.dataset.options
    limit = options.cache * 1e9 if isinstance(options.cache, float) else psutil.virtual_memory().available / 4
    memory = Memory(int(limit / (max(1, workers) * clock.world)))
    counts = {domain: len(refs) for domain, refs in samples.refs.items()}
    needed = sum(count * dataset.spec.channels[domain] for domain, count in counts.items()) * options.load_size**2
    files, firsts = None, [refs[0] for refs in samples.refs.values()]
    rendered = firsts[0].rendered  # which takes longer than to read them
    if options.cache == "file" or (options.cache == "auto" and (rendered or workers or needed > memory.limit)):
        facts = options.model_dump_json(exclude={"batch", "workers", "cache", "broken", "flip"})
        if firsts[0].origin():
            files = open_files(
                f"{PIL.__version__} {firsts} {counts} {dataset.spec} {facts}", sum(counts.values()), needed
            )
        if clock.rank == 0 and files:
            how = "as they are rendered" if rendered else "decoded and resized"
            say(f"Images are kept {how} in {files.folder}, for other runs too (data.cache).")
        elif clock.rank == 0 and options.cache == "file":
            say(
                "Images are kept in memory: for a file they have to be in files, or of a source that says what they "
                "are made from (ImageRef.origin), and the disk has to have room."
            )
    return files or memory


def _context() -> str:
    """How workers start: from a server that has one thread, as to fork a process that has several may hang it.

    The server, and what it starts, hears nothing of the signals that end a run: the training finishes its step first.
    """
    if os.name == "nt":
        return "spawn"
    forkserver.set_forkserver_preload([__name__])
    for server in (resource_tracker, forkserver):  # to start the first one unblocks some signals
        blocked = signal.pthread_sigmask(signal.SIG_BLOCK, STOP)
        server.ensure_running()
        signal.pthread_sigmask(signal.SIG_SETMASK, blocked)
    return "forkserver"


@contextmanager
def _loading(loader: "data.DataLoader[Any]") -> Iterator[Iterator[Any]]:
    """Inside, a worker that dies is told as what it is; afterwards none is left, whatever they wait for."""
    workers: list[BaseProcess] = []
    try:
        with _no_main():
            loaded = iter(loader)
        workers += getattr(loaded, "_workers", ())
        yield loaded
    except (RuntimeError, OSError, EOFError) as error:
        wait([worker.sentinel for worker in workers], timeout=1)  # one may have died this very moment
        for code in (worker.exitcode for worker in workers if worker.exitcode):
            how = f"was killed ({signal.Signals(-code).name})" if code < 0 else f"has ended (exit code {code})"
            raise GanzooError(
                f"A process that prepares images {how}, perhaps for want of memory or of room in /dev/shm: lower "
                f"data.workers, which is {loader.num_workers}, or data.batch."
            ) from error
        raise
    finally:
        for worker in workers:
            worker.kill()


@contextmanager
def _no_main() -> Iterator[None]:
    """Inside, workers that start do not import the main program: it may be a script that would train there, too."""
    main = sys.modules["__main__"]
    sys.modules["__main__"] = ModuleType("__main__")
    try:
        yield
    finally:
        sys.modules["__main__"] = main


def _prepare(worker: int) -> None:
    """Signals reach the workers too, but it is the training that finishes its step and then ends them.

    They end with it, however it ended: their server waits for them.
    """
    for number in STOP:
        signal.signal(number, signal.SIG_IGN)
    Thread(target=_end_with, args=(parent_process(),), daemon=True).start()


def _end_with(parent: Any) -> None:
    parent.join()
    os._exit(1)


class _Collate:
    """Items as a batch. A worker puts images into shared memory that it uses again: to get new memory takes longer.

    A worker begins a batch when the one AHEAD before it is taken, and `batches` takes one when it has made floats of
    the last; so AHEAD + 1 are in use.
    """

    def __init__(self) -> None:
        self.turn = 0
        self.shared: dict[tuple[int, int], Tensor] = {}

    def __call__(self, items: list[Any]) -> Batch | GanzooError:
        for item in items:
            if isinstance(item, GanzooError):
                return item
        self.turn = (self.turn + 1) % (AHEAD + 1)
        try:
            return {key: self._stack(place, [item[key] for item in items]) for place, key in enumerate(items[0])}
        except RuntimeError:
            sizes = sorted({f"{t.shape[-1]}x{t.shape[-2]}" for item in items for t in item.values()})
            return GanzooError(
                f"A batch holds images of several sizes ({', '.join(sizes)}). Set data.batch = 1, or a data.preprocess "
                'that makes squares: "resize-and-crop", "square" or "crop".'
            )

    def _stack(self, place: int, values: list[Tensor]) -> Tensor:
        if values[0].dtype != torch.uint8 or data.get_worker_info() is None:
            return data.default_collate(values)
        shape, found = (len(values), *values[0].shape), self.shared.get((self.turn, place))
        if found is None or found.shape != shape:
            self.shared[self.turn, place] = found = torch.empty(shape, dtype=torch.uint8).share_memory_()
        return torch.stack(values, out=found)
