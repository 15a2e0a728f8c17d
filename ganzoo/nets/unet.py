"""The U-Net generator of pix2pix."""

from typing import Annotated

import torch
from pydantic import Field
from torch import Tensor, nn

from ganzoo.errors import GanzooError, multiples_around
from ganzoo.nets.layers import NormOption, Width, needs_bias, norm_layer
from ganzoo.options import Layers, Probability
from ganzoo.trainer import Generator

SHALLOWEST = 4  # halvings, unless a recipe asks for fewer; with fewer there is no bottleneck to speak of


class UnetGenerator(Generator):
    """Halves the image down to a bottleneck and doubles it back, with skips (Isola et al. 2017, arXiv:1611.07004).

    No norm on the outermost and innermost convolutions. `dropout` acts in three layers at depth 8. Parameters with 3
    channels, batch norm: 54,413,955 at 256 px, 41,828,995 at 128 px.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        size: int,
        *,
        width: Width = 64,
        depth: Annotated[Layers | None, Field(ge=1, description="halvings; default: as many as fit, at most 8")] = None,
        norm: NormOption = "instance",
        dropout: Annotated[Probability, Field(description="dropout probability of inner decoder layers")] = 0.0,
    ) -> None:
        super().__init__()
        least = 1
        if depth is None:
            depth, least = min(8, (size & -size).bit_length() - 1), SHALLOWEST
        if depth < least or size % 2**depth:
            halvings = max(depth, least)
            why = f"A U-Net halves the image {halvings} times, so images of {size} px do not fit"
            raise GanzooError(f"{why}: set data.size to {multiples_around(size, 2**halvings)}.")
        self.multiple = 2**depth
        widths = [min(2**level, 8) * width for level in range(depth)]
        bias = needs_bias(norm)
        self.down, self.up = nn.ModuleList(), nn.ModuleList()
        for level, out in enumerate(widths):
            innermost = level == depth - 1
            layers: list[nn.Module] = [] if level == 0 else [nn.LeakyReLU(0.2)]
            layers.append(nn.Conv2d(widths[level - 1] if level else in_channels, out, 4, 2, 1, bias=bias))
            if level > 0 and not innermost:
                layers.append(norm_layer(norm, out))
            self.down.append(nn.Sequential(*layers))
        for level in reversed(range(depth)):
            innermost, outermost = level == depth - 1, level == 0
            channels = widths[level] if innermost else 2 * widths[level]
            out = out_channels if outermost else widths[level - 1]
            layers = [nn.ReLU(), nn.ConvTranspose2d(channels, out, 4, 2, 1, bias=bias or outermost)]
            layers.append(nn.Tanh() if outermost else norm_layer(norm, out))
            if dropout and 4 <= level < depth - 1:
                layers.append(nn.Dropout(dropout))
            self.up.append(nn.Sequential(*layers))

    def forward(self, image: Tensor) -> Tensor:
        skips = [image]
        for down in self.down:
            skips.append(down(skips[-1]))
        x = self.up[0](skips.pop())
        for up in self.up[1:]:
            x = up(torch.cat([skips.pop(), x], dim=1))
        return x
