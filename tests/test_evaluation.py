"""Evaluation keeps no images and leaves no trace in torch's random stream; protocols give what fits the model."""

import weakref

import pytest
import torch
from torch import nn

from ganzoo import Metric, Options, Trainer
from ganzoo.data.dataset import Dataset, open_dataset
from ganzoo.evaluation import evaluate, summary
from ganzoo.metrics import L1, PSNR, SSIM
from ganzoo.options import DataOptions
from ganzoo.runfolder import better

DATA = DataOptions(source="landscapes", size=16)


class Noisy(Trainer):
    """Adds noise to the images that it translates, and generates nothing but noise."""

    def __init__(self, spec):
        super().__init__(Options(), spec)
        self.scale, self.fakes = nn.Parameter(torch.tensor(0.1)), weakref.WeakSet()

    def phases(self):
        return []

    def translate(self, images, source, target):
        return self._noted((images + self.scale * torch.randn_like(images)).clamp(-1, 1))

    def _noted(self, images):
        self.fakes.add(images)
        assert len(self.fakes) <= 4, "fakes are kept"
        return images


class Generating(Noisy):
    data_kind = "images"
    translate = Trainer.translate

    def generate(self, count, label=None):
        return self._noted(torch.rand(count, 3, 16, 16) * 2 - 1)


class Watched(Dataset):
    """Fails if many of its images are alive at once."""

    def transformed(self, ref, domain):
        assert len(self.alive) <= 4, "test images are kept"
        self.alive.add(image := super().transformed(ref, domain))
        return image


def watched(kind):
    opened = open_dataset(DATA, kind)
    dataset = Watched(opened.source, opened.options, opened.kind)
    dataset.alive = weakref.WeakSet()
    return dataset


class Counted(Metric):
    """Fakes and, as hundreds of thousands, real images."""

    against = "real"
    higher_is_better = True

    def __init__(self):
        super().__init__()
        self.add_state("images", torch.zeros(2), dist_reduce_fx="sum")

    def update(self, images, real):
        self.images[int(real)] += len(images)

    def compute(self):
        return self.images[0] + 100_000 * self.images[1]


def test_translations_are_evaluated_one_by_one():
    dataset = watched("unpaired")
    found = evaluate(Noisy(dataset.spec), dataset, {"l1": L1(), "psnr": PSNR(), "ssim": SSIM(), "counted": Counted()})
    names = ("l1", "psnr", "ssim", "counted")
    keys = {"cycle_l1", *names, *(f"{name}_identity" for name in names)}
    tests = dataset.test_count("photo")
    for direction in ("photo->painting", "painting->photo"):
        assert found[direction].keys() == keys
        assert found[direction]["counted"] == found[direction]["counted_identity"] == tests + 100_000 * tests


def test_new_images_are_evaluated_as_many_as_there_are_real_ones():
    dataset = watched("images")
    dataset.source.images = lambda split, domain, images=dataset.source.images: images(split, domain) * 8
    found = evaluate(Generating(dataset.spec), dataset, {"counted": Counted(), "l1": L1()})["generated"]
    tests = dataset.test_count("image")
    assert tests > 200 and found.keys() == {"diversity", "diversity_on_real", "counted"}
    assert found["counted"] == tests + 100_000 * tests
    assert found["diversity"] == pytest.approx(1 / 3, rel=0.02) and 0 < found["diversity_on_real"] < found["diversity"]


def test_the_random_stream_of_the_caller_is_left_alone():
    dataset = open_dataset(DATA, "unpaired")
    trainer, metrics = Noisy(dataset.spec), {"l1": L1()}
    torch.manual_seed(1)
    expected = torch.rand(3)
    torch.manual_seed(1)
    once = evaluate(trainer, dataset, metrics)
    assert torch.equal(torch.rand(3), expected)
    assert evaluate(trainer, dataset, metrics) == once, "and its own does not depend on it"


def test_metrics_of_the_model_itself_stand_beside_the_others():
    class Own(Noisy):
        def own_metrics(self, test_images):
            return {"photo->painting": {"own": float(len(test_images["photo"]))}}

    dataset = open_dataset(DATA, "unpaired")
    found = evaluate(Own(dataset.spec), dataset, {})
    assert found["photo->painting"].keys() == {"own", "cycle_l1"} and found["painting->photo"].keys() == {"cycle_l1"}
    assert found["photo->painting"]["own"] == dataset.test_count("photo")


def test_summaries_are_sentences():
    values = {"l1": 0.1, "ssim": 0.5, "fid": 9.0, "l1_identity": 0.2, "ssim_identity": 0.25, "cycle_l1": 0.3}
    confidence = {"confidence": 0.58, "confidence_on_real": 0.95, "mode_coverage": 1.0}
    assert summary({"a->b": values, "b->a": {"cycle_l1": 0.3}, "c->a": {"fid": 2.0}, "generated": confidence}) == [
        "a->b: l1 0.100 (identity baseline: 0.200), ssim 0.500 (0.250)",
        "b->a: L1 of cycle consistency 0.300",
        "New images with labels beyond doubt: 58% (real images: 95%); labels among them: 100%",
    ]
    assert summary({}) == []


def test_it_is_known_which_way_is_better():
    known = better()
    assert known["l1"] == known["cycle_l1"] == known["fid"] == -1
    assert known["ssim"] == known["target_accuracy"] == known["mode_coverage"] == 1
    assert "classifier_on_real" not in known
