"""StarGAN is the published one: a plain step written from the paper agrees with the engine's to 1e-9."""

import copy
import re

import pytest
import torch
from click.testing import CliRunner
from ganzoo_stargan.nets import StarGANDiscriminator, StarGANGenerator
from PIL import Image
from torch import nn
from torch.nn import functional as F

from ganzoo import GanzooError, recipe
from ganzoo import translate as translation
from ganzoo.cli import cli
from ganzoo.clock import Clock
from ganzoo.testing import build, check_model, random_batch
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


def make(spec, batch=4, **options):
    tables = {
        "model": "stargan",
        "data": {"source": "none", "size": spec.size, "batch": batch},
        "options": SMALL | options,
        "train": {"images": 80, "precision": "64", "device": "cpu", "constant": 0.5},
    }
    return build(recipe.parse(tables), spec)


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
    check_model("stargan", **(SMALL | options))


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


def plain_steps(G, D, batches, clock, classification, *, lr=1e-4, total=80, rec=10.0, gp=10.0, n_critic=5):
    """The algorithm of Choi et al. 2018, section 3, with the authors' settings; nothing of ganzoo but its dice.

    WGAN-GP critic, labels of another image of the batch as the target, `n_critic` critic steps to one of G.
    """
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
        real_score, real_class = D(x)
        fake = translated(x, new).detach()
        alpha = torch.rand(len(x), 1, 1, 1, generator=clock.shared).to(x)
        between = (alpha * x + (1 - alpha) * fake).requires_grad_(True)
        score = D(between)[0]
        (slope,) = torch.autograd.grad(score, between, torch.ones_like(score), create_graph=True)
        steep = ((slope.view(len(x), -1).pow(2).sum(1).sqrt() - 1) ** 2).mean()
        loss = -real_score.mean() + D(fake)[0].mean() + classification(real_class, c) + gp * steep
        opt_D.zero_grad()
        loss.backward()
        opt_D.step()
        if (step + 1) % n_critic == 0:
            fake = translated(x, new)
            score, fake_class = D(fake)
            back = translated(fake, c)
            loss = -score.mean() + classification(fake_class, new) + rec * (x - back).abs().mean()
            opt_G.zero_grad()
            loss.backward()
            opt_G.step()


def attributes_loss(logits, labels):
    return F.binary_cross_entropy_with_logits(logits, labels, reduction="sum") / len(logits)


def classes_loss(logits, labels):
    return F.cross_entropy(logits, labels.argmax(1))


def batches_of(spec, steps, count=4):
    return [{k: v.double() for k, v in random_batch(spec, step, count).items()} for step in range(steps)]


def difference(trainer, G, D):
    """The largest difference of any weight."""
    ours, theirs = [*trainer.G.parameters(), *trainer.D.parameters()], [*G.parameters(), *D.parameters()]
    return max((a - b).abs().max().item() for a, b in zip(ours, theirs, strict=True))


@pytest.mark.parametrize(("spec", "loss"), [(ATTRIBUTES, attributes_loss), (CLASSES, classes_loss)])
def test_ten_steps_agree_with_the_paper(spec, loss):
    engine, batches = make(spec), batches_of(spec, 10)
    start = copy.deepcopy((engine.trainer.G, engine.trainer.D))
    theirs, wrong = copy.deepcopy(start), copy.deepcopy(start)
    plain_steps(*theirs, [(b["image"], b["label"]) for b in batches], Clock(0, 4), loss)
    for batch in batches:
        engine.step(batch)
    assert difference(engine.trainer, *start) > 1e-4
    assert difference(engine.trainer, *theirs) < 1e-9
    plain_steps(*wrong, [(b["image"], b["label"]) for b in batches], Clock(0, 4), loss, rec=9.8)
    assert difference(engine.trainer, *wrong) > 1e-6  # the comparison notices a weight that is 2 % off


def test_two_label_sets_are_two_models_in_one():
    """A batch of images of both sets gives the mean of the losses of each set alone, with its mask (section 3.3)."""
    trainer = make(JOINT, batch=4).trainer
    G, D = trainer.G, trainer.D
    assert G.layers[0].in_channels == 3 + 4 + 2
    x = random_batch(JOINT, 0, 4)["image"].double()
    nan = float("nan")
    c = torch.tensor([[1, nan, nan, 0], [nan, 0, 1, nan], [0, nan, nan, 1], [nan, 1, 0, nan]], dtype=torch.float64)
    carry = {}
    trainer.clock.set(0)
    terms = trainer.discriminator_loss({"image": x, "label": c}, carry)
    g_terms = trainer.generator_loss({"image": x, "label": c}, carry)
    mask, target = carry["mask"], carry["target"]
    assert mask.tolist() == [[1, 0], [0, 1], [1, 0], [0, 1]]
    first, second = [0, 2], [1, 3]
    for rows, columns in ((first, [0, 3]), (second, [1, 2])):
        mine = target[rows][:, columns]
        assert sorted(mine.tolist()) == sorted(c[rows][:, columns].tolist())  # only images of the same set swap
        assert target[rows][:, [i for i in range(4) if i not in columns]].isnan().all()
    classes = D(x)[1]
    bce = F.binary_cross_entropy_with_logits(classes[first][:, [0, 3]], c[first][:, [0, 3]], reduction="sum") / 2
    ce = F.cross_entropy(classes[second][:, [1, 2]], c[second][:, [1, 2]].argmax(1))
    torch.testing.assert_close(terms["classify_real"], (bce + ce) / 2)
    known = torch.tensor([[1, 0, 0, 1], [0, 1, 1, 0]], dtype=torch.float64)

    def paint(images, labels, rows):
        condition = torch.cat([labels.nan_to_num(0) * known[rows].repeat(2, 1), mask], 1)
        return G(torch.cat([images, condition[:, :, None, None].expand(-1, -1, 32, 32)], 1))

    fake = paint(x, target, [0, 1])
    torch.testing.assert_close(g_terms["reconstruct"], 10 * (paint(fake, c, [0, 1]) - x).abs().mean())
    torch.testing.assert_close(g_terms["fool"], -D(fake)[0].mean())


def test_the_old_labels_of_made_pictures():
    trainer = make(JOINT, old_labels=0.5).trainer
    batch, carry = random_batch(JOINT, 0, 4), {}
    x, nan = batch["image"].double(), float("nan")
    c = torch.tensor([[1, nan, nan, 0], [nan, 0, 1, nan], [0, nan, nan, 1], [nan, 1, 0, nan]], dtype=torch.float64)
    terms = trainer.discriminator_loss({"image": x, "label": c}, carry)
    made = trainer.D(trainer.paint(x, carry["target"], carry["mask"]))[1]
    torch.testing.assert_close(terms["classify_fake"], 0.5 * trainer.classification(made, c))


def test_a_residual_generator_leaves_no_chequers():
    trainer = make(ATTRIBUTES, residual=True).trainer
    chequers = torch.ones(1, 3, 32, 32, dtype=torch.float64)
    chequers[..., ::2] = -1
    trainer.G.forward = lambda x: 0.4 * chequers
    grey = torch.zeros_like(chequers)
    drawn = trainer.paint(grey, torch.zeros(1, 3, dtype=torch.float64), torch.ones(1, 1, dtype=torch.float64))
    assert drawn[..., 1:-1, 1:-1].abs().max() < 1e-9


def test_a_picture_that_knows_both_sets_is_used_for_one_by_lot():
    trainer = make(JOINT).trainer
    labels = torch.zeros(64, 4, dtype=torch.float64)
    mask, target = trainer.draw_targets(labels)
    assert 16 < mask[:, 0].sum() < 48
    assert ((~target[:, [0, 3]].isnan()).all(dim=1) == (mask[:, 0] == 1)).all()
    assert ((~target[:, [1, 2]].isnan()).all(dim=1) == (mask[:, 1] == 1)).all()


class Halves(Clock):
    """One of two processes, the other's rows known beforehand."""

    def __init__(self, rank, gathered):
        super().__init__(0, len(gathered), rank, 2)
        self.gathered = gathered

    def all_gather(self, rows):
        return self.gathered


@pytest.mark.parametrize("spec", [ATTRIBUTES, JOINT])
def test_two_processes_draw_the_targets_of_one(spec):
    trainer = make(spec).trainer
    labels = torch.randint(2, (8, len(spec.labels)), generator=torch.Generator().manual_seed(3)).double()
    trainer.clock.set(0)
    mask, target = trainer.draw_targets(labels)
    parts = []
    for rank in (0, 1):
        trainer.clock = Halves(rank, labels)
        parts.append(trainer.draw_targets(labels.chunk(2)[rank]))
    assert torch.equal(torch.cat([m for m, _ in parts]), mask)
    assert torch.equal(torch.cat([t for _, t in parts]).nan_to_num(9), target.nan_to_num(9))


class Painter(nn.Module):
    """Paints the first pixels with the condition that it was given."""

    def forward(self, x):
        image = x[:, :3].clone()
        image[:, 0, 0, : x.shape[1] - 3] = x[:, 3:, 0, 0]
        return image


def test_translation_keeps_the_labels_that_it_reads():
    trainer = make(ATTRIBUTES).trainer
    trainer.G = Painter()
    trainer.read_labels = lambda images: torch.tensor([[1.0, 0.0, 1.0]], dtype=torch.float64)
    images = torch.zeros(1, 3, 32, 32, dtype=torch.float64)
    for target, condition in (("blond", [0, 1, 1]), ("no-young", [1, 0, 0]), ("blond,no-young", [0, 1, 0])):
        assert trainer.translate(images, "image", target)[0, 0, 0, :3].tolist() == condition, target


def test_joint_translation_takes_the_sets_one_after_another():
    trainer = make(JOINT).trainer
    seen = []
    trainer.paint = lambda images, labels, mask: seen.append((labels.tolist()[0], mask.tolist()[0])) or images + 1
    trainer.read_labels = lambda images: torch.tensor([[1.0, 0.0, 1.0, 0.0]], dtype=torch.float64)
    images = torch.zeros(1, 3, 32, 32, dtype=torch.float64)
    assert (trainer.translate(images, "image", "angry,male") == 2).all()
    assert str(seen) == "[([1.0, nan, nan, 1.0], [1.0, 0.0]), ([nan, 1.0, 0.0, nan], [0.0, 1.0])]"
    seen.clear()
    trainer.translate(images, "image", "no-male")
    assert len(seen) == 1


def test_labels_are_read_at_the_training_size_and_groups_have_one():
    trainer = make(ATTRIBUTES).trainer
    labels = trainer.read_labels(torch.randn(5, 3, 48, 64, dtype=torch.float64))
    assert labels.shape == (5, 3) and (labels[:, :2].sum(dim=1) <= 1).all()
    assert (make(CLASSES).trainer.read_labels(torch.randn(5, 3, 32, 32, dtype=torch.float64)).sum(dim=1) == 1).all()


def test_directions():
    assert [target for _, target in make(ATTRIBUTES).trainer.directions()] == ["black", "blond", "young", "no-young"]


def test_data_without_labels_and_too_many_layers_are_refused():
    with pytest.raises(GanzooError, match=r"no.*data.attributes"):
        make(DataSpec(("image",), {"image": 3}, 32))
    with pytest.raises(GanzooError, match="at most 5"):
        make(ATTRIBUTES, discriminator_layers=6)


@pytest.fixture
def program(monkeypatch):
    """`program(*args)` is `ganzoo translate RUN ARGS` with an untrained model of `ATTRIBUTES`."""
    engine = make(ATTRIBUTES)
    made_from = recipe.parse({"model": "stargan", "data": {"source": "none"}, "options": SMALL, "train": {"images": 1}})
    monkeypatch.setattr(translation, "load", lambda run, device: translation.Translator(engine.trainer, made_from))
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
