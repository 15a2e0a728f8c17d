"""pix2pixHD's discriminator (Wang et al. 2018, arXiv:1711.11585)."""

from typing import Annotated

from pydantic import Field
from torch import Tensor, nn
from torch.nn.functional import avg_pool2d

from ganzoo import Count, Discriminator
from ganzoo.nets.layers import NormOption, Width
from ganzoo.nets.patch import PatchDiscriminator


class MultiScaleDiscriminator(Discriminator):
    """A PatchGAN for each scale, every one half as high and wide as the one before."""

    def __init__(
        self,
        in_channels: int,
        size: int,
        *,
        scales: Annotated[Count, Field(description="how many scales")] = 2,
        width: Width = 16,
        layers: Annotated[Count, Field(description="layers of each PatchGAN")] = 2,
        norm: NormOption = "instance",
    ) -> None:
        super().__init__()
        sizes = [size // 2**scale for scale in range(scales)]
        self.nets = nn.ModuleList(
            PatchDiscriminator(in_channels, side, width=width, layers=layers, norm=norm) for side in sizes
        )

    def forward(self, image: Tensor) -> list[Tensor]:
        return [net(avg_pool2d(image, 2**scale)) for scale, net in enumerate(self.nets)]
