"""The classifier learns the labels of a built-in world, leaves unknown labels out, and depends on its seed alone."""

from dataclasses import replace
from math import nan
from types import SimpleNamespace

import pytest
import torch

from ganzoo import GanzooError, classifier
from ganzoo.data.dataset import open_dataset
from ganzoo.options import DataOptions
from ganzoo.trainer import DataSpec

DIGITS = DataOptions(source="digits", size=16, load=16, channels=1, flip=False)


@pytest.fixture(scope="module")
def trained():
    dataset = open_dataset(DIGITS, "labelled")
    return classifier.train(dataset), dataset


def test_digits_are_learned(trained):
    found, _ = trained
    assert list(found.accuracy) == list("0123456789")
    assert min(found.accuracy.values()) > 0.8
    assert sum(found.accuracy.values()) > 9.5
    images = torch.rand(7, 1, 40, 24) * 2 - 1  # any size
    labels = found.labels(images)
    assert labels.shape == (7, 10) and (labels.sum(dim=1) == 1).all()
    assert torch.allclose(found.probabilities(images).sum(dim=1), torch.ones(7))
    assert torch.equal(found.labels(images.double()), labels)


def test_the_seed_decides(monkeypatch):
    monkeypatch.setattr(classifier, "STEPS", 10)
    dataset = open_dataset(DIGITS, "labelled")
    images = torch.rand(3, 1, 16, 16)
    found = []
    for seed in (0, 0, 1):
        before = torch.get_rng_state()
        found.append(classifier.train(dataset, seed).probabilities(images))
        assert torch.equal(torch.get_rng_state(), before)  # the run around it goes on as if nothing had happened
    assert torch.equal(found[0], found[1]) and not torch.equal(found[0], found[2])


def test_unknown_labels_count_for_nothing():
    spec = DataSpec(("image",), {"image": 3}, 16, ("black", "blond", "smiling"), (("black", "blond"),))
    torch.manual_seed(0)
    found, images = classifier.Classifier(spec), torch.rand(4, 3, 16, 16)
    found.network.eval()  # no dropout: the same images give the same logits
    assert found.loss(images, torch.full((4, 3), nan)) == 0
    known = torch.tensor([[1.0, 0, 1], [0, 1, 0], [0, 1, 0], [1, 0, 1]])
    parts = [known.clone(), known.clone()]
    parts[0][:, 2] = nan
    parts[1][:, :2] = nan
    assert found.loss(images, known).isclose(sum(found.loss(images, part) for part in parts))


def test_attributes_of_faces(monkeypatch):
    monkeypatch.setattr(classifier, "IMAGES", 600)
    monkeypatch.setattr(classifier, "STEPS", 100)
    data = DataOptions(source="faces", size=32, load=34, attributes=("black", "blond", "brown", "glasses"))
    dataset = open_dataset(data, "labelled")
    assert dataset.spec.groups == (("black", "blond", "brown"),)
    found = classifier.train(dataset)
    assert min(found.accuracy.values()) > 0.9


def test_without_labels_it_says_so():
    with pytest.raises(GanzooError, match="no labels"):
        open_dataset(DataOptions(source="landscapes", size=16), "images").classifier()


def test_a_data_set_trains_one_classifier(monkeypatch, trained):
    _, dataset = trained
    monkeypatch.setattr(classifier, "STEPS", 2)
    images = open_dataset(DIGITS, "images")  # without labels in its batches
    model = SimpleNamespace(spec=images.spec, multiple=4)
    assert images.for_model(model).classifier() is images.classifier() is not dataset.classifier()
    grey = SimpleNamespace(spec=replace(images.spec, channels={"image": 3}), multiple=4)
    assert images.for_model(grey).classifier() is not images.classifier()
