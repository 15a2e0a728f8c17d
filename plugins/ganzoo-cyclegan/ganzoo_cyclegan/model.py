"""CycleGAN: unpaired translation between two domains (Zhu et al. 2017, arXiv:1703.10593)."""

from typing import ClassVar

from torch import Tensor, nn

from ganzoo import GanzooError, ImagePool
from ganzoo.losses import DISTANCES, Distance
from ganzoo.nets.layers import init_weights
from ganzoo.options import AdversarialOptions, Count, DiscriminatorPart, GeneratorPart, Natural, Weight
from ganzoo.trainer import Batch, Carry, DataSpec, Phase, Terms, Trainer


class CycleGANOptions(AdversarialOptions):
    generator: GeneratorPart = "resnet"
    """both generators"""
    discriminator: DiscriminatorPart = "patch"
    """both discriminators"""
    cycle: Weight | tuple[Weight, Weight] = 10.0
    """cycle-consistency weight, of the first and of the second domain; 0: adversarial only"""
    identity: Weight | tuple[Weight, Weight] = 5.0
    """identity-loss weight; the authors write it as 0.5 of the cycle's"""
    distance: Distance = "l1"
    """between images, for cycle and identity"""
    pool: Natural = 50
    """image-pool size of each discriminator; 0 disables it"""
    discriminator_steps: Count = 1
    """the generators are updated in one step of this many, the discriminators in every one"""


class CycleGAN(Trainer):
    """`G[domain]` translates into that domain, `D[domain]` tells its real images from fakes."""

    Config, data_kind = CycleGANOptions, "unpaired"
    recipe_defaults: ClassVar = {
        "data.size": 256,
        "data.batch": 1,
        "train.images": 266_800,  # 200 epochs of horse2zebra's 1,334 zebras
        "train.constant": 0.5,
    }
    presets: ClassVar = {
        "official": {},
        "paper": {"options.identity": 0.0},
    }

    def __init__(self, config: CycleGANOptions, spec: DataSpec) -> None:
        super().__init__(config, spec)
        self.ways = (self.domains, self.domains[::-1])
        self.cycle, self.identity = (
            dict(zip(self.domains, w if isinstance(w, tuple) else (w, w), strict=True))
            for w in (config.cycle, config.identity)
        )
        if any(self.identity.values()) and len(set(spec.channels.values())) > 1:
            numbers = " and ".join(f"{domain} has {spec.channels[domain]}" for domain in self.domains)
            raise GanzooError(
                f"{numbers} channels, so they have no identity loss: set options.identity = 0, or give both "
                "the same data.channels."
            )
        channels, size = spec.channels, spec.size
        self.G = nn.ModuleDict({b: config.generator.build(channels[a], channels[b], size) for a, b in self.ways})
        self.D = nn.ModuleDict({d: config.discriminator.build(channels[d], size) for d in self.domains})
        init_weights(self, config.init)
        self.gan, self.distance = config.loss.build(), DISTANCES[config.distance]
        self.pool = {d: ImagePool(config.pool) for d in self.domains}

    def phases(self) -> list[Phase]:
        every = self.config.discriminator_steps
        return [
            Phase("G", self.adam(self.G), self.generator_loss, when=lambda step: (step + 1) % every == 0),
            Phase("D", self.adam(self.D), self.discriminator_loss),
        ]

    def generator_loss(self, batch: Batch, carry: Carry) -> Terms:
        terms: Terms = {}
        for here, there in self.ways:
            real = batch[here]
            fake = carry[there] = self.G[there](real)
            if self.cycle[here]:
                terms[f"cycle_{here}"] = self.cycle[here] * self.distance(self.G[here](fake), real)
            if self.identity[here]:
                terms[f"idt_{here}"] = self.identity[here] * self.distance(self.G[here](real), real)
        for _, there in self.ways:  # last, so that the backward pass begins where activations are small
            terms[f"G_adv_{there}"] = self.config.adversarial * self.gan.adversarial(self.D[there](carry[there]))
        return terms

    def discriminator_loss(self, batch: Batch, carry: Carry) -> Terms:
        terms: Terms = {}
        weight = self.config.discriminator_weight
        for here, there in self.ways:
            fake = self.pool[there](carry[there] if there in carry else self.G[there](batch[here]), self.clock)
            terms |= self.gan.discriminator_terms(self.D[there], batch[there], fake, self.clock, there, weight)
        return terms

    def translate(self, images: Tensor, source: str, target: str) -> Tensor:
        return self.G[target](images)
