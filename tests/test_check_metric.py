"""The kit passes the metrics that come with ganzoo, and refuses those that are spoiled, each in one way."""

import pytest
from ganzoo_testing import ConformanceError, check_metric

METRICS = '''
from typing import Annotated

import torch
from pydantic import Field
from torch import nn

from ganzoo import Metric


class Sound(Metric):
    """The mean of squared errors: nothing is wrong with it."""

    higher_is_better = False

    def __init__(self, *, factor: Annotated[float, Field(description="of the mean")] = 1.0) -> None:
        super().__init__()
        self.factor = factor
        self.add_state("errors", [], dist_reduce_fx="cat")

    def update(self, fake, target):
        self.errors.append((fake - target).square().mean(dim=(1, 2, 3)))

    def compute(self):
        return self.factor * torch.cat(self.errors).mean()


class Distance(Metric):
    """Between the mean contrasts of fakes and of real images."""

    against = "real"
    higher_is_better = False

    def __init__(self):
        super().__init__()
        self.add_state("contrasts", torch.zeros(2), dist_reduce_fx="sum")
        self.add_state("images", torch.zeros(2), dist_reduce_fx="sum")

    def update(self, images, real):
        self.contrasts[int(real)] += images.std(dim=(1, 2, 3)).sum()
        self.images[int(real)] += len(images)

    def compute(self):
        return (self.contrasts / self.images).diff().abs()


class Reversed(Sound):
    higher_is_better = True


class Silent(Sound):
    higher_is_better = None


class Undecided(Sound):
    against = "truth"


class Colour(Sound):
    def update(self, fake, target):
        assert fake.shape[1] == 3, "colour only"
        super().update(fake, target)


class Small(Sound):
    def update(self, fake, target):
        super().update(fake.reshape(len(fake), -1, 32, 32), target.reshape(len(fake), -1, 32, 32))


class Together(Sound):
    """The root of a batch's mean, so it matters what comes together."""

    def update(self, fake, target):
        self.errors.append((fake - target).square().mean().sqrt()[None])


class Lasting(Sound):
    def __init__(self):
        super().__init__()
        self.total, self.images = 0.0, 0

    def update(self, fake, target):
        self.total += (fake - target).square().mean(dim=(1, 2, 3)).sum()
        self.images += len(fake)

    def compute(self):
        return self.total / self.images


class Stuck(Sound):
    def __init__(self):
        super().__init__()
        self.root = lambda errors: errors


class Undefined(Sound):
    def compute(self):
        return super().compute() / 0


class Many(Sound):
    def compute(self):
        return torch.cat(self.errors)


class Constant(Sound):
    def compute(self):
        return torch.tensor(1.0)


class Untold(Sound):
    def __init__(self, *, gain: float = 1.0):
        super().__init__()


class Plain(nn.Module):
    pass
'''
SPOILED = {
    "reversed": ("better", 'better="higher"', "'lower'"),
    "unsaid": ("better", 'better="lower"', "None"),
    "silent": ("higher_is_better", "None"),
    "undecided": ("against", "'truth'"),
    "colour": ("2x1x32x32", "1 to 4 channels", "colour only"),
    "small": ("2x2x40x32", "any size"),
    "together": ("update()", "one image at a time"),
    "lasting": ("reset()", "add_state"),
    "stuck": ("pickle",),
    "undefined": ("other images", "a finite number"),
    "many": ("compute()", "a scalar tensor"),
    "constant": ("equal images", "a lower value"),
    "untold": ("option.gain", "a description"),
    "plain": ("a subclass of ganzoo.Metric",),
}


@pytest.fixture(scope="module", autouse=True)
def _installed(tmp_path_factory, plugin, known):
    """The sound metric and all the spoiled ones as a stranger's package."""
    site = tmp_path_factory.mktemp("site")
    lines = [
        f'    register("{name}", "ganzoo_spoiled_metrics.metrics:{name.title()}", better="lower")\n'
        for name in ("sound", "distance", *SPOILED)
    ]
    lines[3] = '    register("unsaid", "ganzoo_spoiled_metrics.metrics:Sound")\n'
    hook = "from ganzoo import hookimpl\n\n\n@hookimpl\ndef register_metrics(register):\n"
    plugin(site, "spoiled_metrics", {"__init__": hook + "".join(lines), "metrics": METRICS})
    known(site)


@pytest.mark.parametrize("name", ["l1", "psnr", "ssim", "sound", "distance"])
def test_a_sound_metric_passes(name):
    check_metric(name)


def test_options_are_those_of_a_recipe():
    check_metric("sound", {"factor": 2.0})
    with pytest.raises(ConformanceError, match='no option "factors"'):
        check_metric("sound", {"factors": 2.0})


@pytest.mark.parametrize("name", SPOILED)
def test_a_spoiled_metric_is_refused(name):
    with pytest.raises(ConformanceError) as refusal:
        check_metric(name)
    for words in (f'metric "{name}"', *SPOILED[name]):
        assert words in str(refusal.value)
