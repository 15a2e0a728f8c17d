"""Device, precision and processes: a thin layer over Lightning Fabric."""

import logging
import os
import sys
import warnings
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Literal

import torch
import torch.distributed as dist
from lightning_fabric import Fabric
from torch import Tensor, nn
from torch.nn.utils import parameters_to_vector, vector_to_parameters
from torch.optim import Optimizer

from ganzoo.errors import GanzooError, Stopped
from ganzoo.options import TrainOptions
from ganzoo.trainer import Batch


class Runtime:
    """Device, precision and processes; gradients are averaged over processes phase by phase."""

    def __init__(self, train: TrainOptions, batch: int) -> None:
        kind = device_kind(train.device)
        devices = int(os.environ.get("LOCAL_WORLD_SIZE", train.devices))  # torchrun says how many it started
        nodes = int(os.environ["WORLD_SIZE"]) // devices if "LOCAL_WORLD_SIZE" in os.environ else train.nodes
        there = torch.cuda.device_count() if kind == "cuda" else os.cpu_count() or 1 if kind == "cpu" else 1
        if devices > there:
            what = f"{there} {'processor cores' if kind == 'cpu' else f'{kind} devices'}"
            raise GanzooError(f"{devices} devices were asked for, but this machine has {what}. Lower --devices.")
        self.world = devices * nodes
        if batch % self.world:
            said = f"data.batch = {batch} cannot be shared by {self.world} processes: it counts the images of all."
            raise GanzooError(f"{said} Set it to a multiple of {self.world}.")
        if kind != "cuda" and train.precision == "16-mixed":
            raise GanzooError('train.precision = "16-mixed" needs a GPU. Use "bf16-mixed" or "32" here.')
        precision = settled_precision(train)
        logging.getLogger("lightning_fabric").setLevel(logging.WARNING)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            strategy = "ddp" if self.world > 1 else "auto"
            self.fabric = Fabric(
                accelerator=kind, strategy=strategy, devices=devices, num_nodes=nodes, precision=precision
            )
        scaler: Any = getattr(self.fabric.strategy.precision, "scaler", None)
        self.scaler: torch.amp.GradScaler = scaler or torch.amp.GradScaler(enabled=False)  # of 16-mixed, or idle
        self.dtype = torch.float64 if train.precision == "64" else torch.float32
        self.rank = rank() if self.world > 1 else 0  # independent tasks of a job have numbers, too

    def launch(self) -> None:
        """Start the other processes; from here on every process runs the same program."""
        if self.world > 1:
            logging.getLogger("lightning_fabric").setLevel(logging.WARNING)  # it announces every process
            os.environ.setdefault("TORCH_CPP_LOG_LEVEL", "ERROR")  # in the others, which tell when the first one ends
            self.fabric.launch()
            self.rank = self.fabric.global_rank

    @contextmanager
    def fail_together(self) -> Iterator[None]:
        """Inside, what ends one process ends them all, and it is the first one that raises it.

        The others end quietly, with exit code 0: when another fails, Fabric kills the first before it has spoken.
        """
        try:
            yield
        except Exception as error:
            if self.world == 1:
                raise
            store = dist.distributed_c10d._get_default_store()
            try:
                if isinstance(error, GanzooError):
                    store.set("failure", str(error))
                told = store.get("failure").decode() if store.check(["failure"]) else ""
            except RuntimeError:
                told = "the first process has ended"
            if isinstance(error, Stopped):
                self.close()
            if self.rank > 0 and (told or isinstance(error, Stopped)):
                sys.exit(0)
            if told and isinstance(error, RuntimeError):  # the connection to the one that failed is lost
                raise GanzooError(told) from error
            raise

    def close(self) -> None:
        """Takes leave of the other processes; threads that still listen to them can abort the end of the program."""
        if self.world > 1:
            dist.destroy_process_group()

    @property
    def device(self) -> torch.device:
        return self.fabric.device

    def to_device(self, batch: Batch) -> Batch:
        return {
            key: value.to(self.device, self.dtype if value.is_floating_point() else None, non_blocking=True)
            for key, value in batch.items()
        }

    def step(self, optimizers: Sequence[Optimizer]) -> None:
        """Steps them after one backward pass."""
        for optimizer in optimizers:
            self.scaler.step(optimizer)
        self.scaler.update()

    def clip(self, parameters: Sequence[nn.Parameter], optimizers: Sequence[Optimizer], norm: float) -> None:
        """Scales the gradients of a phase down to this norm, all of them together, where theirs is larger."""
        for optimizer in optimizers:
            self.scaler.unscale_(optimizer)
        nn.utils.clip_grad_norm_(parameters, norm)

    def average_gradients(self, parameters: Iterable[nn.Parameter]) -> None:
        """Gradients become their mean over all processes, in one message for each type of number."""
        if self.world == 1:
            return
        gradients = [p.grad for p in parameters if p.grad is not None]
        for dtype in {g.dtype for g in gradients}:
            same = [g for g in gradients if g.dtype == dtype]
            vector_to_parameters(self.mean(parameters_to_vector(same)), same)

    def mean(self, values: Tensor) -> Tensor:
        reduced: Any = self.fabric.all_reduce(values, reduce_op="mean") if self.world > 1 else values
        return reduced

    def any(self, flag: bool) -> bool:
        """Whether any process raised the flag."""
        return flag if self.world == 1 else bool(self.mean(torch.tensor(float(flag), device=self.device)) > 0)

    def memory_gb(self) -> float:
        """Peak memory in GiB: of the GPU, or of this process on a CPU."""
        if self.device.type == "cuda":
            return torch.cuda.max_memory_allocated() / 2**30
        if sys.platform == "win32":
            return 0.0  # Windows keeps no such record
        import resource

        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        return peak / 2**30 if sys.platform == "darwin" else peak / 2**20


def rank() -> int:
    """This process's number, as torchrun, SLURM or the first process (0) gave it."""
    return int(os.environ.get("RANK", os.environ.get("LOCAL_RANK", os.environ.get("SLURM_PROCID", "0"))))


def settled_precision(train: TrainOptions) -> Literal["32", "bf16-mixed", "16-mixed", "64"]:
    """What `train.precision` is on its device: without matrix units bfloat16 is slower, at times many times."""
    if train.precision != "auto":
        return train.precision
    kind = device_kind(train.device)
    if kind == "cuda":
        units = torch.cuda.is_bf16_supported(including_emulation=False)
    else:  # torch asks the processor, but has no public name for it
        units = kind == "cpu" and getattr(torch.cpu, "_is_amx_tile_supported", lambda: False)()
    return "bf16-mixed" if units else "32"


def device_kind(device: str) -> str:
    available = {"cpu": True, "cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available()}
    if device == "auto":
        return "cuda" if available["cuda"] else "mps" if available["mps"] else "cpu"
    name = "cuda" if device == "gpu" else device
    if not available.get(name):
        usable = ", ".join(kind for kind, there in available.items() if there)
        raise GanzooError(f'There is no device "{device}" on this machine. It has: {usable}.')
    return name
