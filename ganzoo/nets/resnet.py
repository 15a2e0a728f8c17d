"""The residual generator of Johnson et al. 2016 as CycleGAN uses it."""

from typing import Annotated, Literal

from pydantic import Field
from torch import Tensor, nn

from ganzoo.nets.layers import Norm, NormOption, Width, needs_bias, norm_layer
from ganzoo.options import Layers
from ganzoo.trainer import Generator


class ResidualBlock(nn.Module):
    """Two 3x3 convolutions with reflection padding, added to their input; nothing after the sum."""

    def __init__(self, channels: int, norm: Norm) -> None:
        super().__init__()
        bias = needs_bias(norm)
        self.layers = nn.Sequential(
            nn.ReflectionPad2d(1),
            nn.Conv2d(channels, channels, 3, bias=bias),
            norm_layer(norm, channels),
            nn.ReLU(True),
            nn.ReflectionPad2d(1),
            nn.Conv2d(channels, channels, 3, bias=bias),
            norm_layer(norm, channels),
        )

    def forward(self, x: Tensor) -> Tensor:
        return x + self.layers(x)


def upsample_layer(channels: int, out: int, upsample: str, bias: bool) -> nn.Module:
    """Twice the height and width: a transposed convolution, or nearest neighbour and a convolution."""
    if upsample == "transpose":
        return nn.ConvTranspose2d(channels, out, 3, stride=2, padding=1, output_padding=1, bias=bias)
    return nn.Sequential(nn.Upsample(scale_factor=2), nn.ReflectionPad2d(1), nn.Conv2d(channels, out, 3, bias=bias))


class ResnetGenerator(Generator):
    """c7s1-64, d128, d256, R256 x blocks, u128, u64, c7s1-3, tanh (Zhu et al. 2017, arXiv:1703.10593, appendix).

    Parameters with 3 channels: 11,378,179 with 9 blocks, 7,837,699 with 6.
    """

    multiple = 4

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        size: int,
        *,
        width: Width = 64,
        blocks: Annotated[Layers | None, Field(description="residual blocks; default: 9 from 256 px, else 6")] = None,
        norm: NormOption = "instance",
        upsample: Annotated[
            Literal["transpose", "nearest"], Field(description="transposed, or nearest neighbour and convolution")
        ] = "transpose",
    ) -> None:
        super().__init__()
        if blocks is None:
            blocks = 9 if size >= 256 else 6
        bias = needs_bias(norm)

        def activated(convolution: nn.Module, channels: int) -> list[nn.Module]:
            return [convolution, norm_layer(norm, channels), nn.ReLU(True)]

        layers = [nn.ReflectionPad2d(3), *activated(nn.Conv2d(in_channels, width, 7, bias=bias), width)]
        for w in (width, 2 * width):
            layers += activated(nn.Conv2d(w, 2 * w, 3, stride=2, padding=1, bias=bias), 2 * w)
        layers += [ResidualBlock(4 * width, norm) for _ in range(blocks)]
        for w in (4 * width, 2 * width):
            layers += activated(upsample_layer(w, w // 2, upsample, bias), w // 2)
        layers += [nn.ReflectionPad2d(3), nn.Conv2d(width, out_channels, 7), nn.Tanh()]
        self.layers = nn.Sequential(*layers)

    def forward(self, image: Tensor) -> Tensor:
        return self.layers(image)
