"""The PatchGAN discriminator of pix2pix."""

from typing import Annotated

from pydantic import Field
from torch import Tensor, nn

from ganzoo.errors import GanzooError
from ganzoo.nets.layers import NormOption, Width, needs_bias, norm_layer
from ganzoo.options import Layers
from ganzoo.trainer import Discriminator


class PatchDiscriminator(Discriminator):
    """One logit for each overlapping patch (Isola et al. 2017, arXiv:1611.07004).

    Parameters with 3 channels and 3 layers: 2,764,737 with instance norm, 2,765,633 with batch norm.
    """

    def __init__(
        self,
        in_channels: int,
        size: int,
        *,
        width: Width = 64,
        layers: Annotated[
            Layers, Field(description="side of a patch: 0: 1 px, 1: 16, 2: 34, 3: 70, the paper's, 4: 142, 5: 286")
        ] = 3,
        norm: NormOption = "instance",
    ) -> None:
        super().__init__()
        bias = needs_bias(norm)
        if size < 3 * 2**layers:  # less would leave one position, which no norm and no last convolution can take
            why = f"A patch discriminator with {layers} layers needs images of {3 * 2**layers} px or more"
            how = "enlarge it, or give the discriminator fewer layers, such as layers = 1"
            raise GanzooError(f"{why}, and data.size is {size}: {how}.")
        kernel, padding = (4, 1) if layers else (1, 0)
        stack = [nn.Conv2d(in_channels, width, kernel, 2 if layers else 1, padding), nn.LeakyReLU(0.2, True)]
        channels = width
        for level in range(1, max(1, layers) + 1):
            out, stride = width * min(2**level, 8), 2 if level < layers else 1
            stack += [nn.Conv2d(channels, out, kernel, stride, padding, bias=bias), norm_layer(norm, out)]
            stack += [nn.LeakyReLU(0.2, True)]
            channels = out
        self.layers = nn.Sequential(*stack, nn.Conv2d(channels, 1, kernel, 1, padding, bias=bias or layers > 0))

    def forward(self, image: Tensor) -> Tensor:
        return self.layers(image)
