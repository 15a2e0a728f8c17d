"""ComboGAN's networks: CycleGAN's generator cut in two, and a two-stream discriminator."""

from typing import Annotated

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional as F

from ganzoo import Discriminator, Layers
from ganzoo.nets.layers import Norm, Width, norm_layer

GREY = (0.299, 0.587, 0.114)


def activated(convolution: nn.Module, channels: int, norm: Norm = "instance") -> list[nn.Module]:
    return [convolution, norm_layer(norm, channels), nn.PReLU()]


class Block(nn.Module):
    """Two 3x3 convolutions with reflection padding, added to their input; nothing after the sum."""

    def __init__(self, channels: int, norm: Norm) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.ReflectionPad2d(1),
            *activated(nn.Conv2d(channels, channels, 3), channels, norm),
            nn.ReflectionPad2d(1),
            nn.Conv2d(channels, channels, 3),
            norm_layer(norm, channels),
        )

    def forward(self, x: Tensor) -> Tensor:
        return x + self.layers(x)


class Encoder(nn.Module):
    """c7s1-64, d128, d256, R256 x blocks: (batch, channels, height, width) to (batch, 256, height/4, width/4).

    Parameters with 3 channels and 4 blocks: 5,099,143.
    """

    def __init__(self, channels: int, width: int, blocks: int, norm: Norm) -> None:
        super().__init__()
        layers = [nn.ReflectionPad2d(3), *activated(nn.Conv2d(channels, width, 7), width, norm)]
        for w in (width, 2 * width):
            layers += activated(nn.Conv2d(w, 2 * w, 3, stride=2, padding=1), 2 * w, norm)
        self.layers = nn.Sequential(*layers, *(Block(4 * width, norm) for _ in range(blocks)))

    def forward(self, image: Tensor) -> Tensor:
        return self.layers(image)


class Decoder(nn.Module):
    """R256 x blocks, two 4x4 transposed convolutions to 128 and 64, c7s1-3, tanh: the encoder's way back.

    Parameters with 3 channels and 5 blocks: 6,565,770.
    """

    def __init__(self, channels: int, width: int, blocks: int, norm: Norm) -> None:
        super().__init__()
        layers: list[nn.Module] = [Block(4 * width, norm) for _ in range(blocks)]
        for w in (4 * width, 2 * width):
            layers += activated(nn.ConvTranspose2d(w, w // 2, 4, stride=2, padding=1), w // 2, norm)
        self.layers = nn.Sequential(*layers, nn.ReflectionPad2d(3), nn.Conv2d(width, channels, 7), nn.Tanh())

    def forward(self, code: Tensor) -> Tensor:
        return self.layers(code)


class Branch(nn.Module):
    """A PatchGAN of `layers` layers, in which each layer but the first gives one channel away as a prediction."""

    def __init__(self, channels: int, width: int, layers: int) -> None:
        super().__init__()
        self.stages = nn.ModuleList([nn.Sequential(nn.Conv2d(channels, width, 4, 2, 2), nn.PReLU())])
        w = width
        for level in range(1, layers):
            out = width * min(2**level, 8)
            self.stages.append(nn.Sequential(*activated(nn.Conv2d(w, out + 1, 4, 2, 2), out + 1)))
            w = out
        out = width * min(2**layers, 8)
        self.last = nn.Sequential(*activated(nn.Conv2d(w, out, 4, 1, 2), out), nn.Conv2d(out, 1, 4, 1, 2))

    def forward(self, image: Tensor) -> list[Tensor]:
        x, predictions = self.stages[0](image), []
        for stage in self.stages[1:]:
            x, prediction = stage(x).tensor_split([-1], dim=1)
            predictions.append(prediction)
        return [*predictions, self.last(x)]


def blur_kernel() -> Tensor:
    """The authors' blur, (5, 5): an impulse of 5x5 px after a Gaussian of 3 px that its border reflects.

    Reflected so often it is nearly a box: all weights are between 0.0399 and 0.0401.
    """
    offsets = torch.arange(-12, 13)  # four deviations
    bell = torch.exp(-offsets.double().square() / (2 * 3**2))
    places = (torch.arange(5)[:, None] + offsets) % 10
    reflected = torch.minimum(places, 9 - places) == 2  # where a neighbour at this offset is the impulse
    row = (reflected * bell).sum(1) / bell.sum()
    return torch.outer(row, row).float()


class TwoStreamDiscriminator(Discriminator):
    """One branch for the image in grey, one for its blurred colours; predictions from several depths.

    Returns a list of logits (batch, 2, height, width), coarser from one to the next. Outside the image the blur sees
    zeros, as the authors' does: within 2 px of the border colours are paler. Parameters with 3 channels and 4 layers:
    13,931,410.
    """

    def __init__(
        self,
        in_channels: int,
        size: int,
        *,
        width: Width = 64,
        layers: Annotated[Layers, Field(ge=1, description="layers of each stream; all but the first predict")] = 4,
    ) -> None:
        super().__init__()
        self.grey, self.colour = Branch(1, width, layers), Branch(in_channels, width, layers)
        self.blur: Tensor
        self.register_buffer("blur", blur_kernel(), persistent=False)

    def forward(self, image: Tensor) -> list[Tensor]:
        channels = image.shape[1]
        weights = image.new_tensor(GREY if channels >= 3 else (1.0,))
        grey = torch.einsum("bchw,c->bhw", image[:, : len(weights)], weights)[:, None]
        blur = self.blur.to(image.dtype).expand(channels, 1, 5, 5)
        blurred = F.conv2d(image, blur, padding=2, groups=channels)
        pairs = zip(self.grey(grey), self.colour(blurred), strict=True)
        return [torch.cat(pair, dim=1) for pair in pairs]
