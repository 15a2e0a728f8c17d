"""Norms and initial weights, by name; and gradient reversal."""

from typing import Annotated, Any, Literal

import torch
import torch.distributed as dist
from pydantic import Field
from torch import Tensor, nn
from torch.nn.utils.parametrize import is_parametrized

from ganzoo.clock import all_reduce_mean
from ganzoo.errors import GanzooError
from ganzoo.options import Count, Init

Norm = Literal["instance", "batch", "none"]
"""The type of an option that names a norm."""
Width = Annotated[Count, Field(le=2**16, description="channels of the first layer; the others are multiples of it")]
"""The type of a part's option for its width."""
NormOption = Annotated[Norm, Field(description="normalisation after the convolutions")]
"""The same as a part's option, with its description."""


def norm_layer(norm: Norm, channels: int) -> nn.Module:
    """instance: no weights, no running statistics, as CycleGAN has it; batch: both; none: nothing."""
    if norm == "instance":
        return nn.InstanceNorm2d(channels)
    return BatchNorm(channels) if norm == "batch" else nn.Identity()


class BatchNorm(nn.BatchNorm2d):
    """Batch norm with the statistics of the whole batch, however many processes share it."""

    def forward(self, x: Tensor) -> Tensor:
        """(batch, channels, height, width) to the same. Raises GanzooError in training if a channel is one number."""
        collecting, alone = self.training and self.track_running_stats, not dist.is_initialized()
        if collecting and alone and x.numel() == x.shape[1]:
            raise GanzooError("Batch norm of a single pixel needs more images: set data.batch to 2 or more.")
        if alone or not collecting:
            return super().forward(x)
        values = x if x.dtype == torch.float64 else x.float()
        mean = all_reduce_mean(values.mean((0, 2, 3), keepdim=True))
        variance = all_reduce_mean((values - mean).square().mean((0, 2, 3), keepdim=True))
        count = dist.get_world_size() * x.numel() // x.shape[1]
        tracked, running_mean, running_var = self.num_batches_tracked, self.running_mean, self.running_var
        assert tracked is not None and running_mean is not None and running_var is not None and self.momentum
        with torch.no_grad():
            tracked += 1
            running_mean.lerp_(mean.flatten().to(running_mean), self.momentum)
            running_var.lerp_((variance.flatten() * count / max(1, count - 1)).to(running_var), self.momentum)
        scale = self.weight.view(1, -1, 1, 1) * (variance + self.eps).rsqrt()
        return ((values - mean) * scale + self.bias.view(1, -1, 1, 1)).to(x.dtype)


def needs_bias(norm: Norm) -> bool:
    """Whether a convolution before this norm needs a bias: batch norm brings its own."""
    return norm != "batch"


def init_weights(network: nn.Module, init: Init = "normal", gain: float = 0.02) -> None:
    """Initial weights of every convolution and linear layer; biases 0; batch norm's scale N(1, gain).

    normal: N(0, gain), the default of the CycleGAN authors. xavier: normal with `gain`. kaiming: normal, fan in.
    torch: all stay as PyTorch made them. A layer with spectral norm gets them below its norm.
    """
    if init == "torch":
        return
    for layer in network.modules():
        if isinstance(layer, nn.Conv2d | nn.ConvTranspose2d | nn.Linear):
            parametrized: Any = getattr(layer, "parametrizations", None)  # spectral norm, for one
            weight = parametrized.weight.original if is_parametrized(layer, "weight") else layer.weight
            if init == "normal":
                nn.init.normal_(weight, 0.0, gain)
            elif init == "xavier":
                nn.init.xavier_normal_(weight, gain)
            else:
                nn.init.kaiming_normal_(weight)
            if layer.bias is not None:
                nn.init.zeros_(layer.bias)
        elif isinstance(layer, nn.BatchNorm2d):
            nn.init.normal_(layer.weight, 1.0, gain)
            nn.init.zeros_(layer.bias)


def reverse_gradient(x: Tensor, strength: float | Tensor = 1.0) -> Tensor:
    """x itself, whose gradient comes back with its sign turned (Ganin et al. 2016, arXiv:1505.07818).

    What follows learns to tell codes apart while what came before learns to make them alike, in one step.
    """
    x = x.view_as(x)  # what else is done with x keeps its gradient
    if x.requires_grad:
        x.register_hook(lambda gradient: -strength * gradient)
    return x
