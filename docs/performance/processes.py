"""Two processes of one core each against one process of one core: CycleGAN's step at 128 px, a batch of 2 images."""

import os
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import torch
import torch.distributed as dist
from lightning_fabric.plugins.environments.lightning import find_free_network_port
from torch import nn

from ganzoo import recipe
from ganzoo.clock import Clock
from ganzoo.loop import Engine
from ganzoo.runtime import Runtime
from ganzoo.trainer import DataSpec

SIZE, BATCH, TURNS = 128, 2, 5


class Afterwards(Runtime):
    """Sends the gradients when the backward pass has ended."""

    @contextmanager
    def averaging(self, parameters: Sequence[nn.Parameter]) -> Iterator[None]:
        yield
        with super().averaging(parameters):
            pass


def engine(world: int, rank: int, kind: type[Runtime]) -> Engine:
    """CycleGAN as its paper has it, on one core of each process."""
    changes = [f"data.size={SIZE}", f"data.batch={BATCH}", f"train.devices={world}", 'train.device="cpu"']
    chosen = recipe.read("cyclegan_horse2zebra", changes=[*changes, 'train.precision="32"'])
    runtime = kind(chosen.train, BATCH)
    runtime.launch()
    torch.manual_seed(0)
    trainer = chosen.trainer(chosen.options, DataSpec(("horse", "zebra"), {"horse": 3, "zebra": 3}, SIZE))
    return Engine(trainer, chosen.train, runtime, Clock(0, BATCH, rank, world))


def main(rank: int) -> None:
    os.sched_setaffinity(0, [sorted(os.sched_getaffinity(0))[rank]])
    torch.set_num_threads(1)
    kinds = {"together": engine(2, rank, Runtime), "afterwards": engine(2, rank, Afterwards)}
    kinds |= {"alone": engine(1, 0, Runtime)} if rank == 0 else {}
    seconds: dict[str, list[float]] = {name: [] for name in ("alone", "together", "afterwards")}
    for turn in range(TURNS + 1):
        for name, found in seconds.items():
            dist.barrier()
            if name in kinds:
                images = torch.rand(BATCH if name == "alone" else BATCH // 2, 3, SIZE, SIZE) * 2 - 1
                began = time.perf_counter()
                kinds[name].step({"horse": images, "zebra": images})
                found += [time.perf_counter() - began] if turn else []  # the first warms up
                if rank == 0:
                    print(f"turn {turn} {name}: {time.perf_counter() - began:.1f} s", file=sys.stderr)
    if rank == 0:
        one, two, after = (statistics.median(found) for found in seconds.values())
        print("| CycleGAN at 128 px, a batch of 2 | ratio |\n| --- | --- |")
        print(f"| images/s of two processes of one core each, by those of one process of one core | {one / two:.2f} |")
        print(f"| the same with gradients sent after the backward pass, not within it | {one / after:.2f} |")
    dist.barrier()
    dist.destroy_process_group()


if __name__ == "__main__":
    if "RANK" in os.environ:
        main(int(os.environ["RANK"]))
    else:
        said = os.environ | {"WORLD_SIZE": "2", "MASTER_PORT": str(find_free_network_port()), "OMP_NUM_THREADS": "1"}
        two = [subprocess.Popen([sys.executable, *sys.argv], env=said | {"RANK": str(rank)}) for rank in range(2)]
        sys.exit(max(process.wait() for process in two))
