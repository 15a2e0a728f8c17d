"""The conformance tests of parts that a recipe can name: generators, discriminators, losses and gradient penalties."""

import tomllib
from collections.abc import Mapping
from typing import Any

import tomlkit
import torch
from pydantic import TypeAdapter, ValidationError
from torch import Tensor, nn

from ganzoo.clock import Clock
from ganzoo.options import DiscriminatorPart, GeneratorPart, LossPart, PenaltyPart, options_of
from ganzoo.registry import registry
from ganzoo.trainer import Discriminator, Generator, Loss, Penalty, scales
from ganzoo_testing.helpers import SIZE
from ganzoo_testing.package import check_options, check_package
from ganzoo_testing.report import expecting, wrong

TYPES = {
    "generator": (GeneratorPart, Generator),
    "discriminator": (DiscriminatorPart, Discriminator),
    "loss": (LossPart, Loss),
    "penalty": (PenaltyPart, Penalty),
}


def check_generator(
    name: str, options: Mapping[str, Any] | None = None, *, channels: tuple[int, int] = (3, 3), size: int = SIZE
) -> None:
    """Tries a registered generator, built for these channels and this size in pixels. Raises ConformanceError.

    Images of any height and width that are multiples of its `multiple` keep their size, with values in [-1, 1]; all of
    its parameters get a gradient.
    """
    what, network = _built("generator", name, options, *channels, size)
    for height in (size, size + network.multiple):
        image, where = _images(2, channels[0], height, size), f"forward of {height} x {size} px"
        shape = (2, channels[1], height, size)
        (made,) = _outputs(what, where, network, image)
        if tuple(made.shape) != shape:
            raise wrong(what, where, f"images of shape {shape}; they are {tuple(made.shape)}")
        if made.abs().max() > 1 + 1e-4:
            raise wrong(what, where, f"values in [-1, 1]; the largest is {made.abs().max():.3g}: end with a tanh")
    _check_gradients(what, network, image)


def check_discriminator(
    name: str, options: Mapping[str, Any] | None = None, *, channels: int = 3, size: int = SIZE
) -> None:
    """Tries a registered discriminator, built for these channels and this size in pixels. Raises ConformanceError.

    It gives logits for each image, as a tensor or a list of several scales; with `features`, also activations.
    """
    what, network = _built("discriminator", name, options, channels, size)
    image = _images(2, channels, size, size)
    logits = _outputs(what, "forward", network, image)
    if callable(getattr(network, "features", None)):
        with expecting(what, "features", "logits and a list of activations"), torch.no_grad():
            again, activations = network.features(image)
        if not all(torch.equal(a, b) for a, b in zip(scales(again), logits, strict=True)):
            raise wrong(what, "features", "the logits that forward gives, and activations; the logits are others")
        if not isinstance(activations, list) or not all(len(value) == len(image) for value in activations):
            raise wrong(what, "features", "activations as a list of tensors that begin with the batch")
    _check_gradients(what, network, image)


def check_loss(name: str, options: Mapping[str, Any] | None = None) -> None:
    """Tries a registered adversarial loss on random logits of one scale and of several. Raises ConformanceError.

    Losses are scalars with a gradient, and means over the images: twice the same images cost what they cost once.
    """
    what, loss = _built("loss", name, options)
    rng = torch.Generator().manual_seed(0)
    real, fake = (torch.randn(4, 1, 3, 3, generator=rng, requires_grad=True) for _ in range(2))
    twice = [torch.cat([logits, logits]) for logits in (real, fake)]
    for method, inputs, doubled in (("generator", (fake,), twice[1:]), ("discriminator", (real, fake), twice)):
        with expecting(what, method, "a loss"):
            value, other = getattr(loss, method)(*inputs), getattr(loss, method)(*doubled)
        _check_scalar(what, method, value, inputs)
        if not torch.allclose(value, other):
            raise wrong(what, method, "a mean over the images; of twice the same ones it is another number")
    several = [fake, torch.randn(4, 1, 2, 2, generator=rng, requires_grad=True)]
    with expecting(what, "adversarial", "a loss of logits of several scales"):
        value = loss.adversarial(several)
    _check_scalar(what, "adversarial of two scales", value, several)
    D, images = _Scales(), [_images(4, 3, 16, 16) for _ in range(2)]
    with expecting(what, "discriminator_terms", "terms of a discriminator of several scales"):
        terms = loss.discriminator_terms(D, *images, Clock(), "x", 0.5)
    expected = ["D_x", *([f"{loss.penalty.term}_x"] if loss.penalty else [])]
    if list(terms) != expected:
        raise wrong(what, "discriminator_terms", f"the terms {expected} of domain x; they are {[*terms]}")
    for term, value in terms.items():
        _check_scalar(what, f"term {term}", value, [*D.parameters()][:1])


def check_penalty(name: str, options: Mapping[str, Any] | None = None) -> None:
    """Tries a registered gradient penalty on discriminators of one scale and of several. Raises ConformanceError.

    It is a scalar with a gradient, a mean over the images, and draws with the clock alone.
    """
    what, penalty = _built("penalty", name, options)
    real, fake = (_images(4, 3, 16, 16, seed) for seed in (0, 1))
    for D in (_Scales(), nn.Sequential(nn.Conv2d(3, 4, 3), nn.Tanh(), nn.Conv2d(4, 1, 3))):
        values, clock = [], Clock()
        for seed in (0, 1):
            clock.set(0)
            torch.manual_seed(seed)
            with expecting(what, "call", "a penalty of logits of one scale or of several"):
                values.append(penalty(D, real, fake, clock))
        _check_scalar(what, "call", values[0], [*D.parameters()][:1])
        if not torch.equal(*values):
            raise wrong(what, "points", "draws with clock.rand and clock.randn, not with torch's global generator")
    gradient = _images(4, 3, 16, 16, 2)
    with expecting(what, "cost", "the cost of gradients"):
        once, twice = penalty.cost(gradient), penalty.cost(torch.cat([gradient, gradient]))
    if not torch.allclose(once, twice):
        raise wrong(what, "cost", "a mean over the images; of twice the same gradients it is another number")


class _Scales(nn.Module):
    """A small discriminator of two scales."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Sequential(nn.Conv2d(3, 4, 3), nn.Tanh())
        self.heads = nn.ModuleList(nn.Conv2d(4, 1, 3, stride) for stride in (1, 2))

    def forward(self, image: Tensor) -> list[Tensor]:
        return [head(self.first(image)) for head in self.heads]


def _built(type_: str, name: str, options: Mapping[str, Any] | None, *facts: Any) -> tuple[str, Any]:
    """What it is called, and the part with these options, which say what they mean."""
    check_package(type_, name)
    what, cls, (part, base) = f'{type_} "{name}"', registry().load(type_, name), TYPES[type_]
    if not issubclass(cls, base):
        raise wrong(what, "class", f"a subclass of ganzoo.{base.__name__}; it is {cls.__name__}")
    try:
        chosen = TypeAdapter(part).validate_python({"name": name, **(options or {})})
    except ValidationError as error:
        raise wrong(what, "options", f"valid options; {error.errors()[0]['msg']}") from error
    values = options_of(cls)(**(options or {}))
    written = tomlkit.dumps(values.model_dump(mode="json", exclude_none=True))
    check_options(what, "option", values, type(values)(**tomllib.loads(written)))
    torch.manual_seed(0)
    with expecting(what, "constructor", "a part built with what its type prescribes"):
        return what, chosen.build(*facts)


def _images(count: int, channels: int, height: int, width: int, seed: int = 0) -> Tensor:
    return 2 * torch.rand(count, channels, height, width, generator=torch.Generator().manual_seed(seed)) - 1


def _outputs(what: str, where: str, network: nn.Module, image: Tensor) -> list[Tensor]:
    """What it gives in use: finite tensors that begin with the batch, the same again, also under autocast."""
    network.eval()
    with expecting(what, where, "no errors"), torch.no_grad():
        given = image.clone()
        made, again = network(given), network(given)
        with torch.autocast("cpu", torch.bfloat16):
            rough = network(given)
    if not isinstance(made, Tensor | list):
        raise wrong(what, where, f"a tensor, or of several scales a list of them; it gives a {type(made).__name__}")
    if not torch.equal(given, image):
        raise wrong(what, where, "its input to stay as it is; it writes into it: clone it")
    for first, second, third in zip(scales(made), scales(again), scales(rough), strict=True):
        if len(first) != len(image):
            raise wrong(what, where, f"tensors that begin with the batch, {len(image)}; one has {tuple(first.shape)}")
        if not (first.isfinite().all() and third.isfinite().all()):
            raise wrong(what, where, "finite numbers, also in bfloat16")
        if not torch.equal(first, second):
            raise wrong(what, where, "the same again for the same image, outside training")
    return scales(made)


def _check_gradients(what: str, network: nn.Module, image: Tensor) -> None:
    """All that it is made of is trained, and so is what comes before it."""
    network.train()
    image = image.clone().requires_grad_()
    with expecting(what, "backward", "a gradient"):
        torch.stack([made.square().sum() for made in scales(network(image))]).sum().backward()
    for key, parameter in network.named_parameters():
        if parameter.grad is None:
            raise wrong(what, key, "every parameter to get a gradient; build only what the options use")
    if image.grad is None or not image.grad.any():
        raise wrong(what, "backward", "a gradient of its input; there is none")


def _check_scalar(what: str, where: str, value: Any, inputs: Any) -> None:
    if not isinstance(value, Tensor) or value.ndim or not value.isfinite():
        raise wrong(what, where, f"a finite scalar tensor; it is {value}")
    gradients = torch.autograd.grad(value, inputs, allow_unused=True) if value.requires_grad else [None]
    if any(gradient is None for gradient in gradients):
        raise wrong(what, where, "a gradient of all that it is given; there is none")
