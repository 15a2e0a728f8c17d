"""An image pool: earlier fakes for the discriminator (Shrivastava et al. 2017, arXiv:1612.07828)."""

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
        self.size = size
        self.images: list[Tensor] = []

    def __call__(self, images: Tensor, clock: Clock) -> Tensor:
        """As many images as given, (batch, channels, height, width) in [-1, 1], new or old; without gradient.

        `clock`: the model's own; its random stream decides.
        """
        if self.size == 0:
            return images.detach()
        return clock.over_batch(lambda every: torch.stack([self._swap(image, clock) for image in every]), images)

    def _swap(self, image: Tensor, clock: Clock) -> Tensor:
        if len(self.images) < self.size:
            self.images.append(image.clone())
            return image
        keep, place = torch.rand(2, generator=clock.shared, dtype=torch.float32).tolist()
        if keep < 0.5:
            return image
        index = int(place * self.size)
        old, self.images[index] = self.images[index], image.clone()
        return old

    def state_dict(self) -> dict[str, Any]:
        """The fakes that it holds, oldest place first, for a checkpoint."""
        return {"images": list(self.images)}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Holds what `state_dict` gave, and goes on from there."""
        self.images = list(state["images"])
