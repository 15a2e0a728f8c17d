"""An image pool: earlier fakes for the discriminator (Shrivastava et al. 2017, arXiv:1612.07828)."""

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor

from ganzoo.clock import Clock


class ImagePool:
    """The last `size` fakes. Once full, each new fake is swapped for a random old one with probability one half.

    Decided image by image, not batch by batch. With several processes the pool holds the fakes of all of them and
    is the same everywhere, so that a run does not depend on how many processes share the batch.
    """

    def __init__(self, size: int = 50) -> None:
        self.size, self.held = size, 0
        self.images: list[Tensor] = []
        self._rows: Tensor | None = None  # where steps are captured: the images, and after them those of a batch

    def __call__(self, images: Tensor, clock: Clock) -> Tensor:
        """As many images as given, (batch, channels, height, width) in [-1, 1], new or old; without gradient.

        `clock`: the model's own; its random stream decides.
        """
        if self.size == 0:
            return images.detach()
        swap = self._swap_rows if clock.static else self._swap
        return clock.over_batch(lambda every: swap(every, clock), images)

    def _places(self, count: int, clock: Clock) -> Iterator[tuple[int | None, bool]]:
        """The place that each of `count` images takes, None where it is passed on; and whether an old one leaves it."""
        for _ in range(count):
            if self.held < self.size:
                self.held += 1
                yield self.held - 1, False
            else:
                keep, place = torch.rand(2, generator=clock.shared, dtype=torch.float32).tolist()
                yield (None, False) if keep < 0.5 else (int(place * self.size), True)

    def _swap(self, every: Tensor, clock: Clock) -> Tensor:
        given = []
        for image, (place, swapped) in zip(every, self._places(len(every), clock), strict=True):
            given.append(self.images[place] if place is not None and swapped else image)
            if place is not None:
                self.images[place : place + 1] = [image.clone()]
        return torch.stack(given)

    def _swap_rows(self, every: Tensor, clock: Clock) -> Tensor:
        """The same in a tensor that keeps its place, by operators that are the same in every step."""
        count = len(every)
        if self._rows is None:
            self._rows = every.new_zeros(self.size + count, *every.shape[1:])
            for row, image in zip(self._rows, self.images, strict=False):
                row.copy_(image)
            self.images = list(self._rows[: self.size])
        given, put = clock.input(lambda: self._plan(count, clock), every.device)
        self._rows[self.size :] = every
        out = self._rows.index_select(0, given)
        self._rows.index_copy_(0, put, every)
        return out

    def _plan(self, count: int, clock: Clock) -> Tensor:
        """(2, count): the row that is given for each image, and the one where it is put."""
        given, put = (list(range(self.size, self.size + count)) for _ in range(2))  # the images' own rows
        last: dict[int, int] = {}  # place -> the image of this batch that has taken it
        for image, (place, swapped) in enumerate(self._places(count, clock)):
            if place is None:
                continue
            if swapped:
                given[image] = self.size + last[place] if place in last else place
            if place in last:
                put[last[place]] = self.size + last[place]
            put[image], last[place] = place, image
        return torch.tensor([given, put])

    def state_dict(self) -> dict[str, Any]:
        """The fakes that it holds, oldest place first, for a checkpoint."""
        return {"images": self.images[: self.held]}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Holds what `state_dict` gave, and goes on from there."""
        self.images, self._rows = list(state["images"]), None
        self.held = len(self.images)
