"""pix2pix: translation learned from pairs (Isola et al. 2017, arXiv:1611.07004)."""

from collections.abc import Callable
from typing import ClassVar, Literal

import torch
from pydantic import Field
from torch import Tensor

from ganzoo.losses import DISTANCES, Distance
from ganzoo.nets.layers import init_weights
from ganzoo.options import AdversarialOptions, DiscriminatorPart, GeneratorPart, LossPart, Weight
from ganzoo.trainer import Batch, Carry, DataSpec, Logits, Phase, Terms, Trainer


class Pix2PixOptions(AdversarialOptions):
    direction: Literal["AtoB", "BtoA"] = "AtoB"
    """AtoB: from the first domain to the second; BtoA: from the second to the first"""
    generator: GeneratorPart = Field({"name": "unet", "norm": "batch", "dropout": 0.5})
    """the generator; its dropout, on at test time too, is the only noise"""
    discriminator: DiscriminatorPart = Field({"name": "patch", "norm": "batch"})
    """the discriminator of pairs"""
    loss: LossPart = "bce"
    """adversarial loss"""
    pixel: Weight = 100.0
    """weight of the distance to the ground truth"""
    distance: Distance = "l1"
    """between images"""
    first: Literal["discriminator", "generator"] = "discriminator"
    """which of the two is updated first in each step"""


class Pix2Pix(Trainer):
    """`G` translates from `source` to `target`; `D` tells real pairs from those with a fake."""

    Config, data_kind, inference_mode = Pix2PixOptions, "paired", "train-stats"
    recipe_defaults: ClassVar = {
        "data.size": 256,
        "data.batch": 1,
        "train.images": 80_000,  # 200 epochs of the 400 facades
        "train.constant": 0.5,
    }
    presets: ClassVar = {"official": {}, "paper": {"train.constant": 1.0}}

    def __init__(self, config: Pix2PixOptions, spec: DataSpec) -> None:
        super().__init__(config, spec)
        self.source, self.target = self.domains if config.direction == "AtoB" else self.domains[::-1]
        channels, out = spec.channels[self.source], spec.channels[self.target]
        self.G = config.generator.build(channels, out, spec.size)
        self.D = config.discriminator.build(channels + out, spec.size)
        init_weights(self, config.init)
        self.gan, self.distance = config.loss.build(), DISTANCES[config.distance]

    def phases(self) -> list[Phase]:
        D = Phase("D", self.adam(self.D), self.discriminator_loss)
        G = Phase("G", self.adam(self.G), self.generator_loss)
        return [D, G] if self.config.first == "discriminator" else [G, D]

    def forward(self, batch: Batch) -> Carry:
        return {"fake": self.G(batch[self.source])}  # once a step, for both updates

    def discriminator_loss(self, batch: Batch, carry: Carry) -> Terms:
        real, weight = batch[self.target], self.config.discriminator_weight
        return self.gan.discriminator_terms(self.beside(batch), real, carry["fake"], self.clock, weight=weight)

    def generator_loss(self, batch: Batch, carry: Carry) -> Terms:
        return {
            "G_adv": self.config.adversarial * self.gan.adversarial(self.beside(batch)(carry["fake"])),
            "pixel": self.config.pixel * self.distance(carry["fake"], batch[self.target]),
        }

    def beside(self, batch: Batch) -> Callable[[Tensor], Logits]:
        """D of the source images, each beside a real or fake image of the target domain."""
        return lambda image: self.D(torch.cat([batch[self.source], image], dim=1))

    def translate(self, images: Tensor, source: str, target: str) -> Tensor:
        return self.G(images)

    def directions(self) -> list[tuple[str, str]]:
        return [(self.source, self.target)]
