"""New images: what a classifier of the real ones finds in them, how much they differ, real images."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from itertools import pairwise
from typing import TYPE_CHECKING, ClassVar

if TYPE_CHECKING:
    from torch import Tensor

    from ganzoo.classifier import Classifier
    from ganzoo.data.dataset import Dataset
    from ganzoo.evaluation import Metrics, Progress
    from ganzoo.evaluation.scores import Scores
    from ganzoo.metrics import Metric
    from ganzoo.trainer import Trainer

GENERATED = 200  # new images: at once, and at least


class Generation:
    """ "generated": by a classifier that is trained on the real training split, where the data has labels.

    Of a model that is told labels `target_accuracy`, the share of images, as many for every target, that show their
    target. Of another one `confidence`, the share in which the classifier is sure of all labels, and `mode_coverage`,
    the share of labels that it is sure to have found at all. `classifier_on_real` is its accuracy on real test images.
    Where the data has no labels `diversity`, the mean L1 between two images in [0, 1].
    """

    better: ClassVar[dict[str, str]] = dict.fromkeys(
        ("target_accuracy", "confidence", "mode_coverage", "diversity"), "higher"
    )

    def fits(self, trainer: Trainer) -> bool:
        return trainer.generates and trainer.spec.domains == ("image",)

    def evaluate(
        self, trainer: Trainer, dataset: Dataset, metrics: Mapping[str, Metric], progress: Progress | None
    ) -> Metrics:
        from ganzoo.attributes import all_targets
        from ganzoo.evaluation.scores import Scores, device_of

        spec, scores = trainer.spec, Scores(metrics, device_of(trainer), baseline=False)
        classifier = dataset.classifier(progress) if spec.labels else None
        real = _real(dataset, scores)
        count = max(GENERATED, dataset.test_count("image")) if scores.need_real else GENERATED
        if classifier is None:
            found = {"diversity": _diversity(_generated(trainer, scores, count)), "diversity_on_real": _diversity(real)}
        elif dataset.kind.labelled:
            targets = all_targets(spec)
            each = max(1, count // len(targets))
            shares = [_accuracy(classifier, target, _generated(trainer, scores, each, target)) for target in targets]
            found = {"target_accuracy": sum(shares) / len(shares)}
        else:
            confidence, coverage = _confidence(classifier, _generated(trainer, scores, count))
            found = {"confidence": confidence, "confidence_on_real": _confidence(classifier, real)[0]}
            found["mode_coverage"] = coverage
        if scores.need_real:
            for _ in real:  # those that nothing has looked at yet
                pass
        if classifier and classifier.accuracy:
            found["classifier_on_real"] = sum(classifier.accuracy.values()) / len(classifier.accuracy)
        return {"generated": found | scores.compute()}

    def summary(self, metrics: Metrics) -> list[str]:
        values, sentences = metrics.get("generated", {}), []
        if "target_accuracy" in values:
            sentences.append(f"New images that show their target label: {values['target_accuracy']:.0%}")
        if "confidence" in values:
            sentences.append(
                f"New images with labels beyond doubt: {values['confidence']:.0%} "
                f"(real images: {values['confidence_on_real']:.0%}); labels among them: {values['mode_coverage']:.0%}"
            )
        if "diversity" in values:
            sentences.append(
                f"L1 between two new images: {values['diversity']:.3f} (real images: {values['diversity_on_real']:.3f})"
            )
        return sentences


def _generated(trainer: Trainer, scores: Scores, count: int, label: str | None = None) -> Iterator[Tensor]:
    """New images, (batch, channels, height, width) in [-1, 1], which the metrics have seen, too."""
    for start in range(0, count, GENERATED):
        with trainer.inference():
            images = trainer.generate(min(GENERATED, count - start), label).float().cpu()
        scores.add(images)
        yield images


def _real(dataset: Dataset, scores: Scores) -> Iterator[Tensor]:
    """The real test images in the same way, one by one."""
    for _, tensor in dataset.test_items("image"):
        scores.add_real(tensor[None])
        yield tensor[None]


def _diversity(batches: Iterable[Tensor]) -> float:
    """Mean L1 between an image and the next."""
    from ganzoo.evaluation.scores import l1

    neighbours = pairwise(image for images in batches for image in images)
    distances = [l1(a, b) for a, b in neighbours if a.shape == b.shape]
    return sum(distances) / len(distances) if distances else 0.0


def _accuracy(classifier: Classifier, target: str, batches: Iterable[Tensor]) -> float:
    """The share of images in which the classifier finds all that the target says."""
    from ganzoo.attributes import parse_target

    spec, right = classifier.spec, []
    for found in map(classifier.labels, batches):
        flags = [found[:, spec.labels.index(name)] == value for name, value in parse_target(spec, target).items()]
        right += [all(row) for row in zip(*(flag.tolist() for flag in flags), strict=True)]
    return sum(right) / len(right)


def _confidence(classifier: Classifier, batches: Iterable[Tensor]) -> tuple[float, float]:
    """The share of images in which the classifier is sure of all labels, and the share of labels found in these."""
    confident, covered = [], set()
    for images in batches:
        flags = classifier.confident(images)
        confident += flags.tolist()
        covered |= set(classifier.labels(images)[flags].any(dim=0).nonzero().flatten().tolist())
    return sum(confident) / max(1, len(confident)), len(covered) / len(classifier.spec.labels)
