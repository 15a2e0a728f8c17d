"""Norms and initial weights, by name."""

from typing import Literal

from torch import nn

Norm = Literal["instance", "batch", "none"]
Init = Literal["normal", "xavier", "kaiming"]


def norm_layer(norm: Norm, channels: int) -> nn.Module:
    """instance: no weights, no running statistics, as CycleGAN has it; batch: both; none: nothing."""
    if norm == "instance":
        return nn.InstanceNorm2d(channels)
    return nn.BatchNorm2d(channels) if norm == "batch" else nn.Identity()


def needs_bias(norm: Norm) -> bool:
    """Whether a convolution before this norm needs a bias: batch norm brings its own."""
    return norm != "batch"


def init_weights(network: nn.Module, init: Init = "normal", gain: float = 0.02) -> None:
    """Initial weights of every convolution and linear layer; biases 0; batch norm's scale N(1, gain).

    normal: N(0, gain), the default of the CycleGAN authors. xavier: normal with `gain`. kaiming: normal, fan in.
    """
    for layer in network.modules():
        if isinstance(layer, nn.Conv2d | nn.ConvTranspose2d | nn.Linear):
            if init == "normal":
                nn.init.normal_(layer.weight, 0.0, gain)
            elif init == "xavier":
                nn.init.xavier_normal_(layer.weight, gain)
            else:
                nn.init.kaiming_normal_(layer.weight)
            if layer.bias is not None:
                nn.init.zeros_(layer.bias)
        elif isinstance(layer, nn.BatchNorm2d):
            nn.init.normal_(layer.weight, 1.0, gain)
            nn.init.zeros_(layer.bias)
