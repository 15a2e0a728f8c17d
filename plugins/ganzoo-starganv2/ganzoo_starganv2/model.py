"""StarGAN v2: diverse translation between any number of domains (Choi et al. 2020, arXiv:1912.01865)."""

from collections.abc import Callable
from functools import partial
from typing import ClassVar

import torch
from pydantic import Field
from torch import Tensor
from torch.nn import functional as F

from ganzoo import (
    AdamOptions,
    Batch,
    Carry,
    Count,
    DataSpec,
    LossPart,
    NonNegative,
    Phase,
    Probability,
    Terms,
    Trainer,
    Weight,
)
from ganzoo.nets.layers import init_weights
from ganzoo_starganv2.nets import MappingNetwork, MultiDomainDiscriminator, StyledGenerator, StyleEncoder

Styles = tuple[Tensor, Tensor]
"""Two for each image, (batch, style)."""


class StarGANv2Options(AdamOptions):
    width: Count | None = None
    """channels of the first layers of generator, style encoder and discriminator; default: 2^14 / data.size"""
    max_width: Count = 512
    """channels of their widest layers"""
    latent: Count = 16
    """latent dimension"""
    hidden: Count = 512
    """units of the mapping network's hidden layers"""
    style: Count = 64
    """length of a style"""
    loss: LossPart = Field({"name": "bce", "penalty": {"name": "r1", "weight": 1.0}}, validate_default=True)
    """adversarial loss, and with it the gradient penalty"""
    reconstruction: Weight = 1.0
    """weight of style reconstruction: the style encoder finds in a fake the style that it was made with (L1)"""
    diversity: Weight = 2.0
    """weight of the L1 between fakes of two styles, which is maximised; 2 for AFHQ, 1 for CelebA-HQ"""
    diversity_images: Count = 800_000
    """images seen until the diversity weight has fallen linearly to zero"""
    cycle: Weight = 1.0
    """weight of cycle consistency (L1)"""
    lr: NonNegative = 1e-4
    """learning rate of Adam"""
    mapping_lr: NonNegative = 1e-6
    """that of the mapping network"""
    betas: tuple[Probability, Probability] = (0.0, 0.99)
    """decay rates of Adam's moments"""
    weight_decay: NonNegative = 1e-4
    """weight decay of Adam, an L2 penalty in the gradient"""


class StarGANv2(Trainer):
    """`G` gives an image a style, `M` makes styles of latents, `E` finds those of references, `D` has a logit a domain.

    Every image of a batch has its own domain, target domain and two references of it.
    """

    Config, data_kind, fixed_size = StarGANv2Options, "domains-with-references", True
    recipe_defaults: ClassVar = {
        "data.size": 256,
        "data.batch": 8,
        "data.preprocess": "resized-crop",
        "train.images": 800_000,
        "train.constant": 1.0,
        "train.ema": 5_542,  # 0.999 a step of 8 images
    }
    presets: ClassVar = {"afhq": {}}

    def __init__(self, config: StarGANv2Options, spec: DataSpec) -> None:
        super().__init__(config, spec)
        c, size, count, channels = config, spec.size, len(spec.domains), spec.channels[spec.domains[0]]
        width = config.width or max(1, 2**14 // size)
        self.G = StyledGenerator(channels, size, width, c.max_width, c.style)
        self.M = MappingNetwork(c.latent, c.style, count, c.hidden)
        self.E = StyleEncoder(channels, size, width, c.max_width, c.style, count)
        self.D = MultiDomainDiscriminator(channels, size, width, c.max_width, count)
        init_weights(self, "kaiming")
        self.gan = config.loss.build()

    def phases(self) -> list[Phase]:
        adam = partial(self.adam, weight_decay=self.config.weight_decay)
        G, D, E, M = adam(self.G), adam(self.D), adam(self.E), adam(self.M, lr=self.config.mapping_lr)

        def by(
            styles: Callable[[Batch, Carry], Styles], loss: Callable[[Batch, Styles], Terms]
        ) -> Callable[[Batch, Carry], Terms]:
            return lambda batch, carry: loss(batch, styles(batch, carry))

        return [
            Phase("D_latent", D, by(self.latent_styles, self.discriminator_loss)),
            Phase("D_reference", D, by(self.reference_styles, self.discriminator_loss)),
            Phase("G_latent", [G, M, E], by(self.latent_styles, self.generator_loss)),
            Phase("G_reference", G, by(self.reference_styles, self.generator_loss)),
        ]

    def forward(self, batch: Batch) -> Carry:
        """Two latents for each image, the same for all phases of the step."""
        image = batch["image"]
        return {"latents": [self.clock.randn(len(image), self.config.latent, like=image) for _ in range(2)]}

    def latent_styles(self, batch: Batch, carry: Carry) -> Styles:
        """Of the target domains, from latents."""
        first, second = (of(self.M(latent), batch["target"]) for latent in carry["latents"])
        return first, second

    def reference_styles(self, batch: Batch, carry: Carry) -> Styles:
        """Of the target domains, from reference images."""
        first, second = (of(self.E(batch[name]), batch["target"]) for name in ("reference", "reference2"))
        return first, second

    def discriminator_loss(self, batch: Batch, styles: Styles) -> Terms:
        real, domain = batch["image"], batch["domain"]
        fake = self.G(real, styles[0]).detach()
        on_fake = of(self.D(fake), batch["target"])
        return self.gan.discriminator_terms(
            lambda image: of(self.D(image), domain), real, fake, self.clock, logits=(None, on_fake)
        )

    def generator_loss(self, batch: Batch, styles: Styles) -> Terms:
        config, image, target = self.config, batch["image"], batch["target"]
        fake = self.G(image, styles[0])
        with torch.no_grad():
            other = self.G(image, styles[1])
        back = self.G(fake, of(self.E(image), batch["domain"]))
        diversity = self.clock.weight(lambda images: config.diversity * max(0.0, 1 - images / config.diversity_images))
        return {
            "G_adv": self.gan.adversarial(of(self.D(fake), target)),
            "style": config.reconstruction * F.l1_loss(of(self.E(fake), target), styles[0]),
            "diversity": -diversity * F.l1_loss(fake, other),
            "cycle": config.cycle * F.l1_loss(back, image),
        }

    def translate(self, images: Tensor, source: str, target: str, style: Tensor) -> Tensor:
        return self.G(images, style).clamp(-1, 1)

    def sample_style(self, count: int, domain: str) -> Tensor:
        latent = torch.randn(count, self.config.latent).to(next(self.parameters()))
        return self.M(latent)[:, self.domains.index(domain)]

    def encode_style(self, images: Tensor, domain: str) -> Tensor:
        square = (self.spec.size, self.spec.size)
        images = F.interpolate(images, square, mode="bilinear", antialias=True)  # of equal sizes: to the bit the same
        return self.E(images)[:, self.domains.index(domain)]


def of(values: Tensor, domain: Tensor) -> Tensor:
    """What is said of each image's own domain: (batch, domains, ...) to (batch, ...)."""
    return values[torch.arange(len(values), device=values.device), domain]
