"""Labelled translations are judged rightly: one that is the truth, one that does nothing, one that changes too much."""

from weakref import WeakKeyDictionary

import pytest
import torch
from ganzoo_worlds.sources import Faces

from ganzoo import evaluate as evaluation
from ganzoo.attributes import all_targets, parse_target
from ganzoo.data import batches as batching
from ganzoo.data.batches import labelled_test_images
from ganzoo.metrics import L1
from ganzoo.options import DataOptions, Options
from ganzoo.trainer import DataSpec, Trainer

DATA = DataOptions(source="faces", size=32, attributes=("black", "blond", "smiling"), groups=())
SOURCE = Faces(DATA, "labelled")
SPEC = DataSpec(("image",), {"image": 3}, 32, SOURCE.labels, (("black", "blond"),))
PICTURES = [
    (ref, image) for ref, image in labelled_test_images(SOURCE, DATA, SPEC, 1, "image") if sum(image.labels[:2]) == 1
][:6]


def answer(image, changes):
    return batching.test_tensor(SOURCE.answer(image, changes), DATA, 3, 1)


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
        ref = next(ref for ref, image in PICTURES if torch.equal(image, images[0]))
        return self.change(ref, images[0], parse_target(SPEC, target))[None]


class Judge:
    """A classifier that is never wrong about a true rendering."""

    def __init__(self):
        states = list(evaluation._combinations(SPEC))
        self.labels_of = torch.tensor(states * len(PICTURES))
        self.truths = torch.stack(
            [answer(p, dict(zip(SPEC.labels, s, strict=True))) for p, _ in PICTURES for s in states]
        )

    def labels(self, images):
        return self.labels_of[(self.truths - images).abs().sum(dim=(1, 2, 3)).argmin()][None]


@pytest.fixture
def trained(monkeypatch):
    """The classifiers that were trained."""
    made = []
    monkeypatch.setattr(evaluation, "_judges", WeakKeyDictionary())
    monkeypatch.setattr(evaluation, "train_classifier", lambda *args, **kwargs: made.append(Judge()) or made[-1])
    return made


@pytest.fixture
def figures(monkeypatch, trained):
    monkeypatch.setattr(evaluation, "held_out_pictures", lambda *args: PICTURES)
    return lambda change: evaluation.evaluate(Known(change), SOURCE, DATA, {"l1": L1()})


def test_one_classifier_judges_all_runs_of_a_source(figures, trained):
    for _ in range(2):
        figures(lambda ref, image, asked: image)
    assert len(trained) == 1
    evaluation.evaluate(Known(lambda ref, image, asked: image), SOURCE, DATA.model_copy(update={"flip": False}), {})
    assert len(trained) == 2


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
