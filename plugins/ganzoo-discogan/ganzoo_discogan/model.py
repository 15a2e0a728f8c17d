"""DiscoGAN: relations between two domains without pairs (Kim et al. 2017, arXiv:1703.05192)."""

from functools import partial
from typing import Any, ClassVar, Literal, cast

import torch
from pydantic import model_validator
from torch import Tensor, nn
from torch.nn import functional as F

from ganzoo.clock import all_reduce_mean
from ganzoo.nets.layers import init_weights
from ganzoo.options import (
    AdversarialOptions,
    DiscriminatorPart,
    GeneratorPart,
    Init,
    LossPart,
    Natural,
    NonNegative,
    Weight,
)
from ganzoo.trainer import Batch, Carry, DataSpec, Phase, Terms, Trainer

Distance = Literal["mse", "cosine", "hinge"]


def mse(fake: Tensor, target: Tensor) -> Tensor:
    """Mean squared difference, values taken as 0 to 1."""
    return F.mse_loss(fake, target) / 4


def cosine(fake: Tensor, target: Tensor) -> Tensor:
    """One minus the cosine between images, values taken as 0 to 1."""
    return 1 - F.cosine_similarity((fake.flatten(1) + 1) / 2, (target.flatten(1) + 1) / 2).mean()


def hinge(fake: Tensor, target: Tensor) -> Tensor:
    """Absolute difference beyond a margin of 0.05, values taken as 0 to 1. The paper names a hinge and no formula."""
    return F.relu((fake - target).abs() / 2 - 0.05).mean()


DISTANCES = {"mse": mse, "cosine": cosine, "hinge": hinge}


class DiscoGANOptions(AdversarialOptions):
    generator: GeneratorPart = "disco"
    """both generators"""
    discriminator: DiscriminatorPart = "disco"
    """both discriminators"""
    loss: LossPart = "bce"
    """adversarial loss"""
    adversarial: Weight = 0.05
    """weight of the adversarial loss in the generators' loss"""
    features: Weight = 0.45
    """weight of feature matching: the discriminators' mean features of reals and fakes"""
    reconstruction: Weight = 0.5
    """reconstruction weight"""
    distance: Distance = "mse"
    """between images, for the reconstruction"""
    early: tuple[Weight, Weight, Weight] = (0.099, 0.891, 0.01)
    """weights of adversarial, features and reconstruction at first"""
    early_images: Natural = 640_000
    """images seen with the early weights: the authors' 10,000 steps of 64"""
    init: Init = "torch"
    """initial weights: those that PyTorch gives its layers, as the authors have them, or as for other models"""
    pixel: Weight = 0.0
    """weight of the distance between a translation and its ground truth; it needs paired data"""
    pixel_distance: Distance = "mse"
    """between a translation and its ground truth"""
    generator_steps: Natural = 2
    """steps that update the generators after each that updates the discriminators; 0: every step updates both"""
    weight_decay: NonNegative = 1e-5
    """weight decay of Adam"""

    @property
    def matches_features(self) -> bool:
        return bool(self.features or (self.early_images and self.early[1]))

    @model_validator(mode="after")
    def _discriminator_has_features(self) -> "DiscoGANOptions":
        if self.matches_features and not self.discriminator.has("features"):
            raise ValueError(
                f'the discriminator "{self.discriminator.name}" has no features() to match: take "disco", or set '
                "options.features = 0 and options.early_images = 0"
            )
        return self


class DiscoGAN(Trainer):
    """`G[domain]` translates into that domain, `D[domain]` tells its real images from fakes."""

    Config, data_kind = DiscoGANOptions, "unpaired"
    recipe_defaults: ClassVar = {
        "data.size": 64,
        "data.batch": 64,
        "train.images": 6_400_000,  # 100,000 steps: the authors stop by eye
        "train.constant": 1.0,
    }
    presets: ClassVar = {
        "official": {},
        "paper": {
            "options.adversarial": 1.0,
            "options.features": 0.0,
            "options.reconstruction": 1.0,
            "options.early_images": 0,
            "options.discriminator_weight": 1.0,
            "options.generator_steps": 0,
            "options.weight_decay": 1e-4,
            "data.batch": 200,
        },
    }

    @classmethod
    def choose_data_kind(cls, config: DiscoGANOptions) -> str:
        return "paired" if config.pixel else "unpaired"

    def __init__(self, config: DiscoGANOptions, spec: DataSpec) -> None:
        super().__init__(config, spec)
        self.ways = (self.domains, self.domains[::-1])
        channels, size = spec.channels, spec.size
        self.G = nn.ModuleDict({b: config.generator.build(channels[a], channels[b], size) for a, b in self.ways})
        self.D = nn.ModuleDict({d: config.discriminator.build(channels[d], size) for d in self.domains})
        init_weights(self, config.init)
        self.gan = config.loss.build()

    def phases(self) -> list[Phase]:
        every, decay = self.config.generator_steps + 1, self.config.weight_decay
        G, D = (self.adam(nets, weight_decay=decay) for nets in (self.G, self.D))
        return [
            Phase("G", G, self.generator_loss, when=lambda step: every == 1 or step % every != 0),
            Phase("D", D, self.discriminator_loss, when=lambda step: step % every == 0),
        ]

    def generator_loss(self, batch: Batch, carry: Carry) -> Terms:
        c = self.config
        adversarial, features, reconstruction = (
            self.clock.weight(partial(self.early_or_late, *both))
            for both in zip(c.early, (c.adversarial, c.features, c.reconstruction), strict=True)
        )
        terms: Terms = {}
        for here, there in self.ways:
            fake, D = self.G[there](batch[here]), cast(Any, self.D[there])
            carry[there] = fake
            if c.matches_features:
                logits, of_fake = D.features(fake)
                _, of_real = D.features(batch[there])
                terms[f"features_{there}"] = features * self.mismatch(of_fake, of_real)
            else:
                logits = D(fake)
            terms[f"G_adv_{there}"] = adversarial * self.gan.adversarial(logits)
            terms[f"rec_{here}"] = reconstruction * DISTANCES[c.distance](self.G[here](fake), batch[here])
            if c.pixel:
                terms[f"pixel_{there}"] = c.pixel * DISTANCES[c.pixel_distance](fake, batch[there])
        return terms

    def early_or_late(self, early: float, late: float, images: int) -> float:
        """A weight by the images seen."""
        return early if images < self.config.early_images else late

    def mismatch(self, fake: list[Tensor], real: list[Tensor]) -> Tensor:
        """Squared distance between the features' means over the whole batch; mean over values, sum over layers."""
        means = [(all_reduce_mean(f.mean(0)), all_reduce_mean(r.mean(0))) for f, r in zip(fake, real, strict=True)]
        return torch.stack([F.mse_loss(f, r) for f, r in means]).sum()

    def discriminator_loss(self, batch: Batch, carry: Carry) -> Terms:
        terms: Terms = {}
        weight = self.config.discriminator_weight
        for here, there in self.ways:
            fake = carry[there] if there in carry else self.G[there](batch[here])
            terms |= self.gan.discriminator_terms(self.D[there], batch[there], fake, self.clock, there, weight)
        return terms

    def translate(self, images: Tensor, source: str, target: str) -> Tensor:
        return self.G[target](images)
