"""DiscoGAN's networks (Kim et al. 2017, arXiv:1703.05192, section 3.2)."""

from typing import Annotated

import torch
from pydantic import Field
from torch import Tensor, nn

from ganzoo import Discriminator, GanzooError, Generator, Natural
from ganzoo.nets.layers import Norm, NormOption, Width, norm_layer


def encoder(channels: int, width: int, norm: Norm) -> list[nn.Sequential]:
    """Four halvings, 4x4 at stride 2, to 8 times the width; no norm on the first."""
    stages = [nn.Sequential(nn.Conv2d(channels, width, 4, 2, 1, bias=False), nn.LeakyReLU(0.2))]
    for w in (width, 2 * width, 4 * width):
        convolution = nn.Conv2d(w, 2 * w, 4, 2, 1, bias=False)
        stages.append(nn.Sequential(convolution, norm_layer(norm, 2 * w), nn.LeakyReLU(0.2)))
    return stages


class DiscoGenerator(Generator):
    """Four halvings and four doublings, without skips; the output a sigmoid on [0, 1], mapped to [-1, 1].

    Parameters with 3
    channels: 5,513,856; with a bottleneck of 100, as the authors have it for some data: 7,153,480.
    """

    multiple = 16

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        size: int,
        *,
        width: Width = 64,
        bottleneck: Annotated[
            Natural, Field(description="channels of a 1x1 layer in the middle, for 64 px images; 0: none")
        ] = 0,
        norm: NormOption = "batch",
    ) -> None:
        super().__init__()
        if bottleneck and size != 64:
            raise GanzooError(
                f"DiscoGAN's bottleneck is for images of 64 px, they have {size}: set data.size = 64, or leave out "
                "the generator's bottleneck."
            )
        w = width
        layers: list[nn.Module] = [*encoder(in_channels, w, norm)]
        if bottleneck:
            self.multiple = 64
            inner = norm if norm == "batch" else "none"  # instance norm would leave nothing of one pixel
            layers += [nn.Conv2d(8 * w, bottleneck, 4, bias=False), norm_layer(inner, bottleneck), nn.LeakyReLU(0.2)]
            layers += [nn.ConvTranspose2d(bottleneck, 8 * w, 4, bias=False), norm_layer(norm, 8 * w), nn.ReLU()]
        for v in (8 * w, 4 * w, 2 * w):
            layers += [nn.ConvTranspose2d(v, v // 2, 4, 2, 1, bias=False), norm_layer(norm, v // 2), nn.ReLU()]
        self.layers = nn.Sequential(*layers, nn.ConvTranspose2d(w, out_channels, 4, 2, 1, bias=False))

    def forward(self, image: Tensor) -> Tensor:
        return 2 * torch.sigmoid(self.layers((image + 1) / 2)) - 1


class DiscoDiscriminator(Discriminator):
    """The generator's encoder and a 4x4 convolution: one logit for an image of 64 px. Parameters: 2,765,568."""

    def __init__(
        self,
        in_channels: int,
        size: int,
        *,
        width: Width = 64,
        norm: NormOption = "batch",
    ) -> None:
        super().__init__()
        if size < 64:
            raise GanzooError(f"DiscoGAN's discriminator needs images of 64 px or more, they have {size}.")
        self.stages = nn.ModuleList(encoder(in_channels, width, norm))
        self.last = nn.Conv2d(8 * width, 1, 4, bias=False)

    def forward(self, image: Tensor) -> Tensor:
        return self.features(image)[0]

    def features(self, image: Tensor) -> tuple[Tensor, list[Tensor]]:
        """The logit, and the activations of the second, third and fourth layer, for feature matching."""
        activations = [(image + 1) / 2]
        for stage in self.stages:
            activations.append(stage(activations[-1]))
        return self.last(activations[-1]), activations[2:]
