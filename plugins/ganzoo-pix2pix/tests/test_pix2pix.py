"""pix2pix is the published one: a plain step written from the paper agrees with the engine's to 1e-9."""

import copy

import pytest
import torch
from torch import nn

from ganzoo import recipe
from ganzoo.clock import Clock
from ganzoo.testing import build, check_model, random_batch
from ganzoo.trainer import DataSpec

SMALL = {
    "generator": {"name": "unet", "width": 4, "norm": "batch", "dropout": 0.5},
    "discriminator": {"name": "patch", "width": 4, "layers": 2, "norm": "batch"},
}
SPEC = DataSpec(("x", "y"), {"x": 3, "y": 3}, 64)


def read(size=64, **options):
    tables = {
        "model": "pix2pix",
        "data": {"source": "none", "size": size, "batch": 2},
        "options": options,
        "train": {"images": 80, "precision": "64", "device": "cpu", "constant": 0.5},
    }
    return recipe.parse(tables)


def make(**options):
    return build(read(**SMALL | options), SPEC)


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
    check_model("pix2pix", **SMALL | options)


def plain_steps(G, D, batches, *, lr, total, pixel=100.0):
    """Isola et al. 2017, sections 3 and 3.3: one step on D, its objective halved, then one on G; Adam (0.5, 0.999).

    Nothing of ganzoo but the moment at which a step seeds the dropout. The same made image serves both updates.
    """
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
        on_fake, on_real = D(torch.cat([x, made.detach()], 1)), D(torch.cat([x, y], 1))
        loss = bce(on_real, torch.ones_like(on_real)) + bce(on_fake, torch.zeros_like(on_fake))
        (0.5 * loss).backward()
        opt_D.step()
        opt_G.zero_grad()
        on_fake = D(torch.cat([x, made], 1))
        (bce(on_fake, torch.ones_like(on_fake)) + pixel * l1(made, y)).backward()
        opt_G.step()


def difference(engine, *theirs):
    return max(
        (a - b).abs().max().item()
        for ours, their in zip((engine.trainer.G, engine.trainer.D), theirs, strict=True)
        for a, b in zip(ours.parameters(), their.parameters(), strict=True)
    )


@pytest.mark.parametrize("direction", ["AtoB", "BtoA"])
def test_twenty_steps_agree_with_the_paper(direction):
    source, target = ("x", "y") if direction == "AtoB" else ("y", "x")
    engine = make(direction=direction)
    theirs = copy.deepcopy([engine.trainer.G, engine.trainer.D])
    wrong = copy.deepcopy(theirs)
    batches = [{key: value.double() for key, value in random_batch(SPEC, step).items()} for step in range(20)]
    pairs = [(b[source], b[target]) for b in batches]
    for batch in batches:
        engine.step(batch)
    plain_steps(*theirs, pairs, lr=2e-4, total=80)
    assert difference(engine, *theirs) < 1e-9
    plain_steps(*wrong, pairs, lr=2e-4, total=80, pixel=98.0)
    assert difference(engine, *wrong) > 1e-6  # the comparison notices a weight that is 2 % off


@pytest.mark.parametrize(("size", "generator"), [(256, 54_413_955), (128, 41_828_995)])
def test_published_parameters(size, generator):
    made = read(size)
    with torch.device("meta"):
        trainer = made.trainer(made.options, DataSpec(("x", "y"), {"x": 3, "y": 3}, size))
    assert sum(p.numel() for p in trainer.G.parameters()) == generator
    assert sum(p.numel() for p in trainer.D.parameters()) == 2_768_705


def test_dropout_is_the_noise_when_translating():
    trainer = make().trainer
    image = random_batch(SPEC, 0)["x"].double()
    with trainer.inference():
        first, second = (trainer.translate(image, "x", "y") for _ in range(2))
    assert not torch.equal(first, second)


def test_unequal_channels():
    spec = DataSpec(("x", "y"), {"x": 1, "y": 3}, 64)
    engine = build(read(**SMALL), spec)
    engine.step({key: value.double() for key, value in random_batch(spec, 0).items()})
    assert engine.trainer.directions() == [("x", "y")]
