"""A generator that is told the target domain, and an embedding that both learn from triplets of images."""

import torch
from torch import Tensor, nn
from torch.nn.functional import l1_loss, triplet_margin_loss

from ganzoo import AdamOptions, Batch, Carry, Count, DataSpec, GeneratorPart, Phase, Terms, Trainer, Weight


class TripletsOptions(AdamOptions):
    generator: GeneratorPart = "unet"
    """the generator of all domains; planes beside the image tell it which"""
    width: Count = 16
    """channels of the embedding"""
    content: Weight = 1.0
    """weight of the distance to the source image (L1)"""


class Triplets(Trainer):
    Config, data_kind = TripletsOptions, "triplets"

    def __init__(self, config: TripletsOptions, spec: DataSpec) -> None:
        super().__init__(config, spec)
        channels = spec.channels[spec.domains[0]]
        self.G = config.generator.build(channels + len(spec.domains), channels, spec.size)
        layers = nn.Conv2d(channels, config.width, 4, 4), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten()
        self.E = nn.Sequential(*layers, nn.Linear(config.width, config.width))

    def phases(self) -> list[Phase]:
        return [
            Phase("E", self.adam(self.E), self.embedding_loss),
            Phase("G", self.adam(self.G), self.generator_loss),
        ]

    def embedding_loss(self, batch: Batch, carry: Carry) -> Terms:
        like, other, unlike = (self.E(batch[name]) for name in ("like", "other", "unlike"))
        return {"triplet": triplet_margin_loss(like, other, unlike)}

    def generator_loss(self, batch: Batch, carry: Carry) -> Terms:
        fake = self.painted(batch["image"], batch["target"])
        near, far = self.E(batch["like"]), self.E(batch["unlike"])
        content = self.config.content * l1_loss(fake, batch["image"])
        return {"triplet_fake": triplet_margin_loss(self.E(fake), near, far), "content": content}

    def painted(self, images: Tensor, target: Tensor) -> Tensor:
        planes = torch.eye(len(self.domains)).to(images)[target][:, :, None, None].expand(-1, -1, *images.shape[2:])
        return self.G(torch.cat([images, planes], dim=1))

    def translate(self, images: Tensor, source: str, target: str) -> Tensor:
        return self.painted(images, torch.full_like(images[:, 0, 0, 0], self.domains.index(target)).long())
