"""Kinds of data: what a model's batches hold, and how they are drawn from a source."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, ClassVar

import torch
from torch import Tensor
from torch.nn import functional as F

from ganzoo.data.images import ImageRef
from ganzoo.data.sources import Source
from ganzoo.errors import GanzooError
from ganzoo.registry import registry
from ganzoo.trainer import Batch, DataSpec

if TYPE_CHECKING:
    from ganzoo.data.dataset import TrainingSamples


class DataKind:
    """What the batches of a model hold: here, images of each domain, drawn independently. Subclasses hold more.

    A model's `data_kind` names one; packages register theirs. Built without arguments. It has no state: it travels to
    the processes that prepare images, and two models share it.
    """

    source_kind: ClassVar[str] = "domains"
    """what it asks of a source, one of `Source.kinds`; most sources give "domains" """
    least: ClassVar[int] = 2
    """how many domains it needs"""
    most: ClassVar[int | None] = None
    """how many domains it can use; None: any number"""
    labelled: ClassVar[bool] = False
    """whether its batches hold labels, so that the model can be asked for them"""
    example_domains: ClassVar[tuple[str, ...]] = ("left", "right")
    """domains of the data for the conformance test of a model"""

    def draw(self, samples: "TrainingSamples", i: int) -> dict[str, Tensor]:
        """Item `i` of a run, without the dimension of the batch. It depends on the samples' seed and `i` alone.

        Images are uint8, as `samples.draw` gives them, or floats in [-1, 1], which the batches hold in the end.
        """
        return {domain: samples.draw(i, domain)[0].image for domain in samples.domains}

    def test_images(self, source: Source, domain: str) -> Sequence[ImageRef]:
        """What is tested on."""
        return source.images("test", domain)

    def ground_truth(self, source: Source) -> bool:
        """Whether the test images of all domains at one index show the same thing."""
        return source.ground_truth

    def check(self, domains: Sequence[str]) -> None:
        """Raises GanzooError for a number of domains that it cannot use."""
        if not self.least <= len(domains) <= (self.most or len(domains)):
            needed = f"{self.least} to {self.most}" if self.most else f"at least {self.least}"
            raise GanzooError(
                f"This model needs {self.least if self.most == self.least else needed} domains, and the data has "
                f"{len(domains)}: {', '.join(domains)}. Name those to use with data.domains."
            )

    def example_spec(self, size: int) -> DataSpec:
        """Data for the conformance test of a model, with images of `size` x `size` pixels."""
        return DataSpec(self.example_domains, dict.fromkeys(self.example_domains, 3), size)

    def example(self, spec: DataSpec, step: int, count: int) -> Batch:
        """A batch of `count` random items of such data, the same for the same step."""
        return random_batch(spec, step, count)


class Unpaired(DataKind):
    """Images of two domains, drawn independently."""

    source_kind = "unpaired"
    most = 2


class Paired(DataKind):
    """Images of two domains that show the same thing, cropped and mirrored alike."""

    source_kind = "paired"
    most = 2

    def draw(self, samples: "TrainingSamples", i: int) -> dict[str, Tensor]:
        pair = samples.draw(i, *samples.domains, stream="")
        return {domain: sample.image for domain, sample in zip(samples.domains, pair, strict=True)}


class Domains(DataKind):
    """Images of two out of any number of domains; which two is drawn for each step."""

    example_domains = ("left", "right", "middle")

    def draw(self, samples: "TrainingSamples", i: int) -> dict[str, Tensor]:
        places = samples.step_rng(i).permutation(len(samples.domains))[:2]
        return {domain: samples.draw(i, domain)[0].image for domain in (samples.domains[place] for place in places)}

    def example(self, spec: DataSpec, step: int, count: int) -> Batch:
        places = torch.randperm(len(spec.domains), generator=torch.Generator().manual_seed(step))[:2].tolist()
        batch = super().example(spec, step, count)
        return {spec.domains[place]: batch[spec.domains[place]] for place in places}


class Images(DataKind):
    """Images alone."""

    source_kind = "images"
    least = most = 1
    example_domains = ("image",)


class Labelled(DataKind):
    """Images with labels."""

    source_kind = "labelled"
    least = most = 1
    labelled = True

    def draw(self, samples: "TrainingSamples", i: int) -> dict[str, Tensor]:
        sample = samples.draw(i, "image")[0]
        return {"image": sample.image, "label": sample.labels}

    def example_spec(self, size: int) -> DataSpec:
        return DataSpec(("image",), {"image": 3}, size, ("black", "blond", "smiling"), (("black", "blond"),))


class SinglePair(DataKind):
    """One image of each of two domains, the first ones, the same in every step. They are also what is tested on."""

    source_kind = "unpaired"
    most = 2

    def draw(self, samples: "TrainingSamples", i: int) -> dict[str, Tensor]:
        first = {domain: refs[0] for domain, refs in samples.refs.items()}
        return {domain: samples.dataset.transformed(ref, domain) for domain, ref in first.items()}

    def test_images(self, source: Source, domain: str) -> Sequence[ImageRef]:
        return source.images("train", domain)[:1]

    def ground_truth(self, source: Source) -> bool:
        return False

    def example(self, spec: DataSpec, step: int, count: int) -> Batch:
        return {domain: rows[:1].expand_as(rows) for domain, rows in super().example(spec, 0, count).items()}


def load_kind(name: str) -> DataKind:
    """The registered kind of data of that name. Raises GanzooError."""
    return registry().load("kind", name)()


def random_batch(spec: DataSpec, step: int, count: int = 2) -> Batch:
    """Smooth random images of every domain, and labels where the data has them; the same for the same step."""
    generator = torch.Generator().manual_seed(step)

    def images(channels: int) -> Tensor:
        coarse = torch.randn(count, channels, 4, 4, generator=generator)
        return F.interpolate(coarse, size=(spec.size, spec.size), mode="bilinear").clamp(-1, 1)

    batch = {domain: images(spec.channels[domain]) for domain in spec.domains}
    if spec.labels:
        batch["label"] = labels = torch.randint(2, (count, len(spec.labels)), generator=generator).float()
        for group in spec.groups:
            columns = [spec.labels.index(name) for name in group]
            one = torch.randint(len(group), (count,), generator=generator)
            labels[:, columns] = F.one_hot(one, len(group)).float()
    return batch
