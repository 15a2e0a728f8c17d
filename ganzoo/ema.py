"""Averaged weights, for translation and samples."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from ganzoo.trainer import Discriminator


class EMA:
    """Exponential moving average of the weights of every network but the discriminators.

    `half_life`: after that many images seen, a weight of the past counts half; 0: no averaging. Early on it is
    shorter, a twentieth of the images seen, so that the first weights are soon forgotten (Karras et al. 2020).
    """

    def __init__(self, module: nn.Module, half_life: float) -> None:
        self.half_life = half_life
        discriminators = [name for name, m in module.named_modules() if isinstance(m, Discriminator)]
        self.live = {
            name: value
            for name, value in module.named_parameters()
            if half_life and not any(name.startswith(f"{other}.") for other in discriminators)
        }
        self.shadow = {name: value.detach().clone() for name, value in self.live.items()}

    @torch.no_grad()
    def update(self, step: int, seen: int) -> None:
        """After a step of `step` images, `seen` in all."""
        if self.shadow:
            weight = 1 - 0.5 ** (step / min(self.half_life, seen / 20))
            torch._foreach_lerp_(list(self.shadow.values()), list(self.live.values()), weight)

    @contextmanager
    def used(self) -> Iterator[None]:
        """Inside, the module has the averaged weights."""
        self._swap()
        try:
            yield
        finally:
            self._swap()

    @torch.no_grad()
    def _swap(self) -> None:
        for name, shadow in self.shadow.items():
            live = self.live[name]
            live.data, self.shadow[name] = shadow, live.data

    def state_dict(self) -> dict[str, Tensor]:
        return dict(self.shadow)

    def load_state_dict(self, state: dict[str, Any]) -> None:
        for name, value in state.items():
            self.shadow[name].copy_(value)
