"""CycleGAN: unpaired translation between two domains (Zhu et al. 2017, arXiv:1703.10593)."""

from itertools import chain
from typing import ClassVar, Literal

from torch import Tensor, nn
from torch.optim import Adam

from ganzoo import (
    Batch,
    Carry,
    Count,
    DataSpec,
    DiscriminatorPart,
    GanzooError,
    GeneratorPart,
    ImagePool,
    LossPart,
    Options,
    Phase,
    Terms,
    Trainer,
    Weight,
)
from ganzoo.losses import DISTANCES
from ganzoo.nets.layers import Init, init_weights


class CycleGANOptions(Options):
    generator: GeneratorPart = "resnet"
    """both generators"""
    discriminator: DiscriminatorPart = "patch"
    """both discriminators"""
    loss: LossPart = "lsgan"
    """adversarial loss"""
    adversarial: Weight = 1.0
    """weight of the adversarial loss in the generators' loss"""
    cycle: Weight | tuple[Weight, Weight] = 10.0
    """weight of the cycle back to the first and to the second domain; 0: adversarial only"""
    identity: Weight | tuple[Weight, Weight] = 5.0
    """weight of leaving images of the target domain alone; the authors write it as 0.5 of the cycle's"""
    distance: Literal["l1", "l2", "smooth-l1"] = "l1"
    """between images, for cycle and identity"""
    discriminator_weight: Weight = 0.5
    """weight of the discriminators' loss"""
    pool: int = 50
    """past fakes kept for each discriminator; 0: only the newest"""
    init: Init = "normal"
    """initial weights, gain 0.02"""
    lr: Weight = 2e-4
    """learning rate of Adam, for generators and discriminators"""
    betas: tuple[float, float] = (0.5, 0.999)
    """decay rates of Adam"""
    discriminator_steps: Count = 1
    """the generators are updated in one step of this many, the discriminators in every one"""


class CycleGAN(Trainer):
    """`G[domain]` makes images of that domain, `D[domain]` tells real ones from made ones."""

    Config = CycleGANOptions
    data = "unpaired"
    presets: ClassVar = {"official": {}, "paper": {"identity": 0.0}, "torch": {"discriminator_weight": 1.0}}

    def __init__(self, config: CycleGANOptions, spec: DataSpec) -> None:
        super().__init__(config, spec)
        first, second = self.domains
        self.cycle, self.identity = (
            dict(zip(self.domains, w if isinstance(w, tuple) else (w, w), strict=True))
            for w in (config.cycle, config.identity)
        )
        if any(self.identity.values()) and spec.channels[first] != spec.channels[second]:
            raise GanzooError(
                f"{first} has {spec.channels[first]} and {second} has {spec.channels[second]} channels, so no "
                "generator can leave an image alone: set options.identity = 0, or give both the same data.channels."
            )
        self.G = nn.ModuleDict()
        for here, there in (self.domains, self.domains[::-1]):
            self.G[there] = config.generator.build(spec.channels[here], spec.channels[there], spec.size)
        self.D = nn.ModuleDict({d: config.discriminator.build(spec.channels[d], spec.size) for d in self.domains})
        init_weights(self, config.init)
        self.gan = config.loss.build()
        self.distance = DISTANCES[config.distance]
        self.pool = {d: ImagePool(config.pool) for d in self.domains}

    def phases(self) -> list[Phase]:
        def adam(nets: nn.ModuleDict) -> Adam:
            return Adam(chain(*(nets[d].parameters() for d in self.domains)), self.config.lr, self.config.betas)

        every = self.config.discriminator_steps
        return [
            Phase("G", adam(self.G), self.generator_loss, when=lambda step: (step + 1) % every == 0),
            Phase("D", adam(self.D), self.discriminator_loss),
        ]

    def generator_loss(self, batch: Batch, carry: Carry) -> Terms:
        terms = {}
        for here, there in (self.domains, self.domains[::-1]):
            real = batch[here]
            fake = carry[there] = self.G[there](real)
            terms[f"fool_{there}"] = self.config.adversarial * self.gan.generator(self.D[there](fake))
            if self.cycle[here]:
                terms[f"cycle_{here}"] = self.cycle[here] * self.distance(self.G[here](fake), real)
            if self.identity[here]:
                terms[f"identity_{here}"] = self.identity[here] * self.distance(self.G[here](real), real)
        return terms

    def discriminator_loss(self, batch: Batch, carry: Carry) -> Terms:
        terms = {}
        for here, there in (self.domains, self.domains[::-1]):
            real = batch[there]
            new = carry[there] if there in carry else self.G[there](batch[here])
            fake = self.pool[there](new, self.clock)
            loss = self.gan.discriminator(self.D[there](real), self.D[there](fake))
            terms[f"judge_{there}"] = self.config.discriminator_weight * loss
            if self.gan.penalty_weight:
                alpha = self.clock.rand(len(real), 1, 1, 1, like=real)
                terms[f"penalty_{there}"] = self.gan.penalty(self.D[there], real, fake, alpha)
        return terms

    def translate(self, images: Tensor, source: str, target: str) -> Tensor:
        return self.G[target](images)
