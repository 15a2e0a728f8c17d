"""CycleGAN's networks without aliasing (Zhang 2019, arXiv:1904.11486), and the projection of patches."""

from typing import Annotated

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional as F

from ganzoo import Count, Discriminator, GanzooError, Generator
from ganzoo.nets.layers import NormOption, Width, needs_bias, norm_layer
from ganzoo.nets.resnet import ResidualBlock


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


class AntialiasedResnet(Generator):
    """The residual generator with blurred down- and upsampling (Park et al. 2020, arXiv:2007.15651, appendix).

    Each convolution of stride 2 has stride 1 and is followed by a blur; transposed ones are bilinear upsampling and a
    convolution. Parameters with 3 channels: 11,378,179 with 9 blocks, 7,837,699 with 6, as many as "resnet" has.
    """

    multiple = 4

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        size: int,
        *,
        width: Width = 64,
        blocks: Annotated[Count | None, Field(description="residual blocks; default: 9 from 256 px on, else 6")] = None,
        norm: NormOption = "instance",
    ) -> None:
        super().__init__()
        if blocks is None:
            blocks = 9 if size >= 256 else 6
        bias = needs_bias(norm)

        def activated(convolution: nn.Module, channels: int) -> list[nn.Module]:
            return [convolution, norm_layer(norm, channels), nn.ReLU(True)]

        layers = [nn.ReflectionPad2d(3), *activated(nn.Conv2d(in_channels, width, 7, bias=bias), width)]
        for w in (width, 2 * width):
            layers += [*activated(nn.Conv2d(w, 2 * w, 3, padding=1, bias=bias), 2 * w), BlurDown()]
        first = len(layers)
        layers += [ResidualBlock(4 * width, norm) for _ in range(blocks)]
        for w in (4 * width, 2 * width):
            layers += [blur_up(), *activated(nn.Conv2d(w, w // 2, 3, padding=1, bias=bias), w // 2)]
        layers += [nn.ReflectionPad2d(3), nn.Conv2d(width, out_channels, 7), nn.Tanh()]
        self.layers = nn.Sequential(*layers)
        self.encoded = sorted({0, 4, 8, first, first + blocks // 2})

    def forward(self, image: Tensor) -> Tensor:
        return self.layers(image)

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


class AntialiasedPatch(Discriminator):
    """The PatchGAN with blurred downsampling (Park et al. 2020): one logit for each overlapping patch.

    Parameters with 3 channels and 3 layers: 2,764,737, as many as "patch" has.
    """

    def __init__(
        self,
        in_channels: int,
        size: int,
        *,
        width: Width = 64,
        layers: Annotated[Count, Field(description="halvings and one more convolution; 3: the paper's")] = 3,
        norm: NormOption = "instance",
    ) -> None:
        super().__init__()
        if size < 3 * 2**layers:
            raise GanzooError(
                f"An anti-aliased patch discriminator with {layers} layers needs images of {3 * 2**layers} px or more, "
                f"and data.size is {size}: enlarge it, or take fewer layers, such as "
                'discriminator = { name = "patch-antialiased", layers = 1 }.'
            )
        bias = needs_bias(norm)
        stack: list[nn.Module] = [nn.Conv2d(in_channels, width, 4, padding=1), nn.LeakyReLU(0.2, True), BlurDown()]
        channels = width
        for level in range(1, layers + 1):
            out = width * min(2**level, 8)
            stack += [nn.Conv2d(channels, out, 4, padding=1, bias=bias), norm_layer(norm, out), nn.LeakyReLU(0.2, True)]
            stack += [BlurDown()] if level < layers else []
            channels = out
        self.layers = nn.Sequential(*stack, nn.Conv2d(channels, 1, 4, padding=1))

    def forward(self, image: Tensor) -> Tensor:
        return self.layers(image)


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
