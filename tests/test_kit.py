"""What the kit offers to tests of models: engines, batches, differences, and processes."""

import os

import pytest
import torch
import torch.distributed as dist
from ganzoo_testing import batch, difference, engine, in_processes, trainer
from torch import nn

from ganzoo.data.kinds import random_batch

SMALL = {
    "generator": {"name": "resnet", "width": 4, "blocks": 1},
    "discriminator": {"name": "patch", "width": 4, "layers": 1},
}


def test_an_engine_is_ready_and_always_the_same():
    first, second = (engine("cyclegan", SMALL, batch=4, precision="64") for _ in range(2))
    assert first.trainer.spec.domains == ("left", "right") and first.trainer.spec.size == 32
    assert difference(first.trainer, second.trainer) == 0
    images = batch(first, 3)
    assert images["left"].shape == (4, 3, 32, 32) and images["left"].dtype == torch.float64
    assert torch.equal(images["left"], random_batch(first.trainer.spec, 3, 4)["left"].double())
    assert first.step(images).images == 4
    assert difference(first.trainer, second.trainer) > 0
    assert engine("discogan", preset="paper", size=64).trainer.config.weight_decay == 1e-4
    assert difference(trainer("cyclegan", SMALL), trainer("cyclegan", SMALL)) > 0  # no seed of its own


def test_differences():
    a, b = nn.BatchNorm2d(2), nn.BatchNorm2d(2)
    assert difference(a, b) == 0
    a.running_mean[1] = -3.0
    assert difference(a, b) == difference(b.state_dict(), a.state_dict()) == 3
    a.bias.data[0] = torch.nan
    assert difference(a, b) == torch.inf
    with pytest.raises(ValueError, match=r"only one of them has: num_batches_tracked, running_mean"):
        difference(nn.GroupNorm(1, 2), b)


def shares(factor):
    """What one of several processes has: its rank, the sum of all ranks, its images, and the weights after a step."""
    total = torch.tensor([float(dist.get_rank())])
    dist.all_reduce(total)
    ours = engine("cyclegan", SMALL, batch=4, precision="64", devices=dist.get_world_size())
    images = batch(ours)
    ours.step(images)
    return {
        "rank": factor * dist.get_rank(),
        "total": total,
        "images": images["left"],
        "weights": ours.trainer.state_dict(),
    }


def fails():
    if dist.get_rank() == 1:
        raise ValueError("the second fails")
    dist.barrier()


def vanishes():
    os._exit(3)


def test_processes_form_a_group():
    first, second = in_processes(shares, 10)
    assert (first["rank"], second["rank"]) == (0, 10) and first["total"] == second["total"] == 1
    alone = engine("cyclegan", SMALL, batch=4, precision="64")
    images = batch(alone)
    alone.step(images)
    assert torch.equal(torch.cat([first["images"], second["images"]]), images["left"])
    assert difference(first["weights"], second["weights"]) == 0
    assert difference(first["weights"], alone.trainer.state_dict()) < 1e-6


def test_what_fails_in_a_process_is_told():
    with pytest.raises(RuntimeError, match=r"^ValueError: the second fails$"):
        in_processes(fails)
    with pytest.raises(RuntimeError, match=r"exit codes \[3, 3, 3\]"):
        in_processes(vanishes, count=3)
