"""How good a run is on its test images: each protocol evaluates what it fits of what the model does.

`fits` tells whether a model does something that the protocol evaluates; `evaluate` gives metrics by direction, with
torch's global generators seeded, and keeps no images; `summary` gives sentences on what is its own in the metrics of a
run. Which way is better for metrics of its own, `runfolder.better` tells.
"""

from collections.abc import Iterable, Iterator, Mapping
from itertools import pairwise
from math import isnan, nan
from typing import ClassVar

import torch
from torch import Tensor

from ganzoo.attributes import all_targets, parse_target
from ganzoo.classifier import Classifier
from ganzoo.clock import seeded
from ganzoo.data.dataset import Dataset, Progress
from ganzoo.data.images import ImageRef
from ganzoo.evaluation.scores import Scores, device_of, l1, means, reference_of, translated
from ganzoo.metrics import Metric
from ganzoo.trainer import DataSpec, Trainer

Metrics = dict[str, dict[str, float]]
"""Direction, such as "horse->zebra", "generated" or "mean" -> name of a metric -> its value."""
Known = dict[str, bool]  # label -> whether an image has it, or should have it
GENERATED = 200  # new images: at once, and at least


def evaluate(
    trainer: Trainer, dataset: Dataset, metrics: dict[str, Metric], progress: Progress = lambda done, total: None
) -> Metrics:
    """The metrics of a model on the test images, by direction; those that the model computes itself come first.

    `NAME_identity` is the metric of the identity baseline, the input itself as output; `NAME_gt` is decided by the
    ground truth instead of a classifier; `NAME_on_real` is that of real images. `metrics` are copied, not updated.
    torch's global generators are left as they are.
    """
    dataset = dataset.for_model(trainer)
    found: Metrics = {}
    with seeded(0, device_of(trainer)):
        if type(trainer).own_metrics is not Trainer.own_metrics:
            found |= trainer.own_metrics(dataset.test_images())
        for protocol in PROTOCOLS:
            if protocol.fits(trainer):
                for direction, values in protocol.evaluate(trainer, dataset, metrics, progress).items():
                    found[direction] = found.get(direction, {}) | values
    return found


def summary(metrics: Metrics) -> list[str]:
    """The closing sentences of a run."""
    known = {d: {name: nan if v is None else v for name, v in values.items()} for d, values in metrics.items()}
    return [sentence for protocol in PROTOCOLS for sentence in protocol.summary(known)]


class Translation:
    """Translations between domains: against the ground truth, against real images of the target, and back again.

    `cycle_l1` is the L1 of cycle consistency of images in [0, 1], where the model also translates back. Metrics against
    the ground truth are there where the source knows it. `NAME_diversity` is the distance of two translations of an
    image, of styles at random (StarGAN v2, arXiv:1912.01865, measures it with LPIPS).
    """

    def fits(self, trainer: Trainer) -> bool:
        return trainer.translates and not trainer.spec.labels

    def evaluate(self, trainer: Trainer, dataset: Dataset, metrics: dict[str, Metric], progress: Progress) -> Metrics:
        domains = set(dataset.source.domains)  # in a comparison, another run's data may have fewer
        directions = [direction for direction in trainer.directions() if domains.issuperset(direction)]
        done, total = 0, sum(dataset.test_count(source) for source, _ in directions)
        found = {}
        for source, target in directions:
            scores, rows = Scores(metrics, device_of(trainer)), []
            reference = reference_of(trainer, dataset, target)
            together = (source, target) if dataset.ground_truth else (source,)
            for index, row in enumerate(dataset.test_rows(*together)):
                image, *ground_truth = (tensor[None] for _, tensor in row)
                fake = translated(trainer, image, source, target, index, reference)
                if (target, source) in directions:
                    back = translated(trainer, fake, target, source, index, None if reference is None else image)
                    rows.append({"cycle_l1": l1(back, image.to(back))})
                scores.add(fake, image, *ground_truth)
                if trainer.samples_styles:
                    scores.add_variants(fake, translated(trainer, image, source, target, total + index))
                progress(done := done + 1, total)
            for _, tensor in dataset.test_items(target) if scores.need_real else ():
                scores.add_real(tensor[None])
            found[f"{source}->{target}"] = means(rows) | scores.compute()
        return found

    def summary(self, metrics: Metrics) -> list[str]:
        sentences = []
        for direction, values in metrics.items():
            baseline = {name: values[f"{name}_identity"] for name in values if f"{name}_identity" in values}
            if baseline and "target_accuracy" not in values:
                parts = [f"{name} {values[name]:.3f} ({value:.3f})" for name, value in baseline.items()]
                sentences.append(f"{direction}: {', '.join(parts).replace('(', '(identity baseline: ', 1)}")
            elif "cycle_l1" in values:
                sentences.append(f"{direction}: L1 of cycle consistency {values['cycle_l1']:.3f}")
        return sentences


class Labels:
    """Translations to labels: each change of one, on the test images that do not have it yet, and "mean", over all.

    `target_accuracy` and `preservation` are the shares of images in which a classifier, trained on the real training
    split, finds the target, and all other labels as they were. Where the source knows the ground truth, those with
    `_gt` are decided by the nearest (L1) of the image's counterparts with all combinations of labels, and metrics
    against the ground truth compare with the right one.
    """

    def fits(self, trainer: Trainer) -> bool:
        return trainer.translates and bool(trainer.spec.labels)

    def evaluate(self, trainer: Trainer, dataset: Dataset, metrics: dict[str, Metric], progress: Progress) -> Metrics:
        spec, classifier = trainer.spec, dataset.classifier()
        scores = {target: Scores(metrics, device_of(trainer)) for target in all_targets(spec)}
        rows: dict[str, list[dict[str, float]]] = {target: [] for target in scores}
        reference = reference_of(trainer, dataset, "image")
        for index, (ref, tensor) in enumerate(dataset.test_items("image")):
            image, own = tensor[None], _known_labels(spec, ref)
            counterparts = dataset.counterparts(ref) if len(own) == len(spec.labels) else {}
            for target in scores:
                changes = parse_target(spec, target)
                if changes.items() <= own.items():
                    scores[target].add_real(image)
                elif changes.keys() <= own.keys():
                    fake = translated(trainer, image, "image", target, index, reference).float().cpu()
                    row, baseline = (_verdicts(x, own, changes, classifier, counterparts) for x in (fake, image))
                    rows[target].append(row | {f"{name}_identity": value for name, value in baseline.items()})
                    ground_truth = None
                    if counterparts:
                        ground_truth = counterparts[tuple((own | changes)[name] for name in spec.labels)][None]
                    scores[target].add(fake, image, ground_truth)
            progress(index + 1, dataset.test_count("image"))
        found = {f"image->{target}": means(rows[target]) | scores[target].compute() for target in rows if rows[target]}
        return found | ({"mean": means(found.values())} if found else {})

    def summary(self, metrics: Metrics) -> list[str]:
        mean = metrics.get("mean", {})
        if "target_accuracy" not in mean:
            return []
        return [f"Target labels found: {mean['target_accuracy']:.0%}, others preserved: {mean['preservation']:.0%}"]


class Generation:
    """New images, "generated": by a classifier that is trained on the real training split, where the data has labels.

    Of a model that is told labels `target_accuracy`, the share of images, as many for every target, that show their
    target. Of another one `confidence`, the share in which the classifier is sure of all labels, and `mode_coverage`,
    the share of labels that it is sure to have found at all. `classifier_on_real` is its accuracy on real test images.
    Where the data has no labels `diversity`, the mean L1 between two images in [0, 1].
    """

    sentences: ClassVar[dict[str, str]] = {
        "target_accuracy": "New images that show their target label: {target_accuracy:.0%}",
        "confidence": "New images with labels beyond doubt: {confidence:.0%} (real images: {confidence_on_real:.0%}); "
        "labels among them: {mode_coverage:.0%}",
        "diversity": "L1 between two new images: {diversity:.3f} (real images: {diversity_on_real:.3f})",
    }

    def fits(self, trainer: Trainer) -> bool:
        return trainer.generates and trainer.spec.domains == ("image",)

    def evaluate(self, trainer: Trainer, dataset: Dataset, metrics: dict[str, Metric], progress: Progress) -> Metrics:
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
        values = metrics.get("generated", {})
        return [sentence.format(**values) for name, sentence in self.sentences.items() if name in values]


PROTOCOLS: tuple[Translation | Labels | Generation, ...] = (Translation(), Labels(), Generation())


def _known_labels(spec: DataSpec, ref: ImageRef) -> Known:
    """The labels that an image has or has not; a group of which none holds, such as no hair, is not known."""
    own = dict(zip(spec.labels, ref.labels, strict=True))
    for group in spec.groups:
        if sum(own[name] for name in group) != 1:
            own |= dict.fromkeys(group, nan)
    return {name: bool(value) for name, value in own.items() if not isnan(value)}


def _verdicts(
    image: Tensor, own: Known, changes: Known, classifier: Classifier, counterparts: Mapping[tuple[bool, ...], Tensor]
) -> dict[str, float]:
    """1 or 0 for one image: are the changes found, and all other labels that are known?"""
    labels: dict[str, tuple[bool, ...]] = {"": tuple(classifier.labels(image)[0].tolist())}
    if counterparts:
        labels["_gt"] = min(counterparts, key=lambda these: l1(counterparts[these], image[0]))
    others = {name: value for name, value in own.items() if name not in changes}
    verdicts = {}
    for by, values in labels.items():
        found = dict(zip(classifier.spec.labels, values, strict=True)).items()
        verdicts[f"target_accuracy{by}"] = float(changes.items() <= found)
        verdicts[f"preservation{by}"] = float(others.items() <= found)
    return verdicts


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
    neighbours = pairwise(image for images in batches for image in images)
    distances = [l1(a, b) for a, b in neighbours if a.shape == b.shape]
    return sum(distances) / max(1, len(distances))


def _accuracy(classifier: Classifier, target: str, batches: Iterable[Tensor]) -> float:
    """The share of images in which the classifier finds all that the target says."""
    changes = parse_target(classifier.spec, target)
    columns, wanted = [classifier.spec.labels.index(name) for name in changes], torch.tensor(list(changes.values()))
    right = torch.cat([(classifier.labels(images)[:, columns] == wanted).all(dim=1) for images in batches])
    return right.double().mean().item()


def _confidence(classifier: Classifier, batches: Iterable[Tensor]) -> tuple[float, float]:
    """The share of images in which the classifier is sure of all labels, and the share of labels found in these."""
    confident, covered = [], set()
    for images in batches:
        flags = classifier.confident(images)
        confident += flags.tolist()
        covered |= set(classifier.labels(images)[flags].any(dim=0).nonzero().flatten().tolist())
    return sum(confident) / max(1, len(confident)), len(covered) / len(classifier.spec.labels)
