"""The conformance tests of parts that a recipe can name: generators, discriminators, losses and gradient penalties."""

import tomllib
from collections.abc import Iterable, Mapping
from typing import Any

import tomlkit
import torch
from pydantic import TypeAdapter, ValidationError
from torch import Tensor, nn

from ganzoo.clock import Clock
from ganzoo.options import DiscriminatorPart, GeneratorPart, LoggerPart, LossPart, MetricPart, PenaltyPart, options_of
from ganzoo.registry import registry
from ganzoo.trainer import scales
from ganzoo_testing.helpers import SIZE
from ganzoo_testing.subject import Subject, check_options, check_package

TYPES: dict[str, Any] = {
    "generator": GeneratorPart,
    "discriminator": DiscriminatorPart,
    "loss": LossPart,
    "penalty": PenaltyPart,
    "metric": MetricPart,
    "logger": LoggerPart,
}


def check_generator(
    name: str, options: Mapping[str, Any] | None = None, *, channels: tuple[int, int] = (3, 3), size: int = SIZE
) -> None:
    """Tries a registered generator, built for these channels and this size in pixels. Raises ConformanceError.

    Images of any height and width that are multiples of its `multiple` keep their size, with values in [-1, 1]; all of
    its parameters get a gradient.
    """
    subject = Subject("generator", name)
    network = built(subject, options, *channels, size)
    for height in (size, size + network.multiple):
        image, where, shape = _images(channels[0], height, size), f"forward of {height} x {size} px", (height, size)
        (made,) = _outputs(subject, where, network, image)
        expected = f"images of shape {(2, channels[1], *shape)}; they are {tuple(made.shape)}"
        subject.expect(made.shape == (2, channels[1], *shape), where, expected)
        largest = made.abs().max().item()
        subject.expect(largest <= 1 + 1e-4, where, f"values in [-1, 1]; the largest is {largest:.3g}: end with a tanh")
    _check_gradients(subject, network, image)


def check_discriminator(
    name: str, options: Mapping[str, Any] | None = None, *, channels: int = 3, size: int = SIZE
) -> None:
    """Tries a registered discriminator, built for these channels and this size in pixels. Raises ConformanceError.

    It gives logits for each image, as a tensor or a list of several scales; with `features`, also activations.
    """
    subject = Subject("discriminator", name)
    network, image = built(subject, options, channels, size), _images(channels, size, size)
    logits = _outputs(subject, "forward", network, image)
    if callable(getattr(network, "features", None)):
        with subject.expecting("features", "logits and a list of activations"), torch.no_grad():
            again, activations = network.features(image)
        same = all(torch.equal(a, b) for a, b in zip(scales(again), logits, strict=True))
        subject.expect(same, "features", "the logits that forward gives, and activations; the logits are others")
        listed = isinstance(activations, list) and all(len(value) == len(image) for value in activations)
        subject.expect(listed, "features", "activations as a list of tensors that begin with the batch")
    _check_gradients(subject, network, image)


def check_loss(name: str, options: Mapping[str, Any] | None = None) -> None:
    """Tries a registered adversarial loss on random logits of one scale and of several. Raises ConformanceError.

    Losses are scalars with a gradient, and means over the images: twice the same images cost what they cost once.
    """
    subject = Subject("loss", name)
    loss, rng = built(subject, options), torch.Generator().manual_seed(0)
    real, fake, small = (torch.randn(4, 1, side, side, generator=rng, requires_grad=True) for side in (3, 3, 2))
    for method, inputs in (("generator", [fake]), ("discriminator", [real, fake])):
        with subject.expecting(method, "a loss"):
            value, doubled = (getattr(loss, method)(*(x.repeat(n, 1, 1, 1) for x in inputs)) for n in (1, 2))
        _check_scalar(subject, method, value, inputs)
        mean = torch.allclose(value, doubled)
        subject.expect(mean, method, "a mean over the images; of twice the same ones it is another number")
    with subject.expecting("adversarial", "a loss of logits of several scales"):
        value = loss.adversarial([fake, small])
    _check_scalar(subject, "adversarial of two scales", value, [fake, small])
    D, image = _Scales(), _images(3, 16, 16)
    with subject.expecting("discriminator_terms", "terms of a discriminator of several scales"):
        terms = loss.discriminator_terms(D, image, image, Clock(), "x", 0.5)
    expected = ["D_x", *([f"{loss.penalty.term}_x"] if loss.penalty else [])]
    found = f"the terms {expected} of domain x; they are {[*terms]}"
    subject.expect(list(terms) == expected, "discriminator_terms", found)
    for term, value in terms.items():
        _check_scalar(subject, f"term {term}", value, [*D.parameters()][:1])


def check_penalty(name: str, options: Mapping[str, Any] | None = None) -> None:
    """Tries a registered gradient penalty on discriminators of one scale and of several. Raises ConformanceError.

    It is a scalar with a gradient, a mean over the images, and draws with the clock alone.
    """
    subject = Subject("penalty", name)
    penalty = built(subject, options)
    real, fake, gradient = (_images(3, 16, 16, seed) for seed in range(3))
    for D in (_Scales(), nn.Sequential(nn.Conv2d(3, 4, 3), nn.Tanh(), nn.Conv2d(4, 1, 3))):
        values = []
        for seed in (0, 1):
            torch.manual_seed(seed)
            with subject.expecting("call", "a penalty of logits of one scale or of several"):
                values.append(penalty(D, real, fake, Clock()))
        _check_scalar(subject, "call", values[0], [*D.parameters()][:1])
        expected = "draws with clock.rand and clock.randn, not with torch's global generator"
        subject.expect(torch.equal(*values), "points", expected)
    with subject.expecting("cost", "the cost of gradients"):
        once, twice = penalty.cost(gradient), penalty.cost(gradient.repeat(2, 1, 1, 1))
    mean = torch.allclose(once, twice)
    subject.expect(mean, "cost", "a mean over the images; of twice the same gradients it is another number")


class _Scales(nn.Module):
    """A small discriminator of two scales."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Sequential(nn.Conv2d(3, 4, 3), nn.Tanh())
        self.heads = nn.ModuleList(nn.Conv2d(4, 1, 3, stride) for stride in (1, 2))

    def forward(self, image: Tensor) -> list[Tensor]:
        return [head(self.first(image)) for head in self.heads]


def built(subject: Subject, options: Mapping[str, Any] | None, *facts: Any) -> Any:
    """The part with these options, which say what they mean; `facts` are what its type prescribes."""
    check_package(subject)
    part = TYPES[subject.type]
    with subject.expecting("class", "a class that loads"):
        cls = registry().load(subject.type, subject.name)
    try:
        chosen = TypeAdapter(part).validate_python({"name": subject.name, **(options or {})})
    except ValidationError as error:
        raise subject.wrong("options", f"valid options; {error.errors()[0]['msg']}") from error
    values = options_of(cls)(**(options or {}))
    written = tomlkit.dumps(values.model_dump(mode="json", exclude_none=True))
    check_options(subject, "option", values, type(values)(**tomllib.loads(written)))
    torch.manual_seed(0)
    with subject.expecting("constructor", "a part built with what its type prescribes"):
        return chosen.build(*facts)


def _images(channels: int, height: int, width: int, seed: int = 0) -> Tensor:
    """Two of them, in [-1, 1]."""
    return 2 * torch.rand(2, channels, height, width, generator=torch.Generator().manual_seed(seed)) - 1


def _outputs(subject: Subject, where: str, network: nn.Module, image: Tensor) -> list[Tensor]:
    """What it gives in use: finite tensors that begin with the batch, the same again, also under autocast."""
    network.eval()
    with subject.expecting(where, "no errors"), torch.no_grad():
        given = image.clone()
        made, again = network(given), network(given)
        with torch.autocast("cpu", torch.bfloat16):
            rough = network(given)
    expected = f"a tensor, or of several scales a list of them; it gives a {type(made).__name__}"
    subject.expect(isinstance(made, Tensor | list), where, expected)
    subject.expect(torch.equal(given, image), where, "its input to stay as it is; it writes into it: clone it")
    for first, second, third in zip(scales(made), scales(again), scales(rough), strict=True):
        expected = f"tensors that begin with the batch, {len(image)}; one has {tuple(first.shape)}"
        subject.expect(len(first) == len(image), where, expected)
        subject.expect(first.isfinite().all() and third.isfinite().all(), where, "finite numbers, also in bfloat16")
        subject.expect(torch.equal(first, second), where, "the same again for the same image, outside training")
    return scales(made)


def _check_gradients(subject: Subject, network: nn.Module, image: Tensor) -> None:
    """All that it is made of is trained, and so is what comes before it."""
    network.train()
    image = image.clone().requires_grad_()
    with subject.expecting("backward", "a gradient"):
        torch.stack([made.square().sum() for made in scales(network(image))]).sum().backward()
    for key, parameter in network.named_parameters():
        expected = "every parameter to get a gradient; build only what the options use"
        subject.expect(parameter.grad is not None, key, expected)
    passed = image.grad is not None and image.grad.any()
    subject.expect(passed, "backward", "a gradient of its input; there is none")


def _check_scalar(subject: Subject, where: str, value: Any, inputs: Iterable[Tensor]) -> None:
    scalar = isinstance(value, Tensor) and not value.ndim and value.isfinite()
    subject.expect(scalar, where, f"a finite scalar tensor; it is {value}")
    gradients = torch.autograd.grad(value, [*inputs], allow_unused=True) if value.requires_grad else [None]
    depends = all(gradient is not None for gradient in gradients)
    subject.expect(depends, where, "a gradient of all that it is given; there is none")
