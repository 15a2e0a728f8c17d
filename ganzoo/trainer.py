"""The contract between the engine and a model: Generator, Discriminator, Loss, Phase, Trainer."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import permutations
from string import ascii_lowercase
from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.optim import Optimizer

from ganzoo.clock import Clock
from ganzoo.errors import GanzooError
from ganzoo.options import Options

Batch = dict[str, Tensor]
"""One step's data, e.g. domain name -> images (batch, channels, height, width) in [-1, 1]."""
Carry = dict[str, Tensor]
"""What a phase leaves for the next phases of the same step; the engine detaches it in between."""
Terms = dict[str, Tensor]
"""Name -> weighted scalar. Their sum is minimised, their names are the log."""


GENERATED = 10  # new images in a row of a sample grid


class Generator(nn.Module, ABC):
    """Images, and perhaps a condition, to images.

    Takes (batch, in_channels, height, width) in [-1, 1], height and width multiples of `multiple`; gives
    (batch, out_channels, height, width) in [-1, 1]. Built with (in_channels, out_channels, size, **own options), where
    `size` is the side of the training images in pixels.
    """

    multiple: int = 1
    """height and width must be multiples of this, in pixels; the engine pads images that are not"""

    def __init__(self, in_channels: int, out_channels: int, size: int) -> None:
        super().__init__()
        self.in_channels, self.out_channels = in_channels, out_channels

    @abstractmethod
    def forward(self, image: Tensor, condition: Tensor | None = None) -> Tensor:
        """(batch, in_channels, height, width) in [-1, 1] to (batch, out_channels, height, width) in [-1, 1]."""


class Discriminator(nn.Module, ABC):
    """Images (batch, in_channels, height, width) in [-1, 1] to logits, one an image or one a patch.

    A discriminator that also classifies or shares features returns them beside the logits, as its model expects.
    Built with (in_channels, size, **own options).
    """

    def __init__(self, in_channels: int, size: int) -> None:
        super().__init__()
        self.in_channels = in_channels

    @abstractmethod
    def forward(self, image: Tensor) -> Any:
        """(batch, in_channels, height, width) in [-1, 1] to logits of any shape that begins with the batch."""


class Loss(ABC):
    """An adversarial loss without state: scalars from logits of any shape, averaged over all of them."""

    penalty_weight: float = 0.0
    """what `penalty` is multiplied by; 0: the loss has none, and it is not asked for"""

    @abstractmethod
    def generator(self, fake: Tensor) -> Tensor:
        """How far the logits of fakes are from being taken for real: a scalar, with gradient."""

    @abstractmethod
    def discriminator(self, real: Tensor, fake: Tensor) -> Tensor:
        """The two mistakes, on the logits of reals and of fakes, added: a scalar, with gradient."""

    def penalty(self, critic: Callable[[Tensor], Tensor], real: Tensor, fake: Tensor, alpha: Tensor) -> Tensor:
        """A weighted penalty on the critic, a scalar with gradient, asked for when `penalty_weight` is not 0.

        `real` and `fake`: images (batch, channels, height, width) in [-1, 1]. `alpha`: (batch, 1, 1, 1) in [0, 1),
        where between the two a point may be taken. Raises TypeError where a loss has a weight but no penalty.
        """
        raise TypeError(f"{type(self).__name__} sets penalty_weight but has no penalty")


def always(step: int) -> bool:
    return True


@dataclass(frozen=True)
class Phase:
    """One of the alternating updates: this optimizer's parameters minimise this loss."""

    name: str
    """the phase's own name, which is how the log and messages call it"""
    optimizer: Optimizer
    """its parameters are those that the phase trains; the engine scales its learning rate"""
    loss: Callable[[Batch, Carry], Terms]
    """gives the terms to add up and minimise; called under autocast, once a step (L-BFGS: as often as it asks)"""
    when: Callable[[int], bool] = always
    """steps taken so far -> whether this step has the phase; for critics that learn more often than generators"""


@dataclass(frozen=True)
class DataSpec:
    """What a model must know of its data to be built."""

    domains: tuple[str, ...]
    """names, as the recipe orders them; `("image",)` for labelled images and for images alone"""
    channels: dict[str, int] = field(default_factory=dict)
    """by domain: 1 grey, 2 grey and alpha, 3 colour, 4 colour and alpha"""
    size: int = 256
    """side of the training images, pixels"""
    labels: tuple[str, ...] = ()
    """names of the columns of `batch["label"]`"""
    groups: tuple[tuple[str, ...], ...] = ()
    """labels of which at most one holds, such as hair colours"""
    label_sets: tuple[tuple[str, ...], ...] = ()
    """labels that come from different data sets; empty: from one"""


KINDS = {
    "unpaired": "two domains, drawn independently: batch[domain]",
    "paired": "two domains, one image of each shows the same thing, cropped and mirrored alike: batch[domain]",
    "domains": "any number of domains; each batch holds images of two of them, drawn again: batch[domain]",
    "labelled": 'batch["image"] with batch["label"], (batch, labels) of 1 and 0, or nan where it is not known',
    "images": 'batch["image"]',
    "still": "the first image of each of two domains, the same in every step, nothing at random: batch[domain]",
}
"""The kinds of data a model may ask for, and what its batches hold."""


class Trainer(nn.Module, ABC):
    """One model: its networks are attributes, its mathematics are the losses of its phases.

    Subclasses set `Config` (what a recipe may set), `data` (the kind of data), build networks and optimizers in
    `__init__`, and give `phases` and `translate`. The engine owns gradients, precision, processes, resume and the rest.

    `__init__(config, spec)` of this class keeps what it is given as `self.config` and `self.spec`, and `spec.domains`
    as `self.domains`. `self.clock` is the run's `ganzoo.clock.Clock`. An attribute or a method that would hide one of
    `torch.nn.Module` (`to`, `train`, `half`) raises TypeError.
    """

    Config: ClassVar[type[Options]] = Options
    """the table of options that a recipe may set, with the defaults of the paper"""
    presets: ClassVar[dict[str, dict[str, Any]]] = {}
    """name -> options, where paper and code differ; a recipe chooses one with `preset`"""
    data: ClassVar[str] = "unpaired"
    """the kind of data that its batches come from: unpaired, paired, domains, labelled, images or still"""
    inference_mode: ClassVar[str] = "eval"
    """or "train-stats": dropout on and batch statistics when it is used, as pix2pix is published"""

    def __init__(self, config: Options, spec: DataSpec) -> None:
        super().__init__()
        self.config, self.spec, self.domains = config, spec, spec.domains
        self.clock = Clock()  # the engine puts the run's clock here

    @classmethod
    def kind(cls, config: Options) -> str:
        """The kind of data that a model with these options needs: `data`, unless options change it."""
        return cls.data

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        for name in vars(cls):
            _refuse_hiding(name)

    def __setattr__(self, name: str, value: Any) -> None:
        _refuse_hiding(name)
        super().__setattr__(name, value)

    @abstractmethod
    def phases(self) -> list[Phase]:
        """The updates of one step, in their order. Called once."""

    def translate(self, images: Tensor, source: str, target: str) -> Tensor:
        """Images (batch, channels, height, width) in [-1, 1] of domain `source` as images of domain `target`.

        With labels the source is "image" and the target a list such as "blond,smiling" or "blond,no-glasses".
        """
        raise GanzooError("This model translates no images. `ganzoo generate RUN` makes new ones.")

    def generate(self, count: int, label: str | None = None) -> Tensor:
        """So many new images, (count, channels, height, width) in [-1, 1], of a label if the model knows labels."""
        raise GanzooError("This model makes no images from nothing. `ganzoo translate RUN INPUT OUTPUT` translates.")

    def directions(self) -> list[tuple[str, str]]:
        """The (source, target) pairs that `translate` serves."""
        return list(permutations(self.domains, 2))

    def sample_columns(self, images: dict[str, Tensor]) -> list[dict[str, Tensor]]:
        """What a sample grid shows of test images: groups of columns, title -> (count, channels, height, width).

        By default a group for each source: the image and all it is translated to; between two domains the way back
        as well. A model that translates nothing shows a row of new images.
        """
        if not self.directions():
            return [dict(zip(ascii_lowercase, self.generate(GENERATED).split(1), strict=False))]
        groups: dict[str, dict[str, Tensor]] = {}
        directions = self.directions()
        for source, target in directions:
            group = groups.setdefault(source, {source: images[source]})
            group[f"to {target}"] = made = self.translate(images[source], source, target)
            if len(self.domains) == 2 and (target, source) in directions:
                group[f"back to {source}"] = self.translate(made, target, source)
        return list(groups.values())

    def figures(self, tests: dict[str, list[Tensor]]) -> dict[str, dict[str, float]]:
        """What only this model can measure of itself, on test images by domain; as `evaluate` gives figures."""
        return {}

    @property
    def multiple(self) -> int:
        """Images' sides must be multiples of this."""
        return max((m.multiple for m in self.modules() if isinstance(m, Generator)), default=1)

    def stateful(self) -> dict[str, Any]:
        """What has a state of its own beside the networks (pools), by name; saved and restored with the run."""
        found: dict[str, Any] = {}
        for name, value in vars(self).items():
            for key, item in value.items() if isinstance(value, dict) else [("", value)]:
                if hasattr(item, "state_dict") and not isinstance(item, nn.Module | Optimizer):
                    found[f"{name}.{key}" if key else name] = item
        return found

    @contextmanager
    def inference(self) -> Iterator[None]:
        """Inside, the networks are as the model is meant to be used, and nothing is recorded for gradients."""
        before = self.training
        self.train(self.inference_mode == "train-stats")
        norms = [m for m in self.modules() if isinstance(m, _BatchNorm) and m.track_running_stats]
        for norm in norms if self.training else []:
            norm.track_running_stats = False  # the images' own statistics are used, and leave no trace
        try:
            with torch.no_grad():
                yield
        finally:
            for norm in norms:
                norm.track_running_stats = True
            self.train(before)


def _refuse_hiding(name: str) -> None:
    overridable = {"forward", "extra_repr"}
    if not name.startswith("_") and name not in overridable and callable(getattr(nn.Module, name, None)):
        raise TypeError(f'a Trainer must not call anything "{name}": it would hide torch.nn.Module.{name}')
