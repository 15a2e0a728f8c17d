"""XGAN is the published one: its layers, and a plain step written from the paper that agrees to 1e-9."""

import copy

import pytest
import torch
from ganzoo_testing import batch, check_model, difference, engine, trainer
from torch import nn

from ganzoo import GanzooError
from ganzoo.trainer import DataSpec

SMALL = {"width": 4, "embedding": 16}
SPEC = DataSpec(("x", "y"), {"x": 3, "y": 3}, 32)
PUBLISHED = DataSpec(("x", "y"), {"x": 3, "y": 3}, 64)


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"adversaries": "both", "norm": "batch", "loss": "wgan-gp"},
        {"norm": "instance", "ramp": 20, "normalise": False, "init": "normal", "semantic_distance": "l2"},
        {"adversarial": 0.0},
    ],
)
def test_conformance(options):
    check_model("xgan", SMALL | options, processes=options.get("norm") == "batch" or not options)


def count(module):
    return sum(p.numel() for p in module.parameters())


def test_published_parameters():
    model = trainer("xgan", spec=PUBLISHED)
    assert [count(model.E[d]) for d in "xy"] == [34_400, 34_400]
    assert count(model.shared_encoder) == 5_900_672
    assert count(model.shared_decoder) == 10_486_528
    assert [count(model.G[d]) for d in "xy"] == [658_627, 658_627]
    assert list(model.D) == ["y"] and count(model.D["y"]) == 42_353
    assert count(model) - count(model.D) - count(model.classifier) == 17_773_254


def test_published_parameters_with_batch_norm():
    model = trainer("xgan", {"norm": "batch"}, PUBLISHED)
    assert count(model) - count(model.D) - count(model.classifier) == 17_774_982
    assert count(model.D) == 42_465


def plain_steps(model, batches, *, lr=1e-4, ramp=20, semantic=1.0):
    """Royer et al. 2017, section 2; nothing of ganzoo. The discriminator is on y alone, all weights are 1.

    Instead of reversing a gradient, what the classifier's loss says to the encoders is computed by itself.
    """
    E, G, shared_encoder, shared_decoder = model.E, model.G, model.shared_encoder, model.shared_decoder
    classifier, D = model.classifier, model.D
    maker_parameters = [p for net in (E, shared_encoder, shared_decoder, G, classifier) for p in net.parameters()]
    encoder_parameters = [p for net in (E, shared_encoder) for p in net.parameters()]
    opt_G = torch.optim.Adam(maker_parameters, lr=lr, betas=(0.5, 0.999))
    opt_D = torch.optim.Adam(D.parameters(), lr=lr, betas=(0.5, 0.999))
    l1, l2, bce = nn.L1Loss(), nn.MSELoss(), nn.BCEWithLogitsLoss()

    def embed(image, domain):
        code = shared_encoder(E[domain](image))
        return code / code.square().mean(1, keepdim=True).sqrt()

    def loss_of(logits, real):
        return bce(logits, torch.full_like(logits, float(real)))

    for step, (x, y) in enumerate(batches):
        strength = 2 / (1 + torch.exp(torch.tensor(-10.0 * min(1.0, step * len(x) / ramp), dtype=torch.float64))) - 1
        code_x, code_y = embed(x, "x"), embed(y, "y")
        x_to_y, y_to_x = G["y"](shared_decoder(code_x)), G["x"](shared_decoder(code_y))
        loss = l2(G["x"](shared_decoder(code_x)), x) + l2(G["y"](shared_decoder(code_y)), y)
        loss = loss + semantic * (l1(embed(x_to_y, "y"), code_x) + l1(embed(y_to_x, "x"), code_y))
        loss = loss + loss_of(D["y"](x_to_y), True)
        domain = loss_of(classifier(code_x), True) + loss_of(classifier(code_y), False)
        opt_G.zero_grad()
        confusion = torch.autograd.grad(domain, encoder_parameters, retain_graph=True)
        (loss + domain).backward()  # encoders: + domain here, - (1 + strength) x domain below
        for parameter, gradient in zip(encoder_parameters, confusion, strict=True):
            parameter.grad -= (1 + strength) * gradient
        opt_G.step()
        opt_D.zero_grad()
        (loss_of(D["y"](y), True) + loss_of(D["y"](x_to_y.detach()), False)).backward()
        opt_D.step()


def test_ten_steps_agree_with_the_paper():
    ours = engine("xgan", SMALL | {"ramp": 20}, SPEC, precision="64", constant=1.0)
    theirs, other = copy.deepcopy(ours.trainer), copy.deepcopy(ours.trainer)
    batches = [batch(ours, step) for step in range(10)]
    pairs = [(b["x"], b["y"]) for b in batches]
    plain_steps(theirs, pairs)
    plain_steps(other, pairs, semantic=0.98)
    for images in batches:
        ours.step(images)
    assert difference(ours.trainer, theirs) < 1e-9
    assert difference(ours.trainer, other) > 1e-6  # the comparison notices a weight that is 2 % off


def test_a_teacher_teaches_the_first_domain_and_is_in_no_checkpoint():
    taught = {"width": 4, "embedding": 1024, "teacher": "vgg19", "teacher_weights": "random", "teach": 2.0}
    ours = engine("xgan", taught, SPEC)
    model, images = ours.trainer, batch(ours)
    with torch.no_grad():
        codes = model.encode(images)
        expected = 2.0 * nn.functional.l1_loss(codes["x"], model.taught(images["x"]))
    assert torch.allclose(ours.step(images).terms["G"]["teach"], expected)
    assert not any("teacher" in name for name in model.state_dict())
    with pytest.raises(GanzooError, match=r"There is no file nowhere\.pth"):
        engine("xgan", taught | {"teacher_weights": "nowhere.pth"}, SPEC)


def test_images_of_another_size():
    model = trainer("xgan", SMALL, SPEC)
    with model.inference():
        assert model.translate(torch.zeros(1, 3, 48, 80), "x", "y").shape == (1, 3, 48, 80)


@pytest.mark.parametrize(
    ("size", "options", "message"),
    [
        (72, {}, "multiple of 16 from 32 on.*it is 72"),
        (16, {}, "multiple of 16 from 32 on.*it is 16"),
        (32, {"teacher": "vgg19"}, "embedding = 1024, not 16"),
    ],
)
def test_what_does_not_fit_is_refused(size, options, message):
    with pytest.raises(GanzooError, match=message):
        trainer("xgan", SMALL | options, size=size)
