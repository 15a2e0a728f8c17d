"""A small classifier of labels, trained on real images to evaluate translated and generated ones."""

from collections import Counter
from itertools import islice
from math import isnan

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ganzoo.clock import seeded
from ganzoo.data.dataset import Dataset, Progress
from ganzoo.data.images import from_levels
from ganzoo.errors import GanzooError
from ganzoo.trainer import DataSpec

SIDE = 64  # pixels; larger images are reduced to it
CONFIDENT = 0.9  # probability
IMAGES, STEPS, BATCH, LR, NOISE = 1500, 200, 64, 3e-3, 0.1


class Classifier:
    """Finds the labels of images. Built by `train`; stays on the CPU.

    `accuracy`: label -> share of the real test images in which it is found right; for a label of an exclusive group,
    of those that have it. Labels that no test image could show are left out.
    """

    def __init__(self, spec: DataSpec) -> None:
        self.spec, self.side = spec, min(spec.size, SIDE)
        self.groups = [[spec.labels.index(name) for name in group] for group in spec.groups]
        self.single = [i for i in range(len(spec.labels)) if not any(i in group for group in self.groups)]
        self.network = _network(spec.channels["image"], len(spec.labels))
        self.accuracy: dict[str, float] = {}

    def probabilities(self, images: Tensor) -> Tensor:
        """(batch, channels, height, width) in [-1, 1] to (batch, labels); those of an exclusive group add up to 1."""
        self.network.eval()
        with torch.no_grad():
            logits = torch.cat([self.network(self.reduced(part)) for part in images.split(256)])
        found = logits.sigmoid()
        for group in self.groups:
            found[:, group] = logits[:, group].softmax(dim=1)
        return found

    def labels(self, images: Tensor) -> Tensor:
        """(batch, channels, height, width) in [-1, 1] to (batch, labels) of bool; exactly one holds in each group."""
        probabilities = self.probabilities(images)
        found = probabilities > 0.5
        for group in self.groups:
            found[:, group] = F.one_hot(probabilities[:, group].argmax(dim=1), len(group)).bool()
        return found

    def confident(self, images: Tensor) -> Tensor:
        """(batch, channels, height, width) in [-1, 1] to (batch,) of bool: whether the probabilities are clear."""
        probabilities = self.probabilities(images)
        clear = [probabilities[:, group].amax(dim=1) > CONFIDENT for group in self.groups]
        clear += [(probabilities[:, i] - 0.5).abs() > CONFIDENT - 0.5 for i in self.single]
        return torch.stack(clear).all(dim=0)

    def reduced(self, images: Tensor) -> Tensor:
        """Images of any size as the network sees them."""
        square = (self.side, self.side)
        images = images.detach().float().cpu()
        return images if images.shape[-2:] == square else F.interpolate(images, square, mode="bilinear", antialias=True)

    def loss(self, images: Tensor, labels: Tensor) -> Tensor:
        """Cross-entropy within each group, binary cross-entropy of every other label; nan is left out."""
        logits, known = self.network(images), ~labels.isnan()
        total = logits.new_zeros(())
        for group in self.groups:
            rows = labels[:, group].sum(dim=1) == 1  # nan is not
            if rows.any():
                total = total + F.cross_entropy(logits[rows][:, group], labels[rows][:, group].argmax(dim=1))
        for i in self.single:
            rows = known[:, i]
            if rows.any():
                total = total + F.binary_cross_entropy_with_logits(logits[rows, i], labels[rows, i])
        return total


def train(dataset: Dataset, seed: int = 0, progress: Progress = lambda done, total: None) -> Classifier:
    """A classifier of the labels, trained on the training split; its accuracy is that on the test split.

    Takes about ten seconds on an idle core. The same seed gives the same classifier. Raises GanzooError without labels.
    """
    if not dataset.spec.labels:
        raise GanzooError("These images have no labels, so no classifier can learn them.")
    with seeded(seed, torch.device("cpu")):
        classifier = Classifier(dataset.spec)
        images, labels = _training(classifier, dataset, seed)
        count, total = len(images), STEPS * BATCH
        optimizer = torch.optim.AdamW(classifier.network.parameters(), LR)
        schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, LR, total_steps=STEPS)
        order = torch.cat([torch.randperm(count) for _ in range(-(-total // count))])
        for step in range(STEPS):
            rows = order[step * BATCH : (step + 1) * BATCH]
            loss = classifier.loss(images[rows] + NOISE * torch.randn(BATCH, *images.shape[1:]), labels[rows])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
            progress(step + 1, STEPS)
    classifier.accuracy = _accuracy(classifier, dataset)
    return classifier


def _training(classifier: Classifier, dataset: Dataset, seed: int) -> tuple[Tensor, Tensor]:
    """Training images and their labels, cropped and mirrored as the recipe says."""
    samples = dataset.training_samples(seed)
    images, labels = [], []
    for i in range(min(IMAGES, 2 * len(samples.refs["image"]))):
        sample = samples[i]
        if isinstance(sample, GanzooError):
            raise sample
        images.append(classifier.reduced(from_levels(sample["image"][None])))
        labels.append(sample["label"])
    return torch.cat(images), torch.stack(labels)


def _accuracy(classifier: Classifier, dataset: Dataset) -> dict[str, float]:
    """As `Classifier.accuracy`, of at most IMAGES test images."""
    names, seen, right = classifier.spec.labels, Counter[str](), Counter[str]()
    for ref, image in islice(dataset.test_items("image"), IMAGES):
        found = classifier.labels(image[None])[0].tolist()
        for i, (name, value) in enumerate(zip(names, ref.labels, strict=True)):
            counts = not isnan(value) if i in classifier.single else value == 1
            seen[name] += counts
            right[name] += counts and found[i] == bool(value)
    return {name: right[name] / seen[name] for name in names if seen[name]}


def _network(channels: int, labels: int, width: int = 16) -> nn.Module:
    layers: list[nn.Module] = []
    for out in (width, 2 * width, 4 * width, 4 * width):
        layers += [nn.Conv2d(channels, out, 3, 2, 1, bias=False), nn.BatchNorm2d(out), nn.ReLU()]
        channels = out
    return nn.Sequential(
        *layers, nn.AdaptiveAvgPool2d(4), nn.Flatten(), nn.Dropout(0.3), nn.Linear(16 * channels, labels)
    )
