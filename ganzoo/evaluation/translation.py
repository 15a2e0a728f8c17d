"""Translations between domains: against the ground truth, against real images of the target, and back again."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, ClassVar

from ganzoo.evaluation.labels import Labels

if TYPE_CHECKING:
    from ganzoo.data.dataset import Dataset
    from ganzoo.evaluation import Metrics, Progress
    from ganzoo.metrics import Metric
    from ganzoo.trainer import Trainer


class Translation:
    """`cycle_l1`, the L1 of cycle consistency of images in [0, 1], where the model also translates back.

    Metrics against the ground truth are there where the source knows it.
    """

    better: ClassVar[dict[str, str]] = {"cycle_l1": "lower"}

    def fits(self, trainer: Trainer) -> bool:
        return trainer.translates and not trainer.spec.labels

    def evaluate(
        self, trainer: Trainer, dataset: Dataset, metrics: Mapping[str, Metric], progress: Progress | None
    ) -> Metrics:
        from ganzoo.evaluation.scores import Scores, device_of, l1, means, reference_of, translated

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
                done += 1
                if progress:
                    progress(done, total)
            for _, tensor in dataset.test_items(target) if scores.need_real else ():
                scores.add_real(tensor[None])
            found[f"{source}->{target}"] = means(rows) | scores.compute()
        return found

    def summary(self, metrics: Metrics) -> list[str]:
        sentences = []
        for direction, values in metrics.items():
            baseline = {name: values[f"{name}_identity"] for name in values if f"{name}_identity" in values}
            if baseline and not Labels.better.keys() & values.keys():
                parts = [f"{name} {values[name]:.3f} ({value:.3f})" for name, value in baseline.items()]
                sentences.append(f"{direction}: {', '.join(parts).replace('(', '(identity baseline: ', 1)}")
            elif "cycle_l1" in values:
                sentences.append(f"{direction}: L1 of cycle consistency {values['cycle_l1']:.3f}")
        return sentences
