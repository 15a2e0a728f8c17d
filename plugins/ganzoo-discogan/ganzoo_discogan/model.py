"""DiscoGAN: relations between two domains without pairs (Kim et al. 2017, arXiv:1703.05192)."""

from inspect import signature
from itertools import chain
from typing import ClassVar, Literal

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional as F
from torch.optim import Adam

from ganzoo import (
    Batch,
    Carry,
    DataSpec,
    DiscriminatorPart,
    GanzooError,
    GeneratorPart,
    LossPart,
    Options,
    Phase,
    Terms,
    Trainer,
    Weight,
)
from ganzoo.clock import all_reduce_mean
from ganzoo.nets.layers import Init, init_weights

Distance = Literal["mse", "cosine", "hinge"]


def mse(made: Tensor, true: Tensor) -> Tensor:
    """Mean squared difference, values taken as 0 to 1."""
    return F.mse_loss(made, true) / 4


def cosine(made: Tensor, true: Tensor) -> Tensor:
    """One minus the cosine between images, values taken as 0 to 1."""
    return 1 - F.cosine_similarity((made.flatten(1) + 1) / 2, (true.flatten(1) + 1) / 2).mean()


def hinge(made: Tensor, true: Tensor) -> Tensor:
    """Absolute difference beyond a margin of 0.05, values taken as 0 to 1. The paper names a hinge and no formula."""
    return F.relu((made - true).abs() / 2 - 0.05).mean()


DISTANCES = {"mse": mse, "cosine": cosine, "hinge": hinge}


class DiscoGANOptions(Options):
    generator: GeneratorPart = "disco"
    """both generators"""
    discriminator: DiscriminatorPart = "disco"
    """both discriminators"""
    loss: LossPart = "bce"
    """adversarial loss"""
    adversarial: Weight = 0.05
    """weight of the adversarial loss in the generators' loss"""
    features: Weight = 0.45
    """weight of matching the discriminators' mean features of real and made images"""
    reconstruction: Weight = 0.5
    """weight of the way back"""
    distance: Distance = "mse"
    """between images, for the way back"""
    early: tuple[Weight, Weight, Weight] = (0.099, 0.891, 0.01)
    """weights of adversarial, features and reconstruction at first"""
    early_images: int = Field(default=640_000, ge=0)
    """images seen with the early weights: the authors' 10,000 steps of 64"""
    pixel: Weight = 0.0
    """weight of the distance between a translation and its true counterpart; it needs paired data"""
    pixel_distance: Distance = "mse"
    """between a translation and its true counterpart"""
    discriminator_weight: Weight = 0.5
    """weight of the discriminators' loss"""
    generator_steps: int = Field(default=2, ge=0)
    """steps that update the generators after each that updates the discriminators; 0: every step updates both"""
    init: Init = "normal"
    """initial weights, gain 0.02"""
    lr: Weight = 2e-4
    """learning rate of Adam, for generators and discriminators"""
    betas: tuple[float, float] = (0.5, 0.999)
    """decay rates of Adam"""
    weight_decay: Weight = 1e-5
    """weight decay of Adam"""


class DiscoGAN(Trainer):
    """`G[domain]` makes images of that domain, `D[domain]` tells real ones from made ones."""

    Config = DiscoGANOptions
    data = "unpaired"
    presets: ClassVar = {
        "official": {},
        "paper": {
            "adversarial": 1.0,
            "features": 0.0,
            "reconstruction": 1.0,
            "early_images": 0,
            "discriminator_weight": 1.0,
            "generator_steps": 0,
            "weight_decay": 1e-4,
        },
    }

    @classmethod
    def kind(cls, config: DiscoGANOptions) -> str:
        return "paired" if config.pixel else "unpaired"

    def __init__(self, config: DiscoGANOptions, spec: DataSpec) -> None:
        super().__init__(config, spec)
        self.G = nn.ModuleDict()
        for here, there in (self.domains, self.domains[::-1]):
            self.G[there] = config.generator.build(spec.channels[here], spec.channels[there], spec.size)
        self.D = nn.ModuleDict({d: config.discriminator.build(spec.channels[d], spec.size) for d in self.domains})
        self.matches = bool(config.features or (config.early_images and config.early[1]))
        if self.matches and any("features" not in signature(D.forward).parameters for D in self.D.values()):
            raise GanzooError(
                f'The discriminator "{config.discriminator.name}" shares no features to match: use "disco", or set '
                "options.features = 0 and options.early_images = 0."
            )
        init_weights(self, config.init)
        self.gan = config.loss.build()

    def phases(self) -> list[Phase]:
        c, every = self.config, self.config.generator_steps + 1

        def adam(nets: nn.ModuleDict) -> Adam:
            return Adam(
                chain(*(nets[d].parameters() for d in self.domains)), c.lr, c.betas, weight_decay=c.weight_decay
            )

        return [
            Phase("G", adam(self.G), self.generator_loss, when=lambda step: every == 1 or step % every != 0),
            Phase("D", adam(self.D), self.discriminator_loss, when=lambda step: step % every == 0),
        ]

    def generator_loss(self, batch: Batch, carry: Carry) -> Terms:
        c = self.config
        weights = c.early if self.clock.images < c.early_images else (c.adversarial, c.features, c.reconstruction)
        adversarial, features, reconstruction = weights
        terms = {}
        for here, there in (self.domains, self.domains[::-1]):
            fake = carry[there] = self.G[there](batch[here])
            if self.matches:
                logits, made = self.D[there](fake, features=True)
                _, real = self.D[there](batch[there], features=True)
                terms[f"match_{there}"] = features * self.mismatch(made, real)
            else:
                logits = self.D[there](fake)
            terms[f"fool_{there}"] = adversarial * self.gan.generator(logits)
            terms[f"back_{here}"] = reconstruction * DISTANCES[c.distance](self.G[here](fake), batch[here])
            if c.pixel:
                terms[f"pixel_{there}"] = c.pixel * DISTANCES[c.pixel_distance](fake, batch[there])
        return terms

    def mismatch(self, made: list[Tensor], real: list[Tensor]) -> Tensor:
        """Squared distance between the features' means over the whole batch; mean over values, sum over layers."""
        return torch.stack(
            [
                F.mse_loss(all_reduce_mean(m.mean(0)), all_reduce_mean(r.mean(0)))
                for m, r in zip(made, real, strict=True)
            ]
        ).sum()

    def discriminator_loss(self, batch: Batch, carry: Carry) -> Terms:
        terms = {}
        for here, there in (self.domains, self.domains[::-1]):
            real, fake = batch[there], carry[there] if there in carry else self.G[there](batch[here])
            loss = self.gan.discriminator(self.D[there](real), self.D[there](fake))
            terms[f"judge_{there}"] = self.config.discriminator_weight * loss
            if self.gan.penalty_weight:
                alpha = self.clock.rand(len(real), 1, 1, 1, like=real)
                terms[f"penalty_{there}"] = self.gan.penalty(self.D[there], real, fake, alpha)
        return terms

    def translate(self, images: Tensor, source: str, target: str) -> Tensor:
        return self.G[target](images)
