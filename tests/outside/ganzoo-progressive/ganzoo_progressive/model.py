"""Progressive growing (Karras et al. 2018, arXiv:1710.10196) in small: details fade in over a coarse image."""

from typing import ClassVar

import torch
from torch import Tensor, nn
from torch.nn.functional import avg_pool2d, interpolate

from ganzoo import AdamOptions, Batch, Carry, Count, DataSpec, DiscriminatorPart, LossPart, Phase, Terms, Trainer


class ProgressiveOptions(AdamOptions):
    width: Count = 32
    """channels of the generator"""
    latent: Count = 64
    """latent dimension"""
    discriminator: DiscriminatorPart = "patch"
    """the discriminator"""
    loss: LossPart = "hinge"
    """adversarial loss"""
    fade: Count = 600_000
    """images seen until the details are whole"""
    warmup: Count = 10_000
    """images seen while the learning rate grows"""


class Progressive(Trainer):
    """`alpha` is how much of the details there is: a buffer, so that it is in the checkpoint."""

    Config, data_kind, fixed_size = ProgressiveOptions, "images", True
    recipe_defaults: ClassVar = {"data.size": 64, "train.constant": 1.0}

    def __init__(self, config: ProgressiveOptions, spec: DataSpec) -> None:
        super().__init__(config, spec)
        width, side, channels = config.width, spec.size // 4, spec.channels["image"]
        self.stem = nn.Sequential(nn.Linear(config.latent, width * side**2), nn.Unflatten(1, (width, side, side)))
        self.coarse = nn.Conv2d(width, channels, 3, padding=1)
        self.details = nn.ConvTranspose2d(width, channels, 4, 4)
        self.D = config.discriminator.build(channels, spec.size)
        self.gan = config.loss.build()
        self.alpha: Tensor
        self.register_buffer("alpha", torch.zeros(()))

    def phases(self) -> list[Phase]:
        def grown(images: int) -> float:
            return min(1.0, (images + self.clock.batch) / self.config.warmup)

        G = self.adam(self.stem, self.coarse, self.details)
        D = self.adam(self.D)
        return [Phase("D", D, self.d_loss, schedule=grown), Phase("G", G, self.g_loss, schedule=grown)]

    def image(self, noise: Tensor) -> Tensor:
        hidden = self.stem(noise).relu()
        coarse = interpolate(self.coarse(hidden), scale_factor=4)
        return torch.lerp(coarse, coarse + self.details(hidden), self.alpha).tanh()

    def d_loss(self, batch: Batch, carry: Carry) -> Terms:
        self.alpha.fill_(min(1.0, self.clock.images / self.config.fade))
        real = batch["image"]
        blurred = interpolate(avg_pool2d(real, 4), scale_factor=4)
        carry["noise"] = noise = self.clock.randn(len(real), self.config.latent, like=real)
        return self.gan.discriminator_terms(
            self.D, torch.lerp(blurred, real, self.alpha), self.image(noise), self.clock
        )

    def g_loss(self, batch: Batch, carry: Carry) -> Terms:
        return {"G_adv": self.gan.adversarial(self.D(self.image(carry["noise"])))}

    def generate(self, count: int, label: str | None = None) -> Tensor:
        return self.image(torch.randn(count, self.config.latent).to(self.alpha))
