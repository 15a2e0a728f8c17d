"""CUT and FastCUT: contrastive learning for unpaired translation (Park et al. 2020, arXiv:2007.15651)."""

from typing import Annotated, ClassVar, Literal

import torch
from pydantic import Field
from torch import Tensor
from torch.nn import functional as F

from ganzoo import (
    AdversarialOptions,
    Batch,
    Carry,
    Count,
    DataSpec,
    DiscriminatorPart,
    GanzooError,
    GeneratorPart,
    Phase,
    Terms,
    Trainer,
    Weight,
    needs,
)
from ganzoo.nets.layers import init_weights
from ganzoo.options import Init
from ganzoo_cut.nets import Projection


class CUTOptions(AdversarialOptions):
    direction: Literal["AtoB", "BtoA"] = "AtoB"
    """AtoB: from the first domain to the second; BtoA: from the second to the first"""
    generator: Annotated[GeneratorPart, needs("features")] = "resnet-antialiased"
    """the generator; its `features(image)` are contrasted"""
    discriminator: DiscriminatorPart = "patch-antialiased"
    """the discriminator"""
    init: Init = "xavier"
    """initial weights: normal with a standard deviation of 0.02, xavier with a gain of 0.02, or kaiming"""
    nce: Weight = 1.0
    """weight of the PatchNCE loss"""
    nce_identity: bool = True
    """also contrast images of the target domain with what the generator makes of them, each with half the weight"""
    flip_equivariance: bool = False
    """the generator is given mirrored images in half of the steps, and its features are mirrored back"""
    patches: Count = 256
    """patches of each feature map that are contrasted"""
    projection: Count = 256
    """length of the vectors that patches are projected to"""
    temperature: Annotated[float, Field(gt=0)] = 0.07
    """temperature of the contrastive loss"""


class CUT(Trainer):
    """`G` translates from `source` to `target`, `D` tells real targets from fakes, `F` projects features of patches.

    A patch of the translation shall be nearer to the patch of the source at the same place than to its other patches.
    """

    Config, data_kind = CUTOptions, "unpaired"
    recipe_defaults: ClassVar = {
        "data.size": 256,
        "data.batch": 1,
        "train.images": 533_600,  # 400 epochs of horse2zebra's 1,334 zebras
        "train.constant": 0.5,
    }
    presets: ClassVar = {
        "cut": {},
        "fastcut": {
            "options.nce": 10.0,
            "options.nce_identity": False,
            "options.flip_equivariance": True,
            "train.images": 266_800,  # 200 epochs
            "train.constant": 0.75,
        },
    }

    def __init__(self, config: CUTOptions, spec: DataSpec) -> None:
        super().__init__(config, spec)
        self.source, self.target = self.domains if config.direction == "AtoB" else self.domains[::-1]
        channels, out = spec.channels[self.source], spec.channels[self.target]
        if channels != out:
            raise GanzooError(
                f"{self.source} has {channels} and {self.target} has {out} channels, but the features of both are "
                "contrasted: give both the same data.channels."
            )
        self.G = config.generator.build(channels, out, spec.size)
        self.D = config.discriminator.build(out, spec.size)
        with torch.no_grad():
            maps = self.G.features(torch.zeros(1, channels, spec.size, spec.size))
        self.F = Projection([m.shape[1] for m in maps], config.projection)
        init_weights(self, config.init)
        self.gan = config.loss.build()

    def phases(self) -> list[Phase]:
        return [
            Phase("D", self.adam(self.D), self.discriminator_loss),
            Phase("G", [self.adam(self.G), self.adam(self.F)], self.generator_loss),
        ]

    def forward(self, batch: Batch) -> Carry:
        """One pass of G over both domains, or the source alone, for the updates of D and of G."""
        real, target = batch[self.source], batch[self.target]
        both = torch.cat([real, target]) if self.config.nce_identity else real
        flipped = self.config.flip_equivariance and torch.randint(2, (), generator=self.clock.shared).item() == 1
        fake, identity = self.G(both.flip(3) if flipped else both).tensor_split([len(real)])
        return {"fake": fake, "identity": identity, "flipped": flipped}

    def discriminator_loss(self, batch: Batch, carry: Carry) -> Terms:
        real, weight = batch[self.target], self.config.discriminator_weight
        return self.gan.discriminator_terms(self.D, real, carry["fake"], self.clock, weight=weight)

    def generator_loss(self, batch: Batch, carry: Carry) -> Terms:
        config, flipped = self.config, carry["flipped"]
        terms = {"G_adv": config.adversarial * self.gan.adversarial(self.D(carry["fake"]))}
        pairs = {"nce": (batch[self.source], carry["fake"])}
        if config.nce_identity:
            pairs["nce_idt"] = (batch[self.target], carry["identity"])
        for name, (real, fake) in pairs.items() if config.nce else ():
            terms[name] = config.nce / len(pairs) * self.patch_nce(real, fake, flipped)
        return terms

    def patch_nce(self, real: Tensor, fake: Tensor, flipped: bool) -> Tensor:
        """PatchNCE (equation 4), the mean over patches and feature maps: a scalar.

        Each patch of `fake` is classified among the patches of `real` at the same places, as one of the same image.
        """
        queries, keys = self.G.features(fake), self.G.features(real)
        if flipped:
            queries = [query.flip(3) for query in queries]
        places = [self.draw_places(key) for key in keys]
        losses = []
        for query, key in zip(self.F(queries, places), self.F(keys, places), strict=True):
            similarity = query @ key.detach().transpose(1, 2) / self.config.temperature  # (batch, query, key)
            same_place = torch.arange(similarity.shape[1], device=similarity.device).expand(len(similarity), -1)
            losses.append(F.cross_entropy(similarity.flatten(0, 1), same_place.flatten()))
        return torch.stack(losses).mean()

    def draw_places(self, features: Tensor) -> Tensor:
        """Pixels of a feature map at random, the same for all images of the batch."""
        pixels = features.shape[2] * features.shape[3]
        count = self.config.patches
        return self.clock.input(
            lambda: torch.randperm(pixels, generator=self.clock.shared)[:count], device=features.device
        )

    def translate(self, images: Tensor, source: str, target: str) -> Tensor:
        return self.G(images)

    def directions(self) -> list[tuple[str, str]]:
        return [(self.source, self.target)]
