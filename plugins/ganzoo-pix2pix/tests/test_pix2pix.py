"""pix2pix is the published one: a plain step written from the paper agrees with the engine's to 1e-9."""

import copy

import pytest
import torch
from ganzoo_testing import batch, check_model, difference, engine, trainer
from torch import nn

from ganzoo.clock import Clock
from ganzoo.trainer import DataSpec

SMALL = {
    "generator": {"name": "unet", "width": 4, "norm": "batch", "dropout": 0.5},
    "discriminator": {"name": "patch", "width": 4, "layers": 2, "norm": "batch"},
}
SPEC = DataSpec(("x", "y"), {"x": 3, "y": 3}, 64)


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"direction": "BtoA", "first": "generator"},
        {"loss": "wgan-gp", "discriminator": {"name": "patch", "width": 4, "layers": 2}},
        {"loss": "lsgan", "distance": "l2", "generator": {"name": "resnet", "width": 4, "blocks": 1}},
    ],
)
def test_conformance(options):
    check_model("pix2pix", SMALL | options, processes=options.get("loss") == "wgan-gp" or not options)


def plain_steps(model, batches, *, lr, total, pixel=100.0):
    """Isola et al. 2017, sections 3 and 3.3: one step on D, its objective halved, then one on G; Adam (0.5, 0.999).

    Nothing of ganzoo but the moment at which a step seeds the dropout. The same made image serves both updates.
    """
    G, D = model.G, model.D
    bce, l1 = nn.BCEWithLogitsLoss(), nn.L1Loss()
    opt_G = torch.optim.Adam(G.parameters(), lr=lr, betas=(0.5, 0.999))
    opt_D = torch.optim.Adam(D.parameters(), lr=lr, betas=(0.5, 0.999))
    clock = Clock(0, 2)
    for step, (x, y) in enumerate(batches):
        seen = step * len(x)
        clock.set(seen)
        clock.start_step()
        for group in (*opt_G.param_groups, *opt_D.param_groups):
            group["lr"] = lr * min(1.0, (total - seen) / (total / 2))
        made = G(x)
        opt_D.zero_grad()
        on_real, on_fake = D(torch.cat([x, y], 1)), D(torch.cat([x, made.detach()], 1))
        loss = bce(on_real, torch.ones_like(on_real)) + bce(on_fake, torch.zeros_like(on_fake))
        (0.5 * loss).backward()
        opt_D.step()
        opt_G.zero_grad()
        on_fake = D(torch.cat([x, made], 1))
        (bce(on_fake, torch.ones_like(on_fake)) + pixel * l1(made, y)).backward()
        opt_G.step()


@pytest.mark.parametrize("direction", ["AtoB", "BtoA"])
def test_twenty_steps_agree_with_the_paper(direction):
    source, target = ("x", "y") if direction == "AtoB" else ("y", "x")
    ours = engine("pix2pix", SMALL | {"direction": direction}, SPEC, precision="64", constant=0.5)
    theirs, wrong = copy.deepcopy(ours.trainer), copy.deepcopy(ours.trainer)
    batches = [batch(ours, step) for step in range(20)]
    pairs = [(b[source], b[target]) for b in batches]
    for images in batches:
        ours.step(images)
    plain_steps(theirs, pairs, lr=2e-4, total=80)
    assert difference(ours.trainer, theirs) < 1e-9
    plain_steps(wrong, pairs, lr=2e-4, total=80, pixel=98.0)
    assert difference(ours.trainer, wrong) > 1e-6  # the comparison notices a weight that is 2 % off


@pytest.mark.parametrize(("size", "generator"), [(256, 54_413_955), (128, 41_828_995)])
def test_published_parameters(size, generator):
    with torch.device("meta"):
        model = trainer("pix2pix", size=size)
    assert sum(p.numel() for p in model.G.parameters()) == generator
    assert sum(p.numel() for p in model.D.parameters()) == 2_768_705


def test_dropout_is_the_noise_when_translating():
    model, image = trainer("pix2pix", SMALL, SPEC), torch.rand(1, 3, 64, 64)
    with model.inference():
        first, second = (model.translate(image, "x", "y") for _ in range(2))
    assert not torch.equal(first, second)


def test_unequal_channels():
    ours = engine("pix2pix", SMALL, DataSpec(("x", "y"), {"x": 1, "y": 3}, 64))
    ours.step(batch(ours))
    assert ours.trainer.directions() == [("x", "y")]
