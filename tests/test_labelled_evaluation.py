"""Translations to labels: the ground truth itself, the untouched input, and more changes than the target says."""

import pytest
import torch
from ganzoo_worlds.sources import Faces

from ganzoo.attributes import all_targets, parse_target
from ganzoo.data.dataset import Dataset
from ganzoo.data.kinds import Labelled
from ganzoo.evaluation import evaluate, summary
from ganzoo.metrics import L1, Metric
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

    data_kind = "labelled"

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
    spec, accuracy = SPEC, {}

    def __init__(self):
        known = [DATASET.counterparts(ref) for ref, _ in IMAGES]
        self.labels_of = torch.tensor([labels for images in known for labels in images])
        self.ground_truths = torch.stack([image for images in known for image in images.values()])

    def labels(self, images):
        return torch.stack([self.labels_of[(self.ground_truths - p).abs().sum(dim=(1, 2, 3)).argmin()] for p in images])


@pytest.fixture
def metrics():
    return lambda change: evaluate(Known(change), DATASET, {"l1": L1()})


def test_the_ground_truth_is_right_in_everything(metrics):
    found = metrics(lambda ref, image, changes: answer(ref, changes))
    assert list(found) == ["image->black", "image->blond", "image->smiling", "image->no-smiling", "mean"]
    for values in found.values():
        assert values["target_accuracy"] == values["preservation"] == 1
        assert values["target_accuracy_gt"] == values["preservation_gt"] == 1
        assert values["l1"] == 0 < values["l1_identity"]
        assert values["target_accuracy_identity"] == values["target_accuracy_gt_identity"] == 0
        assert values["preservation_identity"] == 1
    assert summary(found) == ["Target labels found: 100%, others preserved: 100%"]


def test_the_input_as_output_is_the_identity_baseline(metrics):
    mean = metrics(lambda ref, image, changes: image)["mean"]
    assert mean["target_accuracy"] == mean["target_accuracy_gt"] == 0
    assert mean["preservation"] == mean["preservation_gt"] == 1
    assert mean["l1"] == mean["l1_identity"]


def test_changing_more_than_the_target_is_noticed(metrics):
    def all_changed(ref, image, changes):
        own = dict(zip(SPEC.labels, map(bool, ref.labels), strict=True))
        flipped = {"smiling": not own["smiling"], "black": not own["black"], "blond": own["black"]}
        return answer(ref, flipped | changes)

    mean = metrics(all_changed)["mean"]
    assert mean["target_accuracy"] == mean["target_accuracy_gt"] == 1
    assert mean["preservation"] == mean["preservation_gt"] == 0


def test_the_rest_of_the_images_are_the_real_ones_of_a_target():
    class Counted(Metric):
        against = "real"

        def __init__(self):
            super().__init__()
            self.add_state("images", torch.zeros(2), dist_reduce_fx="sum")

        def update(self, images, real):
            self.images[int(real)] += len(images)

        def compute(self):
            return self.images[0] + 100 * self.images[1]

    found = evaluate(Known(lambda ref, image, changes: image), DATASET, {"counted": Counted()})
    smiling = sum(ref.labels[2] == 1 for ref, _ in IMAGES)
    assert found["image->smiling"]["counted"] == len(IMAGES) - smiling + 100 * smiling
    assert found["image->smiling"]["counted_identity"] == found["image->smiling"]["counted"]


def test_a_model_that_also_generates_is_evaluated_as_both():
    class Both(Known):
        def generate(self, count, label=None):
            return answer(IMAGES[0][0], parse_target(SPEC, label) | {"smiling": label == "smiling"}).expand(
                count, -1, -1, -1
            )

    found = evaluate(Both(lambda ref, image, changes: image), DATASET, {})
    assert found["mean"]["target_accuracy"] == 0 and found["generated"]["target_accuracy"] == 1
    assert summary(found) == [
        "Target labels found: 0%, others preserved: 100%",
        "New images that show their target label: 100%",
    ]
