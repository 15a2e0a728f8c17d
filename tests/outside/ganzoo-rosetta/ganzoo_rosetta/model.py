"""Many domains, one generator: planes beside the image tell it which domain to draw."""

import torch
from torch import Tensor, nn
from torch.nn.functional import l1_loss
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


class RosettaOptions(Options):
    generator: GeneratorPart = "unet"
    """the generator of all domains; an instance norm right behind the first layer would take constant planes away"""
    discriminator: DiscriminatorPart = "patch"
    """the discriminator of each domain"""
    loss: LossPart = "lsgan"
    """adversarial loss"""
    cycle: Weight = 10.0
    """weight of cycle consistency (L1)"""
    lr: Weight = 2e-4
    """learning rate of Adam"""


class Rosetta(Trainer):
    Config = RosettaOptions
    data_kind = "domains"

    def __init__(self, config: RosettaOptions, spec: DataSpec) -> None:
        super().__init__(config, spec)
        self.G = config.generator.build(3 + len(spec.domains), 3, spec.size)
        self.D = nn.ModuleDict({domain: config.discriminator.build(3, spec.size) for domain in spec.domains})
        self.gan = config.loss.build()

    def phases(self) -> list[Phase]:
        c = self.config
        return [
            Phase("G", Adam(self.G.parameters(), c.lr, (0.5, 0.999)), self.generator_loss),
            Phase("D", Adam(self.D.parameters(), c.lr, (0.5, 0.999)), self.discriminator_loss),
        ]

    def generator_loss(self, batch: Batch, carry: Carry) -> Terms:
        terms = {}
        for here, there in (tuple(batch), tuple(batch)[::-1]):
            fake = carry[there] = self.translate(batch[here], here, there)
            terms[f"G_adv_{there}"] = self.gan.adversarial(self.D[there](fake))
            terms[f"cycle_{here}"] = self.config.cycle * l1_loss(self.translate(fake, there, here), batch[here])
        return terms

    def discriminator_loss(self, batch: Batch, carry: Carry) -> Terms:
        terms = {}
        for d in batch:
            terms |= self.gan.discriminator_terms(self.D[d], batch[d], carry[d], self.clock, d)
        return terms

    def translate(self, images: Tensor, source: str, target: str) -> Tensor:
        planes = torch.zeros_like(images[:, :1]).repeat(1, len(self.domains), 1, 1)
        planes[:, self.domains.index(target)] = 1
        return self.G(torch.cat([images, planes], dim=1))
