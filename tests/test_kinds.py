"""Kinds of data: what an item holds, how the streams that items are drawn from hang together, and which data fits."""

import math
import pickle

import pytest
import torch
from ganzoo_testing import ConformanceError, check_model
from PIL import Image

from ganzoo import GanzooError
from ganzoo.data.dataset import open_dataset
from ganzoo.data.images import from_levels
from ganzoo.data.kinds import DataKind, Domains, load_kind
from ganzoo.options import DataOptions
from ganzoo.registry import registry

BUILT_IN = ("unpaired", "paired", "domains", "labelled", "images", "single-pair")
RENDERINGS = ("photo", "painting", "edges")


def dataset(kind, source="faces", **options):
    return open_dataset(DataOptions(source=source, size=16, batch=2, **options), kind)


def test_these_are_built_in():
    assert {entry.name for entry in registry().entries if entry.distribution == "ganzoo"} >= set(BUILT_IN)
    assert all(registry().find("kind", name).summary for name in BUILT_IN)


@pytest.mark.parametrize("name", BUILT_IN)
def test_an_example_is_like_what_is_drawn(name):
    kind = load_kind(name)
    spec = kind.example_spec(16)
    kind.check(spec.domains)
    example, again, other = (kind.example(spec, step, 3) for step in (0, 0, 1))
    assert all(torch.equal(example[key], again[key]) for key in example)
    assert name == "single-pair" or any(not torch.equal(example[k], other[k]) for k in example if k in other)
    drawn = pickle.loads(pickle.dumps(dataset(name))).training_samples(0)[0]
    found = {key: from_levels(value) if value.dtype == torch.uint8 else value for key, value in drawn.items()}
    assert (len(found), "label" in found) == (len(example), "label" in example) == (len(found), kind.labelled)
    assert all(found[key].dtype == example[key].dtype and found[key].ndim + 1 == example[key].ndim for key in found
               if key in example)  # fmt: skip


def test_two_domains_are_drawn_for_each_step():
    samples = dataset("domains", "landscapes", domains=RENDERINGS).training_samples(0)
    drawn = [tuple(samples[i]) for i in range(24)]
    assert all(drawn[i] == drawn[i + 1] for i in range(0, 24, 2))  # items of one batch
    assert {len(set(names)) for names in drawn} == {2} and {name for names in drawn for name in names} == set(
        RENDERINGS
    )


def test_a_single_pair_is_what_is_tested_on():
    pair = dataset("single-pair", "landscapes", domains=("photo", "painting"))
    samples = pair.training_samples(0)
    tests = pair.test_images()
    for domain in ("photo", "painting"):
        assert len(tests[domain]) == 1 and torch.equal(tests[domain][0], samples[7][domain])
    assert pair.source.ground_truth and not pair.ground_truth


def greys(root, count):
    """Domains A and B; image i of each is of grey i."""
    for letter in "AB":
        (root / f"train{letter}").mkdir()
        for i in range(count):
            Image.new("L", (12, 10), i).save(root / f"train{letter}" / f"{i}.png")
    return open_dataset(DataOptions(source="folders", root=str(root), size=8, channels=1), "domains")


def test_streams_are_independent(tmp_path):
    samples = greys(tmp_path, 10).training_samples(0)

    def drawn(domain, stream, epoch=0):
        images = [samples.draw(10 * epoch + i, domain, stream=stream)[0].image for i in range(10)]
        return [image[0, 0, 0].item() for image in images]

    orders = [drawn("A", stream, epoch) for stream in ("A", "reference", "reference 2") for epoch in (0, 1)]
    assert all(sorted(order) == list(range(10)) for order in orders)  # every image once an epoch
    assert len(set(map(tuple, orders))) == 6
    assert drawn("A", "tied") == drawn("B", "tied")
    assert drawn("A", "A") == drawn("A", None)
    numbers = [samples.rng(i, stream).random() for i in (0, 1) for stream in ("A", "reference")]
    assert len(set(numbers)) == 4
    assert samples.step_rng(2).random() != samples.step_rng(3).random()  # batch is 1 here


def test_a_sample_has_its_labels():
    samples = dataset("images", label_sets=()).training_samples(0)
    assert samples.draw(0, "image")[0].labels.shape == (0,)
    sets = (("black", "blond", "brown"), ("smiling", "glasses"))
    labels = dataset("labelled", label_sets=sets).training_samples(0).draw(0, "image")[0].labels
    assert labels.shape == (5,) and sum(math.isnan(value) for value in labels) in (2, 3)


def test_a_number_of_domains_that_does_not_fit():
    class Three(DataKind):
        least, most = 2, 3

        def draw(self, samples, i):
            return {}

    Three().check(RENDERINGS)
    with pytest.raises(GanzooError, match=r"needs 2 to 3 domains, and the data has 4: a, b, c, d.*data\.domains"):
        Three().check("abcd")
    with pytest.raises(GanzooError, match="needs at least 2 domains, and the data has 1: a"):
        Domains().check("a")


def test_a_source_that_has_no_such_data():
    with pytest.raises(GanzooError, match=r'"digits" gives no data of kind "paired".* Sources that do: .*landscapes'):
        dataset("paired", "digits")


def test_an_unknown_kind():
    with pytest.raises(GanzooError, match=r'no kind "pared" installed\. Did you mean "paired"'):
        dataset("pared")
    pytest.importorskip("ganzoo_style")
    with pytest.MonkeyPatch.context() as patch, pytest.raises(ConformanceError, match=r'a registered kind.*"stil"'):
        patch.setattr(registry().load("model", "style"), "data_kind", "stil")
        check_model("style", {"features": "random"})
