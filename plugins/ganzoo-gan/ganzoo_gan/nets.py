"""From noise to images and from images to a logit: convolutions (DCGAN) or fully connected layers."""

from typing import Literal

import torch
from torch import Tensor, nn

from ganzoo import Discriminator, GanzooError
from ganzoo.nets.layers import Norm, needs_bias, norm_layer

START = 4  # side of the smallest feature map, pixels


def doublings(size: int) -> int:
    """How often 4 pixels double to `size`. Raises GanzooError if they never do, or are not even doubled once."""
    times = max(1, (size // START).bit_length() - 1)
    if START * 2**times != size:
        raise GanzooError(
            f"DCGAN doubles {START} x {START} pixels until they are an image, and never meets {size}: set data.size = "
            f'{START * 2**times} or {START * 2 ** (times + 1)}, or options.backbone = "mlp".'
        )
    return times


class LabelEmbedding(nn.Module):
    """Labels (batch, labels) of 0 to 1 to (batch, size): the learned vectors of those that hold, added."""

    def __init__(self, labels: int, size: int) -> None:
        super().__init__()
        self.vectors = nn.Parameter(torch.randn(labels, size))

    def forward(self, labels: Tensor) -> Tensor:
        return labels @ self.vectors


class ConvGenerator(nn.Module):
    """4x4 transposed convolutions from 1x1 to the image, batch norm and ReLU, tanh (Radford et al. 2015).

    `width`: channels of the last layer but one; they double towards the noise, to at most 8 times. Parameters at 64 px,
    3 channels, 100 latent and no labels: 3,576,704 with width 64, 12,658,432 with the paper's 128.
    """

    def __init__(self, latent: int, channels: int, size: int, labels: int, *, width: int, embedding: int) -> None:
        super().__init__()
        self.embed = LabelEmbedding(labels, embedding) if labels else None
        times = doublings(size)
        widths = [width * min(8, 2**level) for level in reversed(range(times))]
        before = latent + (embedding if labels else 0)
        layers: list[nn.Module] = []
        for level, out in enumerate(widths):
            stride, padding = (2, 1) if level else (1, 0)
            layers += [nn.ConvTranspose2d(before, out, 4, stride, padding, bias=False), norm_layer("batch", out)]
            layers.append(nn.ReLU(True))
            before = out
        self.layers = nn.Sequential(*layers, nn.ConvTranspose2d(before, channels, 4, 2, 1, bias=False), nn.Tanh())

    def forward(self, z: Tensor, labels: Tensor | None = None) -> Tensor:
        """(batch, latent), (batch, labels) to (batch, channels, size, size) in [-1, 1]."""
        if self.embed:
            z = torch.cat([z, self.embed(labels)], dim=1)
        return self.layers(z[:, :, None, None])


class ConvDiscriminator(Discriminator):
    """4x4 convolutions at stride 2 down to 4x4, leaky ReLU, then one logit (Radford et al. 2015).

    Labels either join the image as constant planes of their embedding ("concat") or add the inner product of their
    embedding with the summed features to the logit ("projection": Miyato and Koyama 2018, arXiv:1802.05637).
    Parameters at 64 px, 3 channels, width 64, batch norm and no labels: 2,765,568.
    """

    def __init__(
        self,
        in_channels: int,
        size: int,
        *,
        labels: int,
        width: int,
        norm: Norm,
        embedding: int,
        condition: Literal["projection", "concat"],
    ) -> None:
        super().__init__()
        times, bias = doublings(size), needs_bias(norm)
        self.embed = LabelEmbedding(labels, embedding) if labels and condition == "concat" else None
        before = in_channels + (embedding if self.embed else 0)
        layers: list[nn.Module] = []
        for level in range(times):
            out = width * min(8, 2**level)
            layers.append(nn.Conv2d(before, out, 4, 2, 1, bias=bias))
            layers += [norm_layer(norm, out)] if level else []
            layers.append(nn.LeakyReLU(0.2, True))
            before = out
        self.layers = nn.Sequential(*layers)
        self.last = nn.Conv2d(before, 1, START, bias=bias)
        self.project = nn.Linear(labels, before, bias=False) if labels and condition == "projection" else None

    def forward(self, image: Tensor, labels: Tensor | None = None) -> Tensor:
        """(batch, in_channels, size, size), (batch, labels) to logits (batch, 1)."""
        if self.embed:
            planes = self.embed(labels)[:, :, None, None].expand(-1, -1, *image.shape[2:])
            image = torch.cat([image, planes], dim=1)
        features = self.layers(image)
        logits = self.last(features).flatten(1)
        if self.project:
            logits = logits + (self.project(labels) * features.sum((2, 3))).sum(1, keepdim=True)
        return logits


class DenseGenerator(nn.Module):
    """Noise and labels each through a ReLU layer, both through another, to a tanh (Mirza and Osindero 2014, 4.1).

    `width` units in the joint layer, a sixth of it for the noise and five sixths for the labels; without labels all of
    it for the noise. The paper's sigmoid to [0, 1] is this tanh to [-1, 1]. Parameters for MNIST (28 px, 1 channel,
    10 labels, 100 latent, the paper's width 1200): 2,413,984.
    """

    def __init__(self, latent: int, channels: int, size: int, labels: int, width: int, dropout: float) -> None:
        super().__init__()
        of_noise = max(1, width // 6) if labels else width
        self.shape = (channels, size, size)
        self.noise = nn.Sequential(nn.Linear(latent, of_noise), nn.ReLU(True), nn.Dropout(dropout))
        self.label = None
        if labels:
            self.label = nn.Sequential(nn.Linear(labels, width - of_noise), nn.ReLU(True), nn.Dropout(dropout))
        self.joint = nn.Sequential(nn.Linear(width, width), nn.ReLU(True), nn.Dropout(dropout))
        self.last = nn.Sequential(nn.Linear(width, channels * size * size), nn.Tanh())

    def forward(self, z: Tensor, labels: Tensor | None = None) -> Tensor:
        """(batch, latent), (batch, labels) to (batch, channels, size, size) in [-1, 1]."""
        x = self.noise(z)
        if self.label:
            x = torch.cat([x, self.label(labels)], dim=1)
        return self.last(self.joint(x)).unflatten(1, self.shape)


class Maxout(nn.Module):
    """The largest of several linear maps, unit by unit (Goodfellow et al. 2013, arXiv:1302.4389)."""

    def __init__(self, before: int, units: int, pieces: int) -> None:
        super().__init__()
        self.units, self.linear = units, nn.Linear(before, units * pieces)

    def forward(self, x: Tensor) -> Tensor:
        return self.linear(x).unflatten(1, (self.units, -1)).amax(dim=2)


class DenseDiscriminator(Discriminator):
    """Maxout layers for the image and for the labels, a joint one, and a logit (Mirza and Osindero 2014, 4.1).

    `width` units of 5 pieces for the image, about a fifth of it for the labels, `width` units of 4 pieces for both.
    Parameters for MNIST (28 px, 1 channel, 10 labels, the paper's width 240): 1,224,351. Without labels the joint layer
    has 5 pieces, as the first.
    """

    def __init__(self, in_channels: int, size: int, labels: int, width: int, dropout: float) -> None:
        super().__init__()
        of_labels = max(1, width * 5 // 24) if labels else 0
        self.image = nn.Sequential(Maxout(in_channels * size * size, width, 5), nn.Dropout(dropout))
        self.label = nn.Sequential(Maxout(labels, of_labels, 5), nn.Dropout(dropout)) if labels else None
        self.joint = nn.Sequential(Maxout(width + of_labels, width, 4 if labels else 5), nn.Dropout(dropout))
        self.last = nn.Linear(width, 1)

    def forward(self, image: Tensor, labels: Tensor | None = None) -> Tensor:
        """(batch, in_channels, size, size), (batch, labels) to logits (batch, 1)."""
        x = self.image(image.flatten(1))
        if self.label:
            x = torch.cat([x, self.label(labels)], dim=1)
        return self.last(self.joint(x))
