"""Device, precision and processes: a thin layer over Lightning Fabric."""

import logging
import math
import os
import socket
import subprocess
import sys
import threading
import time
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

import psutil
import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.nn.utils import vector_to_parameters
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
MESSAGE = 25 * 2**20  # bytes of gradients that travel together: few enough messages, and the first one leaves early
RANKS = ("RANK", "LOCAL_RANK", "SLURM_PROCID", "JSM_NAMESPACE_RANK")  # variables that Fabric reads in any case
STARTERS = {  # what each says: the processes in all, those on this machine, this one's number, that on this machine
    "torchrun": ("WORLD_SIZE", "LOCAL_WORLD_SIZE", "RANK", "LOCAL_RANK"),
    "mpirun": (
        "OMPI_COMM_WORLD_SIZE",
        "OMPI_COMM_WORLD_LOCAL_SIZE",
        "OMPI_COMM_WORLD_RANK",
        "OMPI_COMM_WORLD_LOCAL_RANK",
    ),
    "mpiexec": ("PMI_SIZE", "MPI_LOCALNRANKS", "PMI_RANK", "MPI_LOCALRANKID"),
    "srun": ("SLURM_STEP_NUM_TASKS", "LOCAL_WORLD_SIZE", "SLURM_PROCID", "SLURM_LOCALID"),
}
ALONE = (
    "Unset RANK, LOCAL_RANK and the like for a run of its own, or start all processes of a run with torchrun, srun or "
    "mpirun."
)


class Place(NamedTuple):
    """Of how many processes a run consists, and which one this is."""

    devices: int
    """processes on each machine"""
    nodes: int
    """machines"""
    rank: int = 0
    """this process's number, counted over all machines"""
    local: int = 0
    """its number on its machine"""
    starter: str = "ganzoo"
    """who starts the processes: ganzoo itself, or one of STARTERS"""

    @property
    def world(self) -> int:
        return self.devices * self.nodes


def place(train: TrainOptions) -> Place:
    """This process's place in its run, as torchrun, srun, mpirun or the first process say in environment variables.

    torchrun is believed in any case. The others are where the recipe asks for several processes: a run of one is alone,
    whatever number it has among the independent tasks of a job. Raises GanzooError where variables make no sense, or
    say something else than the recipe.
    """
    for name in RANKS:
        _variable(name, 0)
    asked, torchrun = Place(train.devices, train.nodes), "TORCHELASTIC_RUN_ID" in os.environ
    if asked.world == 1 and not torchrun:
        return asked
    by_hand = "RANK" in os.environ  # as torchrun has it, without torchrun
    started = (name for name, (size, *_) in STARTERS.items() if name != "torchrun" and _variable(size, 1) > 1)
    starter = "torchrun" if torchrun or by_hand else next(started, "ganzoo")
    if starter == "ganzoo":
        _meeting_point(asked.nodes, "LOCAL_RANK" in os.environ)
        node = _variable("NODE_RANK", None if asked.nodes > 1 else 0, below=asked.nodes)
        local = _variable("LOCAL_RANK", 0, below=asked.devices)
        return asked._replace(rank=node * asked.devices + local, local=local)
    size, here, number, number_here = STARTERS[starter]
    world = _variable(size, least=1)
    if world != asked.world and not (asked.world == 1 and torchrun):
        raise GanzooError(
            f"{size}={world} in the environment, but train.devices = {train.devices} and train.nodes = {train.nodes} "
            f"ask for {asked.world} processes. Make them agree with --set train.devices=... --set train.nodes=..."
        )
    devices = _variable(here, None if torchrun else min(train.devices, world), least=1)
    if world % devices:
        raise GanzooError(f"{size}={world} is no multiple of {here}={devices}: start as many on every machine.")
    rank = _variable(number, below=world)
    local = _variable(number_here, rank % devices, below=devices)
    tasks = _variable("SLURM_STEP_NUM_TASKS", 1)
    if torchrun and tasks not in (1, world // devices):
        raise GanzooError(
            f"srun started {tasks} tasks (SLURM_STEP_NUM_TASKS), and torchrun in each of them {devices} processes of "
            f"{world}. Start one torchrun on each machine (--ntasks-per-node=1), or leave torchrun out."
        )
    if starter != "srun":
        _meeting_point(world // devices)
    return Place(devices, world // devices, rank, local, starter)


def _meeting_point(nodes: int, port: bool = True) -> None:
    """Without these the processes would wait for each other for ever. Raises GanzooError."""
    if port or nodes > 1:
        _variable("MASTER_PORT")
    if nodes > 1 and not os.environ.get("MASTER_ADDR"):
        raise GanzooError("MASTER_ADDR is not set: it should be the name or address of the first process's machine.")


def _in_terms_of_torchrun(place: Place) -> dict[str, str]:
    """The variables that torchrun sets, with what there is of them kept."""
    from lightning_fabric.plugins.environments import SLURMEnvironment

    address, port = "127.0.0.1", 0
    if place.starter == "srun":  # the same for all tasks of a step, and another for the next step
        address = SLURMEnvironment.resolve_root_node_address(os.environ.get("SLURM_STEP_NODELIST", address))
        port = 15000 + (_variable("SLURM_JOB_ID", 0) + _variable("SLURM_STEP_ID", 0)) % 15000
    said = {"RANK": place.rank, "WORLD_SIZE": place.world, "LOCAL_RANK": place.local}
    met = {"GROUP_RANK": place.rank // place.devices, "MASTER_ADDR": address, "MASTER_PORT": port}
    return {
        name: str(value) for name, value in (met | {n: os.environ[n] for n in met if n in os.environ} | said).items()
    }


def _leave_store_of_torchrun(rank: int) -> None:
    """Processes that torchrun starts again would find there how to meet those that are gone: they meet elsewhere.

    Each machine counts restarts for itself, so that their number cannot tell old from new.
    """
    from lightning_fabric.plugins.collectives.torch_collective import default_pg_timeout
    from lightning_fabric.plugins.environments.lightning import find_free_network_port

    host, port = os.environ["MASTER_ADDR"], _variable("MASTER_PORT")
    theirs = dist.TCPStore(host, port, is_master=False, timeout=default_pg_timeout)
    if rank == 0:
        port = find_free_network_port()
        theirs.set("ganzoo", str(port))
    while rank > 0:
        port = int(theirs.get("ganzoo"))
        with suppress(OSError), socket.create_connection((host, port), timeout=1):
            break
        time.sleep(0.1)
    os.environ |= {"MASTER_PORT": str(port), "TORCHELASTIC_USE_AGENT_STORE": str(False)}


def _variable(name: str, default: int | None = None, least: int = 0, below: float = math.inf) -> int:
    """A whole number from the environment. Raises GanzooError where it is none, or missing without a default."""
    text = os.environ.get(name, "" if default is None else str(default))
    if not (text.isascii() and text.isdigit()) or int(text) < least:
        what = f"{name}={text!r} in the environment is no number" if name in os.environ else f"{name} is not set"
        raise GanzooError(f"{what}. {ALONE}")
    if int(text) >= below:
        raise GanzooError(f"{name}={text} in the environment is not below {below}, the number there is. {ALONE}")
    return int(text)


def _messages(parameters: Sequence[nn.Parameter]) -> list[list[nn.Parameter]]:
    """The parameters from last to first, in parts of one type of number and of about MESSAGE bytes."""
    parts: list[list[nn.Parameter]] = [[]]
    for parameter in reversed(parameters):
        last = parts[-1]
        if last and (last[0].dtype != parameter.dtype or sum(p.nbytes for p in last) >= MESSAGE):
            parts.append(last := [])
        last.append(parameter)
    return parts


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
        own = self.place.starter == "ganzoo"
        if not own:
            os.environ |= _in_terms_of_torchrun(self.place)
        return Fabric(
            accelerator=kind,
            strategy="ddp" if self.world > 1 else "auto",
            devices=self.place.devices,
            num_nodes=self.place.nodes,
            precision=precision,
            plugins=environments.LightningEnvironment() if own else environments.TorchElasticEnvironment(),
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
                if os.environ.get("TORCHELASTIC_USE_AGENT_STORE") == str(True):
                    _leave_store_of_torchrun(self.rank)
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

        The others end quietly, as it speaks for all, and fail only where somebody else started them, who shall know.
        """
        try:
            yield
        except Exception as error:
            if self.world == 1:
                raise
            self._noticed = True
            store = dist.distributed_c10d._get_default_store()
            lost = isinstance(error, RuntimeError) and (isinstance(error, dist.DistError) or "gloo" in str(error))
            told, first = LOST.format(world=self.world) if lost else "", True
            try:
                if isinstance(error, GanzooError):
                    store.set("failure", str(error))
                if store.check(["failure"]):
                    told = store.get("failure").decode()
            except RuntimeError:  # the store is the first one's
                told, first = LOST.format(world=self.world), False
            if isinstance(error, Stopped):
                self.close()
            if self.rank > 0 and (told or isinstance(error, Stopped)):
                ours = self.place.starter == "ganzoo"
                if not first and not ours and 0 in (self.rank - 1, self.place.local):  # one on each machine, at most
                    tell(f"Error: {told}")
                sys.exit(0 if ours else getattr(error, "exit_code", 1))
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

    @contextmanager
    def averaging(self, parameters: Sequence[nn.Parameter]) -> Iterator[None]:
        """Inside, a backward pass makes gradients their mean over all processes; it goes on while messages travel.

        The last parameters' gradients are known first. Where one is not used its message leaves after the pass.
        """
        if self.world == 1:
            yield
            return
        messages = _messages(parameters)
        missing: set[Tensor] = set(parameters)
        sent: list[tuple[list[Tensor], Tensor, Any]] = []  # gradients, the same as one tensor, what is under way

        def send() -> None:
            gradients = [p.grad for p in messages[len(sent)] if p.grad is not None]
            if gradients:
                flat = torch.cat([gradient.flatten() for gradient in gradients])
                sent.append((gradients, flat, dist.all_reduce(flat, async_op=True)))
            else:
                messages.pop(len(sent))

        def ready(parameter: Tensor) -> None:
            missing.discard(parameter)
            while len(sent) < len(messages) and missing.isdisjoint(messages[len(sent)]):
                send()

        hooks = [parameter.register_post_accumulate_grad_hook(ready) for parameter in parameters]
        try:
            yield
        finally:
            for hook in hooks:
                hook.remove()
        while len(sent) < len(messages):
            send()
        for gradients, flat, message in sent:
            message.wait()
            vector_to_parameters(flat.div_(self.world), gradients)

    def mean(self, values: Tensor) -> Tensor:
        """Becomes the mean over all processes, in place."""
        if self.world > 1:
            dist.all_reduce(values)
            values /= self.world
        return values

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
