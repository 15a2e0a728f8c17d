"""The one clock, images seen, and the random streams that follow from it."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
import torch.distributed as dist
from torch import Tensor
from torch.distributed.nn.functional import all_reduce

FIRST = 16  # images seen at the first early sample


def derive_seed(*numbers: int) -> int:
    """One well-spread 63-bit seed from several whole numbers."""
    return int(np.random.SeedSequence(numbers).generate_state(1, np.uint64)[0] >> np.uint64(1))


@contextmanager
def seeded(seed: int, device: torch.device) -> Iterator[None]:
    """Inside, torch's global generators begin at the seed; afterwards those of the CPU and `device` go on as before."""
    with torch.random.fork_rng([device] if device.type == "cuda" else []):
        if device.type == "cpu":
            torch.default_generator.manual_seed(seed)  # torch.manual_seed would reseed the GPU's, too
        else:
            torch.manual_seed(seed)
        yield


class Clock:
    """Images seen so far, and everything random in a step as a function of it.

    `shared` is a generator that is the same in every process, for draws that belong to the whole batch. Torch's default
    generators (dropout) are seeded for each step too, differently in each process.
    """

    def __init__(self, seed: int = 0, batch: int = 1, rank: int = 0, world: int = 1) -> None:
        self.seed, self.batch, self.rank, self.world = seed, batch, rank, world
        self.shared = torch.Generator()
        self.set(0)

    def set(self, images: int) -> None:
        """Go to a moment; `images` is a multiple of the batch."""
        self.images = images
        self.shared.manual_seed(derive_seed(self.seed, images))

    def start_step(self) -> None:
        torch.manual_seed(derive_seed(self.seed, self.images, 1 + self.rank))

    def advance(self) -> None:
        self.set(self.images + self.batch)

    @property
    def step(self) -> int:
        """Steps taken so far."""
        return self.images // self.batch

    def rand(self, *shape: int, like: Tensor) -> Tensor:
        """Uniform in [0, 1): this process's rows of a draw for the whole batch. Device and type follow `like`."""
        return self._rows(torch.rand, shape, like)

    def randn(self, *shape: int, like: Tensor) -> Tensor:
        """Standard normal: this process's rows of a draw for the whole batch. Device and type follow `like`."""
        return self._rows(torch.randn, shape, like)

    def _rows(self, draw: Any, shape: tuple[int, ...], like: Tensor) -> Tensor:
        rows = shape[0]
        gathered = draw(rows * self.world, *shape[1:], generator=self.shared, dtype=torch.float32)
        return moved(gathered[self.rank * rows : (self.rank + 1) * rows], like.device).to(like.dtype)

    def all_gather(self, rows: Tensor) -> Tensor:
        """The rows of every process, in the order of the batch; without gradient."""
        if self.world == 1:
            return rows
        parts = [torch.empty_like(rows) for _ in range(self.world)]
        dist.all_gather(parts, rows.contiguous())
        return torch.cat(parts)

    def local_rows(self, rows: Tensor) -> Tensor:
        """This process's part of gathered rows."""
        return rows.chunk(self.world)[self.rank]


def moved(drawn: Tensor, device: torch.device) -> Tensor:
    """What was drawn on the CPU, on the device; on a GPU without waiting for what is computed there."""
    return drawn.pin_memory().to(device, non_blocking=True) if device.type == "cuda" else drawn.to(device)


def all_reduce_mean(values: Tensor) -> Tensor:
    """The mean over all processes of what each of them has, with gradient: for statistics of the whole batch."""
    if not dist.is_initialized():
        return values
    return all_reduce(values) / dist.get_world_size()


def due(images: int, batch: int, every: int) -> bool:
    """Whether a multiple of `every` was reached by the step that ended at `images`."""
    return images // every > (images - batch) // every


def due_early(images: int, batch: int, every: int) -> bool:
    """Whether a power of two, from FIRST on and below `every`, was reached by the step that ended at `images`."""
    return FIRST <= images < every and images.bit_length() > max(FIRST - 1, images - batch).bit_length()
