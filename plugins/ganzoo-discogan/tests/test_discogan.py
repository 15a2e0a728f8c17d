"""DiscoGAN is the published one: a plain step written from the paper agrees with the engine's to 1e-9."""

import copy

import pytest
import torch
from torch import nn

from ganzoo import GanzooError, recipe
from ganzoo.testing import build, check_model, random_batch
from ganzoo.trainer import DataSpec

SMALL = {"generator": {"name": "disco", "width": 4}, "discriminator": {"name": "disco", "width": 4}}
SPEC = DataSpec(("x", "y"), {"x": 3, "y": 3}, 64)


def read(preset="official", size=64, **options):
    tables = {
        "model": "discogan",
        "preset": preset,
        "data": {"source": "none", "size": size, "batch": 2},
        "options": options,
        "train": {"images": 80, "precision": "64", "device": "cpu", "constant": 1.0},
    }
    return recipe.parse(tables)


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
    check_model("discogan", size=64, **SMALL | options)


def plain_steps(nets, batches, preset, *, early_images=10, reconstruction=0.5):
    """Kim et al. 2017, section 3, on images in [0, 1], with probabilities for logits; nothing of ganzoo.

    "official": steps 0, 3, 6 ... train the discriminators, the others the generators, whose loss is
    (1 - r) (0.1 adversarial + 0.9 feature matching) + r reconstruction. "paper": both in every step, generators first.
    """
    bce, mse = nn.BCELoss(), nn.MSELoss()
    official = preset == "official"
    opts = {
        kind: torch.optim.Adam(
            [p for d in "xy" for p in nets[kind, d].parameters()],
            lr=2e-4,
            betas=(0.5, 0.999),
            weight_decay=1e-5 if official else 1e-4,
        )
        for kind in "GD"
    }

    def made(domain, images):
        return torch.sigmoid(nets["G", domain].layers(images))

    def judged(domain, images):
        features = [images]
        for stage in nets["D", domain].stages:
            features.append(stage(features[-1]))
        return torch.sigmoid(nets["D", domain].last(features[-1])), features[2:]

    for step, batch in enumerate(batches):
        r = 0.01 if official and step * 2 < early_images else reconstruction
        images = {d: (p + 1) / 2 for d, p in batch.items()}
        for kind in "GD":
            if official and (kind == "D") != (step % 3 == 0):
                continue
            loss = 0
            if kind == "G":
                fakes = {}
            for here, there in ("xy", "yx"):
                if kind == "G":
                    fakes[there] = fake = made(there, images[here])
                    p, features = judged(there, fake)
                    back = mse(made(here, fake), images[here])
                    if official:
                        _, real = judged(there, images[there])
                        match = sum(
                            (f.mean(0) - t.mean(0)).square().mean() for f, t in zip(features, real, strict=True)
                        )
                        loss += (1 - r) * (0.1 * bce(p, torch.ones_like(p)) + 0.9 * match) + r * back
                    else:
                        loss += bce(p, torch.ones_like(p)) + 2 * r * back
                else:
                    fake = made(there, images[here]) if official else fakes[there]
                    p, q = judged(there, images[there])[0], judged(there, fake.detach())[0]
                    mistakes = bce(p, torch.ones_like(p)) + bce(q, torch.zeros_like(q))
                    loss += 0.5 * mistakes if official else mistakes
            opts[kind].zero_grad()
            loss.backward()
            opts[kind].step()


def networks(engine):
    return {(kind, domain): getattr(engine.trainer, kind)[domain] for kind in "GD" for domain in "xy"}


def difference(ours, theirs):
    return max(
        (a - b).abs().max().item()
        for name in ours
        for a, b in zip(ours[name].parameters(), theirs[name].parameters(), strict=True)
    )


@pytest.mark.parametrize("preset", ["official", "paper"])
def test_twelve_steps_agree_with_the_paper(preset):
    early = {"early_images": 10} if preset == "official" else {}
    engine = build(read(preset, **SMALL | early), SPEC)
    theirs, wrong = copy.deepcopy(networks(engine)), copy.deepcopy(networks(engine))
    batches = [{key: value.double() for key, value in random_batch(SPEC, step).items()} for step in range(12)]
    for batch in batches:
        engine.step(batch)
    plain_steps(theirs, batches, preset)
    assert difference(networks(engine), theirs) < 1e-9
    plain_steps(wrong, batches, preset, reconstruction=0.49)
    assert difference(networks(engine), wrong) > 1e-6  # the comparison notices a weight that is 2 % off


@pytest.mark.parametrize(("bottleneck", "count"), [(0, 5_513_856), (100, 7_153_480)])
def test_published_parameters(bottleneck, count):
    made = read(generator={"name": "disco", "bottleneck": bottleneck})
    with torch.device("meta"):
        trainer = made.trainer(made.options, SPEC)
    for domain in "xy":
        assert sum(p.numel() for p in trainer.G[domain].parameters()) == count
        assert sum(p.numel() for p in trainer.D[domain].parameters()) == 2_765_568


@pytest.mark.parametrize("distance", ["mse", "cosine", "hinge"])
def test_pairs_for_the_pixel_loss(distance):
    """A translation that is right costs nothing, and the recipe asks for paired data."""
    from ganzoo_discogan.model import DISTANCES

    image, other = (random_batch(SPEC, step)["x"] for step in range(2))
    assert DISTANCES[distance](image, image).item() == pytest.approx(0, abs=1e-6)
    assert DISTANCES[distance](other, image).item() > 0.01
    assert read(**SMALL, pixel=1.0).data_kind == "paired"
    assert read(**SMALL).data_kind == "unpaired"
    tick = build(read(**SMALL, pixel=1.0, generator_steps=0), SPEC).step(
        {key: value.double() for key, value in random_batch(SPEC, 0).items()}
    )
    assert {"pixel_x", "pixel_y"} <= tick.terms["G"].keys()


def test_feature_matching_needs_features():
    made = read(**SMALL | {"discriminator": "patch"})
    with pytest.raises(GanzooError, match=r'"patch" shares no features.*use "disco", or set options.features = 0'):
        made.trainer(made.options, SPEC)


def test_sizes():
    made = read(size=128, generator={"name": "disco", "bottleneck": 100})
    with pytest.raises(GanzooError, match="for images of 64 px, they have 128"):
        made.trainer(made.options, DataSpec(("x", "y"), {"x": 3, "y": 3}, 128))
    check_model("discogan", size=96, **SMALL)
    bottled = build(read(**SMALL | {"generator": {"name": "disco", "width": 4, "bottleneck": 5}}), SPEC)
    batch = {key: value.double() for key, value in random_batch(SPEC, 0).items()}
    bottled.step(batch)
    with pytest.raises(GanzooError, match=r"single pixel.*data\.batch to 2"):
        bottled.step({key: value[:1] for key, value in batch.items()})
