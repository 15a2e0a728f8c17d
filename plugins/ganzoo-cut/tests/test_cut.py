"""CUT and FastCUT are the published ones: a plain step written from the paper agrees with the engine's to 1e-9."""

import copy
from itertools import pairwise

import pytest
import torch
from ganzoo_cut.nets import AntialiasedPatch, AntialiasedResnet, BlurDown, Projection, blur_up
from ganzoo_testing import batch, check_model, difference, engine, trainer
from torch import nn
from torch.nn import functional as F

from ganzoo import DataSpec, GanzooError
from ganzoo.clock import Clock

SMALL = {
    "generator": {"name": "resnet-antialiased", "width": 4, "blocks": 3},
    "discriminator": {"name": "patch-antialiased", "width": 4, "layers": 2},
    "projection": 64,
    "patches": 16,
}
FASTCUT = {"nce": 10.0, "nce_identity": False, "flip_equivariance": True}
SPEC = DataSpec(("x", "y"), {"x": 3, "y": 3}, 32)


@pytest.mark.parametrize("options", [{}, FASTCUT, {"direction": "BtoA", "loss": {"name": "hinge", "penalty": "r1"}}])
def test_conformance(options):
    check_model("cut", SMALL | options, processes=not options.get("direction"))


def plain_steps(model, batches, clock, *, lr, weight, identity, flips, places=16, temperature=0.07):
    """Section 3 of Park et al. 2020 with the authors' settings: D's update, then that of G and F on the same graph.

    G(x), and G(y) for the identity; LSGAN, D's halved; a patch is one of (N + 1) classes: its own place first, then
    the others of its image, itself masked with -10.
    """
    G, D, MLPs = model.G, model.D, model.F.perceptrons
    optimizers = [torch.optim.Adam(net.parameters(), lr=lr, betas=(0.5, 0.999)) for net in (G, D, MLPs)]
    flipped_steps = 0

    def nce(source, fake, flipped):
        total = 0.0
        queries, keys = G.features(fake), G.features(source)
        samples = [torch.randperm(k.shape[2] * k.shape[3], generator=clock.shared)[:places] for k in keys]
        for mlp, query, key, sample in zip(MLPs, queries, keys, samples, strict=True):
            query = torch.flip(query, [3]) if flipped else query
            q, k = (mlp(m.permute(0, 2, 3, 1).flatten(1, 2)[:, sample].flatten(0, 1)) for m in (query, key))
            q, k = (v / (v.pow(2).sum(1, keepdim=True).sqrt() + 1e-7) for v in (q, k.detach()))
            positive = (q * k).sum(1, keepdim=True)
            q, k = (v.view(len(source), -1, v.shape[1]) for v in (q, k))
            negative = torch.bmm(q, k.transpose(2, 1))
            negative.masked_fill_(torch.eye(q.shape[1], dtype=torch.bool)[None], -10.0)
            out = torch.cat([positive, negative.flatten(0, 1)], dim=1) / temperature
            total = total + nn.CrossEntropyLoss()(out, torch.zeros(len(out), dtype=torch.long))
        return total / len(keys)

    for step, (x, y) in enumerate(batches):
        clock.set(step * len(x))
        flipped = flips and torch.randint(2, (1,), generator=clock.shared).item() == 1
        flipped_steps += flipped
        shown = torch.cat([x, y]) if identity else x
        fakes = G(torch.flip(shown, [3]) if flipped else shown)
        fake, same = fakes[: len(x)], fakes[len(x) :]
        optimizers[1].zero_grad()
        on_fake, on_real = D(fake.detach()), D(y)
        (0.5 * (on_fake.square().mean() + (on_real - 1).square().mean())).backward()
        optimizers[1].step()
        for optimizer in (optimizers[0], optimizers[2]):
            optimizer.zero_grad()
        contrast = weight * nce(x, fake, flipped)
        if identity:
            contrast = 0.5 * (contrast + weight * nce(y, same, flipped))
        ((D(fake) - 1).square().mean() + contrast).backward()
        optimizers[0].step()
        optimizers[2].step()
    return flipped_steps


def effective(model):
    """The state without the biases that an instance norm takes away: their gradients are rounding, blown up by Adam."""
    pairs = [pair for m in model.modules() if isinstance(m, nn.Sequential) for pair in pairwise(m)]
    without = {id(conv.bias) for conv, norm in pairs if isinstance(norm, nn.InstanceNorm2d)} - contrasted(model)
    return {name: value.detach() for name, value in model.named_parameters() if id(value) not in without}


def contrasted(model):
    """Biases before a norm whose sums are themselves features."""
    return {id(model.G.layers[place].bias) for place in (4, 8)}


@pytest.mark.parametrize("preset", ["cut", "fastcut"])
def test_ten_steps_agree_with_the_paper(preset):
    fast = preset == "fastcut"
    settings = {"weight": 10.0 if fast else 1.0, "identity": not fast, "flips": fast}
    ours = engine("cut", SMALL, SPEC, preset=preset, precision="64", constant=1.0)
    theirs, other = copy.deepcopy(ours.trainer), copy.deepcopy(ours.trainer)
    batches = [batch(ours, step) for step in range(10)]
    pairs = [(b["x"], b["y"]) for b in batches]
    flipped = plain_steps(theirs, pairs, Clock(0, 2), lr=2e-4, **settings)
    for images in batches:
        ours.step(images)
    assert 0 < flipped < 10 if fast else not flipped
    assert difference(effective(ours.trainer), effective(theirs)) < 1e-9
    plain_steps(other, pairs, Clock(0, 2), lr=2e-4, **settings, temperature=0.071)
    assert (
        difference(effective(ours.trainer), effective(other)) > 1e-6
    )  # the comparison notices a temperature that is 1 % off


def test_presets_are_the_published_schedules():
    lengths = {
        preset: engine("cut", SMALL, SPEC, preset=preset).train_options.constant for preset in ("cut", "fastcut")
    }
    assert lengths == {"cut": 0.5, "fastcut": 0.75}  # 200 + 200 epochs, 150 + 50


def test_published_parameters():
    with torch.device("meta"):
        model = trainer("cut", size=256)
        features = model.G.features(torch.zeros(1, 3, 256, 256))
        assert model.D(torch.zeros(1, 3, 256, 256)).shape == (1, 1, 30, 30)
    counts = [sum(p.numel() for p in net.parameters()) for net in (model.G, model.D, model.F)]
    assert counts == [11_378_179, 2_764_737, 560_384]
    shapes = [(3, 262), (128, 256), (256, 128), (256, 64), (256, 64)]
    assert [tuple(f.shape[1:3]) for f in features] == shapes and model.G.encoded == [0, 4, 8, 12, 16]


@pytest.mark.parametrize("size", [7, 8])
def test_blurs_are_the_filters(size):
    x = torch.randn(2, 3, size, size, dtype=torch.float64)

    def kernel(*taps):
        row = torch.tensor(taps, dtype=torch.float64)
        return (row[:, None] * row / row.sum() ** 2).expand(3, 1, -1, -1)

    down = F.conv2d(F.pad(x, (1, 1, 1, 1), mode="reflect"), kernel(1, 2, 1), stride=2, groups=3)
    torch.testing.assert_close(BlurDown().double()(x), down)
    padded = F.pad(x, (1, 1, 1, 1), mode="replicate")
    up = F.conv_transpose2d(padded, 4 * kernel(1, 3, 3, 1), stride=2, padding=3, groups=3)
    torch.testing.assert_close(blur_up()(x), up)


def test_features_are_on_the_way_to_the_image():
    G = AntialiasedResnet(3, 3, 32, width=4, blocks=2)
    image = torch.randn(1, 3, 32, 32)
    features = G.features(image)
    assert [f.shape[1] for f in features] == [3, 8, 16, 16, 16]
    torch.testing.assert_close(G.layers[G.encoded[-1] + 1 :](features[-1]), G(image))


def test_projections_have_length_1():
    maps = [torch.randn(2, 3, 6, 5), torch.randn(2, 4, 3, 3)]
    places = [torch.tensor([0, 29]), torch.tensor([8])]
    found = Projection([3, 4], 8)(maps, places)
    assert [v.shape for v in found] == [(2, 2, 8), (2, 1, 8)]
    torch.testing.assert_close(found[0].norm(dim=2), torch.ones(2, 2))
    alone = Projection([3, 4], 8)
    assert sum(p.numel() for p in alone.parameters()) == 3 * 8 + 8 + 4 * 8 + 8 + 2 * (8 * 8 + 8)


def test_patches_are_the_same_for_every_image_of_a_batch():
    model = trainer("cut", SMALL, SPEC)
    image = torch.rand(1, 3, 32, 32) * 2 - 1
    one = model.patch_nce(image, image.flip(2), False)
    model.clock.set(0)
    two = model.patch_nce(*(x.expand(2, -1, -1, -1) for x in (image, image.flip(2))), False)
    torch.testing.assert_close(one, two)


def test_cyclegan_with_antialiased_parts():
    parts = {name: SMALL[name] for name in ("generator", "discriminator")}
    ours = engine("cyclegan", parts, SPEC)
    assert isinstance(ours.trainer.D["x"], AntialiasedPatch)
    assert all(term.isfinite() for terms in ours.step(batch(ours)).terms.values() for term in terms.values())


def test_what_cannot_be_built():
    with pytest.raises(GanzooError, match=r'generator "unet" has no features\(\).*Take: resnet-antialiased'):
        trainer("cut", {"generator": "unet"})
    with pytest.raises(GanzooError, match=r"x has 1 and y has 3 channels.*data\.channels"):
        trainer("cut", SMALL, DataSpec(("x", "y"), {"x": 1, "y": 3}, 32))
    with pytest.raises(GanzooError, match=r"needs images of 24 px or more, and data\.size is 16"):
        trainer("cut", SMALL | {"discriminator": {"name": "patch-antialiased", "layers": 3}}, size=16)
