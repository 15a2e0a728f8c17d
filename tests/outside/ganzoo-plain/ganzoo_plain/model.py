"""A generator and an L1 loss: no discriminator at all."""

from torch import Tensor
from torch.nn.functional import l1_loss
from torch.optim import Adam

from ganzoo import Batch, Carry, DataSpec, GeneratorPart, Options, Phase, Terms, Trainer, Weight


class PlainOptions(Options):
    generator: GeneratorPart = "unet"
    """draws the second domain from the first"""
    lr: Weight = 2e-4
    """learning rate of Adam"""


class Plain(Trainer):
    Config = PlainOptions
    data_kind = "paired"

    def __init__(self, config: PlainOptions, spec: DataSpec) -> None:
        super().__init__(config, spec)
        self.source, self.target = spec.domains
        self.G = config.generator.build(spec.channels[self.source], spec.channels[self.target], spec.size)

    def phases(self) -> list[Phase]:
        return [Phase("G", Adam(self.G.parameters(), self.config.lr), self.loss)]

    def loss(self, batch: Batch, carry: Carry) -> Terms:
        return {"l1": l1_loss(self.G(batch[self.source]), batch[self.target])}

    def translate(self, images: Tensor, source: str, target: str) -> Tensor:
        return self.G(images)

    def directions(self) -> list[tuple[str, str]]:
        return [(self.source, self.target)]
