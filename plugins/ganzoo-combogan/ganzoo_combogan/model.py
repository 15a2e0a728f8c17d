"""ComboGAN: unpaired translation between any number of domains (Anoosheh et al. 2018, arXiv:1712.06909)."""

from collections.abc import Callable
from itertools import permutations
from typing import Literal

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional as F
from torch.optim import Adam

from ganzoo import (
    Batch,
    Carry,
    Count,
    DataSpec,
    DiscriminatorPart,
    GanzooError,
    ImagePool,
    LossPart,
    Options,
    Phase,
    Terms,
    Trainer,
    Weight,
)
from ganzoo.losses import DISTANCES
from ganzoo.nets.layers import Init, Norm, init_weights

from .nets import Decoder, Encoder


class ComboGANOptions(Options):
    width: Count = 64
    """channels of the encoders' first layer; their last has four times as many"""
    encoder_blocks: int = Field(default=4, ge=0)
    """residual blocks of each encoder"""
    decoder_blocks: int = Field(default=5, ge=0)
    """residual blocks of each decoder"""
    norm: Norm = "instance"
    """of encoders and decoders; without one they soon keep brightness and colours, but change a style less"""
    discriminator: DiscriminatorPart = "two-stream"
    """the discriminator of each domain"""
    loss: LossPart = "lsgan"
    """adversarial loss"""
    adversarial: Weight = 1.0
    """weight of the adversarial loss in the generators' loss"""
    cycle: Weight = 10.0
    """weight of the way back"""
    identity: Weight = 0.0
    """weight of coding an image and decoding it in its own domain, compared at half the size"""
    latent: Weight = 0.0
    """weight of a translation having the code of its source"""
    latent_images: int = Field(default=0, ge=0)
    """images seen while the weight of the codes rises from 0; the authors': the whole training"""
    forward: Weight = 0.0
    """weight of a translation resembling its source at half the size"""
    distance: Literal["l1", "l2", "smooth-l1"] = "smooth-l1"
    """between images and between codes"""
    discriminator_weight: Weight = 0.5
    """weight of the discriminators' loss"""
    pool: int = Field(default=50, ge=0)
    """past fakes kept for each discriminator; 0: only the newest"""
    init: Init = "normal"
    """initial weights, gain 0.02"""
    lr: Weight = 2e-4
    """learning rate of Adam, for generators and discriminators"""
    betas: tuple[float, float] = (0.5, 0.999)
    """decay rates of Adam"""


def halved(images: Tensor) -> Tensor:
    return F.avg_pool2d(images, 3, stride=2)


def depths(logits: Tensor | list[Tensor]) -> list[Tensor]:
    """A discriminator with one prediction is one with predictions from one depth."""
    return logits if isinstance(logits, list) else [logits]


def over_depths(loss: Callable[..., Tensor], *logits: Tensor | list[Tensor]) -> Tensor:
    """The loss of each depth with weights 1, 2, ... and one more for the last, as a mean over weights and depths.

    So the authors' code has it: beside the usual mean it is divided by the number of depths.
    """
    losses = [loss(*same_depth) for same_depth in zip(*map(depths, logits), strict=True)]
    weights = [*range(1, len(losses)), len(losses) + 1]
    return sum(w * value for w, value in zip(weights, losses, strict=True)) / (sum(weights) * len(losses))


class ComboGAN(Trainer):
    """For each domain an encoder, a decoder and a discriminator. Each step trains those of two domains.

    Adam keeps moments and a count of steps for every parameter and passes over those without a gradient, so one
    optimizer serves as the authors' optimizer for each domain: it leaves alone what is not in the batch.
    """

    Config = ComboGANOptions
    data = "domains"
    multiple = 4

    def __init__(self, config: ComboGANOptions, spec: DataSpec) -> None:
        super().__init__(config, spec)
        channels = spec.channels
        if config.forward and len(set(channels.values())) > 1:
            raise GanzooError(
                f"The domains' images have {', '.join(f'{n} ({d})' for d, n in channels.items())} channels, so none "
                "can resemble all others: set options.forward = 0, or give all the same data.channels."
            )
        self.encoder, self.decoder, self.D = nn.ModuleDict(), nn.ModuleDict(), nn.ModuleDict()
        for domain in self.domains:
            self.encoder[domain] = Encoder(channels[domain], config.width, config.encoder_blocks, config.norm)
            self.decoder[domain] = Decoder(channels[domain], config.width, config.decoder_blocks, config.norm)
            self.D[domain] = config.discriminator.build(channels[domain], spec.size)
        init_weights(self, config.init)
        self.gan = config.loss.build()
        self.distance = DISTANCES[config.distance]
        self.pool = {domain: ImagePool(config.pool) for domain in self.domains}

    def phases(self) -> list[Phase]:
        def adam(*kinds: nn.ModuleDict) -> Adam:
            groups = [{"params": [p for nets in kinds for p in nets[d].parameters()]} for d in self.domains]
            return Adam(groups, self.config.lr, self.config.betas)

        return [
            Phase("G", adam(self.encoder, self.decoder), self.generator_loss),
            Phase("D", adam(self.D), self.discriminator_loss),
        ]

    def generator_loss(self, batch: Batch, carry: Carry) -> Terms:
        c, terms = self.config, {}
        ramp = min(1.0, self.clock.images / c.latent_images) if c.latent_images else 1.0
        for here, there in permutations(batch, 2):
            real = batch[here]
            code = self.encoder[here](real)
            fake = carry[there] = self.decoder[there](code)
            again = self.encoder[there](fake)
            fool = over_depths(self.gan.generator, self.D[there](fake))
            terms[f"fool_{there}"] = c.adversarial * fool
            terms[f"cycle_{here}"] = c.cycle * self.distance(self.decoder[here](again), real)
            if c.identity:
                same = self.decoder[here](code)
                terms[f"identity_{here}"] = c.identity * self.distance(halved(same), halved(real))
            if c.latent:
                terms[f"latent_{here}"] = ramp * c.latent * self.distance(again, code.detach())
            if c.forward:
                terms[f"forward_{here}"] = c.forward * self.distance(halved(fake), halved(real))
        return terms

    def discriminator_loss(self, batch: Batch, carry: Carry) -> Terms:
        terms = {}
        for domain, real in batch.items():
            fake = self.pool[domain](carry[domain], self.clock)
            loss = over_depths(self.gan.discriminator, self.D[domain](real), self.D[domain](fake))
            terms[f"judge_{domain}"] = self.config.discriminator_weight * loss
            if self.gan.penalty_weight:
                alpha = self.clock.rand(len(real), 1, 1, 1, like=real)
                terms[f"penalty_{domain}"] = self.gan.penalty(self.judge(domain), real, fake, alpha)
        return terms

    def judge(self, domain: str) -> Callable[[Tensor], Tensor]:
        """The logits of all depths as one tensor, for a gradient penalty."""
        return lambda images: torch.cat([logits.flatten(1) for logits in depths(self.D[domain](images))], dim=1)

    def translate(self, images: Tensor, source: str, target: str) -> Tensor:
        return self.decoder[target](self.encoder[source](images))
