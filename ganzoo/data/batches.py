"""Batches as a function of the clock: image number i of a run is always the same image, cropped the same way."""

import signal
from collections.abc import Iterator
from typing import Any

import torch
from torch.utils.data import DataLoader

from ganzoo.clock import Clock
from ganzoo.data.dataset import TrainingSamples
from ganzoo.errors import GanzooError
from ganzoo.trainer import Batch


def batches(samples: TrainingSamples, clock: Clock, stop: int, pin: bool = False) -> Iterator[Batch]:
    """This process's part of every batch from the clock's time until `stop` images."""
    workers = samples.dataset.options.workers
    if workers is None:
        workers = min(8, torch.get_num_threads()) if pin else 0
    share = clock.batch // clock.world
    starts = range(clock.images + clock.rank * share, stop, clock.batch)
    loader = DataLoader(
        samples,
        batch_sampler=(list(range(start, start + share)) for start in starts),
        num_workers=workers,
        collate_fn=_collate,
        pin_memory=pin,
        worker_init_fn=_ignore_signals,
    )
    for batch in loader:
        if isinstance(batch, GanzooError):
            raise batch
        yield batch


def _ignore_signals(worker: int) -> None:
    """Ctrl-C reaches the workers too, but it is the training that finishes its step and then ends them."""
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)


def _collate(items: list[Any]) -> Batch | GanzooError:
    for item in items:
        if isinstance(item, GanzooError):
            return item
    try:
        return {key: torch.stack([item[key] for item in items]) for key in items[0]}
    except RuntimeError:
        sizes = sorted({f"{t.shape[-1]}x{t.shape[-2]}" for item in items for t in item.values()})
        return GanzooError(
            f"A batch holds images of several sizes ({', '.join(sizes)}). Set data.batch = 1, or a data.preprocess "
            'that makes squares: "resize-and-crop", "square" or "crop".'
        )
