"""Steps captured as CUDA graphs: every operator of a step is recorded once, and then all are started as one."""

from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.optim import Optimizer
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from ganzoo.clock import Clock, Inputs
from ganzoo.errors import GanzooError
from ganzoo.trainer import Batch, Phase, Terms

FIRST = 3  # steps of a kind that are taken one operator at a time: in them optimizers and libraries set themselves up
LEAVE_OUT = 'Leave train.compile = "graph" out.'

Updates = Callable[[Batch, list[Phase]], dict[str, Terms]]


class Captured(NamedTuple):
    """One kind of step."""

    inputs: Inputs
    names: list[tuple[str, str]]
    """phase and term of each value"""
    values: Tensor
    """(terms,), after a replay"""
    replay: Callable[[], None]


class Graph:
    """How torch captures CUDA graphs that share their memory, as only one is replayed at a time."""

    def __init__(self) -> None:
        self.stream, self.pool = torch.cuda.Stream(), torch.cuda.graph_pool_handle()

    @contextmanager
    def aside(self) -> Iterator[None]:
        """Inside, on the stream that will be captured."""
        self.stream.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(self.stream):
            yield
        torch.cuda.current_stream().wait_stream(self.stream)

    def capture(self, take: Callable[[], Any]) -> tuple[Any, Callable[[], None]]:
        """What `take` gives, and what does again all that it does on the GPU. Raises GanzooError where that fails."""
        graph, before = torch.cuda.CUDAGraph(), torch.get_rng_state()
        mode = "thread_local"  # meanwhile another thread pins the next batch
        try:
            with torch.cuda.graph(graph, self.pool, self.stream, mode), NothingFromOutside():
                made = take()
        except RuntimeError as error:
            raise GanzooError(
                f"A step of this model cannot be captured as a CUDA graph: {error}. {LEAVE_OUT}"
            ) from error
        if not torch.equal(torch.get_rng_state(), before):
            raise GanzooError(
                "The model draws random numbers on the CPU, which a captured step would do only once. "
                f"{LEAVE_OUT} (Its author can use clock.rand and randn instead.)"
            )
        return made, graph.replay


class NothingFromOutside(TorchDispatchMode):
    """Inside, to copy a tensor from the CPU raises GanzooError: a graph would find something else in its memory."""

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        out = func(*args, **(kwargs or {}))
        given, made = ([t for t in tree_leaves(tree) if isinstance(t, Tensor)] for tree in ((args, kwargs), out))
        outside = [t for t in given if t.device.type == "cpu" and t.ndim]
        if outside and any(t.device.type != "cpu" for t in made):
            raise GanzooError(
                f"The model moves a tensor of shape {tuple(outside[0].shape)} from the CPU to its device within its "
                f"step, which a captured step cannot do. {LEAVE_OUT} (Its author can use clock.input, or a buffer.)"
            )
        return out


class CapturedSteps:
    """Takes the updates of a step by replaying a graph: one for each set of domains, phases and lazy terms.

    The first steps of each kind are taken as they are. Raises GanzooError where a step cannot be captured.
    """

    def __init__(
        self, updates: Updates, optimizers: list[Optimizer], clock: Clock, device: torch.device, dtype: torch.dtype
    ) -> None:
        self.updates, self.clock, self.device, self.dtype = updates, clock, device, dtype
        self.graph = Graph()
        self._batch: Batch = {}
        self._inputs: dict[tuple[Any, ...], Inputs] = {}
        self._seen: Counter[tuple[Any, ...]] = Counter()
        self._captured: dict[tuple[Any, ...], Captured] = {}
        clock.static = True
        for optimizer in optimizers:
            for group in optimizer.param_groups:
                if not group.get("fused") and "capturable" not in group:
                    raise GanzooError(f"{type(optimizer).__name__} cannot be captured as a CUDA graph. {LEAVE_OUT}")
                group["capturable"] = True

    def __call__(self, batch: Batch, phases: list[Phase]) -> dict[str, Terms]:
        """The updates of these phases on a batch that is on the device."""
        batch = {name: self._placed(name, value) for name, value in batch.items()}
        kind = (*batch, *(phase.name for phase in phases), *self.clock.asked())
        found = self._captured.get(kind)
        if found is None:
            self._seen[kind] += 1
            inputs = self._inputs.setdefault(kind, Inputs(self.clock, self.device, self.dtype))
            if self._seen[kind] <= FIRST:
                recorded = inputs.recorded() if self._seen[kind] == FIRST else nullcontext()
                with self.graph.aside(), recorded:
                    return self.updates(batch, phases)
            found = self._captured[kind] = self._capture(batch, phases, inputs)
        else:
            found.inputs.make()
        found.inputs.place()
        found.replay()
        terms: dict[str, Terms] = {}
        for (phase, name), value in zip(found.names, found.values.clone().unbind(), strict=True):
            terms.setdefault(phase, {})[name] = value
        return terms

    def _placed(self, name: str, value: Tensor) -> Tensor:
        if name not in self._batch:
            self._batch[name] = value.clone()
        place = self._batch[name]
        if place.shape != value.shape:
            raise GanzooError(
                f'train.compile = "graph" needs batches of one size: this one is {tuple(value.shape)}, another was '
                f"{tuple(place.shape)}. Set a data.preprocess that makes squares, or leave train.compile out."
            )
        return place.copy_(value)

    def _capture(self, batch: Batch, phases: list[Phase], inputs: Inputs) -> Captured:
        def take() -> tuple[list[tuple[str, str]], Tensor]:
            terms = self.updates(batch, phases)
            names = [(phase, name) for phase, of_phase in terms.items() for name in of_phase]
            return names, torch.stack([terms[phase][name].to(self.dtype) for phase, name in names])

        with inputs.recorded():
            (names, values), replay = self.graph.capture(take)
        return Captured(inputs, names, values, replay)
