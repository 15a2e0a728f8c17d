"""The networks are the published ones: parameters, shapes, ranges."""

import pytest
import torch

from ganzoo import GanzooError
from ganzoo.clock import Clock
from ganzoo.losses import Wasserstein
from ganzoo.nets.layers import init_weights
from ganzoo.nets.patch import PatchDiscriminator
from ganzoo.nets.resnet import ResnetGenerator
from ganzoo.nets.small import SmallGenerator
from ganzoo.nets.unet import UnetGenerator


def count(network: torch.nn.Module) -> int:
    return sum(p.numel() for p in network.parameters())


@pytest.mark.parametrize(
    ("network", "parameters"),
    [
        (lambda: ResnetGenerator(3, 3, 256), 11_378_179),
        (lambda: ResnetGenerator(3, 3, 256, norm="batch"), 11_383_427),
        (lambda: ResnetGenerator(3, 3, 128), 7_837_699),
        (lambda: ResnetGenerator(3, 3, 128, norm="batch"), 7_841_411),
        (lambda: UnetGenerator(3, 3, 256, norm="batch"), 54_413_955),
        (lambda: UnetGenerator(3, 3, 256), 54_409_603),
        (lambda: UnetGenerator(3, 3, 128, norm="batch"), 41_828_995),
        (lambda: UnetGenerator(3, 3, 128), 41_825_667),
        (lambda: SmallGenerator(3, 3, 64, norm="batch"), 1_318_787),
        (lambda: PatchDiscriminator(3, 256), 2_764_737),
        (lambda: PatchDiscriminator(3, 256, norm="batch"), 2_765_633),
        (lambda: PatchDiscriminator(6, 256), 2_767_809),
        (lambda: PatchDiscriminator(6, 256, norm="batch"), 2_768_705),
        (lambda: PatchDiscriminator(6, 256, layers=0, norm="batch"), 9_024),
    ],
)
def test_parameters(network, parameters):
    assert count(network()) == parameters


@pytest.mark.parametrize("build", [ResnetGenerator, UnetGenerator, SmallGenerator])
@pytest.mark.parametrize("norm", ["instance", "batch", "none"])
def test_generator_keeps_the_size_and_stays_in_range(build, norm):
    network = build(2, 4, 64, width=8, norm=norm)
    side = 64 + network.multiple
    image = network(torch.randn(2, 2, side, 64))
    assert image.shape == (2, 4, side, 64)
    assert image.abs().max() <= 1


def test_nearest_upsampling_has_no_transposed_convolution():
    network = ResnetGenerator(3, 3, 64, width=8, upsample="nearest")
    assert not any(isinstance(m, torch.nn.ConvTranspose2d) for m in network.modules())
    assert network(torch.zeros(1, 3, 64, 64)).shape == (1, 3, 64, 64)


@pytest.mark.parametrize(("layers", "field"), [(0, 1), (1, 16), (2, 34), (3, 70), (4, 142), (5, 286)])
def test_patch_sees_what_the_paper_says(layers, field):
    """The receptive field of one logit, measured through the gradient of the central logit."""
    network = PatchDiscriminator(1, 512, width=2, layers=layers, norm="none").double()
    image = torch.randn(1, 1, 512, 512, dtype=torch.float64, requires_grad=True)
    logits = network(image)
    logits[0, 0, logits.shape[2] // 2, logits.shape[3] // 2].backward()
    rows = image.grad[0, 0].abs().sum(1).nonzero().flatten()
    assert rows[-1] - rows[0] + 1 == field
    if layers == 3:
        assert PatchDiscriminator(3, 256, width=2)(torch.zeros(1, 3, 256, 256)).shape == (1, 1, 30, 30)


def test_unet_refuses_a_size_it_cannot_halve():
    with pytest.raises(GanzooError, match="multiple of 16, such as 96 or 112"):
        UnetGenerator(3, 3, 100)


@pytest.mark.parametrize(
    ("init", "spread"), [("normal", 0.02), ("xavier", 0.02 / 96**0.5 / 3), ("kaiming", (2 / 864) ** 0.5)]
)
def test_initial_weights(init, spread):
    torch.manual_seed(0)
    layer = torch.nn.Conv2d(96, 96, 3)
    init_weights(layer, init)
    assert layer.weight.std().item() == pytest.approx(spread, rel=0.03)
    assert not layer.bias.any()


def test_gradient_penalty_of_a_known_critic():
    """A linear critic of slope 3 everywhere: (3 - 1)^2 x 10."""
    real, fake = torch.ones(4, 3, 2, 2), torch.zeros(4, 3, 2, 2)
    penalty = Wasserstein().penalty(lambda x: 3 * x[:, 0, 0, 0], real, fake, Clock())
    assert penalty.item() == pytest.approx(40.0)
