"""XGAN is the published one: its layers, and a plain step written from the paper that agrees to 1e-9."""

import copy

import pytest
import torch
from torch import nn

from ganzoo import GanzooError, recipe
from ganzoo.testing import build, check_model, random_batch
from ganzoo.trainer import DataSpec

SMALL = {"width": 4, "embedding": 16}
SPEC = DataSpec(("x", "y"), {"x": 3, "y": 3}, 32)


def parsed(size=32, **options):
    tables = {
        "model": "xgan",
        "data": {"source": "none", "size": size, "batch": 2},
        "options": options,
        "train": {"images": 80, "precision": "64", "device": "cpu", "constant": 1.0},
    }
    return recipe.parse(tables)


def make(**options):
    return build(parsed(**(SMALL | options)), SPEC)


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
    check_model("xgan", **(SMALL | options))


def count(module):
    return sum(p.numel() for p in module.parameters())


def test_published_parameters():
    made = parsed(64)
    trainer = made.trainer(made.options, DataSpec(("x", "y"), {"x": 3, "y": 3}, 64))
    assert [count(trainer.E[d]) for d in "xy"] == [34_400, 34_400]
    assert count(trainer.shared_encoder) == 5_900_672
    assert count(trainer.shared_decoder) == 10_486_528
    assert [count(trainer.G[d]) for d in "xy"] == [658_627, 658_627]
    assert list(trainer.D) == ["y"] and count(trainer.D["y"]) == 42_353
    assert count(trainer) - count(trainer.D) - count(trainer.classifier) == 17_773_254


def test_published_parameters_with_batch_norm():
    made = parsed(64, norm="batch")
    trainer = made.trainer(made.options, DataSpec(("x", "y"), {"x": 3, "y": 3}, 64))
    assert count(trainer) - count(trainer.D) - count(trainer.classifier) == 17_774_982
    assert count(trainer.D) == 42_465


def plain_steps(nets, batches, *, lr=1e-4, ramp=20, semantic=1.0):
    """Royer et al. 2017, section 2; nothing of ganzoo. The discriminator is on y alone, all weights are 1.

    Instead of reversing a gradient, what the classifier's loss says to the encoders is computed by itself.
    """
    E, G, shared_encoder, shared_decoder, classifier, D = nets
    maker_parameters = [p for net in (E, shared_encoder, shared_decoder, G, classifier) for p in net.parameters()]
    encoder_parameters = [p for net in (E, shared_encoder) for p in net.parameters()]
    opt_G = torch.optim.Adam(maker_parameters, lr=lr, betas=(0.5, 0.999))
    opt_D = torch.optim.Adam(D.parameters(), lr=lr, betas=(0.5, 0.999))
    l1, l2, bce = nn.L1Loss(), nn.MSELoss(), nn.BCEWithLogitsLoss()

    def embed(image, domain):
        code = shared_encoder(E[domain](image))
        return code / code.square().mean(1, keepdim=True).sqrt()

    def judged(logits, real):
        return bce(logits, torch.full_like(logits, float(real)))

    for step, (x, y) in enumerate(batches):
        strength = 2 / (1 + torch.exp(torch.tensor(-10.0 * min(1.0, step * len(x) / ramp), dtype=torch.float64))) - 1
        code_x, code_y = embed(x, "x"), embed(y, "y")
        x_to_y, y_to_x = G["y"](shared_decoder(code_x)), G["x"](shared_decoder(code_y))
        loss = l2(G["x"](shared_decoder(code_x)), x) + l2(G["y"](shared_decoder(code_y)), y)
        loss = loss + semantic * (l1(embed(x_to_y, "y"), code_x) + l1(embed(y_to_x, "x"), code_y))
        loss = loss + judged(D["y"](x_to_y), True)
        domain = judged(classifier(code_x), True) + judged(classifier(code_y), False)
        opt_G.zero_grad()
        confusion = torch.autograd.grad(domain, encoder_parameters, retain_graph=True)
        (loss + domain).backward()  # encoders: + domain here, - (1 + strength) x domain below
        for parameter, gradient in zip(encoder_parameters, confusion, strict=True):
            parameter.grad -= (1 + strength) * gradient
        opt_G.step()
        opt_D.zero_grad()
        (judged(D["y"](y), True) + judged(D["y"](x_to_y.detach()), False)).backward()
        opt_D.step()


def networks(engine):
    t = engine.trainer
    return nn.ModuleList([t.E, t.G, t.shared_encoder, t.shared_decoder, t.classifier, t.D])


def difference(ours, theirs):
    """The largest difference of any weight."""
    return max((a - b).abs().max().item() for a, b in zip(ours.parameters(), theirs.parameters(), strict=True))


def test_ten_steps_agree_with_the_paper():
    engine = make(ramp=20)
    theirs, other = copy.deepcopy(networks(engine)), copy.deepcopy(networks(engine))
    batches = [{key: value.double() for key, value in random_batch(SPEC, step).items()} for step in range(10)]
    pairs = [(b["x"], b["y"]) for b in batches]
    plain_steps(theirs, pairs)
    plain_steps(other, pairs, semantic=0.98)
    for batch in batches:
        engine.step(batch)
    assert difference(networks(engine), theirs) < 1e-9
    assert difference(networks(engine), other) > 1e-6  # the comparison notices a weight that is 2 % off


def test_a_teacher_teaches_the_first_domain_and_is_in_no_checkpoint():
    engine = make(embedding=1024, teacher="vgg19", teacher_weights="random", teach=2.0)
    trainer, batch = engine.trainer, {k: v.double() for k, v in random_batch(SPEC, 0).items()}
    with torch.no_grad():
        expected = 2.0 * nn.functional.l1_loss(trainer.encode({"x": batch["x"]})["x"], trainer.taught(batch["x"]))
    assert torch.allclose(engine.step(batch).terms["G"]["teach"], expected)
    assert not any("teacher" in name for name in trainer.state_dict())
    with pytest.raises(GanzooError, match=r"There is no file nowhere\.pth"):
        make(embedding=1024, teacher="vgg19", teacher_weights="nowhere.pth")


def test_pictures_of_another_size():
    trainer = make().trainer
    with trainer.inference():
        made = trainer.translate(torch.zeros(1, 3, 48, 80, dtype=torch.float64), "x", "y")
    assert made.shape == (1, 3, 48, 80)


@pytest.mark.parametrize(
    ("size", "options", "message"),
    [
        (72, {}, "multiple of 16 from 32 on.*it is 72"),
        (16, {}, "multiple of 16 from 32 on.*it is 16"),
        (32, {"teacher": "vgg19"}, "embedding = 1024, not 16"),
    ],
)
def test_what_does_not_fit_is_refused(size, options, message):
    made = parsed(size, **(SMALL | options))
    with pytest.raises(GanzooError, match=message):
        made.trainer(made.options, DataSpec(("x", "y"), {"x": 3, "y": 3}, size))
