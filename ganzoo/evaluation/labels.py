"""Translations to labels: is the target there, is all else preserved?"""

from __future__ import annotations

from collections.abc import Mapping
from math import isnan, nan
from typing import TYPE_CHECKING, ClassVar

if TYPE_CHECKING:
    from torch import Tensor

    from ganzoo.classifier import Classifier
    from ganzoo.data.dataset import Dataset
    from ganzoo.data.images import ImageRef
    from ganzoo.evaluation import Metrics, Progress
    from ganzoo.metrics import Metric
    from ganzoo.trainer import DataSpec, Trainer


class Labels:
    """Each change of one label, on the test images that do not have it yet, and "mean", the mean over all changes.

    `target_accuracy` and `preservation` are the shares of images in which a classifier, trained on the real training
    split, finds the target, and all other labels as they were. Where the source knows the ground truth, those with
    `_gt` are decided by the nearest (L1) of the image's counterparts with all combinations of labels, and metrics
    against the ground truth compare with the right one.
    """

    better: ClassVar[dict[str, str]] = dict.fromkeys(
        ("target_accuracy", "preservation", "target_accuracy_gt", "preservation_gt"), "higher"
    )

    def fits(self, trainer: Trainer) -> bool:
        return trainer.translates and bool(trainer.spec.labels)

    def evaluate(
        self, trainer: Trainer, dataset: Dataset, metrics: Mapping[str, Metric], progress: Progress | None
    ) -> Metrics:
        from ganzoo.attributes import all_targets, parse_target
        from ganzoo.evaluation.scores import Scores, device_of, means, reference_of, translated

        spec, classifier = trainer.spec, dataset.classifier()
        scores = {target: Scores(metrics, device_of(trainer)) for target in all_targets(spec)}
        rows: dict[str, list[dict[str, float]]] = {target: [] for target in scores}
        reference = reference_of(trainer, dataset, "image")
        total = dataset.test_count("image")
        for index, (ref, tensor) in enumerate(dataset.test_items("image")):
            image, own = tensor[None], _known_labels(spec, ref)
            counterparts = dataset.counterparts(ref) if len(own) == len(spec.labels) else {}
            for target in scores:
                changes = parse_target(spec, target)
                if not changes.keys() <= own.keys():
                    continue
                if changes.items() <= own.items():
                    scores[target].add_real(image)
                    continue
                fake = translated(trainer, image, "image", target, index, reference).float().cpu()
                row, baseline = (_verdicts(x, own, changes, classifier, counterparts) for x in (fake, image))
                rows[target].append(row | {f"{name}_identity": value for name, value in baseline.items()})
                expected = own | changes
                labels = tuple(expected[name] for name in spec.labels)
                ground_truth = counterparts[labels][None] if counterparts else None
                scores[target].add(fake, image, ground_truth)
            if progress:
                progress(index + 1, total)
        found = {f"image->{target}": means(rows[target]) | scores[target].compute() for target in rows if rows[target]}
        return found | ({"mean": means(found.values())} if found else {})

    def summary(self, metrics: Metrics) -> list[str]:
        mean = metrics.get("mean", {})
        if not self.better.keys() & mean.keys():
            return []
        return [f"Target labels found: {mean['target_accuracy']:.0%}, others preserved: {mean['preservation']:.0%}"]


def _known_labels(spec: DataSpec, ref: ImageRef) -> dict[str, bool]:
    """The labels that an image has or has not; a group of which none holds, such as no hair, is not known."""
    own = dict(zip(spec.labels, ref.labels, strict=True))
    for group in spec.groups:
        if sum(own[name] for name in group) != 1:
            own |= dict.fromkeys(group, nan)
    return {name: bool(value) for name, value in own.items() if not isnan(value)}


def _verdicts(
    image: Tensor,
    own: dict[str, bool],
    changes: dict[str, bool],
    classifier: Classifier,
    counterparts: Mapping[tuple[bool, ...], Tensor],
) -> dict[str, float]:
    """1 or 0 for one image: are the changes found, and all other labels that are known?"""
    from ganzoo.evaluation.scores import l1

    labels: dict[str, tuple[bool, ...]] = {"": tuple(classifier.labels(image)[0].tolist())}
    if counterparts:
        labels["_gt"] = min(counterparts, key=lambda these: l1(counterparts[these], image[0]))
    verdicts = {}
    for by, values in labels.items():
        found = dict(zip(classifier.spec.labels, values, strict=True))
        verdicts[f"target_accuracy{by}"] = float(changes.items() <= found.items())
        verdicts[f"preservation{by}"] = float(
            {n: v for n, v in own.items() if n not in changes}.items() <= found.items()
        )
    return verdicts
