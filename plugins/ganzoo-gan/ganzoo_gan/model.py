"""Images from noise: GAN (Goodfellow et al. 2014, arXiv:1406.2661) and conditional GAN (Mirza and Osindero 2014)."""

from typing import Annotated, ClassVar, Literal

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.optim import SGD, Adam, Optimizer

from ganzoo import Batch, Carry, Count, DataSpec, GanzooError, LossPart, Options, Phase, Terms, Trainer, Weight
from ganzoo.attributes import all_targets, parse_target
from ganzoo.nets.layers import Init, Norm, init_weights
from ganzoo_gan.nets import ConvDiscriminator, ConvGenerator, DenseDiscriminator, DenseGenerator

COLUMNS = 10  # images in a row of a sample grid
Share = Annotated[float, Field(ge=0, lt=1)]


class GANOptions(Options):
    backbone: Literal["dcgan", "mlp"] = "dcgan"
    """networks: convolutions (Radford et al. 2015), or the fully connected layers of the first papers"""
    latent: Count = 100
    """numbers that an image is made from"""
    noise: Literal["normal", "uniform"] = "normal"
    """distribution of those numbers: standard normal, or uniform in [-1, 1]"""
    generator_width: Count | None = None
    """dcgan: channels of the layer before the image, default 64; mlp: units of a hidden layer, default 1200"""
    discriminator_width: Count | None = None
    """dcgan: channels of the layer after the image, default 64; mlp: maxout units, default 240"""
    discriminator_norm: Norm = "batch"
    """dcgan: norm of the discriminator; a loss with a gradient penalty does not go with batch norm"""
    generator_dropout: Share = 0.0
    """mlp: share of hidden units that are dropped in training"""
    discriminator_dropout: Share = 0.0
    """mlp: share of maxout units that are dropped in training"""
    loss: LossPart = "bce"
    """adversarial loss"""
    discriminator_steps: Count = 1
    """the generator is updated in one step of this many, the discriminator in every one"""
    init: Init = "normal"
    """initial weights, gain 0.02"""
    optimizer: Literal["adam", "sgd"] = "adam"
    """of both networks"""
    lr: Weight = 2e-4
    """learning rate of both networks"""
    betas: tuple[float, float] = (0.5, 0.999)
    """adam: decay rates"""
    momentum: Share = 0.5
    """sgd: momentum"""


class CGANOptions(GANOptions):
    embedding: Count = 16
    """dcgan: size of the vector that stands for a label, beside the noise and in "concat\""""
    condition: Literal["projection", "concat"] = "projection"
    """dcgan: what the discriminator does with labels, by Miyato and Koyama 2018 or as planes beside the image"""


class GAN(Trainer):
    """`G` makes images from noise, `D` tells real ones from made ones."""

    Config = GANOptions
    data = "images"
    presets: ClassVar = {
        "official": {},
        "dcgan": {"generator_width": 128, "noise": "uniform"},
        "paper": {"backbone": "mlp", "noise": "uniform", "discriminator_dropout": 0.5, "optimizer": "sgd", "lr": 0.1},
    }

    def __init__(self, config: GANOptions, spec: DataSpec) -> None:
        super().__init__(config, spec)
        channels, labels = spec.channels["image"], len(spec.labels) if self.data == "labelled" else 0
        self.gan = config.loss.build()
        if config.backbone == "mlp":
            width, judge_width = config.generator_width or 1200, config.discriminator_width or 240
            self.G = DenseGenerator(config.latent, channels, spec.size, labels, width, config.generator_dropout)
            self.D = DenseDiscriminator(channels, spec.size, labels, judge_width, config.discriminator_dropout)
        else:
            if self.gan.penalty_weight and config.discriminator_norm == "batch":
                raise GanzooError(
                    f'The loss "{config.loss.name}" penalises the gradient at each image by itself, which batch norm '
                    'mixes with the others: set options.discriminator_norm = "none" or "instance".'
                )
            width, judge_width = config.generator_width or 64, config.discriminator_width or 64
            embedding, condition = getattr(config, "embedding", 0), getattr(config, "condition", "concat")
            self.G = ConvGenerator(config.latent, channels, spec.size, labels, width, embedding)
            self.D = ConvDiscriminator(
                channels, spec.size, labels, judge_width, config.discriminator_norm, embedding, condition
            )
        init_weights(self, config.init)

    def phases(self) -> list[Phase]:
        every = self.config.discriminator_steps
        return [
            Phase("D", self.optimizer(self.D), self.discriminator_loss),
            Phase("G", self.optimizer(self.G), self.generator_loss, when=lambda step: (step + 1) % every == 0),
        ]

    def optimizer(self, network: nn.Module) -> Optimizer:
        if self.config.optimizer == "sgd":
            return SGD(network.parameters(), self.config.lr, self.config.momentum)
        return Adam(network.parameters(), self.config.lr, self.config.betas)

    def discriminator_loss(self, batch: Batch, carry: Carry) -> Terms:
        real, labels = batch["image"], self.labels(batch)
        self.check_size(real)
        fake = self.G(self.noise(real), labels)
        terms = {"judge": self.gan.discriminator(self.D(real, labels), self.D(fake, labels))}
        if self.gan.penalty_weight:
            alpha = self.clock.rand(len(real), 1, 1, 1, like=real)
            terms["penalty"] = self.gan.penalty(lambda image: self.D(image, labels), real, fake, alpha)
        return terms

    def generator_loss(self, batch: Batch, carry: Carry) -> Terms:
        labels = self.labels(batch)
        fake = self.G(self.noise(batch["image"]), labels)
        return {"fool": self.gan.generator(self.D(fake, labels))}

    def noise(self, like: Tensor) -> Tensor:
        """(batch, latent) for a step, one row for each image."""
        shape = (len(like), self.config.latent)
        if self.config.noise == "uniform":
            return 2 * self.clock.rand(*shape, like=like) - 1
        return self.clock.randn(*shape, like=like)

    def labels(self, batch: Batch) -> Tensor | None:
        """(batch, labels) of a step; images are made of the labels that the real ones have."""
        return None

    def draw(self, count: int) -> Tensor:
        """(count, latent) for use, from torch's own dice: the clock's belong to the training."""
        shape = (count, self.config.latent)
        z = 2 * torch.rand(shape) - 1 if self.config.noise == "uniform" else torch.randn(shape)
        return z.to(next(self.G.parameters()))

    def generate(self, count: int, label: str | None = None) -> Tensor:
        if label is not None:
            raise GanzooError("This run was trained without labels, so it cannot be asked for one: leave it out.")
        return self.G(self.draw(count))

    def directions(self) -> list[tuple[str, str]]:
        return []

    def check_size(self, images: Tensor) -> None:
        size = self.spec.size
        if images.shape[2:] != (size, size):
            height, width = images.shape[2:]
            raise GanzooError(
                f"These networks know squares of {size} px only, and an image is {width} x {height}: "
                'set data.preprocess = "resize-and-crop" or "crop".'
            )


class CGAN(GAN):
    """The same, of a label: `G` and `D` are told what the image is meant to be."""

    Config = CGANOptions
    data = "labelled"
    presets: ClassVar = {
        "concat": {"condition": "concat"},
        "paper": GAN.presets["paper"] | {"generator_dropout": 0.5},
    }

    def labels(self, batch: Batch) -> Tensor:
        return batch["label"].nan_to_num(0.5)  # not known: as much there as not

    def generate(self, count: int, label: str | None = None) -> Tensor:
        """`label` is a target such as "7" or "blond,no-glasses"; what it leaves open is drawn at random."""
        return self.G(self.draw(count), self.asked(self.draw_labels(count), label))

    def sample_columns(self, images: dict[str, Tensor]) -> list[dict[str, Tensor]]:
        """A column for each label, a row of the same noise."""
        z, labels = self.draw(1), self.draw_labels(1)
        return [{target: self.G(z, self.asked(labels, target)) for target in all_targets(self.spec)[:COLUMNS]}]

    def draw_labels(self, count: int) -> Tensor:
        """(count, labels) of 0 and 1, exactly one in each exclusive group."""
        labels = torch.randint(2, (count, len(self.spec.labels))).float()
        for group in self.spec.groups:
            columns = [self.spec.labels.index(name) for name in group]
            labels[:, columns] = nn.functional.one_hot(torch.randint(len(group), (count,)), len(group)).float()
        return labels.to(next(self.G.parameters()))

    def asked(self, labels: Tensor, target: str | None) -> Tensor:
        """The labels, changed to what the target asks for."""
        labels = labels.clone()
        for name, there in parse_target(self.spec, target).items() if target is not None else ():
            labels[:, self.spec.labels.index(name)] = float(there)
        return labels
