"""Batch norm in two processes is that of the whole batch: values, gradients and running statistics."""

import subprocess
import sys

import torch
import torch.distributed as dist
from torch import nn

from ganzoo.nets.layers import BatchNorm


def parts() -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    return torch.randn(2, 4, 3, 5, 5, generator=generator, dtype=torch.float64).mul(3).add(1).unbind()


def step(layer: nn.Module, x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
    made = layer(x)
    (made * y).square().mean().backward()
    return made.detach()


def worker(rank: int, folder: str) -> None:
    dist.init_process_group("gloo", init_method=f"file://{folder}/meet", rank=rank, world_size=2)
    layer = BatchNorm(3).double()
    x, y = (part.chunk(2)[rank].clone().requires_grad_() for part in parts())
    made = step(layer, x, y)
    gradients = [layer.weight.grad, layer.bias.grad]
    for gradient in gradients:
        dist.all_reduce(gradient)
    torch.save([made, x.grad / 2, *(g / 2 for g in gradients), *layer.buffers()], f"{folder}/{rank}.pt")
    layer.track_running_stats = False  # as when translating, which the first process may do alone
    if rank == 0:
        layer(x)
    dist.destroy_process_group()


def test_two_processes_equal_one(tmp_path):
    processes = [subprocess.Popen([sys.executable, __file__, str(rank), tmp_path]) for rank in range(2)]
    assert [process.wait() for process in processes] == [0, 0]
    first, second = (torch.load(tmp_path / f"{rank}.pt", weights_only=True) for rank in range(2))
    layer = nn.BatchNorm2d(3).double()
    x, y = parts()
    x.requires_grad_()
    made = step(layer, x, y)
    torch.testing.assert_close(torch.cat([first[0], second[0]]), made, rtol=0, atol=1e-12)
    torch.testing.assert_close(torch.cat([first[1], second[1]]), x.grad, rtol=0, atol=1e-12)
    for ours, theirs in zip(first[2:], [layer.weight.grad, layer.bias.grad, *layer.buffers()], strict=True):
        torch.testing.assert_close(ours, theirs, rtol=0, atol=1e-12)


if __name__ == "__main__":
    worker(int(sys.argv[1]), sys.argv[2])
