"""CycleGAN's networks without aliasing (Zhang 2019, arXiv:1904.11486), and the projection of patches."""

from typing import Annotated

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional as F

from ganzoo import Layers
from ganzoo.nets.layers import NormOption, Width
from ganzoo.nets.patch import PatchDiscriminator
from ganzoo.nets.resnet import ResidualBlock, ResnetGenerator


class BlurDown(nn.Module):
    """Half the height and width, after a blur with [1, 2, 1] / 4 in both directions; the border is reflected."""

    kernel: Tensor

    def __init__(self) -> None:
        super().__init__()
        row = torch.tensor([1.0, 2.0, 1.0]) / 4
        self.register_buffer("kernel", (row[:, None] * row)[None, None], persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        channels = x.shape[1]
        padded = F.pad(x, (1, 1, 1, 1), mode="reflect")
        return F.conv2d(padded, self.kernel.expand(channels, 1, 3, 3), stride=2, groups=channels)


def blur_up() -> nn.Module:
    """Twice the height and width, with [1, 3, 3, 1] / 4 in both directions: that is bilinear."""
    return nn.Upsample(scale_factor=2, mode="bilinear")


def antialiased(layers: nn.Sequential) -> nn.Sequential:
    """The layers without aliasing.

    Convolutions of stride 2 get stride 1, and a blur that halves after their activation. Transposed ones become
    bilinear upsampling and a convolution of the same channels.
    """
    found: list[nn.Module] = []
    halves = False
    for layer in layers:
        if isinstance(layer, nn.ConvTranspose2d):
            convolution = nn.Conv2d(layer.in_channels, layer.out_channels, 3, padding=1, bias=layer.bias is not None)
            found += [blur_up(), convolution]
            continue
        found.append(layer)
        if isinstance(layer, nn.Conv2d) and layer.stride == (2, 2):
            layer.stride, halves = (1, 1), True
        elif halves and isinstance(layer, nn.ReLU | nn.LeakyReLU):
            found.append(BlurDown())
            halves = False
    return nn.Sequential(*found)


class AntialiasedResnet(ResnetGenerator):
    """ "resnet" with blurred down- and upsampling (Park et al. 2020, arXiv:2007.15651, appendix).

    Parameters with 3 channels: 11,378,179 with 9 blocks, 7,837,699 with 6, as many as "resnet" has.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        size: int,
        *,
        width: Width = 64,
        blocks: Annotated[
            Layers | None, Field(ge=1, description="residual blocks; default: 9 from 256 px on, else 6")
        ] = None,
        norm: NormOption = "instance",
    ) -> None:
        super().__init__(in_channels, out_channels, size, width=width, blocks=blocks, norm=norm)
        self.layers = antialiased(self.layers)
        residual = [place for place, layer in enumerate(self.layers) if isinstance(layer, ResidualBlock)]
        self.encoded = sorted({0, 4, 8, residual[0], residual[len(residual) // 2]})

    def features(self, image: Tensor) -> list[Tensor]:
        """The padded image, the convolutions before each halving, the first and the middle residual block.

        Image (batch, in_channels, height, width) in [-1, 1] to five tensors (batch, channels, height, width), with 9
        blocks those of the authors (layers 0, 4, 8, 12, 16).
        """
        found, x = [], image
        for layer in self.layers[: self.encoded[-1] + 1]:
            x = layer(x)
            found.append(x)
        return [found[place] for place in self.encoded]


class AntialiasedPatch(PatchDiscriminator):
    """ "patch" with blurred downsampling (Park et al. 2020): one logit for each overlapping patch.

    Parameters with 3 channels and 3 layers: 2,764,737, as many as "patch" has.
    """

    def __init__(
        self,
        in_channels: int,
        size: int,
        *,
        width: Width = 64,
        layers: Annotated[Layers, Field(ge=1, description="halvings and one more convolution; 3: the paper's")] = 3,
        norm: NormOption = "instance",
    ) -> None:
        super().__init__(in_channels, size, width=width, layers=layers, norm=norm)
        self.layers = antialiased(self.layers)


class Projection(nn.Module):
    """Patches of feature maps to vectors of length 1: a two-layer perceptron for each map.

    Parameters for channels (3, 128, 256, 256, 256) and 256 outputs: 560,384.
    """

    def __init__(self, channels: list[int], out: int) -> None:
        super().__init__()
        self.perceptrons = nn.ModuleList(
            nn.Sequential(nn.Linear(c, out), nn.ReLU(True), nn.Linear(out, out)) for c in channels
        )

    def forward(self, features: list[Tensor], places: list[Tensor]) -> list[Tensor]:
        """Maps (batch, channels, height, width) at their places, indices of pixels: (batch, places, out) each."""
        found = []
        for perceptron, map_, chosen in zip(self.perceptrons, features, places, strict=True):
            patches = perceptron(map_.flatten(2)[:, :, chosen].transpose(1, 2))
            found.append(patches / (torch.linalg.vector_norm(patches, dim=-1, keepdim=True) + 1e-7))
        return found
