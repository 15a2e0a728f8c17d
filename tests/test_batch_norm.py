"""Batch norm in two processes is that of the whole batch: values, gradients and running statistics."""

import torch
import torch.distributed as dist
from ganzoo_testing import in_processes
from torch import nn

from ganzoo.nets.layers import BatchNorm


def parts() -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    return torch.randn(2, 4, 3, 5, 5, generator=generator, dtype=torch.float64).mul(3).add(1).unbind()


def step(layer: nn.Module, x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
    made = layer(x)
    (made * y).square().mean().backward()
    return made.detach()


def half() -> list[torch.Tensor]:
    """What one of two processes has of its half of the batch."""
    layer, rank = BatchNorm(3).double(), dist.get_rank()
    x, y = (part.chunk(2)[rank].clone().requires_grad_() for part in parts())
    made = step(layer, x, y)
    gradients = [layer.weight.grad, layer.bias.grad]
    for gradient in gradients:
        dist.all_reduce(gradient)
    buffers = [buffer.clone() for buffer in layer.buffers()]
    layer.track_running_stats = False  # as when translating, which the first process may do alone
    if rank == 0:
        layer(x)
    return [made, x.grad / 2, *(g / 2 for g in gradients), *buffers]


def test_two_processes_equal_one():
    first, second = in_processes(half)
    layer = nn.BatchNorm2d(3).double()
    x, y = parts()
    x.requires_grad_()
    made = step(layer, x, y)
    torch.testing.assert_close(torch.cat([first[0], second[0]]), made, rtol=0, atol=1e-12)
    torch.testing.assert_close(torch.cat([first[1], second[1]]), x.grad, rtol=0, atol=1e-12)
    for ours, theirs in zip(first[2:], [layer.weight.grad, layer.bias.grad, *layer.buffers()], strict=True):
        torch.testing.assert_close(ours, theirs, rtol=0, atol=1e-12)
