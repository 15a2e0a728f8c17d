"""Images from noise: GAN (Goodfellow et al. 2014, arXiv:1406.2661) and conditional GAN (Mirza and Osindero 2014)."""

from typing import Any, ClassVar, Literal

import torch
from torch import Tensor, nn
from torch.optim import SGD, Optimizer

from ganzoo import GanzooError
from ganzoo.attributes import all_targets, parse_target
from ganzoo.nets.layers import Norm, init_weights
from ganzoo.options import AdamOptions, Count, Init, LossPart, Probability
from ganzoo.trainer import Batch, Carry, DataSpec, Phase, Terms, Trainer
from ganzoo_gan.nets import ConvDiscriminator, ConvGenerator, DenseDiscriminator, DenseGenerator

COLUMNS = 10  # images in a row of a sample grid


class GANOptions(AdamOptions):
    backbone: Literal["dcgan", "mlp"] = "dcgan"
    """networks: convolutions (Radford et al. 2015), or the fully connected layers of the first papers"""
    latent: Count = 100
    """latent dimension"""
    noise: Literal["normal", "uniform"] = "normal"
    """latent distribution: standard normal, or uniform in [-1, 1]"""
    generator_width: Count | None = None
    """dcgan: channels of the layer before the image, default 64; mlp: units of a hidden layer, default 1200"""
    discriminator_width: Count | None = None
    """dcgan: channels of the layer after the image, default 64; mlp: maxout units, default 240"""
    discriminator_norm: Norm = "batch"
    """dcgan: norm of the discriminator; a loss with a gradient penalty does not go with batch norm"""
    generator_dropout: Probability = 0.0
    """mlp: dropout probability of the hidden layers"""
    discriminator_dropout: Probability = 0.0
    """mlp: dropout probability of the maxout layers"""
    loss: LossPart = "bce"
    """adversarial loss"""
    discriminator_steps: Count = 1
    """the generator is updated in one step of this many, the discriminator in every one"""
    init: Init = "normal"
    """initial weights, gain 0.02"""
    optimizer: Literal["adam", "sgd"] = "adam"
    """of both networks"""
    momentum: Probability = 0.5
    """sgd: momentum"""


class CGANOptions(GANOptions):
    embedding: Count = 16
    """dcgan: size of the vector that stands for a label, beside the noise and in "concat\""""
    condition: Literal["projection", "concat"] = "projection"
    """dcgan: what the discriminator does with labels, by Miyato and Koyama 2018 or as planes beside the image"""


class GAN(Trainer):
    """`G` makes images from noise, `D` tells reals from fakes."""

    Config, data_kind, fixed_size = GANOptions, "images", True
    recipe_defaults: ClassVar = {
        "data.size": 64,
        "data.batch": 128,
        "train.images": 5_065_000,  # 25 epochs, as in the authors' code, of CelebA's 202,599 faces
        "train.constant": 1.0,
    }
    presets: ClassVar = {
        "official": {},
        "dcgan": {"options.generator_width": 128, "options.noise": "uniform", "data.batch": 128},
        "paper": {
            "options.backbone": "mlp",
            "options.noise": "uniform",
            "options.discriminator_dropout": 0.5,
            "options.optimizer": "sgd",
            "options.lr": 0.1,
        },
    }

    def __init__(self, config: GANOptions, spec: DataSpec) -> None:
        super().__init__(config, spec)
        channels, c, of_labels = spec.channels["image"], config, self.conditioning(config)
        self.gan = c.loss.build()
        self.G: nn.Module
        self.D: nn.Module
        if c.backbone == "mlp":
            labels, width, width_D = of_labels["labels"], c.generator_width or 1200, c.discriminator_width or 240
            self.G = DenseGenerator(c.latent, channels, spec.size, labels, width, c.generator_dropout)
            self.D = DenseDiscriminator(channels, spec.size, labels, width_D, c.discriminator_dropout)
        else:
            if self.gan.penalty and c.discriminator_norm == "batch":
                raise GanzooError(
                    f'The penalty of the loss "{c.loss.name}" is on the gradient at each image by itself, which batch '
                    'norm mixes with the others: set options.discriminator_norm = "none" or "instance".'
                )
            width, width_D = c.generator_width or 64, c.discriminator_width or 64
            self.G = ConvGenerator(
                c.latent, channels, spec.size, of_labels["labels"], width=width, embedding=of_labels["embedding"]
            )
            self.D = ConvDiscriminator(channels, spec.size, width=width_D, norm=c.discriminator_norm, **of_labels)
        init_weights(self, c.init)

    def conditioning(self, config: Any) -> dict[str, Any]:
        """What the networks are told of labels: how many there are, and how they enter."""
        return {"labels": 0, "embedding": 0, "condition": "concat"}

    def phases(self) -> list[Phase]:
        every = self.config.discriminator_steps
        return [
            Phase("D", self.optimizer(self.D), self.discriminator_loss),
            Phase("G", self.optimizer(self.G), self.generator_loss, when=lambda step: (step + 1) % every == 0),
        ]

    def optimizer(self, network: nn.Module) -> Optimizer:
        if self.config.optimizer == "sgd":
            return SGD(network.parameters(), self.config.lr, self.config.momentum)
        return self.adam(network)

    def discriminator_loss(self, batch: Batch, carry: Carry) -> Terms:
        real, labels = batch["image"], self.labels(batch)
        fake = self.G(self.noise(real), labels)
        return self.gan.discriminator_terms(lambda image: self.D(image, labels), real, fake, self.clock)

    def generator_loss(self, batch: Batch, carry: Carry) -> Terms:
        labels = self.labels(batch)
        fake = self.G(self.noise(batch["image"]), labels)
        return {"G_adv": self.gan.adversarial(self.D(fake, labels))}

    def noise(self, like: Tensor) -> Tensor:
        """(batch, latent) for a step, one row for each image."""
        shape = (len(like), self.config.latent)
        if self.config.noise == "uniform":
            return 2 * self.clock.rand(*shape, like=like) - 1
        return self.clock.randn(*shape, like=like)

    def labels(self, batch: Batch) -> Tensor | None:
        """(batch, labels) of a step; fakes have the labels of the reals."""
        return None

    def draw(self, count: int) -> Tensor:
        """(count, latent) for use, from torch's global generator: the clock's belongs to the training."""
        shape = (count, self.config.latent)
        z = 2 * torch.rand(shape) - 1 if self.config.noise == "uniform" else torch.randn(shape)
        return z.to(next(self.G.parameters()))

    def generate(self, count: int, label: str | None = None) -> Tensor:
        if label is not None:
            raise GanzooError("This run was trained without labels, so it cannot generate one: leave --label out.")
        return self.G(self.draw(count))


class CGAN(GAN):
    """The same, of a label: `G` and `D` are told what the image is meant to be."""

    Config, data_kind = CGANOptions, "labelled"
    presets: ClassVar = {
        "concat": {"options.condition": "concat"},
        "paper": GAN.presets["paper"] | {"options.generator_dropout": 0.5},
    }

    def conditioning(self, config: Any) -> dict[str, Any]:
        return {"labels": len(self.spec.labels), "embedding": config.embedding, "condition": config.condition}

    def labels(self, batch: Batch) -> Tensor:
        return batch["label"].nan_to_num(0.5)  # not known: as much there as not

    def generate(self, count: int, label: str | None = None) -> Tensor:
        """`label` is a target such as "7" or "blond,no-glasses"; what it leaves open is drawn at random."""
        return self.G(self.draw(count), self.with_target(self.draw_labels(count), label))

    def sample_columns(self, images: dict[str, Tensor], references: dict[str, Tensor]) -> dict[str, dict[str, Tensor]]:
        """A column for each label, a row of the same noise."""
        z, labels = self.draw(1), self.draw_labels(1)
        targets = all_targets(self.spec)[:COLUMNS]
        return {"generated": {target: self.G(z, self.with_target(labels, target)) for target in targets}}

    def draw_labels(self, count: int) -> Tensor:
        """(count, labels) of 0 and 1, exactly one in each exclusive group."""
        labels = torch.randint(2, (count, len(self.spec.labels))).float()
        for group in self.spec.groups:
            columns = [self.spec.labels.index(name) for name in group]
            labels[:, columns] = nn.functional.one_hot(torch.randint(len(group), (count,)), len(group)).float()
        return labels.to(next(self.G.parameters()))

    def with_target(self, labels: Tensor, target: str | None) -> Tensor:
        """The labels, changed to the target's."""
        labels = labels.clone()
        for name, there in parse_target(self.spec, target).items() if target is not None else ():
            labels[:, self.spec.labels.index(name)] = float(there)
        return labels
