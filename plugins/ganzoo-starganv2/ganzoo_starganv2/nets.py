"""The four networks of StarGAN v2 (Choi et al. 2020, arXiv:1912.01865, appendix)."""

from itertools import pairwise
from math import log2, sqrt

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ganzoo import Discriminator, Generator


class ResidualBlock(nn.Module):
    """Pre-activated, two 3x3 convolutions; the sum with the shortcut has the variance of its parts."""

    def __init__(self, channels: int, out: int, norm: bool = False, down: bool = False) -> None:
        super().__init__()

        def half(channels: int, out: int) -> list[nn.Module]:
            norms = [nn.InstanceNorm2d(channels, affine=True)] if norm else []
            return [*norms, nn.LeakyReLU(0.2), nn.Conv2d(channels, out, 3, padding=1)]

        pool: list[nn.Module] = [nn.AvgPool2d(2)] if down else []
        self.residual = nn.Sequential(*half(channels, channels), *pool, *half(channels, out))
        project = [] if channels == out else [nn.Conv2d(channels, out, 1, bias=False)]
        self.shortcut = nn.Sequential(*pool, *project)  # the paper pools last: the same, at four times the work

    def forward(self, x: Tensor) -> Tensor:
        return (self.shortcut(x) + self.residual(x)) / sqrt(2)


class AdaIN(nn.Module):
    """Instance norm whose scale and shift come from a style, one linear layer for both."""

    def __init__(self, channels: int, style: int) -> None:
        super().__init__()
        self.norm, self.linear = nn.InstanceNorm2d(channels), nn.Linear(style, 2 * channels)

    def forward(self, x: Tensor, style: Tensor) -> Tensor:
        scale, shift = self.linear(style)[:, :, None, None].chunk(2, dim=1)
        return (1 + scale) * self.norm(x) + shift


class StyledBlock(nn.Module):
    """As `ResidualBlock`, with AdaIN before its activations; twice the size, nearest neighbour, where it goes up."""

    def __init__(self, channels: int, out: int, style: int, up: bool = False) -> None:
        super().__init__()
        self.norm1, self.norm2 = AdaIN(channels, style), AdaIN(out, style)
        self.conv1, self.conv2 = nn.Conv2d(channels, out, 3, padding=1), nn.Conv2d(out, out, 3, padding=1)
        self.shortcut = nn.Identity() if channels == out else nn.Conv2d(channels, out, 1, bias=False)
        self.up = nn.Upsample(scale_factor=2) if up else nn.Identity()

    def forward(self, x: Tensor, style: Tensor) -> Tensor:
        residual = self.conv1(self.up(F.leaky_relu(self.norm1(x, style), 0.2)))
        residual = self.conv2(F.leaky_relu(self.norm2(residual, style), 0.2))
        return (self.up(self.shortcut(x)) + residual) / sqrt(2)


class StyledGenerator(Generator):
    """An image and a style to an image: down blocks, bottleneck, AdaIN blocks up. No tanh: nothing bounds the values.

    Parameters at 256 px, with 64 channels at first and 512 at most: 33,892,995.
    """

    def __init__(self, channels: int, size: int, width: int, most: int, style: int) -> None:
        super().__init__()
        halvings = max(1, int(log2(size)) - 4)
        self.multiple = 2**halvings
        widths = [min(width * 2**level, most) for level in range(halvings + 1)]
        steps = list(pairwise(widths))
        self.encoder = nn.Sequential(
            nn.Conv2d(channels, width, 3, padding=1),
            *(ResidualBlock(here, there, norm=True, down=True) for here, there in steps),
            *(ResidualBlock(widths[-1], widths[-1], norm=True) for _ in range(2)),
        )
        self.decoder = nn.ModuleList(StyledBlock(widths[-1], widths[-1], style) for _ in range(2))
        self.decoder.extend(StyledBlock(there, here, style, up=True) for here, there in reversed(steps))
        self.to_image = nn.Sequential(
            nn.InstanceNorm2d(width, affine=True), nn.LeakyReLU(0.2), nn.Conv2d(width, channels, 1)
        )

    def forward(self, image: Tensor, style: Tensor) -> Tensor:
        x = self.encoder(image)
        for block in self.decoder:
            x = block(x, style)
        return self.to_image(x)


class MappingNetwork(nn.Module):
    """Latents (batch, latent) to styles (batch, domains, style).

    Parameters with latents of 16, 512 hidden units and styles of 64: 3,259,072 for 3 domains, 2,438,272 for 2.
    """

    def __init__(self, latent: int, style: int, domains: int, hidden: int) -> None:
        super().__init__()

        def layers(first: int, count: int) -> list[nn.Module]:
            widths = [first] + [hidden] * count
            return [m for a, b in pairwise(widths) for m in (nn.Linear(a, b), nn.ReLU())]

        self.shared = nn.Sequential(*layers(latent, 4))
        self.heads = nn.ModuleList(nn.Sequential(*layers(hidden, 3), nn.Linear(hidden, style)) for _ in range(domains))

    def forward(self, latent: Tensor) -> Tensor:
        shared = self.shared(latent)
        return torch.stack([head(shared) for head in self.heads], dim=1)


def to_vector(channels: int, size: int, width: int, most: int) -> tuple[nn.Sequential, int]:
    """What style encoder and discriminator begin with: images (batch, channels, size, size) to (batch, out, 1, 1).

    Also gives the number of channels that come out.
    """
    halvings = int(log2(size)) - 2
    widths = [min(width * 2**level, most) for level in range(halvings + 1)]
    layers = nn.Sequential(
        nn.Conv2d(channels, width, 3, padding=1),
        *(ResidualBlock(here, there, down=True) for here, there in pairwise(widths)),
        nn.LeakyReLU(0.2),
        nn.Conv2d(widths[-1], widths[-1], size // 2**halvings),
        nn.LeakyReLU(0.2),
    )
    return layers, widths[-1]


class StyleEncoder(nn.Module):
    """Images of side `size` to styles (batch, domains, style).

    Parameters at 256 px with styles of 64: 20,949,760 for 3 domains, 20,916,928 for 2.
    """

    def __init__(self, channels: int, size: int, width: int, most: int, style: int, domains: int) -> None:
        super().__init__()
        self.shared, last = to_vector(channels, size, width, most)
        self.heads = nn.ModuleList(nn.Linear(last, style) for _ in range(domains))

    def forward(self, image: Tensor) -> Tensor:
        shared = self.shared(image).flatten(1)
        return torch.stack([head(shared) for head in self.heads], dim=1)


class MultiDomainDiscriminator(Discriminator):
    """Images of side `size` to a logit for each domain, (batch, domains).

    Parameters at 256 px: 20,852,803 for 3 domains, 20,852,290 for 2.
    """

    def __init__(self, channels: int, size: int, width: int, most: int, domains: int) -> None:
        super().__init__()
        self.shared, last = to_vector(channels, size, width, most)
        self.head = nn.Conv2d(last, domains, 1)

    def forward(self, image: Tensor) -> Tensor:
        return self.head(self.shared(image)).flatten(1)
