"""What the protocols share: metrics fed image by image, means, and the translation of one test image."""

from collections import Counter
from collections.abc import Iterable, Mapping
from copy import deepcopy
from itertools import chain

import torch
import torchmetrics
from torch import Tensor

from ganzoo.data.dataset import Dataset
from ganzoo.metrics import Metric
from ganzoo.trainer import Trainer


class Scores:
    """Metrics of one direction and, with a `baseline`, of the identity baseline: the inputs as outputs.

    Those that are distances (L1, LPIPS) also measure the diversity of variants. Images are (batch, channels, height,
    width) in [-1, 1].
    """

    def __init__(self, metrics: Mapping[str, Metric], device: torch.device, baseline: bool = True) -> None:
        self.device = device if device.type == "cuda" else torch.device("cpu")  # FID needs float64
        self.metrics = {
            suffix: {name: _another(metric).to(self.device) for name, metric in metrics.items()}
            for suffix in (("", "_identity") if baseline else ("",))
        }
        self.metrics["_diversity"] = {
            name: _another(metric).to(self.device)
            for name, metric in metrics.items()
            if metric.against == "ground truth" and metric.higher_is_better is False
        }
        self.counts: Counter[str] = Counter()  # images, by suffix, and "real"

    @property
    def need_real(self) -> bool:
        """Whether a metric compares with the real images of the target."""
        return any(metric.against == "real" for metric in self.metrics[""].values())

    def add(self, fake: Tensor, source: Tensor | None = None, target: Tensor | None = None) -> None:
        """Fakes, what they were translated from, and the ground truth where it is known."""
        for suffix, images in (("", fake), ("_identity", source)):
            if images is None:
                continue
            self.counts[suffix] += len(images)
            for metric in self.metrics[suffix].values():
                if metric.against == "real":
                    metric.update(self._unit(images), False)
                elif target is not None and images.shape == target.shape:
                    metric.update(self._unit(images), self._unit(target))

    def add_variants(self, one: Tensor, other: Tensor) -> None:
        """Two translations of the same images, of different styles."""
        for metric in self.metrics["_diversity"].values():
            metric.update(self._unit(one), self._unit(other))

    def add_real(self, images: Tensor) -> None:
        """Real images of the target, for the metrics that compare with them."""
        self.counts["real"] += len(images)
        for metric in chain.from_iterable(metrics.values() for metrics in self.metrics.values()):
            if metric.against == "real":
                metric.update(self._unit(images), True)

    def compute(self) -> dict[str, float]:
        """Metrics that had something to compare; with real images, two fakes and two real ones at least."""
        found = {}
        for suffix, metrics in self.metrics.items():
            both = min(self.counts[suffix], self.counts["real"]) > 1
            for name, metric in metrics.items():
                if both if metric.against == "real" else metric.update_called:
                    found[f"{name}{suffix}"] = float(metric.compute())
        return found

    def _unit(self, images: Tensor) -> Tensor:
        return ((images.to(self.device, torch.float32) + 1) / 2).clamp(0, 1)


def _another(metric: Metric) -> Metric:
    """A second instance of the metric, which shares its networks: what holds no metric has no state of its own."""
    networks = [c for c in metric.children() if not any(isinstance(m, torchmetrics.Metric) for m in c.modules())]
    return deepcopy(metric, {id(network): network for network in networks})


def means(rows: Iterable[Mapping[str, float]]) -> dict[str, float]:
    """Of each name over those rows that have it."""
    found: dict[str, list[float]] = {}
    for name, value in (item for row in rows for item in row.items()):
        found.setdefault(name, []).append(value)
    return {name: sum(values) / len(values) for name, values in found.items()}


def l1(a: Tensor, b: Tensor) -> float:
    """The mean absolute error of images in [-1, 1] as if they were in [0, 1]."""
    return (a - b).abs().mean().item() / 2


def translated(
    trainer: Trainer, image: Tensor, source: str, target: str, seed: int, reference: Tensor | None = None
) -> Tensor:
    """A translation on the model's device; all images (1, channels, height, width) in [-1, 1].

    The reference gives a style where the model needs one. Everything at random depends on the seed alone.
    """
    parameter = next(trainer.parameters())
    if reference is not None:
        reference = reference.to(parameter)
    with trainer.inference():
        return trainer.translate_with(image.to(parameter), source, target, seed, reference)


def reference_of(trainer: Trainer, dataset: Dataset, target: str) -> Tensor | None:
    """The first test image of the target, (1, channels, height, width), for a model whose styles all need one."""
    if not trainer.has_styles or trainer.samples_styles:
        return None
    images = dataset.for_model(trainer).test_items(target if target in dataset.source.domains else "image")
    return next((image[None] for _, image in images), None)


def device_of(trainer: Trainer) -> torch.device:
    """Where the model's networks are."""
    return next(trainer.parameters()).device
