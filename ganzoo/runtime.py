"""Device, precision and processes: a thin layer over Lightning Fabric."""

import logging
import os
import subprocess
import sys
import threading
import time
import warnings
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

import psutil
import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.nn.utils import parameters_to_vector, vector_to_parameters
from torch.optim import Optimizer

from ganzoo.cores import Cores
from ganzoo.errors import GanzooError, Stopped, tell
from ganzoo.options import DataOptions, TrainOptions
from ganzoo.trainer import Batch, DataSpec

if TYPE_CHECKING:
    from lightning_fabric import Fabric

LOST = (
    "Another of the {world} processes has ended: what it said is above. If it said nothing it was killed, perhaps for "
    "want of memory: lower data.batch or data.workers."
)
SMALL = 0.3  # of a core: what other programs may use before a thread is given up
PATIENCE = 5.0  # seconds in which a process that lost another one notices that by itself
RANKS = ("RANK", "LOCAL_RANK", "SLURM_PROCID", "JSM_NAMESPACE_RANK")  # variables that Fabric reads in any case


class Place(NamedTuple):
    """Of how many processes a run consists, and which one this is."""

    devices: int
    """processes on each machine"""
    nodes: int
    """machines"""
    rank: int
    """this process's number, counted over all machines"""
    starter: Literal["torchrun", "slurm", "ganzoo"] = "ganzoo"
    """who starts the processes"""

    @property
    def world(self) -> int:
        return self.devices * self.nodes


def place(train: TrainOptions) -> Place:
    """This process's place in its run, as torchrun, srun or the first process tell it in environment variables.

    A run of one process is alone, whatever number it has among the independent tasks of a job. Raises GanzooError where
    a variable makes no sense.
    """
    for name in RANKS:
        _variable(name, 0)
    if "TORCHELASTIC_RUN_ID" in os.environ:
        devices, world = _variable("LOCAL_WORLD_SIZE", least=1), _variable("WORLD_SIZE", least=1)
        return Place(devices, world // devices, _variable("RANK"), "torchrun")
    alone = Place(train.devices, train.nodes, 0)
    if alone.world == 1:
        return alone
    if _variable("SLURM_STEP_NUM_TASKS", 1) == alone.world:
        return alone._replace(rank=_variable("SLURM_PROCID"), starter="slurm")
    if "LOCAL_RANK" in os.environ:
        _variable("MASTER_PORT")  # without it the processes would wait for each other for ever
    return alone._replace(rank=_variable("NODE_RANK", 0) * train.devices + _variable("LOCAL_RANK", 0))


def _variable(name: str, default: int | None = None, least: int = 0) -> int:
    """A whole number from the environment. Raises GanzooError where it is none, or missing without a default."""
    text = os.environ.get(name, "" if default is None else str(default))
    if not (text.isascii() and text.isdigit()) or int(text) < least:
        what = f"{name}={text!r} in the environment is no number" if name in os.environ else f"{name} is not set"
        raise GanzooError(
            f"{what}. Unset RANK, LOCAL_RANK and the like for a run of its own, or start all processes of a run with "
            "torchrun or srun."
        )
    return int(text)


class Runtime:
    """Device, precision and processes; gradients are averaged over processes phase by phase."""

    def __init__(self, train: TrainOptions, batch: int) -> None:
        kind = device_kind(train.device)
        self.place = place(train)
        self.world, devices = self.place.world, self.place.devices
        there = torch.cuda.device_count() if kind == "cuda" else os.cpu_count() or 1 if kind == "cpu" else 1
        if devices > there:
            what = f"{there} {'processor cores' if kind == 'cpu' else f'{kind} devices'}"
            raise GanzooError(f"{devices} devices were asked for, but this machine has {what}. Lower --devices.")
        if batch % self.world:
            said = f"data.batch = {batch} cannot be shared by {self.world} processes: it counts the images of all."
            raise GanzooError(f"{said} Set it to a multiple of {self.world}.")
        if kind != "cuda" and train.precision == "16-mixed":
            raise GanzooError('train.precision = "16-mixed" needs a GPU. Use "bf16-mixed" or "32" here.')
        precision = settled_precision(train)
        with warnings.catch_warnings(), self._joining():
            warnings.simplefilter("ignore")
            self.fabric = self._fabric(kind, precision)
        scaler: Any = getattr(self.fabric.strategy.precision, "scaler", None)
        self.scaler: torch.amp.GradScaler = scaler or torch.amp.GradScaler(enabled=False)  # of 16-mixed, or idle
        self.dtype = torch.float64 if train.precision == "64" else torch.float32
        self.rank = self.place.rank
        self.tell: Callable[[str], None] = lambda said: tell(f"Error: {said}")
        """what tells why the run ended, where the main thread waits for a process that is lost"""
        self._noticed = False

    def _fabric(self, kind: str, precision: Literal["32", "bf16-mixed", "16-mixed", "64"]) -> "Fabric":
        from lightning_fabric import Fabric  # here, as it reads variables that `place` has looked at
        from lightning_fabric.plugins import environments

        logging.getLogger("lightning_fabric").setLevel(logging.WARNING)  # which importing it has just set
        starters = {
            "torchrun": environments.TorchElasticEnvironment,
            "slurm": environments.SLURMEnvironment,
            "ganzoo": environments.LightningEnvironment,
        }
        return Fabric(
            accelerator=kind,
            strategy="ddp" if self.world > 1 else "auto",
            devices=self.place.devices,
            num_nodes=self.place.nodes,
            precision=precision,
            plugins=starters[self.place.starter](),
        )

    def settled_threads(self, asked: int | Literal["auto"], cores: Cores, say: Callable[[str], None]) -> int:
        """What `train.threads` is here: as many as have a core, and if it is "auto" one that nobody else uses.

        `cores` should have watched the start of the run: of two that start together each then sees the other.
        """
        share = self.place.devices
        threads = max(1, min(torch.get_num_threads() if asked == "auto" else asked, cores.count // share))
        if asked != "auto" or self.device.type != "cpu" or threads == 1:
            return threads
        free = cores.free()
        if int((free + SMALL) / share) < threads:
            threads = max(1, int((free + SMALL) / share))
            used = f"Other programs use {cores.count - free:.1f} of the {cores.count} cores"
            say(f"{used}: training with train.threads = {threads}.")
        return threads

    def check_room(self, data: DataOptions, spec: DataSpec) -> None:
        """Raises GanzooError where this process's part of a batch alone is more than the machine's memory."""
        room = psutil.virtual_memory().total
        batch = 4 * data.batch // self.world * sum(spec.channels.values()) * data.size**2  # bytes
        if max(batch, data.load_size**2) > room:
            said = f"data.batch = {data.batch}, data.size = {data.size} and data.load = {data.load_size}"
            raise GanzooError(f"{said} do not fit in this machine's memory, {room / 1e9:,.0f} GB. Lower them.")

    def launch(self) -> None:
        """Start the other processes; from here on every process runs the same program."""
        if self.world > 1:
            logging.getLogger("lightning_fabric").setLevel(logging.WARNING)  # it announces every process
            os.environ.setdefault("TORCH_CPP_LOG_LEVEL", "ERROR")  # in the others, which tell when the first one ends
            if self.place.starter == "ganzoo":
                threading.Thread(target=self._watch, args=(self.fabric.strategy.launcher,), daemon=True).start()
            with self._joining():
                self.fabric.launch()
            self.rank = self.fabric.global_rank

    def _watch(self, launcher: Any) -> None:
        """Ends this process when one that it started is lost, as the main thread may wait for that one for ever."""
        others: list[subprocess.Popen[bytes]] = []
        while not any(other.poll() for other in others):
            time.sleep(1)
            while launcher.procs:  # Fabric watches what is in there, but ends this process without a word
                others.append(launcher.procs.pop())
        time.sleep(PATIENCE)
        if self._noticed:
            return
        self.tell(LOST.format(world=self.world))
        for other in others:
            other.kill()
        os._exit(1)

    @contextmanager
    def _joining(self) -> Iterator[None]:
        try:
            yield
        except (RuntimeError, ValueError) as error:
            if self.world == 1:
                raise
            raise GanzooError(f"The {self.world} processes of this run do not come together: {error}") from error

    @contextmanager
    def fail_together(self) -> Iterator[None]:
        """Inside, what ends one process ends them all, and it is the first one that raises it.

        The others end quietly, with exit code 0: the first one speaks for all.
        """
        try:
            yield
        except Exception as error:
            if self.world == 1:
                raise
            self._noticed = True
            store = dist.distributed_c10d._get_default_store()
            try:
                if isinstance(error, GanzooError):
                    store.set("failure", str(error))
                told = store.get("failure").decode() if store.check(["failure"]) else ""
            except RuntimeError:
                told = "the first process has ended"
            if (
                not told
                and isinstance(error, RuntimeError)
                and (isinstance(error, dist.DistError) or "gloo" in str(error))
            ):
                told = LOST.format(world=self.world)
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


@contextmanager
def threads_of(count: int) -> Iterator[None]:
    """Inside, torch computes with this many threads."""
    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)


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
