"""VAE/GAN (Larsen et al. 2016, arXiv:1512.09300) in small: three phases, each at a rate of its own."""

import torch
from torch import Tensor
from torch.nn.functional import l1_loss
from torch.optim import Adam

from ganzoo import Batch, Carry, Count, DataSpec, DiscriminatorPart, LossPart, Options, Phase, Terms, Trainer, Weight
from ganzoo_vaegan.nets import Decoder, Encoder


class VAEGANOptions(Options):
    width: Count = 32
    """channels of encoder and decoder"""
    latent: Count = 64
    """length of the code"""
    discriminator: DiscriminatorPart = "patch"
    """discriminates drawn images"""
    loss: LossPart = "bce"
    """adversarial loss"""
    likeness: Weight = 10.0
    """weight of drawing the image that was coded (L1)"""
    prior: Weight = 0.01
    """weight of the code's divergence from a normal distribution"""
    lr: Weight = 3e-4
    """learning rate of Adam"""


class VAEGAN(Trainer):
    Config = VAEGANOptions
    data_kind = "images"

    def __init__(self, config: VAEGANOptions, spec: DataSpec) -> None:
        super().__init__(config, spec)
        self.E = Encoder(config.width, config.latent, spec.size)
        self.G = Decoder(config.width, config.latent, spec.size)
        self.D = config.discriminator.build(3, spec.size)
        self.gan = config.loss.build()

    def phases(self) -> list[Phase]:
        lr = self.config.lr
        return [
            Phase("E", Adam(self.E.parameters(), lr), self.encoder_loss),
            Phase("G", Adam(self.G.parameters(), lr), self.decoder_loss, lambda step: step % 2 == 0),
            Phase("D", Adam(self.D.parameters(), lr), self.discriminator_loss, lambda step: step % 3 == 2),
        ]

    def encoder_loss(self, batch: Batch, carry: Carry) -> Terms:
        mean, log_variance = self.E(batch["image"]).chunk(2, dim=1)
        carry["code"] = mean + (log_variance / 2).exp() * self.clock.randn(*mean.shape, like=mean)
        divergence = (mean**2 + log_variance.exp() - log_variance - 1).mean() / 2
        likeness = l1_loss(self.G(carry["code"]), batch["image"])
        return {"like": self.config.likeness * likeness, "prior": self.config.prior * divergence}

    def decoder_loss(self, batch: Batch, carry: Carry) -> Terms:
        drawn = self.G(carry["code"])
        likeness = self.config.likeness * l1_loss(drawn, batch["image"])
        return {"like": likeness, "G_adv": self.gan.adversarial(self.D(drawn))}

    def discriminator_loss(self, batch: Batch, carry: Carry) -> Terms:
        return self.gan.discriminator_terms(self.D, batch["image"], self.G(carry["code"]), self.clock)

    def generate(self, count: int, label: str | None = None) -> Tensor:
        weight = next(self.G.parameters())
        return self.G(torch.randn(count, self.config.latent).to(weight))
