"""How good a run is on its test images: each protocol evaluates what it fits of what the model does.

A protocol gives metrics, says which direction is better for its own, and sums up in sentences. The last two need no
torch: reports are written from the metrics in the files of a run.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, ClassVar, Protocol

from ganzoo.evaluation.generation import Generation
from ganzoo.evaluation.labels import Labels
from ganzoo.evaluation.translation import Translation
from ganzoo.registry import registry

if TYPE_CHECKING:
    from ganzoo.data.dataset import Dataset
    from ganzoo.metrics import Metric
    from ganzoo.trainer import Trainer

Metrics = dict[str, dict[str, float]]
"""Direction, such as "horse->zebra", "generated" or "mean" -> name of a metric -> its value."""
Progress = Callable[[int, int], None]
"""Is told how much is done, and of how much."""


class EvaluationProtocol(Protocol):
    """One way to evaluate a model."""

    better: ClassVar[dict[str, str]]
    """names of its own metrics -> "higher" or "lower\""""

    def fits(self, trainer: Trainer) -> bool:
        """Whether it evaluates something that this model does."""

    def evaluate(
        self, trainer: Trainer, dataset: Dataset, metrics: Mapping[str, Metric], progress: Progress | None
    ) -> Metrics:
        """The metrics of its directions. torch's global generators are seeded; images are not kept."""

    def summary(self, metrics: Metrics) -> list[str]:
        """Sentences on what it finds of its own in the metrics of a run."""


PROTOCOLS: tuple[EvaluationProtocol, ...] = (Translation(), Labels(), Generation())


def evaluate(
    trainer: Trainer, dataset: Dataset, metrics: Mapping[str, Metric], progress: Progress | None = None
) -> Metrics:
    """The metrics of a model on the test images, by direction; those that the model computes itself come first.

    `NAME_identity` is the metric of the identity baseline, the input itself as output; `NAME_gt` is decided by the
    ground truth instead of a classifier; `NAME_on_real` is that of real images. `metrics` are copied, not updated.
    torch's global generators are left as they are.
    """
    from ganzoo.clock import seeded
    from ganzoo.evaluation.scores import device_of

    dataset = dataset.for_model(trainer)
    fitting = [protocol for protocol in PROTOCOLS if protocol.fits(trainer)]
    found: Metrics = {}
    with seeded(0, device_of(trainer)):
        results = [_own_metrics(trainer, dataset)]
        results += [protocol.evaluate(trainer, dataset, metrics, progress) for protocol in fitting]
    for result in results:
        for direction, values in result.items():
            found.setdefault(direction, {}).update(values)
    return found


def better() -> dict[str, int]:
    """Name of a metric, registered or a protocol's own -> 1 where higher is better, -1 where lower is."""
    known = {e.name: e.facts["better"] for e in registry().entries if e.type == "metric" and "better" in e.facts}
    for protocol in PROTOCOLS:
        known |= protocol.better
    return {name: {"higher": 1, "lower": -1}.get(which, 0) for name, which in known.items()}


def summary(metrics: Metrics) -> list[str]:
    """The closing sentences of a run."""
    return [sentence for protocol in PROTOCOLS for sentence in protocol.summary(metrics)]


def _own_metrics(trainer: Trainer, dataset: Dataset) -> Metrics:
    from ganzoo.trainer import Trainer

    overridden = type(trainer).own_metrics is not Trainer.own_metrics
    return trainer.own_metrics(dataset.test_images()) if overridden else {}
