"""The one clock, images seen, and the random streams that follow from it."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

import numpy as np
import torch
import torch.distributed as dist
from torch import Tensor
from torch.distributed.nn.functional import all_reduce
from torch.utils._pytree import tree_leaves

from ganzoo.errors import GanzooError

T = TypeVar("T")
FIRST = 16  # images seen at the first early sample
WEIGHTS = 256  # of a captured step, at most


def derive_seed(*numbers: int) -> int:
    """One well-spread 63-bit seed from several whole numbers."""
    return int(np.random.SeedSequence(numbers).generate_state(1, np.uint64)[0] >> np.uint64(1))


@contextmanager
def seeded(seed: int, device: torch.device) -> Iterator[None]:
    """Inside, torch's global generators begin at the seed; afterwards those of the CPU and `device` go on as before."""
    with torch.random.fork_rng([device] if device.type == "cuda" else []):
        if device.type == "cpu":
            torch.default_generator.manual_seed(seed)  # torch.manual_seed would reseed the GPU's, too
        else:
            torch.manual_seed(seed)
        yield


class Clock:
    """Images seen so far, and everything random in a step as a function of it.

    Torch's default generators (dropout) are seeded for each step too, differently in each process.

    A step may be captured as a CUDA graph, which is replayed and runs no Python. What it takes from the clock goes
    through `rand`, `randn`, `input`, `weight` and `every`; to look at `images`, `step` or `shared` outside of them
    raises GanzooError while it is captured.
    """

    def __init__(self, seed: int = 0, batch: int = 1, rank: int = 0, world: int = 1) -> None:
        self.seed, self.batch, self.rank, self.world = seed, batch, rank, world
        self._shared = torch.Generator()
        self.static = False  # whether steps are captured, so that what they read and write has to keep its place
        self.inputs: Inputs | None = None  # of the step that is being captured
        self._asked: set[int] = set()  # by `every`
        self.part, self.parts = 0, 1  # of this process's rows, where they are computed one part after another
        self._leaves: list[list[Any]] = []  # of each part: the tensors that all of them have
        self._made: list[tuple[Tensor, Tensor]] = []  # in these parts for the whole batch, and the stream afterwards
        self._taken = 0  # of these by this part
        self.set(0)

    def set(self, images: int) -> None:
        """Go to a moment; `images` is a multiple of the batch."""
        self._images = images
        self._shared.manual_seed(derive_seed(self.seed, images))

    def start_step(self) -> None:
        torch.manual_seed(derive_seed(self.seed, self.images, 1 + self.rank))

    def advance(self) -> None:
        self.set(self.images + self.batch)

    @property
    def images(self) -> int:
        """Images seen so far."""
        self._refuse_captured("images")
        return self._images

    @property
    def step(self) -> int:
        """Steps taken so far."""
        self._refuse_captured("step")
        return self._images // self.batch

    @property
    def shared(self) -> torch.Generator:
        """A generator that is the same in every process, for draws that belong to the whole batch."""
        self._refuse_captured("shared")
        return self._shared

    def _refuse_captured(self, name: str) -> None:
        if self.inputs is not None:
            raise GanzooError(
                f'The model looks at clock.{name} in its step, which train.compile = "graph" would do only once: leave '
                "that out. (Its author can use clock.rand, randn, input, weight and every instead.)"
            )

    def every(self, steps: int) -> bool:
        """Whether this is one of every N steps, the first one included: for terms that are lazy."""
        self._asked.add(steps)
        return self._images // self.batch % steps == 0

    def asked(self) -> tuple[bool, ...]:
        """In this step the answers to all that `every` was ever asked."""
        return tuple(self.every(steps) for steps in sorted(self._asked))

    def weight(self, of: Callable[[int], float]) -> float | Tensor:
        """`of(images seen)`, for a weight that changes in the course of training; where captured a scalar tensor."""
        return self.now(of) if self.inputs is None else self.inputs.weight(of)

    def now(self, of: Callable[[int], T]) -> T:
        """`of(images seen)`, whether this step is captured or not."""
        return of(self._images)

    def input(self, make: Callable[[], Tensor], device: torch.device) -> Tensor:
        """What `make` gives on the CPU, on the device; `make` may draw from `shared` and look at the time."""
        return moved(make(), device) if self.inputs is None else self.inputs.add(make, device)

    def each_part(self, parts: list[T]) -> Iterator[T]:
        """The parts of this process's rows, one after another; each draws what the whole batch would draw from here."""
        if len(parts) == 1:
            yield parts[0]
            return
        state, self._leaves, self._made = self._shared.get_state(), [tree_leaves(part) for part in parts], []
        self.parts = len(parts)
        try:
            for self.part, part in enumerate(parts):
                self._taken = 0
                self._shared.set_state(state)
                yield part
        finally:
            self.part, self.parts, self._leaves, self._made = 0, 1, [], []

    def rand(self, *shape: int, like: Tensor) -> Tensor:
        """Uniform in [0, 1): this process's rows of a draw for the whole batch. Device and type follow `like`."""
        return self._rows(torch.rand, shape, like)

    def randn(self, *shape: int, like: Tensor) -> Tensor:
        """Standard normal: this process's rows of a draw for the whole batch. Device and type follow `like`."""
        return self._rows(torch.randn, shape, like)

    def _rows(self, draw: Any, shape: tuple[int, ...], like: Tensor) -> Tensor:
        rows, place = shape[0], self.rank * self.parts + self.part

        def make() -> Tensor:
            whole = (rows * self.world * self.parts, *shape[1:])
            whole = (rows * self.world * self.parts, *shape[1:])
            gathered: Tensor = draw(*whole, generator=self.shared, dtype=torch.float32)
            return gathered[place * rows : (place + 1) * rows]

        return self.input(make, like.device).to(like.dtype)

    def all_gather(self, rows: Tensor) -> Tensor:
        """The rows of every process, in the order of the batch; without gradient.

        Raises GanzooError where a batch is computed in parts, and what is gathered was neither in it nor in `carry`.
        """
        if self.parts > 1:
            place = next((i for i, leaf in enumerate(self._leaves[self.part]) if leaf is rows), None)
            if place is None:
                raise GanzooError(
                    "The model needs something of the whole batch that it computes only here, so that the batch cannot "
                    "be computed in parts: leave train.micro_batch out, or, if there is an image pool, set it to 0."
                )
            rows = torch.cat([leaves[place] for leaves in self._leaves])
        rows = rows.detach()
        if self.world == 1:
            return rows
        gathered = [torch.empty_like(rows) for _ in range(self.world)]
        dist.all_gather(gathered, rows.contiguous())
        return torch.cat(gathered)

    def local_rows(self, rows: Tensor) -> Tensor:
        """This process's part of gathered rows."""
        return rows.chunk(self.world * self.parts)[self.rank * self.parts + self.part]

    def over_batch(self, function: Callable[[Tensor], Tensor], rows: Tensor) -> Tensor:
        """This process's rows of what a function makes of everybody's, called once for the whole batch."""
        if self.parts == 1:
            return self.local_rows(function(self.all_gather(rows)))
        if self.part == 0:
            self._made.append((function(self.all_gather(rows)), self._shared.get_state()))
        made, state = self._made[self._taken]
        self._taken += 1
        self._shared.set_state(state)
        return self.local_rows(made)


class Inputs:
    """What a step takes from the clock, in tensors that keep their place and get new values before each replay."""

    def __init__(self, clock: Clock, device: torch.device, dtype: torch.dtype) -> None:
        self.clock = clock
        self._places: list[Tensor] = []
        self._weights = torch.zeros(WEIGHTS, dtype=dtype, device=device)
        self._complete = False  # whether a step was recorded, so that all places are there

    @contextmanager
    def recorded(self) -> Iterator[None]:
        """Inside, the clock gives what is in here; the first time with its values."""
        self._makers: list[Callable[[], Tensor]] = []
        self._values: list[Tensor] = []
        self._functions: list[Callable[[int], float]] = []
        self.clock.inputs = self
        try:
            yield
        finally:
            self.clock.inputs = None
        self._complete = True

    def add(self, make: Callable[[], Tensor], device: torch.device) -> Tensor:
        """`Clock.input` while a step is recorded: the tensor that holds what `make` gives."""
        self.clock.inputs = None  # `make` may look at it
        self._makers.append(make)
        self._values.append(make())
        self.clock.inputs = self
        if not self._complete:
            self._places.append(moved(self._values[-1], device).clone())
        return self._places[len(self._values) - 1]

    def weight(self, of: Callable[[int], float]) -> Tensor:
        """`Clock.weight` while a step is recorded: a scalar."""
        self._functions.append(of)
        if not self._complete:
            self._place_weights()
        return self._weights[len(self._functions) - 1]

    def _place_weights(self) -> None:
        values = torch.tensor([self.clock.now(of) for of in self._functions], dtype=self._weights.dtype)
        _put(values, self._weights[: len(values)])

    def make(self) -> None:
        """Values of another step."""
        self._values = [make() for make in self._makers]

    def place(self) -> None:
        """Puts the values where the graph reads them."""
        for value, place in zip(self._values, self._places, strict=True):
            _put(value, place)
        if self._functions:
            self._place_weights()


def _put(value: Tensor, place: Tensor) -> None:
    place.copy_(value.pin_memory() if place.is_cuda else value, non_blocking=True)


def moved(drawn: Tensor, device: torch.device) -> Tensor:
    """What was drawn on the CPU, on the device; on a GPU without waiting for what is computed there."""
    return drawn.pin_memory().to(device, non_blocking=True) if device.type == "cuda" else drawn.to(device)


def all_reduce_mean(values: Tensor) -> Tensor:
    """The mean over all processes of what each of them has, with gradient: for statistics of the whole batch."""
    if not dist.is_initialized():
        return values
    return all_reduce(values) / dist.get_world_size()


def due(images: int, batch: int, every: int) -> bool:
    """Whether a multiple of `every` was reached by the step that ended at `images`."""
    return images // every > (images - batch) // every


def due_early(images: int, batch: int, every: int) -> bool:
    """Whether a power of two, from FIRST on and below `every`, was reached by the step that ended at `images`."""
    return FIRST <= images < every and images.bit_length() > max(FIRST - 1, images - batch).bit_length()
