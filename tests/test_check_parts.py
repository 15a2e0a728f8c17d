"""The kit passes all parts that are installed, and refuses those that are spoiled, each in one way."""

import pytest
from ganzoo_testing import ConformanceError, check_discriminator, check_generator, check_loss, check_penalty

from ganzoo.registry import TYPES, registry

CHECKS = {
    "generator": check_generator,
    "discriminator": check_discriminator,
    "loss": check_loss,
    "penalty": check_penalty,
}
PARTS = '''
from typing import Annotated

import torch
from pydantic import Field
from torch import nn
from torch.nn.functional import softplus

from ganzoo import Count, Discriminator, Generator, Loss, Penalty

Kernel = Annotated[Count, Field(description="side of the convolution, odd")]


class Tint(Generator):
    """Nothing is wrong with it."""

    multiple = 2

    def __init__(self, in_channels, out_channels, size, *, kernel: Kernel = 3):
        super().__init__()
        self.layers = nn.Sequential(nn.Conv2d(in_channels, out_channels, kernel, padding=kernel // 2), nn.Tanh())

    def forward(self, image):
        return self.layers(image)


class Untold(Tint):
    def __init__(self, in_channels, out_channels, size, *, kernel: Kernel = 3, gain: float = 1.0):
        super().__init__(in_channels, out_channels, size, kernel=kernel)


class Changeable(Tint):
    def __init__(self, in_channels, out_channels, size, *, sides: Annotated[set[int] | list[int], Field(description="px")] = {3}):
        super().__init__(in_channels, out_channels, size)


class Shrinking(Tint):
    def forward(self, image):
        return self.layers(image)[..., 1:]


class Loud(Tint):
    def forward(self, image):
        return 9 * self.layers(image)


class Square(Tint):
    def forward(self, image):
        return self.layers(image) + torch.zeros(image.shape[2], image.shape[2])


class Scribbling(Tint):
    def forward(self, image):
        return self.layers(image.mul_(0.5))


class Restless(Tint):
    def forward(self, image):
        return (self.layers(image) + torch.rand(1)).clamp(-1, 1)


class Cut(Tint):
    def forward(self, image):
        return self.layers(image.detach())


class Spare(Tint):
    def __init__(self, in_channels, out_channels, size):
        super().__init__(in_channels, out_channels, size)
        self.spare = nn.Linear(2, 2)


class Glance(Discriminator):
    """Two scales, with features: nothing is wrong with it."""

    def __init__(self, in_channels, size):
        super().__init__()
        self.layer, self.head = nn.Conv2d(in_channels, 4, 4, 2), nn.Conv2d(4, 1, 4)

    def forward(self, image):
        return self.features(image)[0]

    def features(self, image):
        inner = [self.layer(image), self.layer(image[..., ::2, ::2])]
        return [self.head(x) for x in inner], inner


class Pair(Glance):
    def forward(self, image):
        return tuple(super().forward(image))


class Pooled(Glance):
    def forward(self, image):
        return super().forward(image)[0].mean(0)


class Other(Glance):
    def forward(self, image):
        return [2 * logits for logits in super().forward(image)]


class Whole(Glance):
    def features(self, image):
        logits, inner = super().features(image)
        return logits, inner[0]


class Softplus(Loss):
    """Nothing is wrong with it."""

    def generator(self, fake):
        return softplus(-fake).mean()

    def discriminator(self, real, fake):
        return softplus(-real).mean() + softplus(fake).mean()


class Sum(Softplus):
    def generator(self, fake):
        return softplus(-fake).sum()


class Map(Softplus):
    def generator(self, fake):
        return softplus(-fake)


class Forgetful(Softplus):
    def discriminator(self, real, fake):
        return softplus(fake).mean()


class Flat(Softplus):
    def adversarial(self, fake):
        return self.generator(fake)


class Renamed(Softplus):
    def discriminator_terms(self, *args, **kwargs):
        return {"critic_loss": term for term in super().discriminator_terms(*args, **kwargs).values()}


class Slope(Penalty):
    """Nothing is wrong with it."""

    def points(self, real, fake, clock):
        return torch.lerp(fake, real, clock.rand(len(real), 1, 1, 1, like=real))

    def cost(self, gradient):
        return gradient.square().mean()


class Dice(Slope):
    def points(self, real, fake, clock):
        return torch.lerp(fake, real, torch.rand(len(real), 1, 1, 1))


class Total(Slope):
    def cost(self, gradient):
        return gradient.square().sum()


class Rows(Slope):
    def cost(self, gradient):
        return gradient.square().flatten(1).mean(1)


class Stranger(nn.Module):
    pass
'''
SOUND = {"tint": "generator", "glance": "discriminator", "softplus": "loss", "slope": "penalty"}
SPOILED = {
    "untold": ("generator", "option.gain", "a description", "Field(description=...)"),
    "changeable": ("generator", "option.sides", "survives being written as TOML"),
    "shrinking": ("generator", "forward of 32 x 32 px", "images of shape (2, 3, 32, 32); they are (2, 3, 32, 31)"),
    "loud": ("generator", "values in [-1, 1]", "end with a tanh"),
    "square": ("generator", "forward of 34 x 32 px", "RuntimeError"),
    "scribbling": ("generator", "its input to stay as it is"),
    "restless": ("generator", "the same again for the same image"),
    "cut": ("generator", "a gradient of its input"),
    "spare": ("generator", "spare.weight", "every parameter to get a gradient"),
    "pair": ("discriminator", "a list of them; it gives a tuple"),
    "pooled": ("discriminator", "tensors that begin with the batch, 2; one has (1, 12, 12)"),
    "other": ("discriminator", "features", "the logits are others"),
    "whole": ("discriminator", "features", "activations as a list"),
    "sum": ("loss", "generator", "a mean over the images"),
    "map": ("loss", "generator", "a finite scalar tensor"),
    "forgetful": ("loss", "discriminator", "a gradient of all that it is given"),
    "flat": ("loss", "adversarial", "a loss of logits of several scales"),
    "renamed": ("loss", "discriminator_terms", "the terms ['D_x'] of domain x; they are ['critic_loss']"),
    "dice": ("penalty", "points", "clock.rand"),
    "total": ("penalty", "cost", "a mean over the images"),
    "rows": ("penalty", "call", "a finite scalar tensor"),
    "stranger": ("loss", "class", "a class that loads; it gives", "a subclass of ganzoo.Loss"),
}


@pytest.fixture(scope="module", autouse=True)
def _installed(tmp_path_factory, plugin, known):
    """The sound parts and all the spoiled ones as a stranger's package."""
    site, lines = tmp_path_factory.mktemp("site"), ["from ganzoo import hookimpl\n"]
    everything = SOUND | {name: type_ for name, (type_, *_) in SPOILED.items()}
    for type_ in CHECKS:
        lines.append(f"\n\n@hookimpl\ndef register_{TYPES[type_]}(register):\n")
        names = [name for name, other in everything.items() if other == type_]
        lines += [f'    register("{name}", "ganzoo_spoiled_parts.parts:{name.title()}")\n' for name in names]
    plugin(site, "spoiled_parts", {"__init__": "".join(lines), "parts": PARTS})
    known(site)


@pytest.mark.parametrize("type_", CHECKS)
def test_all_parts_pass(type_):
    """Those of ganzoo, of the installed plugins, and the sound ones."""
    names = [name for name in registry().names(type_) if name not in SPOILED]
    assert len(names) >= 2
    for name in names:
        small = {"width": 4} if registry().find(type_, name).distribution != "ganzoo-spoiled_parts" else {}
        if type_ in ("generator", "discriminator"):
            CHECKS[type_](name, small, size=64)
        else:
            CHECKS[type_](name)


def test_options_are_those_of_a_recipe():
    check_generator("tint", {"kernel": 5}, channels=(4, 1))
    check_loss("softplus", {"penalty": {"name": "slope", "every": 2}})
    with pytest.raises(ConformanceError, match='no option "kernels"'):
        check_generator("tint", {"kernels": 5})


@pytest.mark.parametrize("name", SPOILED)
def test_a_spoiled_part_is_refused(name):
    type_, *expected = SPOILED[name]
    with pytest.raises(ConformanceError) as refusal:
        CHECKS[type_](name)
    for words in (f'{type_} "{name}"', *expected):
        assert words in str(refusal.value)
