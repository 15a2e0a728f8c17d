"""DiscoGAN is the published one: a plain step written from the paper agrees with the engine's to 1e-9."""

import copy
import math

import pytest
import torch
from ganzoo_discogan.model import DISTANCES, DiscoGAN
from ganzoo_testing import batch, check_model, difference, engine, trainer
from torch import nn

from ganzoo import GanzooError
from ganzoo.trainer import DataSpec

SMALL = {"generator": {"name": "disco", "width": 4}, "discriminator": {"name": "disco", "width": 4}}
SPEC = DataSpec(("x", "y"), {"x": 3, "y": 3}, 64)


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"early_images": 8, "pixel": 1.0, "pixel_distance": "hinge", "generator_steps": 0},
        {
            "generator": {"name": "unet", "width": 4, "depth": 4},
            "discriminator": {"name": "patch", "width": 4, "layers": 2},
            "features": 0.0,
            "early_images": 0,
            "distance": "cosine",
        },
    ],
)
def test_conformance(options):
    check_model("discogan", SMALL | options, size=64, processes=not options)


def plain_steps(model, batches, preset, *, early_images=10, reconstruction=0.5):
    """Kim et al. 2017, section 3, on images in [0, 1], with probabilities for logits; nothing of ganzoo.

    "official": steps 0, 3, 6 ... train the discriminators, the others the generators, whose loss is
    (1 - r) (0.1 adversarial + 0.9 feature matching) + r reconstruction. "paper": both in every step, generators first.
    """
    nets = {"G": model.G, "D": model.D}
    bce, mse = nn.BCELoss(), nn.MSELoss()
    official = preset == "official"
    opts = {
        kind: torch.optim.Adam(
            [p for d in "xy" for p in nets[kind][d].parameters()],
            lr=2e-4,
            betas=(0.5, 0.999),
            weight_decay=1e-5 if official else 1e-4,
        )
        for kind in "GD"
    }

    def made(domain, images):
        return torch.sigmoid(model.G[domain].layers(images))

    def discriminate(domain, images):
        features = [images]
        for stage in model.D[domain].stages:
            features.append(stage(features[-1]))
        return torch.sigmoid(model.D[domain].last(features[-1])), features[2:]

    for step, reals in enumerate(batches):
        r = 0.01 if official and step * 2 < early_images else reconstruction
        images = {d: (p + 1) / 2 for d, p in reals.items()}
        for kind in "GD":
            if official and (kind == "D") != (step % 3 == 0):
                continue
            loss = 0
            if kind == "G":
                fakes = {}
            for here, there in ("xy", "yx"):
                if kind == "G":
                    fakes[there] = fake = made(there, images[here])
                    p, features = discriminate(there, fake)
                    back = mse(made(here, fake), images[here])
                    if official:
                        _, real = discriminate(there, images[there])
                        match = sum(
                            (f.mean(0) - t.mean(0)).square().mean() for f, t in zip(features, real, strict=True)
                        )
                        loss += (1 - r) * (0.1 * bce(p, torch.ones_like(p)) + 0.9 * match) + r * back
                    else:
                        loss += bce(p, torch.ones_like(p)) + 2 * r * back
                else:
                    fake = made(there, images[here]) if official else fakes[there]
                    p, q = discriminate(there, images[there])[0], discriminate(there, fake.detach())[0]
                    mistakes = bce(p, torch.ones_like(p)) + bce(q, torch.zeros_like(q))
                    loss += 0.5 * mistakes if official else mistakes
            opts[kind].zero_grad()
            loss.backward()
            opts[kind].step()


@pytest.mark.parametrize("preset", ["official", "paper"])
def test_twelve_steps_agree_with_the_paper(preset):
    early = {"early_images": 10} if preset == "official" else {}
    ours = engine("discogan", SMALL | early, SPEC, preset=preset, precision="64")
    theirs, wrong = copy.deepcopy(ours.trainer), copy.deepcopy(ours.trainer)
    batches = [batch(ours, step) for step in range(12)]
    for images in batches:
        ours.step(images)
    plain_steps(theirs, batches, preset)
    assert difference(ours.trainer, theirs) < 1e-9
    plain_steps(wrong, batches, preset, reconstruction=0.49)
    assert difference(ours.trainer, wrong) > 1e-6  # the comparison notices a weight that is 2 % off


@pytest.mark.parametrize("preset", ["official", "paper"])
def test_initial_weights(preset):
    """PyTorch's: uniform up to one over the root of what a value is summed over; batch norm's scale is 1."""
    ours = trainer("discogan", {}, SPEC, preset=preset)
    first, *others = (layer for layer in ours.D["x"].modules() if isinstance(layer, nn.Conv2d))
    assert first.weight.std().item() == pytest.approx(1 / math.sqrt(3 * 16) / math.sqrt(3), rel=0.03)  # 0.083
    for layer in others:
        bound = 1 / math.sqrt(layer.in_channels * 16)
        assert 0.99 * bound < layer.weight.abs().max() <= bound
        assert layer.weight.std().item() == pytest.approx(bound / math.sqrt(3), rel=0.05)
    assert all((n.weight == 1).all() for n in ours.modules() if isinstance(n, nn.BatchNorm2d))


@pytest.mark.parametrize(("bottleneck", "count"), [(0, 5_513_856), (100, 7_153_480)])
def test_published_parameters(bottleneck, count):
    with torch.device("meta"):
        model = trainer("discogan", {"generator": {"name": "disco", "bottleneck": bottleneck}}, size=64)
    for domain in model.domains:
        assert sum(p.numel() for p in model.G[domain].parameters()) == count
        assert sum(p.numel() for p in model.D[domain].parameters()) == 2_765_568


@pytest.mark.parametrize("distance", ["mse", "cosine", "hinge"])
def test_a_translation_that_is_right_costs_nothing(distance):
    image, other = (torch.rand(2, 3, 8, 8, generator=torch.Generator().manual_seed(seed)) for seed in (0, 1))
    assert DISTANCES[distance](image, image).item() == pytest.approx(0, abs=1e-6)
    assert DISTANCES[distance](other, image).item() > 0.01


def test_the_pixel_loss_asks_for_pairs():
    paired = engine("discogan", SMALL | {"pixel": 1.0, "generator_steps": 0}, SPEC)
    assert {"pixel_x", "pixel_y"} <= paired.step(batch(paired)).terms["G"].keys()
    kinds = [DiscoGAN.choose_data_kind(DiscoGAN.Config(pixel=weight)) for weight in (0.0, 1.0)]
    assert kinds == ["unpaired", "paired"]


def test_feature_matching_needs_features():
    with pytest.raises(GanzooError, match=r'"patch" has no features\(\) to match: take "disco".*early_images = 0'):
        trainer("discogan", SMALL | {"discriminator": "patch"})


def test_sizes():
    bottled = SMALL | {"generator": {"name": "disco", "width": 4, "bottleneck": 5}}
    with pytest.raises(GanzooError, match="for images of 64 px, they have 128"):
        trainer("discogan", bottled, size=128)
    check_model("discogan", SMALL, size=96, processes=False)
    ours = engine("discogan", bottled, SPEC)
    images = batch(ours)
    ours.step(images)
    with pytest.raises(GanzooError, match=r"single pixel.*data\.batch to 2"):
        ours.step({key: value[:1] for key, value in images.items()})
