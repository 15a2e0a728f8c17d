"""StarGAN is the published one: a plain step written from the paper agrees with the engine's to 1e-9."""

import copy
import re

import pytest
import torch
from click.testing import CliRunner
from ganzoo_stargan.nets import StarGANDiscriminator, StarGANGenerator
from ganzoo_testing import batch, check_model, difference, engine, in_processes, trainer
from PIL import Image
from torch import nn
from torch.nn import functional as F

from ganzoo import GanzooError, recipe
from ganzoo import translate as translation
from ganzoo.cli import cli
from ganzoo.clock import Clock
from ganzoo.data.kinds import random_batch
from ganzoo.trainer import DataSpec

SMALL = {
    "generator": {"name": "stargan", "width": 4, "blocks": 1},
    "discriminator_width": 4,
    "discriminator_layers": 3,
}
ATTRIBUTES = DataSpec(("image",), {"image": 3}, 32, ("black", "blond", "young"), (("black", "blond"),))
CLASSES = DataSpec(("image",), {"image": 3}, 32, ("angry", "happy", "sad"), (("angry", "happy", "sad"),))
JOINT = DataSpec(
    ("image",),
    {"image": 3},
    32,
    ("young", "angry", "happy", "male"),
    (("angry", "happy"),),
    (("young", "male"), ("angry", "happy")),
)


def make(spec, **options):
    """The model alone, in float64."""
    return trainer("stargan", SMALL | options, spec).double()


@pytest.mark.parametrize(
    "options",
    [
        {},
        {
            "loss": "hinge",
            "discriminator_steps": 1,
            "reconstruction": 3.0,
            "residual": True,
            "noise": 0.2,
            "old_labels": 0.5,
        },
        {"generator": {"name": "unet", "width": 4}, "discriminator_layers": 5},
    ],
)
def test_conformance(options):
    check_model("stargan", SMALL | options, processes=not options)


@pytest.mark.parametrize(
    ("network", "parameters"),
    [
        (lambda: StarGANGenerator(3 + 5, 3, 128), 8_430_528),
        (lambda: StarGANGenerator(3 + 8, 3, 128), 8_439_936),
        (lambda: StarGANDiscriminator(3, 128, classes=5), 44_762_048),
        (lambda: StarGANDiscriminator(3, 256, classes=5), 44_884_928),
        (lambda: StarGANDiscriminator(3, 128, classes=8), 44_786_624),
    ],
)
def test_published_parameters(network, parameters):
    with torch.device("meta"):
        assert sum(p.numel() for p in network().parameters()) == parameters


def plain_steps(model, batches, clock, classification, *, lr=1e-4, total=80, rec=10.0, gp=10.0, n_critic=5):
    """The algorithm of Choi et al. 2018, section 3, with the authors' settings; nothing of ganzoo but its random numbers.

    WGAN-GP critic, labels of another image of the batch as the target, `n_critic` critic steps to one of G.
    """
    G, D = model.G, model.D
    opt_G = torch.optim.Adam(G.parameters(), lr, (0.5, 0.999))
    opt_D = torch.optim.Adam(D.parameters(), lr, (0.5, 0.999))

    def translated(images, labels):
        planes = labels.view(len(labels), -1, 1, 1) * torch.ones(1, 1, *images.shape[2:], dtype=images.dtype)
        return G(torch.cat((images, planes), 1))

    for step, (x, c) in enumerate(batches):
        seen = step * len(x)
        clock.set(seen)
        for group in (*opt_G.param_groups, *opt_D.param_groups):
            group["lr"] = lr * min(1.0, (total - seen) / (total / 2))
        new = c[torch.randperm(len(x), generator=clock.shared)]
        real_score, real_class = D.classify(x)
        fake = translated(x, new).detach()
        alpha = torch.rand(len(x), 1, 1, 1, generator=clock.shared).to(x)
        between = (alpha * x + (1 - alpha) * fake).requires_grad_(True)
        score = D(between)
        (slope,) = torch.autograd.grad(score, between, torch.ones_like(score), create_graph=True)
        steep = ((slope.view(len(x), -1).pow(2).sum(1).sqrt() - 1) ** 2).mean()
        loss = -real_score.mean() + D(fake).mean() + classification(real_class, c) + gp * steep
        opt_D.zero_grad()
        loss.backward()
        opt_D.step()
        if (step + 1) % n_critic == 0:
            fake = translated(x, new)
            score, fake_class = D.classify(fake)
            back = translated(fake, c)
            loss = -score.mean() + classification(fake_class, new) + rec * (x - back).abs().mean()
            opt_G.zero_grad()
            loss.backward()
            opt_G.step()


def attributes_loss(logits, labels):
    return F.binary_cross_entropy_with_logits(logits, labels, reduction="sum") / len(logits)


def classes_loss(logits, labels):
    return F.cross_entropy(logits, labels.argmax(1))


@pytest.mark.parametrize(("spec", "loss"), [(ATTRIBUTES, attributes_loss), (CLASSES, classes_loss)])
def test_ten_steps_agree_with_the_paper(spec, loss):
    ours = engine("stargan", SMALL, spec, batch=4, precision="64", constant=0.5)
    start, theirs, wrong = (copy.deepcopy(ours.trainer) for _ in range(3))
    batches = [batch(ours, step) for step in range(10)]
    plain_steps(theirs, [(b["image"], b["label"]) for b in batches], Clock(0, 4), loss)
    for images in batches:
        ours.step(images)
    assert difference(ours.trainer, start) > 1e-4
    assert difference(ours.trainer, theirs) < 1e-9
    plain_steps(wrong, [(b["image"], b["label"]) for b in batches], Clock(0, 4), loss, rec=9.8)
    assert difference(ours.trainer, wrong) > 1e-6  # the comparison notices a weight that is 2 % off


def joint_batch():
    """Four images, by turns of one label set and of the other, and their labels."""
    nan = float("nan")
    labels = [[1, nan, nan, 0], [nan, 0, 1, nan], [0, nan, nan, 1], [nan, 1, 0, nan]]
    return random_batch(JOINT, 0, 4)["image"].double(), torch.tensor(labels, dtype=torch.float64)


def joint_loss(classes, labels):
    """The classification loss of such a batch: sigmoids for the first set, a softmax for the second."""
    logits, known = ((v[[0, 2]][:, [0, 3]], v[[1, 3]][:, [1, 2]]) for v in (classes, labels))
    bce = F.binary_cross_entropy_with_logits(logits[0], known[0], reduction="sum") / 2
    return (bce + F.cross_entropy(logits[1], known[1].argmax(1))) / 2


def test_two_label_sets_are_two_models_in_one():
    """A batch of images of both sets gives the mean of the losses of each set alone, with its mask (section 3.3)."""
    model, carry, (x, c) = make(JOINT), {}, joint_batch()
    G, D = model.G, model.D
    assert G.layers[0].in_channels == 3 + 4 + 2
    terms = model.discriminator_loss({"image": x, "label": c}, carry)
    g_terms = model.generator_loss({"image": x, "label": c}, carry)
    mask, target = carry["mask"], carry["target"]
    assert mask.tolist() == [[1, 0], [0, 1], [1, 0], [0, 1]]
    for rows, columns in (([0, 2], [0, 3]), ([1, 3], [1, 2])):
        mine = target[rows][:, columns]
        assert sorted(mine.tolist()) == sorted(c[rows][:, columns].tolist())  # only images of the same set swap
        assert target[rows][:, [i for i in range(4) if i not in columns]].isnan().all()
    torch.testing.assert_close(terms["cls_real"], joint_loss(D.classify(x)[1], c))
    known = torch.tensor([[1, 0, 0, 1], [0, 1, 1, 0]], dtype=torch.float64)

    def translated(images, labels):
        condition = torch.cat([labels.nan_to_num(0) * known.repeat(2, 1), mask], 1)
        return G(torch.cat([images, condition[:, :, None, None].expand(-1, -1, 32, 32)], 1))

    fake = translated(x, target)
    torch.testing.assert_close(g_terms["rec"], 10 * (translated(fake, c) - x).abs().mean())
    torch.testing.assert_close(g_terms["G_adv"], -D(fake).mean())


def test_the_old_labels_of_fakes():
    model, carry, (x, c) = make(JOINT, old_labels=0.5), {}, joint_batch()
    terms = model.discriminator_loss({"image": x, "label": c}, carry)
    classes = model.D.classify(model.with_labels(x, carry["target"], carry["mask"]))[1]
    torch.testing.assert_close(terms["cls_fake"], 0.5 * joint_loss(classes, c))


def test_a_residual_generator_leaves_no_checkerboard():
    model = make(ATTRIBUTES, residual=True)
    checkerboard = torch.ones(1, 3, 32, 32, dtype=torch.float64)
    checkerboard[..., ::2] = -1
    model.G.forward = lambda x: 0.4 * checkerboard
    grey, labels = torch.zeros_like(checkerboard), torch.zeros(1, 3, dtype=torch.float64)
    assert model.with_labels(grey, labels, torch.ones(1, 1, dtype=torch.float64))[..., 1:-1, 1:-1].abs().max() < 1e-9


def test_an_image_that_knows_both_sets_is_used_for_one_at_random():
    mask, target = make(JOINT).draw_targets(torch.zeros(64, 4, dtype=torch.float64))
    assert 16 < mask[:, 0].sum() < 48
    assert ((~target[:, [0, 3]].isnan()).all(dim=1) == (mask[:, 0] == 1)).all()
    assert ((~target[:, [1, 2]].isnan()).all(dim=1) == (mask[:, 1] == 1)).all()


def targets(processes):
    """What one of so many processes draws for its images, by label sets."""
    drawn = {}
    for name, spec in (("attributes", ATTRIBUTES), ("joint", JOINT)):
        model = engine("stargan", SMALL, spec, batch=8, devices=processes).trainer
        labels = torch.randint(2, (8, len(spec.labels)), generator=torch.Generator().manual_seed(3)).float()
        drawn |= dict(
            zip((f"{name} mask", f"{name} target"), model.draw_targets(model.clock.local_rows(labels)), strict=True)
        )
    return drawn


def test_two_processes_draw_the_targets_of_one():
    first, second = in_processes(targets, 2)
    for name, rows in targets(1).items():
        assert len(rows) == 8 and torch.equal(torch.cat([first[name], second[name]]).nan_to_num(9), rows.nan_to_num(9))


class Painter(nn.Module):
    """Paints the first pixels with the condition that it was given."""

    def forward(self, x):
        image = x[:, :3].clone()
        image[:, 0, 0, : x.shape[1] - 3] = x[:, 3:, 0, 0]
        return image


def test_translation_keeps_the_labels_that_it_reads():
    model = make(ATTRIBUTES)
    model.G = Painter()
    model.read_labels = lambda images: torch.tensor([[1.0, 0.0, 1.0]], dtype=torch.float64)
    images = torch.zeros(1, 3, 32, 32, dtype=torch.float64)
    for target, condition in (("blond", [0, 1, 1]), ("no-young", [1, 0, 0]), ("blond,no-young", [0, 1, 0])):
        assert model.translate(images, "image", target)[0, 0, 0, :3].tolist() == condition, target


def test_joint_translation_takes_the_sets_one_after_another():
    model, seen = make(JOINT), []
    model.with_labels = lambda images, labels, mask: seen.append((labels.tolist()[0], mask.tolist()[0])) or images + 1
    model.read_labels = lambda images: torch.tensor([[1.0, 0.0, 1.0, 0.0]], dtype=torch.float64)
    images = torch.zeros(1, 3, 32, 32, dtype=torch.float64)
    assert (model.translate(images, "image", "angry,male") == 2).all()
    assert str(seen) == "[([1.0, nan, nan, 1.0], [1.0, 0.0]), ([nan, 1.0, 0.0, nan], [0.0, 1.0])]"
    seen.clear()
    model.translate(images, "image", "no-male")
    assert len(seen) == 1


def test_labels_are_read_at_the_training_size_and_groups_have_one():
    labels = make(ATTRIBUTES).read_labels(torch.randn(5, 3, 48, 64, dtype=torch.float64))
    assert labels.shape == (5, 3) and (labels[:, :2].sum(dim=1) <= 1).all()
    assert (make(CLASSES).read_labels(torch.randn(5, 3, 32, 32, dtype=torch.float64)).sum(dim=1) == 1).all()


def test_directions():
    assert [target for _, target in make(ATTRIBUTES).directions()] == ["black", "blond", "young", "no-young"]


def test_data_without_labels_and_too_many_layers_are_refused():
    with pytest.raises(GanzooError, match=r"no.*data.attributes"):
        make(DataSpec(("image",), {"image": 3}, 32))
    with pytest.raises(GanzooError, match="at most 5"):
        make(ATTRIBUTES, discriminator_layers=6)


@pytest.fixture
def program(monkeypatch):
    """`program(*args)` is `ganzoo translate RUN ARGS` with an untrained model of `ATTRIBUTES`."""
    made_from = recipe.parse({"model": "stargan", "data": {"source": "none"}, "options": SMALL, "train": {"images": 1}})
    monkeypatch.setattr(translation, "load", lambda *args: translation.Translator(make(ATTRIBUTES), made_from))
    return lambda *args: CliRunner().invoke(cli, ["translate", "RUN", *map(str, args)])


def test_translate_to_several_labels(program, tmp_path):
    Image.new("RGB", (40, 30)).save(tmp_path / "a.png")
    done = program(tmp_path / "a.png", tmp_path / "b.png", "--to", "blond,no-young")
    assert done.exit_code == 0 and "from image to blond,no-young" in done.output
    assert Image.open(tmp_path / "b.png").size == (40, 30)


def test_translate_grid(program, tmp_path):
    Image.new("RGB", (40, 30)).save(tmp_path / "a.png")
    done = program(tmp_path / "a.png", tmp_path / "grids", "--grid")
    assert done.exit_code == 0 and "to all targets" in done.output
    grid = Image.open(tmp_path / "grids" / "a.png")
    assert grid.width > 3 * 80 and grid.height > 2 * 60  # five tiles, twice as large, three in a row


@pytest.mark.parametrize(
    ("args", "words"),
    [
        (("--to", "blonde"), r'There is no label "blonde". Did you mean "blond"\? This run knows: black, blond, young'),
        (("--from", "photo"), 'cannot translate from "photo"'),
        (("--grid", "--to", "blond"), "leave out --to"),
    ],
)
def test_targets_that_translate_refuses(program, tmp_path, args, words):
    Image.new("RGB", (40, 30)).save(tmp_path / "a.png")
    done = program(tmp_path / "a.png", tmp_path / "b.png", *args)
    assert isinstance(done.exception, GanzooError) or done.exit_code
    assert re.search(words, f"{done.exception} {done.output}")
    assert not (tmp_path / "b.png").exists()
