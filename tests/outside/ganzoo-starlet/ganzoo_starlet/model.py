"""StarGAN v2 (Choi et al. 2020, arXiv:1912.01865) in small: three optimizers in one phase, lazy R1, styles."""

from typing import ClassVar

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn.functional import l1_loss

from ganzoo import AdamOptions, Batch, Carry, Count, DataSpec, LossPart, Phase, Terms, Trainer, Weight
from ganzoo_starlet.nets import Mapping, Patches, Styled, StyleEncoder


class StarletOptions(AdamOptions):
    width: Count = 32
    """channels of the first layers"""
    latent: Count = 16
    """latent dimension"""
    style: Count = 64
    """length of a style"""
    loss: LossPart = Field({"name": "bce", "penalty": {"name": "r1", "weight": 1.0, "every": 4}}, validate_default=True)
    """adversarial loss"""
    cycle: Weight = 1.0
    """weight of cycle consistency, L1"""
    reconstruction: Weight = 1.0
    """weight of finding a style again in the translation, L1"""
    diversity: Weight = 0.1
    """weight of the distance between translations of two styles"""


class Starlet(Trainer):
    Config, data_kind = StarletOptions, "domains"
    recipe_defaults: ClassVar = {"train.images": 800_000, "train.ema": 5_000.0, "data.batch": 8}

    def __init__(self, config: StarletOptions, spec: DataSpec) -> None:
        super().__init__(config, spec)
        width, style = config.width, config.style
        self.G = Styled(width, style)
        self.M = nn.ModuleDict({domain: Mapping(config.latent, style, 4 * width) for domain in spec.domains})
        self.E = nn.ModuleDict({domain: StyleEncoder(width, style) for domain in spec.domains})
        self.D = nn.ModuleDict({domain: Patches(width) for domain in spec.domains})
        self.gan = config.loss.build()

    def phases(self) -> list[Phase]:
        optimizers = [self.adam(self.G), self.adam(self.M, lr=self.config.lr / 100), self.adam(self.E)]
        return [Phase("D", self.adam(self.D), self.discriminator_loss), Phase("G", optimizers, self.generator_loss)]

    def draw(self, images: Tensor, domain: str) -> Tensor:
        return self.M[domain](self.clock.randn(images.shape[0], self.config.latent, like=images))

    def discriminator_loss(self, batch: Batch, carry: Carry) -> Terms:
        terms = {}
        for here, there in (tuple(batch), tuple(batch)[::-1]):
            fake = self.G(batch[here], self.draw(batch[here], there))
            terms |= self.gan.discriminator_terms(self.D[there], batch[there], fake, self.clock, there)
        return terms

    def generator_loss(self, batch: Batch, carry: Carry) -> Terms:
        terms, config = {}, self.config
        for here, there in (tuple(batch), tuple(batch)[::-1]):
            real, style, other = batch[here], *(self.draw(batch[here], there) for _ in range(2))
            fake = self.G(real, style)
            terms[f"G_adv_{there}"] = self.gan.adversarial(self.D[there](fake))
            terms[f"style_{there}"] = config.reconstruction * l1_loss(self.E[there](fake), style)
            terms[f"diversity_{there}"] = -config.diversity * l1_loss(fake, self.G(real, other).detach())
            terms[f"cycle_{here}"] = config.cycle * l1_loss(self.G(fake, self.E[here](real)), real)
        return terms

    def translate(self, images: Tensor, source: str, target: str, style: Tensor) -> Tensor:
        return self.G(images, style)

    def sample_style(self, count: int, domain: str) -> Tensor:
        return self.M[domain](torch.randn(count, self.config.latent).to(self.G.last.weight))

    def encode_style(self, images: Tensor, domain: str) -> Tensor:
        return self.E[domain](images)
