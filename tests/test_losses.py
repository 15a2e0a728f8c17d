"""Adversarial losses on one scale and several, and gradient penalties against their formulas."""

import pytest
import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from ganzoo.clock import Clock
from ganzoo.losses import DRAGAN, R1, CrossEntropy, GradientPenalty, Hinge, LeastSquares, Wasserstein
from ganzoo.options import LossPart, Options
from ganzoo.registry import registry
from ganzoo.trainer import Penalty

LOSSES = [LeastSquares, CrossEntropy, Hinge, Wasserstein]


class Config(Options):
    loss: LossPart = "lsgan"
    """adversarial loss"""


def images(seed: int) -> torch.Tensor:
    return torch.rand(4, 3, 8, 8, generator=torch.Generator().manual_seed(seed), dtype=torch.float64) * 2 - 1


def discriminator() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(3, 4, 3), nn.Tanh(), nn.Conv2d(4, 1, 3)).double()


@pytest.mark.parametrize("loss", LOSSES)
def test_several_scales_are_averaged(loss):
    gan, fine, coarse = loss(), torch.randn(2, 1, 8, 8), torch.randn(2, 1, 4, 4)
    assert torch.equal(gan.adversarial([fine]), gan.adversarial(fine))
    assert gan.adversarial([fine, coarse]) == pytest.approx(((gan.generator(fine) + gan.generator(coarse)) / 2).item())

    def D(image: torch.Tensor) -> list[torch.Tensor]:
        return [image.mean(1), image.mean((1, 2, 3))]

    real, fake = images(1), images(2)
    gan.penalty = None
    (term,) = gan.discriminator_terms(D, real, fake, Clock(), "zebra", weight=3.0).items()
    expected = [gan.discriminator(a, b) for a, b in zip(D(real), D(fake), strict=True)]
    assert term[0] == "D_zebra" and term[1].item() == pytest.approx(3 * sum(expected).item() / 2)


def slopes(D: nn.Module, points: torch.Tensor) -> torch.Tensor:
    """The gradient of each image's logits, one image at a time."""
    found = []
    for point in points:
        point = point[None].clone().requires_grad_()
        found.append(torch.autograd.grad(D(point).sum(), point)[0][0])
    return torch.stack(found)


def test_gradient_penalty_is_the_papers():
    D, real, fake, clock = discriminator(), images(1), images(2), Clock(seed=3)
    alpha = torch.rand(4, 1, 1, 1, generator=torch.Generator().set_state(clock.shared.get_state())).double()
    norms = slopes(D, alpha * real + (1 - alpha) * fake).flatten(1).norm(dim=1)
    penalty = GradientPenalty(weight=7.0)(D, real, fake, clock)
    assert penalty.item() == pytest.approx(7 * (norms - 1).square().mean().item(), rel=1e-9)


def test_dragan_is_the_papers():
    D, real, fake, clock = discriminator(), images(1), images(2), Clock(seed=3)
    noise = torch.rand(real.shape, generator=torch.Generator().set_state(clock.shared.get_state())).double()
    norms = slopes(D, real + 0.5 * real.std(correction=0) * noise).flatten(1).norm(dim=1)
    assert DRAGAN(weight=10.0)(D, real, fake, clock).item() == pytest.approx(10 * (norms - 1).square().mean().item())


def test_r1_is_the_papers():
    D, real, fake = discriminator(), images(1), images(2)
    expected = 0.5 * 5.0 * slopes(D, real).square().sum((1, 2, 3)).mean()
    assert R1(weight=5.0)(D, real, fake, Clock()).item() == pytest.approx(expected.item(), rel=1e-9)


def test_r1_costs_no_forward_pass_of_its_own():
    network, calls = discriminator(), []

    def D(image: torch.Tensor) -> torch.Tensor:
        calls.append(image)
        return network(image)

    gan, real, fake = CrossEntropy(penalty={"name": "r1", "weight": 5.0}), images(1), images(2)
    terms = gan.discriminator_terms(D, real, fake, Clock())
    assert list(terms) == ["D", "r1"] and len(calls) == 2
    assert terms["r1"].item() == pytest.approx(R1(weight=5.0)(network, real, fake, Clock()).item())
    plain = CrossEntropy().discriminator_terms(network, real, fake, Clock())
    assert terms["D"].item() == pytest.approx(plain["D"].item())
    sum(terms.values()).backward()
    assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in network.parameters() if p.ndim > 1)


def test_a_penalty_is_full_precision_under_autocast():
    D, real, fake = discriminator().float(), images(1).float(), images(2).float()
    gan = CrossEntropy(penalty="r1")
    with torch.autocast("cpu", torch.bfloat16):
        terms = gan.discriminator_terms(D, real, fake, Clock())
    assert terms["r1"].dtype == torch.float32
    assert terms["r1"].item() == pytest.approx(R1()(D, real, fake, Clock()).item(), rel=1e-5)


def test_a_lazy_penalty_comes_in_every_nth_step_with_n_times_its_weight():
    D, real, fake, clock = discriminator(), images(1), images(2), Clock(batch=4)
    gan = LeastSquares(penalty={"name": "r1", "weight": 1.0, "every": 4})
    found = []
    for _ in range(8):
        found.append(gan.discriminator_terms(D, real, fake, clock, "a").get("r1_a"))
        clock.advance()
    assert [value is not None for value in found] == [True, False, False, False] * 2
    assert found[0].item() == pytest.approx(4 * R1(weight=1.0)(D, real, fake, clock).item())


def test_every_loss_takes_every_penalty_from_a_recipe():
    for loss in registry().names("loss"):
        for penalty in registry().names("penalty"):
            built = Config(loss={"name": loss, "penalty": {"name": penalty, "weight": 2.0}}).loss.build()
            assert isinstance(built.penalty, Penalty) and built.penalty.weight == 2.0
    assert Config(loss="lsgan").loss.build().penalty is None
    assert isinstance(Config(loss="wgan-gp").loss.build().penalty, GradientPenalty)


def test_penalties_sum_over_scales():
    D, real, fake = discriminator(), images(1), images(2)
    assert R1()(lambda image: [D(image), D(image)], real, fake, Clock()).item() == pytest.approx(
        4 * R1()(D, real, fake, Clock()).item()
    )


def test_logits_that_the_model_has_already_are_not_computed_again():
    """Of fakes alone, as where D is asked about another domain for them; R1 then still shares the pass over the reals."""
    real, fake = torch.randn(2, 3, 4, 4), torch.randn(2, 3, 4, 4)
    weight = torch.randn(3, 1)
    seen = []

    def D(image):
        seen.append(image)
        return (image.mean((2, 3)) @ weight).flatten()

    loss = CrossEntropy(penalty="r1")
    whole = loss.discriminator_terms(D, real, fake, Clock())
    given = loss.discriminator_terms(D, real, fake, Clock(), logits=(None, D(fake)))
    assert len(seen) == 4
    assert {name: term.item() for name, term in given.items()} == {name: term.item() for name, term in whole.items()}
    both = Hinge().discriminator_terms(D, real, fake, Clock(), logits=(D(real), D(fake)))
    assert len(seen) == 6 and both["D"] == Hinge().discriminator_terms(D, real, fake, Clock())["D"]


@pytest.mark.parametrize("penalty", ["r1", "gp"])
def test_the_operations_of_a_penalty_can_be_counted(penalty):
    """As `ganzoo bench` does it: with hooks on modules, in the forward and in the second backward pass."""
    D = nn.Sequential(nn.Conv2d(3, 2, 3), nn.Tanh(), nn.Conv2d(2, 1, 3))
    real, fake = torch.randn(2, 3, 8, 8), torch.randn(2, 3, 8, 8)
    with FlopCounterMode(display=False) as flops:
        terms = CrossEntropy(penalty=penalty).discriminator_terms(D, real, fake, Clock())
        torch.stack(list(terms.values())).sum().backward()
    assert flops.get_total_flops() > 0 and all(p.grad is not None for p in D.parameters())
