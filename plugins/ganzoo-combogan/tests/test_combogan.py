"""ComboGAN is the published one: a plain step written from the paper agrees with the engine's to 1e-9."""

import copy
import itertools
import math

import pytest
import torch
from ganzoo_combogan.nets import TwoStreamDiscriminator
from ganzoo_testing import batch, check_model, difference, engine, trainer
from PIL import Image
from torch import nn

from ganzoo import GanzooError
from ganzoo.clock import Clock
from ganzoo.data.dataset import open_dataset
from ganzoo.data.kinds import random_batch
from ganzoo.options import DataOptions
from ganzoo.trainer import DataSpec

SMALL = {
    "width": 4,
    "encoder_blocks": 1,
    "decoder_blocks": 1,
    "discriminator": {"name": "two-stream", "width": 4, "layers": 3},
}
DOMAINS = ("x", "y", "z")
SPEC = DataSpec(DOMAINS, dict.fromkeys(DOMAINS, 3), 32)


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"identity": 5.0, "latent": 1.0, "latent_images": 10, "forward": 0.2, "pool": 0},
        {"loss": "wgan-gp", "discriminator": {"name": "two-stream", "width": 4}},
        {"loss": "hinge", "discriminator": {"name": "patch", "width": 4, "layers": 2}, "distance": "l1"},
        {"norm": "none", "init": "kaiming"},
        {"norm": "batch"},
    ],
)
def test_conformance(options):
    check_model("combogan", SMALL | options, processes=options.get("norm") == "batch" or not options)


def plain_steps(model, batches, clock, *, lr, total, cycle=10.0, identity=3.0, latent=2.0, pool_size=2):
    """Anoosheh et al. 2018, section 3: CycleGAN's step for the two domains at hand, optimizers for each.

    Least squares on all predictions, weights 1, 2 ... and one more for the last. Nothing of ganzoo but its random numbers.
    """
    l1, mse, half = nn.SmoothL1Loss(), nn.MSELoss(), nn.AvgPool2d(3, 2)

    def adam(*modules):
        return torch.optim.Adam(itertools.chain(*(m.parameters() for m in modules)), lr=lr, betas=(0.5, 0.999))

    opt_G = {d: adam(model.encoder[d], model.decoder[d]) for d in DOMAINS}
    opt_D = {d: adam(model.D[d]) for d in DOMAINS}
    history = {d: [] for d in DOMAINS}

    def gan(predictions, target):
        weights = list(range(1, len(predictions) + 1))
        weights[-1] += 1
        losses = [w * mse(p, torch.full_like(p, target)) for w, p in zip(weights, predictions, strict=True)]
        return sum(losses) / sum(weights) / len(losses)

    def query(old, fakes):
        chosen = []
        for fake in fakes:
            if len(old) < pool_size:
                old.append(fake)
                chosen.append(fake)
                continue
            luck, place = torch.rand(2, generator=clock.shared).tolist()
            if luck < 0.5:
                chosen.append(fake)
            else:
                index = int(place * pool_size)
                chosen.append(old[index])
                old[index] = fake
        return torch.stack(chosen)

    for step, images in enumerate(batches):
        seen = 2 * step
        clock.set(seen)
        a, b = images
        for optimizer in (opt_G[a], opt_G[b], opt_D[a], opt_D[b]):
            optimizer.zero_grad()
            optimizer.param_groups[0]["lr"] = lr * min(1.0, (total - seen) / (total / 2))
        E, G, D = model.encoder, model.decoder, model.D
        fakes, loss = {}, 0
        for here, there in ((a, b), (b, a)):
            code = E[here](images[here])
            fakes[there] = G[there](code)
            again = E[there](fakes[there])
            loss = loss + gan(D[there](fakes[there]), 1.0) + cycle * l1(G[here](again), images[here])
            loss = loss + identity * l1(half(G[here](code)), half(images[here]))
            loss = loss + latent * l1(again, code.detach())
        loss.backward()
        opt_G[a].step()
        opt_G[b].step()
        for d in (a, b):
            opt_D[d].zero_grad()
            old = query(history[d], fakes[d].detach())
            (0.5 * (gan(D[d](images[d]), 1.0) + gan(D[d](old), 0.0))).backward()
            opt_D[d].step()


def test_twelve_steps_agree_with_the_paper():
    """Three domains, two in each step, so that optimizers rest; the extra losses on."""
    options = {"pool": 2, "identity": 3.0, "latent": 2.0}
    ours = engine("combogan", SMALL | options, SPEC, precision="64", constant=0.5)
    theirs, wrong = copy.deepcopy(ours.trainer), copy.deepcopy(ours.trainer)
    batches = [batch(ours, step) for step in range(12)]
    assert len({frozenset(images) for images in batches}) == 3
    for images in batches:
        ours.step(images)
    plain_steps(theirs, batches, Clock(0, 2), lr=2e-4, total=80)
    assert difference(ours.trainer, theirs) < 1e-9
    plain_steps(wrong, batches, Clock(0, 2), lr=2e-4, total=80, cycle=9.8)
    assert difference(ours.trainer, wrong) > 1e-6  # the comparison notices a weight that is 2 % off


def test_a_domain_that_is_not_in_the_batch_rests():
    ours, images = engine("combogan", SMALL, SPEC), random_batch(SPEC, 0)
    ours.step(images)  # three domains in one batch: all are trained once, so every optimizer has moments
    before = copy.deepcopy(ours.trainer.state_dict())
    ours.step({"z": images["z"], "x": images["x"]})
    for name, value in ours.trainer.state_dict().items():
        assert torch.equal(value, before[name]) == (".y." in name), name


def test_the_discriminator_sees_colours_through_the_blur_of_the_authors():
    """An impulse of 5x5 px after a Gaussian of deviation 3 px, mirrored at its border; zeros around the image."""
    weights = [math.exp(-(k**2) / 18) for k in range(-12, 13)]  # four deviations to each side
    mirrored = [*range(5), *reversed(range(5))] * 5  # 0 1 2 3 4 4 3 2 1 0 0 1 ...
    row = [sum(w for k, w in enumerate(weights, -12) if mirrored[(i + k) % 10] == 2) / sum(weights) for i in range(5)]
    expected = torch.tensor([[a * b for a in row] for b in row])
    assert expected.min() > 0.0398 and expected.max() < 0.0402  # nearly a box
    discriminator, seen = TwoStreamDiscriminator(3, 32, width=4, layers=2), []
    discriminator.colour.register_forward_pre_hook(lambda module, inputs: seen.append(inputs[0]))
    impulse = torch.zeros(1, 3, 32, 32)
    impulse[:, 1, 16, 16] = 1
    discriminator(impulse)
    assert torch.allclose(seen[0][0, 1, 14:19, 14:19], expected, atol=1e-7)
    assert seen[0].sum().item() == pytest.approx(1) and not seen[0][0, ::2].any()
    discriminator(torch.full((1, 3, 32, 32), 0.8))
    flat = seen[1][0, 0]
    assert flat[16, 16].item() == pytest.approx(0.8)
    assert flat[0, 16].item() == pytest.approx(0.48, abs=1e-3) and flat[0, 0].item() == pytest.approx(0.288, abs=1e-3)


def test_published_parameters():
    with torch.device("meta"):
        model = trainer("combogan", spec=SPEC)
    for domain in DOMAINS:
        assert sum(p.numel() for p in model.encoder[domain].parameters()) == 5_099_143
        assert sum(p.numel() for p in model.decoder[domain].parameters()) == 6_565_770
        assert sum(p.numel() for p in model.D[domain].parameters()) == 13_931_410


def test_forward_needs_equal_channels():
    uneven = DataSpec(DOMAINS, {"x": 1, "y": 3, "z": 3}, 32)
    with pytest.raises(GanzooError, match=r"1 \(x\), 3 \(y\), 3 \(z\) channels.*options.forward = 0"):
        trainer("combogan", SMALL | {"forward": 0.2}, uneven)
    ours = engine("combogan", SMALL, uneven)
    ours.step(batch(ours))


def test_all_directions():
    model, images = trainer("combogan", SMALL, SPEC), random_batch(SPEC, 0)
    assert model.directions() == list(itertools.permutations(DOMAINS, 2))
    with model.inference():
        groups = model.sample_columns(images, images)
    shown = {source: list(group) for source, group in groups.items()}
    assert shown == {"x": ["x", "to y", "to z"], "y": ["y", "to x", "to z"], "z": ["z", "to x", "to y"]}


def test_domains_are_named_after_folders_in_natural_order(tmp_path):
    for name in ("painter10", "painter2", "painter1"):
        (tmp_path / name).mkdir()
        Image.new("RGB", (32, 32)).save(tmp_path / name / "1.png")
    dataset = open_dataset(DataOptions(source="folders", root=str(tmp_path)), "domains")
    assert dataset.spec.domains == ("painter1", "painter2", "painter10")
