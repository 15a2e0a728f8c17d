"""What a recipe may set: the base of every table of options, and parts chosen by name."""

import inspect
from collections.abc import Callable, Iterator
from contextlib import suppress
from functools import cache
from typing import Annotated, Any, Literal, get_type_hints

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PrivateAttr,
    ValidationError,
    ValidationInfo,
    WithJsonSchema,
    create_model,
    field_validator,
    model_serializer,
)

from ganzoo.errors import GanzooError
from ganzoo.registry import Entry, did_you_mean, registry
from ganzoo.text import is_text

DEEPEST, LONGEST = 20, 200  # tables in tables; letters of a wrong value that are shown


class Options(BaseModel):
    """A frozen table of options. Fields carry a default; the string under a field is its description.

    A field's type is what a recipe may write: an unknown key or a wrong value is refused, with its line and the nearest
    right spelling, before anything starts. `ganzoo show NAME` prints the table.
    """

    model_config = ConfigDict(
        frozen=True, extra="forbid", validate_default=True, use_attribute_docstrings=True, allow_inf_nan=False
    )
    """how pydantic reads the table; every table of ganzoo is read in this way"""

    @field_validator("*", mode="before")
    @classmethod
    def _can_be_written(cls, value: Any) -> Any:
        _check_written(value)
        return value


class Part(BaseModel):
    """A registered part: its name and its own options, e.g. `{ name = "unet", width = 32 }` or just `"unet"`."""

    model_config = ConfigDict(frozen=True, extra="allow")

    name: str
    _type: str = PrivateAttr(default="")
    _class: Any = PrivateAttr(default=None)

    @model_serializer(mode="wrap")
    def _as_written(self, table: Callable[["Part"], dict[str, Any]]) -> str | dict[str, Any]:
        return table(self) if self.model_extra else self.name

    def build(self, *facts: Any) -> Any:
        """The part itself; `facts` are what its type prescribes, e.g. (in_channels, out_channels, size)."""
        return self._class(*facts, **(self.model_extra or {}))

    def has(self, *capabilities: str) -> bool:
        """Whether the part has these methods beside those that every part of its type has, e.g. "features"."""
        return all(callable(getattr(self._class, name, None)) for name in capabilities)


def _check_written(value: Any, depth: int = 1) -> None:
    """Raises ValueError for what no recipe could say again."""
    if depth > DEEPEST:
        raise ValueError("it is nested too deeply")
    if isinstance(value, str) and not is_text(value):
        raise ValueError("it is not UTF-8 text: rename the file or folder")
    if isinstance(value, int) and abs(value) >= 2**63:
        raise ValueError("it is too large a number")
    for item in (*value, *value.values()) if isinstance(value, dict) else value if isinstance(value, list) else ():
        _check_written(item, depth + 1)


class _PartOptions(Options):
    model_config = ConfigDict(use_attribute_docstrings=False)  # these have none, and looking for them takes long


@cache
def options_of(part: type) -> type[Options]:
    """The table of a part's own options: the keyword-only parameters of its constructor.

    They are annotated as the fields of an `Options` table are typed, with a description:
    `width: Annotated[int, Field(ge=1, description="channels of the first layer")] = 64`.
    """
    hints = get_type_hints(part.__init__, include_extras=True)  # type: ignore[misc]
    parameters = [p for p in inspect.signature(part).parameters.values() if p.kind is p.KEYWORD_ONLY]
    fields: dict[str, Any] = {
        p.name: (hints.get(p.name, Any), ... if p.default is p.empty else p.default) for p in parameters
    }
    return create_model(f"{part.__name__}Options", __base__=_PartOptions, **fields)


def sentences(error: ValidationError, table: type[BaseModel]) -> Iterator[tuple[str, str]]:
    """The mistakes in a table as pairs: the key, "" of the table itself, and what is wrong in the user's words."""
    for mistake in error.errors():
        message = mistake["msg"].removeprefix("Value error, ")
        key = str(next(iter(mistake["loc"]), ""))
        if mistake["type"] == "extra_forbidden":
            message = f"there is no such key.{did_you_mean(str(mistake['loc'][-1]), list(table.model_fields))}"
        elif mistake["type"] == "missing":
            message = "is missing; the recipe must say it"
        elif mistake["type"] != "value_error":
            given = repr(mistake["input"])
            shown = given if len(given) <= LONGEST else f"{given[:LONGEST]}..."
            message = f"{message[0].lower()}{message[1:]}, it is {shown}"
        yield key, message


def find_source(name: str) -> Entry:
    """The source or the published archive of that name. Raises GanzooError where there is none, or both."""
    claims = [entry for type_ in ("archive", "source") for entry in registry().matches(type_, name)]
    if not claims:
        near = did_you_mean(name, registry().names("source") + registry().names("archive"))
        raise GanzooError(
            f'There is no data source "{name}".{near} '
            f'Your own images are source = "folders" with root = "FOLDER"; `ganzoo data list` shows the others.'
        )
    if len({entry.type for entry in claims}) > 1:
        choices = " or ".join(f'"{entry.qualified}" ({entry.type})' for entry in claims)
        raise GanzooError(f'Packages offer "{name}" as an archive and as a source. Write {choices}.')
    return claims[0]


def _known(type_: str, part: Part, to_train: bool) -> Part:
    """The part looked up, and its options checked against those of its class."""
    try:
        if type_ == "source" and find_source(part.name).type == "archive":
            return part
        found = registry().load(type_, part.name)
    except GanzooError as error:
        if type_ in ("source", "logger") and not to_train:  # a trained model is used without them
            return part
        raise ValueError(str(error)) from error
    table, given = options_of(found), part.model_extra or {}
    for key in given:
        if key not in table.model_fields:
            raise ValueError(
                f'the {type_} "{part.name}" has no option "{key}".{did_you_mean(key, list(table.model_fields))} '
                f"It has: {', '.join(table.model_fields) or 'none'}."
            )
    try:
        values = table(**given)
    except ValidationError as error:
        mistakes = "; ".join(f"{key}: {mistake}" for key, mistake in sentences(error, table))
        raise ValueError(f'the {type_} "{part.name}": {mistakes}') from error
    checked = Part(name=part.name, **{key: getattr(values, key) for key in given})
    checked._type, checked._class = type_, found
    return checked


def _registered(type_: str) -> BeforeValidator:
    """How pydantic reads an option that names a registered part; to a type checker the option is Any."""

    def read(value: Any, info: ValidationInfo) -> Part:
        if isinstance(value, str):
            value = {"name": value}
        if isinstance(value, dict) and isinstance(value.get("name"), str):
            value = Part(**value)
        if not isinstance(value, Part):
            raise ValueError(f'write the name of a {type_}, or a table with its options: {{ name = "NAME", ... }}')
        return _known(type_, value, to_train=bool((info.context or {}).get("to_train")))

    schema = {"anyOf": [{"type": "string"}, {"type": "object", "required": ["name"]}], "part": type_}
    return BeforeValidator(read, json_schema_input_type=Annotated[Any, WithJsonSchema(schema)])


def needs(*capabilities: str) -> AfterValidator:
    """What a model demands of a part beside what every part of its type has, checked when the recipe is read.

    `generator: Annotated[GeneratorPart, needs("features")] = "resnet"`.
    """

    def check(part: Part) -> Part:
        for name in (name for name in capabilities if not part.has(name)):
            able = ", ".join(_having(part._type, name)) or "none that is installed"
            raise ValueError(f'the {part._type} "{part.name}" has no {name}(), which this model needs. Take: {able}.')
        return part

    return AfterValidator(check)


def _having(type_: str, capability: str) -> list[str]:
    """The installed parts of a type with this method."""
    found = []
    for name in registry().names(type_):
        with suppress(GanzooError):  # of one that does not load
            if callable(getattr(registry().load(type_, name), capability, None)):
                found.append(name)
    return found


GeneratorPart = Annotated[Any, _registered("generator")]
"""The type of an option that chooses a generator: `"unet"`, or `{ name = "unet", width = 32 }` with options of its own.

The value has `.build(in_channels, out_channels, size)`, which gives a new `ganzoo.Generator`; `size` is in pixels.
"""
DiscriminatorPart = Annotated[Any, _registered("discriminator")]
"""The type of an option that chooses a discriminator, by name or with options of its own.

The value has `.build(in_channels, size)`, which gives a new `ganzoo.Discriminator`; `size` is in pixels.
"""
LossPart = Annotated[Any, _registered("loss")]
"""The type of an option that chooses an adversarial loss. The value has `.build()`, which gives a `ganzoo.Loss`."""
PenaltyPart = Annotated[Any, _registered("penalty")]
"""The type of an option that chooses a gradient penalty. The value has `.build()`, which gives a `ganzoo.Penalty`."""
PenaltyOption = Annotated[PenaltyPart | None, Field(description="gradient penalty of the discriminator")]
MetricPart = Annotated[Any, _registered("metric")]
LoggerPart = Annotated[Any, _registered("logger")]
SourcePart = Annotated[Any, _registered("source")]

LARGEST = 10**12
"""The largest number that a recipe may set: more than anybody needs, and no library chokes on it."""
Count = Annotated[int, Field(ge=1, le=LARGEST)]
"""The type of an option that counts something: a whole number, 1 or more."""
Natural = Annotated[int, Field(ge=0, le=LARGEST)]
"""The type of an option that counts something that may be absent: a whole number, 0 or more."""
Layers = Annotated[int, Field(ge=0, le=100)]
"""The type of an option that counts layers or blocks of a network: a whole number from 0 to 100."""
NonNegative = Annotated[float, Field(ge=0, le=LARGEST)]
"""The type of an option such as a learning rate: a number, 0 or more."""
Weight = Annotated[float, Field(ge=0, le=LARGEST)]
"""The type of an option that weights a term of a loss: a number, 0 or more; 0 leaves the term out."""
Probability = Annotated[float, Field(ge=0, lt=1)]
"""The type of an option such as a dropout probability: a number from 0 to below 1."""


Init = Literal["normal", "xavier", "kaiming", "torch"]
"""The type of an option that names initial weights."""


class AdamOptions(Options):
    """Options of a model whose optimizers are all Adam (Kingma and Ba 2015); `Trainer.adam` reads them."""

    lr: NonNegative = 2e-4
    """learning rate of Adam"""
    betas: tuple[Probability, Probability] = (0.5, 0.999)
    """decay rates of Adam's moments"""


class AdversarialOptions(AdamOptions):
    """Options that most models with discriminators have."""

    loss: LossPart = "lsgan"
    """adversarial loss, and with it the gradient penalty: `{ name = "bce", penalty = "r1" }`"""
    adversarial: Weight = 1.0
    """weight of the adversarial loss in the generators' loss"""
    discriminator_weight: Weight = 0.5
    """weight of the discriminators' loss, without the penalty"""
    init: Init = "normal"
    """initial weights: normal with a standard deviation of 0.02, xavier with a gain of 0.02, kaiming, or torch:
    those that PyTorch gives its layers"""


def _text(value: Any) -> Any:
    return str(value) if isinstance(value, int) else value  # precision = 32, as everybody writes it


Preprocess = Literal[
    "resize-and-crop",
    "square",
    "scale-shortside-and-crop",
    "scale-width-and-crop",
    "resized-crop",
    "crop",
    "scale-width",
    "none",
]


PLACES = ("source", "root", "archive", "fallback", "domains", "labels", "attributes", "groups", "label_sets")
"""the keys of `[data]` that say which images, not how they are seen"""


class DataOptions(Options):
    """The `[data]` table of a recipe."""

    source: SourcePart
    """a data source, by name or with options of its own, or a published archive (`ganzoo data list`)"""
    root: str = ""
    """folder of your own images, for source = "folders\""""
    archive: str = ""
    """a local copy of the published archive, used instead of downloading"""
    fallback: SourcePart | None = None
    """fallback source if the download fails (a warning is shown)"""
    domains: tuple[str, ...] = ()
    """names of the domains, in order; empty: the source's own names"""
    labels: str = ""
    """attribute file of labelled images, in `root` or a path: CelebA's text or a CSV with a header"""
    attributes: tuple[str, ...] = ()
    """which attributes to use, in order; empty: all"""
    groups: tuple[tuple[str, ...], ...] = ()
    """attributes of which at most one holds, e.g. [["Black_Hair", "Blond_Hair", "Brown_Hair"]]"""
    label_sets: tuple[tuple[str, ...], ...] = ()
    """labels that come from different data sets: an image knows those of one (rendered data sets hide the others)"""
    size: Annotated[Count, Field(ge=8)] = 256
    """side of the square the networks see, in pixels"""
    load: Count | None = None
    """size before the random crop, at least `size`; default: size x 286/256, the paper's"""
    preprocess: Preprocess = "resize-and-crop"
    """how an image becomes that square; square: as resize-and-crop, but of the largest square in its middle;
    scale-shortside-and-crop, scale-width-and-crop: the shorter side, or the width, to `load`, shape kept, and a crop;
    resized-crop: a random crop of 80 to 100 % of every other image, and the others whole, resized"""
    interpolation: Literal["bicubic", "bilinear", "bilinear-no-antialias"] = "bicubic"
    """how images are resized; the last one is what OpenCV does by default"""
    thicken: dict[str, Literal[3, 5, 7]] = {}
    """domain -> side in pixels of a window whose darkest value each pixel takes before resizing: thicker drawn lines"""
    flip: bool = True
    """mirror half of the training images at random"""
    channels: Annotated[int, Field(ge=1, le=4)] | dict[str, Annotated[int, Field(ge=1, le=4)]] = 3
    """channels of the images: one number, or one for each domain: 1 grey, 2 grey+alpha, 3 colour, 4 colour+alpha"""
    max_images: Count | None = None
    """train on the first N images of each domain; default: all"""
    batch: Count = 1
    """images of each domain in a step, over all devices together"""
    workers: int | None = Field(default=None, ge=0, le=1024)
    """processes that prepare images; default: none on a CPU, beside a GPU as many as they turn out to need"""
    cache: Literal["auto", "memory", "file"] | Annotated[float, Field(ge=0, le=LARGEST)] = "auto"
    """where training images are kept decoded and resized, so that each is read once: memory, up to a quarter of what is
    free, or that many GB (0: none); file: in ganzoo's cache, which workers and other runs share, up to a tenth of the
    disk; auto: memory where all fit, there are no workers and nothing is rendered, else file"""
    draft: bool = False
    """decode JPEGs at the smallest of the scales 1, 1/2, 1/4 and 1/8 that has twice the pixels a side that they are
    resized to: several times faster for photographs; pixels then differ a little from those of the papers"""
    broken: Literal["stop", "skip"] = "stop"
    """what to do with an image that cannot be read"""

    @field_validator("load")
    @classmethod
    def _can_be_cropped(cls, load: int | None, found: ValidationInfo) -> int | None:
        if load is not None and load < found.data.get("size", load):
            raise ValueError(f"a crop of size {found.data['size']} does not fit in {load}: set it to that size or more")
        return load

    @property
    def load_size(self) -> int:
        return self.load or round(self.size * 286 / 256)


class TrainOptions(Options):
    """The `[train]` table of a recipe. Everything is counted in images seen."""

    images: Count
    """length of the training: images seen of each domain"""
    constant: float = Field(default=0.5, ge=0, le=1)
    """share of the training at the full learning rate; then it falls linearly to zero"""
    seed: Natural = 0
    """fixes the initial weights, the order of the images and every random draw"""
    checkpoint_every: Count = 10_000
    """images seen between checkpoints"""
    sample_every: Count = 10_000
    """images seen between sample grids; there are earlier ones after 0, 16, 32, 64 ... images"""
    log_every: Count = 100
    """images seen between lines of the log"""
    keep: Count = 3
    """how many checkpoints are kept: the newest ones, and the best with `best`"""
    ema: NonNegative = 0.0
    """half-life, in images seen, of the averaged weights used for translation; 0: no averaging"""
    clip: NonNegative = 0.0
    """gradient-norm clipping threshold per phase; 0: off"""
    precision: Annotated[Literal["auto", "32", "bf16-mixed", "16-mixed", "64"], BeforeValidator(_text)] = "32"
    """floating-point precision of the training; auto: bf16-mixed where the device has matrix units for it, else 32"""
    micro_batch: Count | None = None
    """gradient accumulation: images of each domain that a device computes at once, at most; a larger `data.batch` is
    computed in equal parts, with the same result but where batch norm sees a part only; default: all at once"""
    checkpoint_activations: bool = False
    """gradient checkpointing: compute the activations of every network again in the backward pass instead of keeping
    them; less memory, more time, the same result"""
    compile: Literal[False, True, "graph"] = False
    """true: compile every network with torch.compile; graph: capture whole steps as CUDA graphs, for one GPU, which
    gains where batches are small"""
    metrics: tuple[MetricPart, ...] = ("l1", "psnr", "ssim")
    """metrics of the test images at the end (`ganzoo list` shows what there is)"""
    best: str = ""
    """one of the metrics: each checkpoint is evaluated too, and the best by this metric is kept beside the newest"""
    loggers: tuple[LoggerPart, ...] = ()
    """where terms, learning rates, metrics and sample grids go beside the run folder, such as csv (`ganzoo list`)"""
    threads: Literal["auto"] | Count = "auto"
    """threads of each process that compute on a CPU; auto: one for each core that is free when the run begins. Kept
    when it goes on, as sums round a little differently with another number"""
    device: str = "auto"
    """auto, cpu, cuda or mps"""
    devices: Count = 1
    """processes on this machine, one a device"""
    nodes: Count = 1
    """machines"""

    @field_validator("best")
    @classmethod
    def _is_measured(cls, best: str, found: ValidationInfo) -> str:
        if not best or "metrics" not in found.data:  # the metrics themselves are wrong, which is told already
            return best
        names = [part.name for part in found.data["metrics"]]
        if best not in names:
            measured = f"train.metrics ({', '.join(names) or 'none'})"
            raise ValueError(f'"{best}" is not among {measured}: name it there, too.{did_you_mean(best, names)}')
        if registry().find("metric", best).facts.get("better") not in ("lower", "higher"):
            raise ValueError(f'the plugin of "{best}" does not say whether lower or higher is better')
        return best

    def build_metrics(self) -> dict[str, Any]:
        """The metrics by their names, built."""
        return {part.name: part.build() for part in self.metrics}
