"""GAN, DCGAN and conditional GAN are the published ones: plain steps written from the papers agree to 1e-9."""

import copy

import pytest
import torch
from ganzoo_gan.nets import DenseDiscriminator, DenseGenerator
from ganzoo_testing import batch, check_model, difference, engine, in_processes, trainer
from torch import nn
from torch.nn import functional as F

from ganzoo import GanzooError, grid
from ganzoo.clock import Clock
from ganzoo.data.dataset import open_dataset
from ganzoo.evaluation import evaluate
from ganzoo.options import DataOptions
from ganzoo.trainer import DataSpec

SMALL = {"generator_width": 4, "discriminator_width": 4, "latent": 8}
DENSE = {"backbone": "mlp", "generator_width": 24, "discriminator_width": 24, "latent": 8}
SGD = SMALL | {"optimizer": "sgd", "lr": 0.05}
IMAGES = DataSpec(("image",), {"image": 3}, 32)
DIGITS = DataSpec(("image",), {"image": 1}, 16, tuple("0123"), (tuple("0123"),))


@pytest.mark.parametrize(
    ("model", "options"),
    [
        ("gan", SMALL),
        ("gan", SMALL | {"loss": "wgan-gp", "discriminator_norm": "none", "discriminator_steps": 3}),
        ("gan", SMALL | {"loss": "lsgan", "noise": "uniform", "discriminator_norm": "instance"}),
        ("gan", DENSE | {"discriminator_dropout": 0.5, "optimizer": "sgd", "lr": 0.1}),
        ("cgan", SMALL),
        ("cgan", SMALL | {"loss": "hinge", "condition": "concat", "embedding": 3}),
        ("cgan", SMALL | {"loss": "wgan-gp", "discriminator_norm": "none"}),
        ("cgan", DENSE | {"generator_dropout": 0.5, "noise": "uniform"}),
    ],
)
def test_conformance(model, options):
    check_model(model, options, size=16, processes=options == SMALL or "loss" in options)


def parameters(network):
    return sum(p.numel() for p in network.parameters())


def test_published_parameters():
    official = trainer("gan", size=64)
    assert parameters(official.G) == 3_576_704 and parameters(official.D) == 2_765_568
    assert parameters(trainer("gan", size=64, preset="dcgan").G) == 12_658_432
    assert parameters(DenseGenerator(100, 1, 28, 10, 1200, 0.0)) == 2_413_984
    assert parameters(DenseDiscriminator(1, 28, 10, 240, 0.0)) == 1_224_351


def plain_gan(G, D, batches, clock, *, k=1, lr=2e-4, beta=0.5):
    """Algorithm 1 of Goodfellow et al. 2014 with the generator's loss that does not saturate, and DCGAN's Adam.

    k discriminator steps, each on a minibatch of its own, then one generator step on new noise.
    """
    bce = nn.BCEWithLogitsLoss()
    opt_D = torch.optim.Adam(D.parameters(), lr=lr, betas=(beta, 0.999))
    opt_G = torch.optim.Adam(G.parameters(), lr=lr, betas=(beta, 0.999))
    for step, real in enumerate(batches):
        clock.set(step * len(real))
        opt_D.zero_grad()
        on_real, on_fake = D(real), D(G(clock.randn(len(real), 8, like=real)).detach())
        (bce(on_real, torch.ones_like(on_real)) + bce(on_fake, torch.zeros_like(on_fake))).backward()
        opt_D.step()
        if step % k == k - 1:
            opt_G.zero_grad()
            on_fake = D(G(clock.randn(len(real), 8, like=real)))
            bce(on_fake, torch.ones_like(on_fake)).backward()
            opt_G.step()


@pytest.mark.parametrize("k", [1, 2])
def test_ten_steps_agree_with_the_paper(k):
    ours = engine("gan", SMALL | {"discriminator_steps": k}, IMAGES, batch=4, precision="64", constant=1.0)
    theirs, other = copy.deepcopy(ours.trainer), copy.deepcopy(ours.trainer)
    real = [batch(ours, step)["image"] for step in range(10)]
    plain_gan(theirs.G, theirs.D, real, Clock(0, 4), k=k)
    for images in real:
        ours.step({"image": images})
    assert difference(ours.trainer, theirs) < 1e-9
    plain_gan(other.G, other.D, real, Clock(0, 4), k=k, beta=0.51)
    assert difference(ours.trainer, other) > 1e-6  # the comparison notices a setting that is 2 % off


def plain_cgan(G, D, batches, clock, *, lr=0.1, momentum=0.5):
    """Mirza and Osindero 2014, 4.1: both players are told the label, gradient descent with momentum.

    Their fully connected networks are written out from the weights: ReLU layers for noise and label, then a joint one;
    maxout layers for image and label, then a joint one.
    """
    opt_G = torch.optim.SGD(G.parameters(), lr, momentum)
    opt_D = torch.optim.SGD(D.parameters(), lr, momentum)

    def relu(layer, x):
        return F.linear(x, layer[0].weight, layer[0].bias).clamp(min=0)

    def generate(z, y):
        joint = relu(G.joint, torch.cat([relu(G.noise, z), relu(G.label, y)], dim=1))
        return 2 * torch.sigmoid(2 * F.linear(joint, G.last[0].weight, G.last[0].bias)) - 1

    def maxout(layer, x, pieces):
        linear = layer[0].linear
        return F.linear(x, linear.weight, linear.bias).reshape(len(x), -1, pieces).max(dim=2).values

    def discriminate(pixels, y):
        joint = maxout(D.joint, torch.cat([maxout(D.image, pixels, 5), maxout(D.label, y, 5)], dim=1), 4)
        return torch.sigmoid(F.linear(joint, D.last.weight, D.last.bias))

    for step, (x, y) in enumerate(batches):
        clock.set(step * len(x))
        opt_D.zero_grad()
        fake = generate(2 * clock.rand(len(x), 8, like=x) - 1, y).detach()
        (-discriminate(x.flatten(1), y).log().mean() - (1 - discriminate(fake, y)).log().mean()).backward()
        opt_D.step()
        opt_G.zero_grad()
        fake = generate(2 * clock.rand(len(x), 8, like=x) - 1, y)
        (-discriminate(fake, y).log().mean()).backward()
        opt_G.step()


def test_ten_steps_of_cgan_agree_with_the_paper():
    no_dropout = {"generator_dropout": 0.0, "discriminator_dropout": 0.0}  # its random numbers are another matter
    small = {"generator_width": 24, "discriminator_width": 24, "latent": 8}
    how = {"preset": "paper", "batch": 4, "precision": "64", "constant": 1.0}
    ours = engine("cgan", small | no_dropout, DIGITS, **how)
    theirs, other = copy.deepcopy(ours.trainer), copy.deepcopy(ours.trainer)
    batches = [batch(ours, step) for step in range(10)]
    plain_cgan(theirs.G, theirs.D, [(b["image"], b["label"]) for b in batches], Clock(0, 4))
    for images in batches:
        ours.step(images)
    assert difference(ours.trainer, theirs) < 1e-9
    plain_cgan(other.G, other.D, [(b["image"], b["label"]) for b in batches], Clock(0, 4), momentum=0.51)
    assert difference(ours.trainer, other) > 1e-6


def test_projection_is_miyato_and_koyamas():
    """Their equation 3: y' V phi(x) + psi(phi(x)), phi summed over the image."""
    D = trainer("cgan", SMALL, DIGITS).double().D.eval()
    x, y = torch.randn(5, 1, 16, 16).double(), torch.eye(4).double()[[0, 1, 2, 3, 0]]
    phi = D.layers(x)
    psi = (phi * D.last.weight).sum((1, 2, 3))
    expected = psi + torch.einsum("bl,cl,bchw->b", y, D.project.weight, phi)
    assert torch.allclose(D(x, y)[:, 0], expected)


def test_labels_change_what_is_made():
    for options in ({}, {"condition": "concat"}, DENSE):
        model = trainer("cgan", SMALL | options, DIGITS)
        with model.inference():
            made = []
            for label in ("0", "1", "1"):
                torch.manual_seed(0)
                made.append(model.generate(2, label))
            x, y = made[0], torch.eye(4)
            logits = model.D(x, y[[0, 0]]), model.D(x, y[[1, 1]])
        assert not torch.equal(made[0], made[1]) and torch.equal(made[1], made[2])
        assert not torch.equal(*logits)


def test_one_of_each_group_is_drawn():
    spec = DataSpec(("image",), {"image": 3}, 16, ("black", "blond", "smiling"), (("black", "blond"),))
    model = trainer("cgan", SMALL, spec)
    labels = model.draw_labels(100)
    assert (labels[:, :2].sum(dim=1) == 1).all() and 20 < labels[:, 2].sum() < 80
    changed = model.with_target(labels, "blond,no-smiling")
    assert changed.tolist() == [[0, 1, 0]] * 100 and labels[:, 2].any()


def test_mistakes_are_told():
    with pytest.raises(GanzooError, match=r'"9".*This run knows: 0, 1, 2, 3'):
        trainer("cgan", SMALL, DIGITS).generate(1, "9")
    with pytest.raises(GanzooError, match="without labels"):
        trainer("gan", SMALL, IMAGES).generate(1, "9")
    with pytest.raises(GanzooError, match=r"never meets 28: set data.size = 16 or 32"):
        trainer("gan", SMALL, size=28)
    with pytest.raises(GanzooError, match='discriminator_norm = "none"'):
        trainer("gan", SMALL | {"loss": "wgan-gp"}, IMAGES)


def test_sample_grids_and_metrics_without_labels():
    """A row for each test image; how much the images differ, where no label says what they should be."""
    model = trainer("gan", SMALL, IMAGES)
    dataset = open_dataset(DataOptions(source="landscapes", size=32), "images")
    metrics = evaluate(model, dataset, {})["generated"]
    assert metrics.keys() == {"diversity", "diversity_on_real"}
    assert 0 < metrics["diversity"] < metrics["diversity_on_real"] < 1
    image = grid.sample_grid(model, {"image": [torch.zeros(3, 32, 32)] * 4}, False, "title")
    assert image.width > image.height > 4 * 64


def steps(processes):
    """The weights after some steps, by one of so many processes."""
    ours = engine("gan", SGD, IMAGES, batch=4, precision="64", constant=1.0, devices=processes)
    for step in range(5):
        ours.step(batch(ours, step))
    return ours.trainer.state_dict()


def test_two_processes_equal_one():
    """Batch norm's statistics and the noise are those of the whole batch."""
    alone = steps(1)
    for weights in in_processes(steps, 2):
        assert difference(weights, alone) < 1e-12
    begun = engine("gan", SGD, IMAGES, batch=4, precision="64").trainer
    assert (alone["G.layers.0.weight"] - begun.state_dict()["G.layers.0.weight"]).abs().max() > 1e-6
