"""The two networks of StarGAN (Choi et al. 2018, arXiv:1711.09020, tables 4 and 5)."""

from typing import Annotated

from pydantic import Field
from torch import Tensor, nn

from ganzoo import Discriminator, GanzooError, Generator, Layers
from ganzoo.nets.layers import Width


def _normed(convolution: nn.Module, channels: int) -> list[nn.Module]:
    """The convolution and an instance norm with weights; always the image's own statistics."""
    return [convolution, nn.InstanceNorm2d(channels, affine=True)]


class ResidualBlock(nn.Module):
    """Two 3x3 convolutions added to their input; nothing after the sum."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            *_normed(nn.Conv2d(channels, channels, 3, 1, 1, bias=False), channels),
            nn.ReLU(True),
            *_normed(nn.Conv2d(channels, channels, 3, 1, 1, bias=False), channels),
        )

    def forward(self, x: Tensor) -> Tensor:
        return x + self.layers(x)


class StarGANGenerator(Generator):
    """7x7-64, down 128, 256, residual blocks, up 128, 64, 7x7-3, tanh; no biases.

    Padding is with zeros: an instance norm takes a constant plane away, so labels laid beside the image as planes are
    seen only at the zeros of the border. Parameters for 3 channels: 8,430,528 with 5 label planes, 8,439,936 with 8.
    """

    multiple = 4

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        size: int,
        *,
        width: Width = 64,
        blocks: Annotated[Layers, Field(description="residual blocks")] = 6,
    ) -> None:
        super().__init__()
        layers = [*_normed(nn.Conv2d(in_channels, width, 7, 1, 3, bias=False), width), nn.ReLU(True)]
        for w in (width, 2 * width):
            layers += [*_normed(nn.Conv2d(w, 2 * w, 4, 2, 1, bias=False), 2 * w), nn.ReLU(True)]
        layers += [ResidualBlock(4 * width) for _ in range(blocks)]
        for w in (4 * width, 2 * width):
            layers += [*_normed(nn.ConvTranspose2d(w, w // 2, 4, 2, 1, bias=False), w // 2), nn.ReLU(True)]
        self.layers = nn.Sequential(*layers, nn.Conv2d(width, out_channels, 7, 1, 3, bias=False), nn.Tanh())

    def forward(self, image: Tensor) -> Tensor:
        return self.layers(image)


class StarGANDiscriminator(Discriminator):
    """Strided 4x4 convolutions with LeakyReLU(0.01), no norm, and two heads: real or fake (src), and the labels (cls).

    Gives (batch, 1, h, w) logits and (batch, classes) logits for training images of side `size`. Parameters with 6
    layers: 44,762,048 for 128 px and 5 classes, 44,884,928 for 256 px, 44,786,624 for 128 px and 8 classes.
    """

    def __init__(self, in_channels: int, size: int, *, classes: int, width: int = 64, layers: int = 6) -> None:
        super().__init__()
        if size < 2**layers:
            raise GanzooError(
                f"A discriminator of {layers} layers halves images of {size} px to nothing: set "
                f"options.discriminator_layers to at most {size.bit_length() - 1}."
            )
        widths = [width * 2**i for i in range(layers)]
        stack: list[nn.Module] = []
        for channels, out in zip((in_channels, *widths), widths, strict=False):
            stack += [nn.Conv2d(channels, out, 4, 2, 1), nn.LeakyReLU(0.01)]
        self.layers = nn.Sequential(*stack)
        self.src = nn.Conv2d(widths[-1], 1, 3, 1, 1, bias=False)
        self.cls = nn.Conv2d(widths[-1], classes, size // 2**layers, bias=False)

    def forward(self, image: Tensor) -> Tensor:
        return self.src(self.layers(image))

    def classify(self, image: Tensor) -> tuple[Tensor, Tensor]:
        """Logits as `forward` gives them, and the class logits."""
        features = self.layers(image)
        return self.src(features), self.cls(features).flatten(1)
