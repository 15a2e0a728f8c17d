"""GAN, DCGAN and conditional GAN are the published ones: plain steps written from the papers agree to 1e-9."""

import copy
import multiprocessing

import pytest
import torch
import torch.distributed as dist
from ganzoo_gan.nets import DenseDiscriminator, DenseGenerator
from torch import nn
from torch.nn import functional as F

from ganzoo import GanzooError, grid, recipe
from ganzoo.clock import Clock
from ganzoo.data.dataset import open_dataset
from ganzoo.evaluation import evaluate
from ganzoo.options import DataOptions
from ganzoo.testing import build, check_model, random_batch
from ganzoo.trainer import DataSpec

SMALL = {"generator_width": 4, "discriminator_width": 4, "latent": 8}
DENSE = {"backbone": "mlp", "generator_width": 24, "discriminator_width": 24, "latent": 8}
IMAGES = DataSpec(("image",), {"image": 3}, 32)
DIGITS = DataSpec(("image",), {"image": 1}, 16, tuple("0123"), (tuple("0123"),))


def tables(model, size=32, precision="64", preset="", **options):
    return {
        "model": model,
        "data": {"source": "none", "size": size, "batch": 4},
        "options": SMALL | options,
        "train": {"images": 160, "precision": precision, "device": "cpu", "constant": 1.0},
    } | ({"preset": preset} if preset else {})


def make(model, spec, **options):
    return build(recipe.parse(tables(model, spec.size, **options)), spec)


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
    check_model(model, size=16, **options)


def parameters(network):
    return sum(p.numel() for p in network.parameters())


def test_published_parameters():
    spec = DataSpec(("image",), {"image": 3}, 64)

    def trainer(**options):
        made = recipe.parse({"model": "gan", "data": {"source": "none"}, "train": {"images": 1}} | options)
        return made.trainer(made.options, spec)

    official = trainer()
    assert parameters(official.G) == 3_576_704 and parameters(official.D) == 2_765_568
    assert parameters(trainer(preset="dcgan").G) == 12_658_432
    assert parameters(DenseGenerator(100, 1, 28, 10, 1200, 0.0)) == 2_413_984
    assert parameters(DenseDiscriminator(1, 28, 10, 240, 0.0)) == 1_224_351


def differ(ours, theirs):
    """The largest difference of any weight or running statistic."""
    return max(
        (a - b).abs().max().item()
        for mine, other in zip(ours, theirs, strict=True)
        for a, b in zip(mine.state_dict().values(), other.state_dict().values(), strict=True)
    )


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
    engine = make("gan", IMAGES, discriminator_steps=k)
    batches = [random_batch(IMAGES, step, 4) for step in range(10)]
    ours = (engine.trainer.G, engine.trainer.D)
    theirs, other = copy.deepcopy(ours), copy.deepcopy(ours)
    real = [b["image"].double() for b in batches]
    plain_gan(*theirs, real, Clock(0, 4), k=k)
    for images in real:
        engine.step({"image": images})
    assert differ(ours, theirs) < 1e-9
    plain_gan(*other, real, Clock(0, 4), k=k, beta=0.51)
    assert differ(ours, other) > 1e-6  # the comparison notices a setting that is 2 % off


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

    def judge(pixels, y):
        joint = maxout(D.joint, torch.cat([maxout(D.image, pixels, 5), maxout(D.label, y, 5)], dim=1), 4)
        return torch.sigmoid(F.linear(joint, D.last.weight, D.last.bias))

    for step, (x, y) in enumerate(batches):
        clock.set(step * len(x))
        opt_D.zero_grad()
        fake = generate(2 * clock.rand(len(x), 8, like=x) - 1, y).detach()
        (-judge(x.flatten(1), y).log().mean() - (1 - judge(fake, y)).log().mean()).backward()
        opt_D.step()
        opt_G.zero_grad()
        fake = generate(2 * clock.rand(len(x), 8, like=x) - 1, y)
        (-judge(fake, y).log().mean()).backward()
        opt_G.step()


def test_ten_steps_of_cgan_agree_with_the_paper():
    no_dropout = {"generator_dropout": 0.0, "discriminator_dropout": 0.0}  # its dice are another matter
    widths = {"generator_width": 24, "discriminator_width": 24}
    engine = make("cgan", DIGITS, preset="paper", **widths, **no_dropout)
    ours = (engine.trainer.G, engine.trainer.D)
    theirs, other = copy.deepcopy(ours), copy.deepcopy(ours)
    batches = [{k: v.double() for k, v in random_batch(DIGITS, step, 4).items()} for step in range(10)]
    plain_cgan(*theirs, [(b["image"], b["label"]) for b in batches], Clock(0, 4))
    for batch in batches:
        engine.step(batch)
    assert differ(ours, theirs) < 1e-9
    plain_cgan(*other, [(b["image"], b["label"]) for b in batches], Clock(0, 4), momentum=0.51)
    assert differ(ours, other) > 1e-6


def test_projection_is_miyato_and_koyamas():
    """Their equation 3: y' V phi(x) + psi(phi(x)), phi summed over the image."""
    D = make("cgan", DIGITS).trainer.D.eval()
    x, y = torch.randn(5, 1, 16, 16).double(), torch.eye(4).double()[[0, 1, 2, 3, 0]]
    phi = D.layers(x)
    psi = (phi * D.last.weight).sum((1, 2, 3))
    expected = psi + torch.einsum("bl,cl,bchw->b", y, D.project.weight, phi)
    assert torch.allclose(D(x, y)[:, 0], expected)


def test_labels_change_what_is_made():
    for options in ({}, {"condition": "concat"}, DENSE):
        trainer = make("cgan", DIGITS, **options).trainer
        with trainer.inference():
            made = []
            for label in ("0", "1", "1"):
                torch.manual_seed(0)
                made.append(trainer.generate(2, label))
            x, y = made[0], torch.eye(4).double()
            judged = trainer.D(x, y[[0, 0]]), trainer.D(x, y[[1, 1]])
        assert not torch.equal(made[0], made[1]) and torch.equal(made[1], made[2])
        assert not torch.equal(*judged)


def test_one_of_each_group_is_drawn():
    spec = DataSpec(("image",), {"image": 3}, 16, ("black", "blond", "smiling"), (("black", "blond"),))
    trainer = make("cgan", spec).trainer
    labels = trainer.draw_labels(100)
    assert (labels[:, :2].sum(dim=1) == 1).all() and 20 < labels[:, 2].sum() < 80
    asked = trainer.asked(labels, "blond,no-smiling")
    assert asked.tolist() == [[0, 1, 0]] * 100 and labels[:, 2].any()


def test_mistakes_are_told():
    with pytest.raises(GanzooError, match=r'"9".*This run knows: 0, 1, 2, 3'):
        make("cgan", DIGITS).trainer.generate(1, "9")
    with pytest.raises(GanzooError, match="without labels"):
        make("gan", IMAGES).trainer.generate(1, "9")
    with pytest.raises(GanzooError, match=r"never meets 28: set data.size = 16 or 32"):
        make("gan", DataSpec(("image",), {"image": 1}, 28))
    with pytest.raises(GanzooError, match='discriminator_norm = "none"'):
        make("gan", IMAGES, loss="wgan-gp")


def test_sample_grids_and_metrics_without_labels():
    """A row for each test image; how much the images differ, where no label says what they should be."""
    trainer = make("gan", IMAGES).trainer
    dataset = open_dataset(DataOptions(source="landscapes", size=32), "images")
    metrics = evaluate(trainer, dataset, {})["generated"]
    assert metrics.keys() == {"diversity", "diversity_on_real"}
    assert 0 < metrics["diversity"] < metrics["diversity_on_real"] < 1
    image = grid.sample_grid(trainer, {"image": [torch.zeros(3, 32, 32)] * 4}, False, "title")
    assert image.width > image.height > 4 * 64


def one_of_two(rank, folder, batches):
    """Trains as the engine of one process of two does."""
    dist.init_process_group("gloo", store=dist.FileStore(f"{folder}/store", 2), rank=rank, world_size=2)
    engine = make("gan", IMAGES, optimizer="sgd", lr=0.05)
    engine.trainer.clock = engine.clock = Clock(0, 4, rank, 2)

    def average_gradients(parameters):
        for parameter in parameters:
            dist.all_reduce(parameter.grad)
            parameter.grad /= 2

    engine.runtime.average_gradients = average_gradients
    for images in batches:
        engine.step({"image": engine.clock.local_rows(images)})
    torch.save(engine.trainer.state_dict(), f"{folder}/{rank}")


def test_two_processes_equal_one(tmp_path):
    """Batch norm's statistics and the noise are those of the whole batch."""
    batches = [random_batch(IMAGES, step, 4)["image"].double() for step in range(5)]
    engine = make("gan", IMAGES, optimizer="sgd", lr=0.05)
    begun = copy.deepcopy(engine.trainer.state_dict())
    for images in batches:
        engine.step({"image": images})
    context = multiprocessing.get_context("fork")
    both = [context.Process(target=one_of_two, args=(rank, tmp_path, batches)) for rank in range(2)]
    for process in both:
        process.start()
    for process in both:
        process.join(60)
    ours = engine.trainer.state_dict()
    for rank in range(2):
        theirs = torch.load(tmp_path / str(rank), weights_only=True)
        assert max((ours[name] - theirs[name]).abs().max().item() for name in ours) < 1e-12
    assert (ours["G.layers.0.weight"] - begun["G.layers.0.weight"]).abs().max() > 1e-6
