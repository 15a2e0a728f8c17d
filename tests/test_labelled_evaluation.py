"""Labelled translations are judged rightly: one that is the truth, one that does nothing, one that changes too much."""

import pytest
import torch
from ganzoo_worlds.sources import Faces

from ganzoo.attributes import all_targets, parse_target
from ganzoo.data.dataset import Dataset
from ganzoo.data.kinds import Labelled
from ganzoo.evaluate import evaluate
from ganzoo.metrics import L1
from ganzoo.options import DataOptions, Options
from ganzoo.trainer import Trainer


class TwoColours(Faces):
    """Six test images of people whose hair is black or blond."""

    groups = (("black", "blond"),)

    def images(self, split, domain):
        return [ref for ref in super().images(split, domain) if sum(ref.labels[:2]) == 1][:6]


class Judged(Dataset):
    """With a classifier that is never wrong about a true rendering."""

    def classifier(self, progress=None):
        return Judge()


DATA = DataOptions(source="faces", size=32, attributes=("black", "blond", "smiling"))
SOURCE = TwoColours(DATA, "labelled")
SOURCE.groups = TwoColours.groups
DATASET = Judged(SOURCE, DATA, Labelled())
SPEC = DATASET.spec
IMAGES = list(DATASET.test_items("image"))


def answer(ref, changes):
    return DATASET.transformed(SOURCE.counterpart(ref, changes), "image")


class Known(Trainer):
    """Knows what every test image should become, and does `change` with it."""

    data = "labelled"

    def __init__(self, change):
        super().__init__(Options(), SPEC)
        self.anything, self.change = torch.nn.Parameter(torch.zeros(1)), change

    def phases(self):
        return []

    def directions(self):
        return [("image", target) for target in all_targets(SPEC)]

    def translate(self, images, source, target):
        ref = next(ref for ref, image in IMAGES if torch.equal(image, images[0]))
        return self.change(ref, images[0], parse_target(SPEC, target))[None]


class Judge:
    def __init__(self):
        known = [DATASET.counterparts(ref) for ref, _ in IMAGES]
        self.labels_of = torch.tensor([labels for images in known for labels in images])
        self.truths = torch.stack([image for images in known for image in images.values()])

    def labels(self, images):
        return self.labels_of[(self.truths - images).abs().sum(dim=(1, 2, 3)).argmin()][None]


@pytest.fixture
def figures():
    return lambda change: evaluate(Known(change), DATASET, {"l1": L1()})


def test_the_truth_is_right_in_everything(figures):
    found = figures(lambda ref, image, asked: answer(ref, asked))
    assert list(found) == ["image->black", "image->blond", "image->smiling", "image->no-smiling", "mean"]
    for values in found.values():
        assert values["asked"] == values["kept"] == values["asked_truth"] == values["kept_truth"] == 1
        assert values["l1"] == 0 < values["l1_identity"]
        assert values["asked_identity"] == values["asked_truth_identity"] == 0 and values["kept_identity"] == 1


def test_doing_nothing_gives_nothing_that_was_asked(figures):
    mean = figures(lambda ref, image, asked: image)["mean"]
    assert mean["asked"] == mean["asked_truth"] == 0 and mean["kept"] == mean["kept_truth"] == 1
    assert mean["l1"] == mean["l1_identity"]


def test_changing_more_than_was_asked_is_noticed(figures):
    def all_changed(ref, image, asked):
        own = dict(zip(SPEC.labels, map(bool, ref.labels), strict=True))
        flipped = {"smiling": not own["smiling"], "black": not own["black"], "blond": own["black"]}
        return answer(ref, flipped | asked)

    mean = figures(all_changed)["mean"]
    assert mean["asked"] == mean["asked_truth"] == 1 and mean["kept"] == mean["kept_truth"] == 0
