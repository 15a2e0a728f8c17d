"""Models with styles: by a seed, by a reference image, the same wherever a translation is asked for."""

import pytest
import torch
from torch import nn

from ganzoo import GanzooError, Options
from ganzoo.trainer import DataSpec, Trainer

SPEC = DataSpec(("x", "y"), {"x": 3, "y": 3}, 8)


class Plain(Trainer):
    """One answer to each image."""

    def __init__(self):
        super().__init__(Options(), SPEC)
        self.scale = nn.Parameter(torch.tensor(0.5))

    def phases(self):
        return []

    def translate(self, images, source, target):
        return self.scale * images


class Shift(Plain):
    """The style is added to the image."""

    def translate(self, images, source, target, style):
        return self.scale * images + style[:, :, None, None]


class Sampling(Shift):
    def sample_style(self, count, domain):
        return torch.randn(count, 3) + 10 * self.domains.index(domain)


class Encoding(Shift):
    def encode_style(self, images, domain):
        return images.mean((2, 3)) + 10 * self.domains.index(domain)


class Both(Sampling, Encoding):
    """Also makes images from noise."""

    def generate(self, count, label=None):
        return torch.randn(count, 3, 8, 8)


class Dropping(Plain):
    inference_mode = "train-stats"

    def __init__(self, p=0.5):
        super().__init__()
        self.dropout = nn.Dropout(p)

    def translate(self, images, source, target):
        return self.dropout(images)


def noise(*shape):
    return torch.rand(shape, generator=torch.Generator().manual_seed(5)) * 2 - 1


def translated(trainer, images, **how):
    with trainer.inference():
        return trainer.translate_with(images, "x", "y", **how)


def test_a_seed_gives_one_style_to_all_images():
    trainer, images = Both(), noise(3, 3, 8, 8)
    styles = translated(trainer, images) - trainer.scale * images
    assert (styles - styles[:1, :, :1, :1]).abs().max() < 1e-6 and 5 < styles.mean() < 15
    assert torch.equal(translated(trainer, images)[1:2], translated(trainer, images[1:2]))
    assert not torch.equal(translated(trainer, images), translated(trainer, images, seed=1))


def test_a_reference_gives_its_style():
    trainer, images, reference = Both(), noise(2, 3, 8, 8), noise(1, 3, 4, 6)
    expected = trainer.scale * images + reference.mean((2, 3))[:, :, None, None] + 10
    assert torch.allclose(translated(trainer, images, reference=reference), expected, atol=1e-6)
    assert translated(trainer, images, reference=noise(2, 3, 8, 8)).shape == images.shape  # one for each


def test_the_global_generator_is_left_alone():
    torch.manual_seed(3)
    expected = torch.rand(2)
    for trainer in (Both(), Dropping()):
        torch.manual_seed(3)
        translated(trainer, noise(1, 3, 8, 8), seed=8)
        assert torch.equal(torch.rand(2), expected)


def test_dropout_depends_on_the_seed():
    trainer, images = Dropping(), noise(1, 3, 8, 8)
    assert torch.equal(translated(trainer, images), translated(trainer, images))
    assert not torch.equal(translated(trainer, images), translated(trainer, images, seed=1))


def test_what_is_stochastic():
    trainers = Plain(), Encoding(), Sampling(), Both(), Dropping(), Dropping(0.0)
    assert [trainer.stochastic for trainer in trainers] == [False, False, True, True, True, False]


@pytest.mark.parametrize("trainer", [Plain, Sampling])
def test_who_takes_no_reference_says_so(trainer):
    with pytest.raises(GanzooError, match="takes no style from a reference image"):
        translated(trainer(), noise(1, 3, 8, 8), reference=noise(1, 3, 8, 8))


def test_who_needs_a_reference_says_so():
    with pytest.raises(GanzooError, match="takes its style from a reference image: give one"):
        translated(Encoding(), noise(1, 3, 8, 8))


def columns(trainer):
    images, others = ({d: noise(i, 3, 8, 8)[-1:] for d in "xy"} for i in (1, 2))
    with trainer.inference():
        return images, others, trainer.sample_columns(images, others)


def test_sample_columns_show_seeds_and_references():
    trainer = Both()
    images, others, groups = columns(trainer)
    seeds = [f"to y, seed {seed}" for seed in range(3)]
    assert list(groups) == ["x", "y", "generated"] and list(groups["generated"]) == ["new"]
    assert list(groups["x"]) == ["x", *seeds, "reference y", "to y, its style"]
    assert list(groups["y"])[:2] == ["y", "to x, seed 0"]
    assert torch.equal(groups["x"]["reference y"], others["y"])
    for seed, title in enumerate(seeds):
        assert torch.equal(groups["x"][title], translated(trainer, images["x"], seed=seed))
    assert torch.equal(groups["x"]["to y, its style"], translated(trainer, images["x"], reference=others["y"]))


def test_sample_columns_show_what_a_model_can():
    assert list(columns(Sampling())[2]["x"]) == ["x", "to y, seed 0", "to y, seed 1", "to y, seed 2"]
    assert list(columns(Encoding())[2]["x"]) == ["x", "reference y", "to y, its style"]
    assert list(columns(Plain())[2]["x"]) == ["x", "to y", "back to x"]
