"""Adversarial losses, gradient penalties, and distances between images by name."""

from collections.abc import Callable
from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional as F

from ganzoo.clock import Clock
from ganzoo.options import PenaltyOption
from ganzoo.trainer import Loss, Penalty

Distance = Literal["l1", "l2", "smooth-l1"]
"""The type of an option that names a distance."""
DISTANCES: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "l1": F.l1_loss,
    "l2": F.mse_loss,
    "smooth-l1": F.smooth_l1_loss,
}
"""Distances between images or features, averaged over all values."""


class LeastSquares(Loss):
    """Least squares on the logits: real 1, fake 0 (Mao et al. 2017, arXiv:1611.04076)."""

    def generator(self, fake: Tensor) -> Tensor:
        return F.mse_loss(fake, torch.ones_like(fake))

    def discriminator(self, real: Tensor, fake: Tensor) -> Tensor:
        return F.mse_loss(real, torch.ones_like(real)) + F.mse_loss(fake, torch.zeros_like(fake))


class CrossEntropy(Loss):
    """Binary cross-entropy with logits, non-saturating for the generator (Goodfellow et al. 2014, arXiv:1406.2661)."""

    def generator(self, fake: Tensor) -> Tensor:
        return F.softplus(-fake).mean()

    def discriminator(self, real: Tensor, fake: Tensor) -> Tensor:
        return F.softplus(-real).mean() + F.softplus(fake).mean()


class Hinge(Loss):
    """Hinge loss (Lim and Ye 2017, arXiv:1705.02894; Miyato et al. 2018, arXiv:1802.05957)."""

    def generator(self, fake: Tensor) -> Tensor:
        return -fake.mean()

    def discriminator(self, real: Tensor, fake: Tensor) -> Tensor:
        return F.relu(1 - real).mean() + F.relu(1 + fake).mean()


class Wasserstein(Loss):
    """Wasserstein critic (Arjovsky et al. 2017), with gradient penalty (Gulrajani et al. 2017, arXiv:1704.00028)."""

    def __init__(self, *, penalty: PenaltyOption = "gp") -> None:
        super().__init__(penalty=penalty)

    def generator(self, fake: Tensor) -> Tensor:
        return -fake.mean()

    def discriminator(self, real: Tensor, fake: Tensor) -> Tensor:
        return fake.mean() - real.mean()


class GradientPenalty(Penalty):
    """Squared distance of the gradient's norm from 1, between reals and fakes (Gulrajani et al. 2017)."""

    def points(self, real: Tensor, fake: Tensor, clock: Clock) -> Tensor:
        return torch.lerp(fake, real, clock.rand(len(real), 1, 1, 1, like=real))

    def cost(self, gradient: Tensor) -> Tensor:
        return (gradient.flatten(1).norm(dim=1) - 1).square().mean()


class DRAGAN(GradientPenalty):
    """Squared distance of the gradient's norm from 1, around the reals (Kodali et al. 2017, arXiv:1705.07215)."""

    term = "dragan"

    def points(self, real: Tensor, fake: Tensor, clock: Clock) -> Tensor:
        every = clock.all_gather(real)
        deviation = (every - every.mean()).square().mean().sqrt()
        return real + 0.5 * deviation * clock.rand(*real.shape, like=real)


class R1(Penalty):
    """Half the squared norm of the gradient at the reals (Mescheder et al. 2018, arXiv:1801.04406)."""

    term, at_real = "r1", True

    def points(self, real: Tensor, fake: Tensor, clock: Clock) -> Tensor:
        return real

    def cost(self, gradient: Tensor) -> Tensor:
        return 0.5 * gradient.square().sum((1, 2, 3)).mean()
