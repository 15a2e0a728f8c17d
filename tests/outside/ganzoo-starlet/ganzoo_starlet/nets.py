"""A generator that is given a style, networks that give styles, and a discriminator, all small."""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ganzoo import Discriminator, Generator


def convolution(channels: int, out: int, stride: int = 1) -> nn.Conv2d:
    return nn.Conv2d(channels, out, 3, stride, 1)


class AdaIN(nn.Module):
    """Instance norm whose scale and shift come from the style."""

    def __init__(self, style: int, channels: int) -> None:
        super().__init__()
        self.affine = nn.Linear(style, 2 * channels)

    def forward(self, x: Tensor, style: Tensor) -> Tensor:
        scale, shift = self.affine(style)[:, :, None, None].chunk(2, dim=1)
        return (1 + scale) * F.instance_norm(x) + shift


class Styled(Generator):
    """Down twice, a residual block, up twice; each layer after the first two is told the style."""

    multiple = 4

    def __init__(self, width: int, style: int) -> None:
        super().__init__()
        widths = (width, 2 * width, 4 * width)
        self.down = nn.ModuleList([convolution(3, width), *(convolution(w, 2 * w, 2) for w in widths[:2])])
        self.block = convolution(4 * width, 4 * width)
        self.up = nn.ModuleList(convolution(2 * w, w) for w in widths[1::-1])
        self.norms = nn.ModuleList(AdaIN(style, w) for w in widths[::-1])
        self.last = convolution(width, 3)

    def forward(self, image: Tensor, style: Tensor) -> Tensor:
        x = image
        for layer in self.down:
            x = F.leaky_relu(layer(x), 0.2)
        x = x + F.leaky_relu(self.norms[0](self.block(x), style), 0.2)
        for layer, norm in zip(self.up, self.norms[1:], strict=True):
            x = F.leaky_relu(norm(layer(F.interpolate(x, scale_factor=2.0)), style), 0.2)
        return torch.tanh(self.last(x))


class Mapping(nn.Sequential):
    """(batch, latent) to styles (batch, style)."""

    def __init__(self, latent: int, style: int, width: int) -> None:
        super().__init__(nn.Linear(latent, width), nn.ReLU(), nn.Linear(width, style))


class StyleEncoder(nn.Module):
    """Images of any size to styles (batch, style)."""

    def __init__(self, width: int, style: int) -> None:
        super().__init__()
        self.layers = nn.ModuleList([convolution(3, width, 2), convolution(width, 2 * width, 2)])
        self.last = nn.Linear(2 * width, style)

    def forward(self, image: Tensor) -> Tensor:
        x = image
        for layer in self.layers:
            x = F.leaky_relu(layer(x), 0.2)
        return self.last(x.mean((2, 3)))


class Patches(Discriminator):
    """A logit for each patch."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.layers = nn.ModuleList([convolution(3, width, 2), convolution(width, 2 * width, 2)])
        self.last = convolution(2 * width, 1)

    def forward(self, image: Tensor) -> Tensor:
        x = image
        for layer in self.layers:
            x = F.leaky_relu(layer(x), 0.2)
        return self.last(x)
