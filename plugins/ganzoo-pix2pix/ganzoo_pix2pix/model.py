"""pix2pix: translation learned from pairs (Isola et al. 2017, arXiv:1611.07004)."""

from typing import ClassVar, Literal

import torch
from pydantic import Field
from torch import Tensor
from torch.optim import Adam

from ganzoo import (
    Batch,
    Carry,
    DataSpec,
    DiscriminatorPart,
    GeneratorPart,
    LossPart,
    Options,
    Phase,
    Terms,
    Trainer,
    Weight,
)
from ganzoo.losses import DISTANCES
from ganzoo.nets.layers import Init, init_weights


class Pix2PixOptions(Options):
    direction: Literal["AtoB", "BtoA"] = "AtoB"
    """AtoB: the first domain becomes the second; BtoA: the other way"""
    generator: GeneratorPart = Field(default={"name": "unet", "norm": "batch", "dropout": 0.5})
    """the generator; its dropout, on at test time too, is the only noise"""
    discriminator: DiscriminatorPart = Field(default={"name": "patch", "norm": "batch"})
    """the discriminator of pairs"""
    loss: LossPart = "bce"
    """adversarial loss"""
    adversarial: Weight = 1.0
    """weight of the adversarial loss in the generator's loss"""
    pixel: Weight = 100.0
    """weight of the distance to the true image"""
    distance: Literal["l1", "l2", "smooth-l1"] = "l1"
    """between images"""
    discriminator_weight: Weight = 0.5
    """weight of the discriminator's loss"""
    first: Literal["discriminator", "generator"] = "discriminator"
    """which of the two is updated first in each step"""
    init: Init = "normal"
    """initial weights, gain 0.02"""
    lr: Weight = 2e-4
    """learning rate of Adam, for generator and discriminator"""
    betas: tuple[float, float] = (0.5, 0.999)
    """decay rates of Adam"""


class Pix2Pix(Trainer):
    """`G` makes an image of `target` from one of `source`; `D` tells true pairs from those with a made image."""

    Config = Pix2PixOptions
    data = "paired"
    inference_mode = "train-stats"
    presets: ClassVar = {"official": {}, "torch": {"discriminator_weight": 1.0}}

    def __init__(self, config: Pix2PixOptions, spec: DataSpec) -> None:
        super().__init__(config, spec)
        self.source, self.target = self.domains if config.direction == "AtoB" else self.domains[::-1]
        channels, out = spec.channels[self.source], spec.channels[self.target]
        self.G = config.generator.build(channels, out, spec.size)
        self.D = config.discriminator.build(channels + out, spec.size)
        init_weights(self, config.init)
        self.gan = config.loss.build()
        self.distance = DISTANCES[config.distance]

    def phases(self) -> list[Phase]:
        c = self.config
        phases = [
            Phase("D", Adam(self.D.parameters(), c.lr, c.betas), self.discriminator_loss),
            Phase("G", Adam(self.G.parameters(), c.lr, c.betas), self.generator_loss),
        ]
        return phases if c.first == "discriminator" else phases[::-1]

    def fake(self, batch: Batch) -> Tensor:
        """What G makes of the batch: within a step always with the same dropout."""
        self.clock.start_step()
        return self.G(batch[self.source])

    def judge(self, batch: Batch, image: Tensor) -> Tensor:
        """Logits of D for the source images, each beside a true or made image of the target domain."""
        return self.D(torch.cat([batch[self.source], image], dim=1))

    def discriminator_loss(self, batch: Batch, carry: Carry) -> Terms:
        real, fake = batch[self.target], carry["fake"] if "fake" in carry else self.fake(batch)
        loss = self.gan.discriminator(self.judge(batch, real), self.judge(batch, fake))
        terms = {"judge": self.config.discriminator_weight * loss}
        if self.gan.penalty_weight:
            alpha = self.clock.rand(len(real), 1, 1, 1, like=real)
            terms["penalty"] = self.gan.penalty(lambda image: self.judge(batch, image), real, fake, alpha)
        return terms

    def generator_loss(self, batch: Batch, carry: Carry) -> Terms:
        fake = carry["fake"] = self.fake(batch)
        return {
            "fool": self.config.adversarial * self.gan.generator(self.judge(batch, fake)),
            "pixel": self.config.pixel * self.distance(fake, batch[self.target]),
        }

    def translate(self, images: Tensor, source: str, target: str) -> Tensor:
        return self.G(images)

    def directions(self) -> list[tuple[str, str]]:
        return [(self.source, self.target)]
