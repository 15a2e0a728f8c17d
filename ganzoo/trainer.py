"""The contract between the engine and a model: Generator, Discriminator, Loss, Penalty, Phase, Trainer."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field
from itertools import chain, permutations
from string import ascii_lowercase
from typing import Annotated, Any, ClassVar

import torch
from pydantic import Field, TypeAdapter
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.modules.dropout import _DropoutNd
from torch.optim import Adam, Optimizer

from ganzoo.clock import Clock, derive_seed, seeded
from ganzoo.errors import GanzooError
from ganzoo.options import Count, NonNegative, Options, PenaltyOption

Batch = dict[str, Tensor]
"""One step's data, e.g. domain name -> images (batch, channels, height, width) in [-1, 1]."""
Carry = dict[str, Any]
"""What a phase leaves for the next phases of the same step, tensors in any nesting; detached in between."""
Terms = dict[str, Tensor]
"""Name -> weighted scalar. Their sum is minimised, their names are the log."""
Logits = Tensor | list[Tensor]
"""What a discriminator says: (batch, ...) of any shape, or a list of such tensors, one for each scale."""

COLUMNS = 10  # new images in a row of a sample grid
SEEDS = 3  # styles at random of a sample grid, shared among the targets of a source
TRANSLATES_NOTHING = "This model translates no images. `ganzoo generate RUN` makes new ones."
NEEDS_REFERENCE = "This model takes its style from a reference image: give one."
TAKES_NO_REFERENCE = "This model takes no style from a reference image: leave it out."


class Generator(nn.Module, ABC):
    """Images to images.

    Built with (in_channels, out_channels, size, **own options), where `size` is the side of the training images in
    pixels. A generator may have more to offer, which a model can demand with `ganzoo.needs`: `features(image, layers)`,
    for instance.
    """

    multiple: int = 1
    """height and width must be multiples of this, in pixels; the engine pads images that are not"""

    @abstractmethod
    def forward(self, image: Tensor, *args: Any, **kwargs: Any) -> Tensor:
        """(batch, in_channels, height, width) in [-1, 1] to (batch, out_channels, height, width) in [-1, 1].

        What a model's own generator takes beside the image, such as a style, comes after it.
        """


class Discriminator(nn.Module, ABC):
    """Images to logits: one for an image, one for a patch, or a list of them from several scales.

    Built with (in_channels, size, **own options). One with `features(image) -> (logits, list of activations)` serves
    models that match features.
    """

    @abstractmethod
    def forward(self, image: Tensor) -> Logits:
        """(batch, in_channels, height, width) in [-1, 1] to logits of any shape that begins with the batch."""


class Penalty(ABC):
    """A penalty on the gradient of a discriminator with respect to its input (R1, gradient penalty, DRAGAN).

    Built with (**own options). A subclass says where the gradient is taken and what it costs; `every` above 1 makes it
    lazy: computed in one step of this many, with as many times its weight (Karras et al. 2020, arXiv:1912.04958).
    """

    term: ClassVar[str] = "gp"
    """its name in the log; the domain is appended"""
    at_real: ClassVar[bool] = False
    """whether the points are the real images themselves: then one forward pass serves the loss and the penalty"""

    def __init__(
        self,
        *,
        weight: Annotated[NonNegative, Field(description="weight of the penalty")] = 10.0,
        every: Annotated[Count, Field(description="computed in one step of this many, and weighted up by it")] = 1,
    ) -> None:
        self.weight, self.every = weight, every

    @abstractmethod
    def points(self, real: Tensor, fake: Tensor, clock: Clock) -> Tensor:
        """Where the gradient is taken, from real and fake images, (batch, channels, height, width) in [-1, 1].

        `clock.rand` and `clock.randn` draw at random, the same for any number of processes.
        """

    @abstractmethod
    def cost(self, gradient: Tensor) -> Tensor:
        """Gradients at those points, (batch, channels, height, width), to an unweighted scalar."""

    def __call__(self, D: Callable[[Tensor], Logits], real: Tensor, fake: Tensor, clock: Clock) -> Tensor:
        """The weighted penalty, a scalar with gradient.

        In full precision and uncompiled: neither autocast nor compiled networks survive the second derivative.
        """
        with torch.autocast(real.device.type, enabled=False), torch.compiler.set_stance("force_eager"):
            points = _watched(self.points(real, fake.detach().to(real.dtype), clock))
            return self.on(points, D(points))

    def on(self, points: Tensor, logits: Logits) -> Tensor:
        """The weighted penalty on the gradient of these logits at these points."""
        total = torch.stack([part.sum() for part in scales(logits)]).sum()
        (gradient,) = torch.autograd.grad(total, points, create_graph=True)
        return self.weight * self.every * self.cost(gradient)


class Loss(ABC):
    """An adversarial loss without state. Built with (**own options).

    A subclass says what one scale costs (`generator`, `discriminator`). Models call `adversarial` and
    `discriminator_terms`, which take logits of any number of scales.
    """

    penalty: Penalty | None = None
    """what `discriminator_terms` adds; a recipe chooses it with the loss: `{ name = "lsgan", penalty = "r1" }`"""

    def __init__(self, *, penalty: PenaltyOption = None) -> None:
        part = TypeAdapter(PenaltyOption).validate_python(penalty)  # also a name, from Python
        self.penalty = part.build() if part else None

    @abstractmethod
    def generator(self, fake: Tensor) -> Tensor:
        """Generator loss on the logits of fakes: a scalar, averaged over all logits."""

    @abstractmethod
    def discriminator(self, real: Tensor, fake: Tensor) -> Tensor:
        """Discriminator loss, real term plus fake term, on the logits of both: a scalar, averaged over all logits."""

    def over_scales(self, losses: list[Tensor]) -> Tensor:
        """The losses of all scales as one: their mean."""
        return torch.stack(losses).mean() if len(losses) > 1 else losses[0]

    def adversarial(self, fake: Logits) -> Tensor:
        """The generator's adversarial loss on the logits of fakes: a scalar with gradient."""
        return self.over_scales([self.generator(part) for part in scales(fake)])

    def discriminator_terms(
        self,
        D: Callable[[Tensor], Logits],
        real: Tensor,
        fake: Tensor,
        clock: Clock,
        domain: str = "",
        weight: float = 1.0,
        logits: tuple[Logits | None, Logits | None] = (None, None),
    ) -> Terms:
        """All that a discriminator minimises: `D`, and the penalty under its own name in the steps that have it.

        `real` and `fake`: images (batch, channels, height, width) in [-1, 1]; `fake` is detached here. `clock`: the
        model's. `domain` is appended to the names (`D_zebra`, `gp_zebra`). `weight` does not scale the penalty, which
        has a weight of its own. `logits`: of `real` and of `fake`, where the model has them already.
        """
        fake = fake.detach()
        penalty = self.penalty if self.penalty and clock.every(self.penalty.every) else None
        autocast = torch.is_autocast_enabled(real.device.type)
        on_real, on_fake = logits
        shared = penalty is not None and penalty.at_real and on_real is None and not autocast
        real = _watched(real) if shared else real
        with torch.compiler.set_stance("force_eager") if shared else nullcontext():
            on_real = D(real) if on_real is None else on_real
            on_fake = D(fake) if on_fake is None else on_fake
        pairs = zip(scales(on_real), scales(on_fake), strict=True)
        loss = self.over_scales([self.discriminator(*pair) for pair in pairs])
        suffix = f"_{domain}" if domain else ""
        terms = {f"D{suffix}": weight * loss}
        if penalty:
            terms[f"{penalty.term}{suffix}"] = penalty.on(real, on_real) if shared else penalty(D, real, fake, clock)
        return terms


def scales(logits: Logits) -> list[Tensor]:
    """Logits as a list of scales, also where there is one."""
    return logits if isinstance(logits, list) else [logits]


def _watched(images: Tensor) -> Tensor:
    """The images, with a gradient to ask for; no leaf, as hooks on modules (those that count FLOPs) choke on leaves."""
    return images.detach().requires_grad_().view_as(images)


class Frozen(nn.Module):
    """A fixed network that measures (VGG, say): moved with the model, never trained, saved or averaged.

    `Frozen(make)`: `make()` gives the network, when training begins or at the first call, so that whoever only uses a
    trained model needs no weights of it. Called like the network itself; gradients flow through it to its input.
    """

    def __init__(self, make: Callable[[], nn.Module]) -> None:
        super().__init__()
        self.make = make
        self.register_buffer("place", torch.empty(0), persistent=False)  # its device and dtype are the network's
        self.made: list[nn.Module] = []  # in a list it is no submodule: in no state_dict, in no parameters()

    def load(self) -> nn.Module:
        """The network itself, made now if it is not there yet."""
        if not self.made:
            self.made.append(self.make().eval().requires_grad_(False).to(self.get_buffer("place")))
        return self.made[0]

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        """What the network gives."""
        return self.load()(*args, **kwargs)

    def _apply(self, fn: Any, recurse: bool = True) -> "Frozen":
        for network in self.made:
            network._apply(fn)
        return super()._apply(fn, recurse)


@dataclass(frozen=True)
class Phase:
    """One of the alternating updates: minimises `loss` over the parameters of its optimizers."""

    name: str
    """the phase's own name, which is how the log and messages call it"""
    optimizers: Optimizer | Sequence[Optimizer]
    """one or several, all stepped after one backward pass; another phase may step some of them, too"""
    loss: Callable[[Batch, Carry], Terms]
    """gives the terms whose sum is minimised; called under autocast, once a step (L-BFGS: as often as it asks)"""
    when: Callable[[int], bool] = lambda step: True
    """steps taken so far -> whether this step has the phase; for critics that learn more often than generators"""
    schedule: Callable[[int], float] | None = None
    """images seen -> factor of the learning rates; by default the recipe's: constant, then linear to zero"""

    @property
    def stepped(self) -> tuple[Optimizer, ...]:
        """The optimizers as a tuple."""
        return (self.optimizers,) if isinstance(self.optimizers, Optimizer) else tuple(self.optimizers)

    def parameters(self) -> list[nn.Parameter]:
        """What the phase trains, each parameter once."""
        groups = [group["params"] for optimizer in self.stepped for group in optimizer.param_groups]
        return list({id(p): p for p in chain(*groups)}.values())


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

    def channels_of(self, target: str) -> int:
        """Channels of the images of a domain, or of a target such as "blond,smiling": those of all images."""
        return self.channels.get(target, self.channels[self.domains[0]])


class Trainer(nn.Module, ABC):
    """One model: its networks are attributes, its mathematics are the losses of its phases.

    Subclasses set `Config` (what a recipe may set) and `data_kind`, build networks in `__init__`, optimizers in
    `phases`, and override `translate`, `generate` or both; the engine sees from what is overridden what the model can
    do. The engine owns gradients, precision, processes, resume and the rest.

    `__init__(config, spec)` of this class keeps what it is given as `self.config` and `self.spec`, and `spec.domains`
    as `self.domains`. `self.clock` is the run's `ganzoo.clock.Clock`. An attribute or a method that would hide one of
    `torch.nn.Module` (`to`, `train`, `half`) raises TypeError. State that is neither parameter nor buffer is saved
    where it has a `state_dict` (`stateful`).
    """

    Config: ClassVar[type[Options]] = Options
    """the table of options that a recipe may set, with the defaults of the paper"""
    recipe_defaults: ClassVar[dict[str, Any]] = {}
    """the published setting: keys of any table, such as "data.size" or "train.ema", that a recipe need not repeat"""
    presets: ClassVar[dict[str, dict[str, Any]]] = {}
    """name -> keys of any table, such as "options.identity", where paper and code differ; a recipe chooses one"""
    data_kind: ClassVar[str] = "unpaired"
    """the registered kind of data that its batches come from"""
    inference_mode: ClassVar[str] = "eval"
    """or "train-stats": dropout on and batch statistics when it is used, as pix2pix is published"""
    config: Any
    """the options of this run, an instance of `Config`"""
    fixed_size: ClassVar[bool] = False
    """whether it trains on squares of `spec.size` only, as fully connected layers do"""
    tileable: ClassVar[bool] = True
    """whether large images may be translated in tiles; False where `translate` resizes or classifies the whole image"""
    distinct_images: ClassVar[int | None] = None
    """how many different images `generate` can give; None: any number"""

    def __init__(self, config: Any, spec: DataSpec) -> None:
        super().__init__()
        self.config, self.spec, self.domains = config, spec, spec.domains
        self.clock = Clock()  # the engine puts the run's clock here

    @classmethod
    def choose_data_kind(cls, config: Any) -> str:
        """The kind of data that a model with these options needs: `data_kind`, unless options change it."""
        return cls.data_kind

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        if not (isinstance(cls.Config, type) and issubclass(cls.Config, Options)):
            raise TypeError(f"{cls.__name__}.Config is {cls.Config!r}, it should be a subclass of ganzoo.Options")
        for name in vars(cls):
            _refuse_hiding(name)

    def __setattr__(self, name: str, value: Any) -> None:
        _refuse_hiding(name)
        super().__setattr__(name, value)

    # Training

    @abstractmethod
    def phases(self) -> list[Phase]:
        """The updates of one step, in their order. Called once."""

    def forward(self, batch: Batch) -> Carry:
        """What all phases of a step share: computed once at its start, and its graph is kept until the step ends.

        Override it where one forward pass serves several updates, as in pix2pix: the discriminator's phase takes the
        fake without its graph (`discriminator_terms` detaches it), the generator's phase goes back through the graph.
        """
        return {}

    def adam(self, *networks: nn.Module, **changes: Any) -> Adam:
        """Adam over the parameters of these networks, with `lr` and `betas` of the options (`AdamOptions`).

        `changes` are Adam's own keywords where they differ, such as `lr=1e-6`.
        """
        settings = {"lr": self.config.lr, "betas": self.config.betas} | changes
        return Adam(chain.from_iterable(network.parameters() for network in networks), **settings)

    # Use

    def translate(self, images: Tensor, source: str, target: str, *args: Any, **kwargs: Any) -> Tensor:
        """Images (batch, channels, height, width) in [-1, 1] of domain `source` as images of domain `target`.

        With labels the source is "image" and the target a list such as "blond,smiling" or "blond,no-glasses". A model
        with styles takes a fourth parameter, `style`: what `sample_style` or `encode_style` gave, a row for each image.
        """
        raise GanzooError(TRANSLATES_NOTHING)

    def sample_style(self, count: int, domain: str) -> Tensor:
        """Styles at random, (count, ...), for translations to `domain`, or to labels; from torch's global generator."""
        raise GanzooError(NEEDS_REFERENCE)

    def encode_style(self, images: Tensor, domain: str) -> Tensor:
        """The styles, (batch, ...), of reference images (batch, channels, height, width) in [-1, 1] of `domain`."""
        raise GanzooError(TAKES_NO_REFERENCE)

    def generate(self, count: int, label: str | None = None) -> Tensor:
        """`count` new images, (count, channels, height, width) in [-1, 1], of a label if the model knows labels."""
        raise GanzooError("This model generates no images from noise. `ganzoo translate RUN INPUT OUTPUT` translates.")

    def _overrides(self, method: str) -> bool:
        return getattr(type(self), method) is not getattr(Trainer, method)

    @property
    def translates(self) -> bool:
        """Whether it translates images."""
        return self._overrides("translate")

    @property
    def generates(self) -> bool:
        """Whether it makes images from noise."""
        return self._overrides("generate")

    @property
    def samples_styles(self) -> bool:
        """Whether a style can be drawn at random."""
        return self._overrides("sample_style")

    @property
    def encodes_styles(self) -> bool:
        """Whether a style can be taken from a reference image."""
        return self._overrides("encode_style")

    @property
    def has_styles(self) -> bool:
        """Whether `translate` takes a style."""
        return self.samples_styles or self.encodes_styles

    @property
    def stochastic(self) -> bool:
        """Whether one image has many translations: by styles at random, or by dropout that stays on."""
        drops = self.inference_mode == "train-stats" and any(isinstance(m, _DropoutNd) and m.p for m in self.modules())
        return self.samples_styles or drops

    def choose_style(self, target: str, seed: int = 0, reference: Tensor | None = None) -> Tensor:
        """Styles for translations to `target`: one from the seed, (1, ...), or those of reference images, (batch, ...).

        Raises GanzooError where the model takes no reference, or takes nothing else.
        """
        parameter = next(self.parameters())  # whose device and type may not be those of torch.randn
        with seeded(derive_seed(seed), parameter.device):
            if reference is None:
                return self.sample_style(1, target).to(parameter)
            return self.encode_style(reference.to(parameter), target).to(parameter)

    def translate_with(
        self, images: Tensor, source: str, target: str, seed: int = 0, reference: Tensor | None = None
    ) -> Tensor:
        """`translate`, with a style for models that have styles: from a reference image, or else at random.

        Everything at random depends on the seed alone; torch's global generators are left as they are. One style serves
        all images, unless there is a reference, (batch, channels, height, width) in [-1, 1], for each.
        """
        images = images.to(next(self.parameters()))
        styles: tuple[Tensor, ...] = ()
        if self.has_styles or reference is not None:
            style = self.choose_style(target, seed, reference)
            styles = (style.expand(images.shape[0], *style.shape[1:]),)
        with seeded(derive_seed(seed), images.device):
            return self._translated(images, source, target, *styles)

    def _translated(self, images: Tensor, source: str, target: str, *styles: Tensor) -> Tensor:
        """`translate`, whose result is looked at: what is wrong with it is the author's to mend."""
        fake = self.translate(images, source, target, *styles)
        channels = self.spec.channels_of(target)
        if not isinstance(fake, Tensor) or fake.ndim != 4 or fake.shape[1] != channels:
            given = tuple(fake.shape) if isinstance(fake, Tensor) else type(fake).__name__
            raise GanzooError(f"{type(self).__name__}.translate gives {given}: {target} has {channels} channels.")
        return fake

    def directions(self) -> list[tuple[str, str]]:
        """The (source, target) pairs that `translate` serves: by default from each domain to every other one."""
        return list(permutations(self.domains, 2)) if self.translates else []

    def sample_columns(self, images: dict[str, Tensor], references: dict[str, Tensor]) -> dict[str, dict[str, Tensor]]:
        """What a sample grid shows of test images: groups of columns, title -> (count, channels, height, width).

        `images` and `references` are different test images, by domain. A group goes by its source domain, so that the
        ground truth joins the right one. By default there is one for each source: the image, all it is translated to,
        and between two domains the reconstruction. A model with styles shows those of several seeds and of the
        references instead of the reconstruction. What is generated comes last.
        """
        if not self.translates:
            return {"generated": dict(zip(ascii_lowercase, self.generate(COLUMNS).split(1), strict=False))}
        groups: dict[str, dict[str, Tensor]] = {}
        directions = self.directions()
        for source, target in directions:
            image = images[source]
            group = groups.setdefault(source, {source: image})
            if not self.has_styles:
                group[f"to {target}"] = fake = self._translated(image, source, target)
                if len(self.domains) == 2 and (target, source) in directions:
                    group[f"back to {source}"] = self.translate(fake, target, source)
            targets = sum(source == other for other, _ in directions)
            for seed in range(max(1, SEEDS // targets)) if self.samples_styles else ():
                group[f"to {target}, seed {seed}"] = self.translate_with(image, source, target, seed)
            reference = references.get(target if self.samples_styles or target in references else source)
            if self.encodes_styles and reference is not None:
                group[f"reference {target}"] = reference
                group[f"to {target}, its style"] = self.translate_with(image, source, target, reference=reference)
        return groups | ({"generated": {"new": self.generate(1)}} if self.generates else {})

    def own_metrics(self, test_images: dict[str, list[Tensor]]) -> dict[str, dict[str, float]]:
        """What only this model can measure of itself: direction -> metric -> value, on test images by domain."""
        return {}

    # What the engine asks

    @property
    def multiple(self) -> int:
        """Images' sides must be multiples of this."""
        return max((m.multiple for m in self.modules() if isinstance(m, Generator)), default=1)

    def stateful(self) -> dict[str, Any]:
        """Non-module state to checkpoint, such as image pools, by name: whatever has a `state_dict`."""
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
    if not name.startswith(("_", "forward", "extra_repr")) and callable(getattr(nn.Module, name, None)):
        raise TypeError(f'a Trainer must not call anything "{name}": it would hide torch.nn.Module.{name}')
