"""Adversarial losses, without state; and the pixel losses by name."""

from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional as F

from ganzoo.trainer import Loss

DISTANCES: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "l1": F.l1_loss,
    "l2": F.mse_loss,
    "smooth-l1": F.smooth_l1_loss,
}
"""Distances between images, averaged over all values."""


class LeastSquares(Loss):
    """Least squares on the logits: real 1, fake 0 (Mao et al. 2017, arXiv:1611.04076)."""

    def generator(self, fake: Tensor) -> Tensor:
        return F.mse_loss(fake, torch.ones_like(fake))

    def discriminator(self, real: Tensor, fake: Tensor) -> Tensor:
        return F.mse_loss(real, torch.ones_like(real)) + F.mse_loss(fake, torch.zeros_like(fake))


class CrossEntropy(Loss):
    """Binary cross-entropy on logits, the generator's side not saturating (Goodfellow et al. 2014, arXiv:1406.2661)."""

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
    """Wasserstein critic with gradient penalty (Gulrajani et al. 2017, arXiv:1704.00028)."""

    def __init__(self, *, gradient_penalty: float = 10.0) -> None:
        self.penalty_weight = gradient_penalty

    def generator(self, fake: Tensor) -> Tensor:
        return -fake.mean()

    def discriminator(self, real: Tensor, fake: Tensor) -> Tensor:
        return fake.mean() - real.mean()

    def penalty(self, critic: Callable[[Tensor], Tensor], real: Tensor, fake: Tensor, alpha: Tensor) -> Tensor:
        """Weighted squared distance of the critic's slope from 1, on the lines between reals and fakes.

        Full precision and uncompiled: neither autocast nor compiled networks survive the second derivative.
        """
        with torch.autocast(real.device.type, enabled=False), torch.compiler.set_stance("force_eager"):
            between = torch.lerp(fake.detach().to(real.dtype), real, alpha).requires_grad_()
            (slope,) = torch.autograd.grad(critic(between).sum(), between, create_graph=True)
            return self.penalty_weight * (slope.flatten(1).norm(dim=1) - 1).square().mean()
