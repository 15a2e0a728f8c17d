"""A small encoder-decoder for 64 px images."""

from torch import Tensor, nn

from ganzoo.nets.layers import NormOption, Width, norm_layer
from ganzoo.trainer import Generator


class SmallGenerator(Generator):
    """4x4 convolutions 64, 128, 256 at stride 2, mirrored by transposed ones; tanh. No skips.

    The generator of many small face-to-anime examples. Parameters with 3 channels: 1,318,787 with batch norm,
    1,317,507 with instance norm.
    """

    multiple = 8

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        size: int,
        *,
        width: Width = 64,
        norm: NormOption = "instance",
    ) -> None:
        super().__init__()
        w = width
        layers: list[nn.Module] = []
        for channels, out in ((in_channels, w), (w, 2 * w), (2 * w, 4 * w)):
            layers += [nn.Conv2d(channels, out, 4, 2, 1), norm_layer(norm, out), nn.LeakyReLU(0.2, True)]
        for channels, out in ((4 * w, 2 * w), (2 * w, w)):
            layers += [nn.ConvTranspose2d(channels, out, 4, 2, 1), norm_layer(norm, out), nn.ReLU(True)]
        self.layers = nn.Sequential(*layers, nn.ConvTranspose2d(w, out_channels, 4, 2, 1), nn.Tanh())

    def forward(self, image: Tensor) -> Tensor:
        return self.layers(image)
