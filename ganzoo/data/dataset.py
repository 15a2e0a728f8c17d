"""The images of a run: to train on as a function of the clock, to test on, and what is known of them."""

import sys
from collections.abc import Callable, Iterator, Sequence
from copy import copy
from functools import cached_property, lru_cache
from itertools import islice, product
from typing import TYPE_CHECKING
from zlib import crc32

import numpy as np
import torch
from torch import Tensor
from torch.utils import data

from ganzoo.data import archives
from ganzoo.data.images import ImageRef, convert, to_tensor
from ganzoo.data.sources import Source, open_source
from ganzoo.data.spec import data_spec
from ganzoo.data.transforms import test_transform, train_transform
from ganzoo.errors import GanzooError
from ganzoo.options import DataOptions
from ganzoo.trainer import DataSpec, Trainer

if TYPE_CHECKING:
    from ganzoo.classifier import Classifier


class Dataset:
    """A source opened for a recipe: what is trained on, tested on, and known of it.

    `options` is the `[data]` table that the source was opened with, `kind` the kind of data, `fallback` why the source
    is not the one asked for (None where it is), `spec` what a model must know to be built. Sides of images are
    multiples of `multiple`. Small, and pickled whole: it travels to other processes.
    """

    def __init__(self, source: Source, options: DataOptions, kind: str, fallback: dict[str, str] | None = None) -> None:
        self.source, self.options, self.kind, self.fallback = source, options, kind, fallback
        self.spec, self.multiple = data_spec(source, options), 1
        self._classifiers: list[Classifier] = []

    def for_model(self, trainer: Trainer) -> "Dataset":
        """The same images as this model takes them: of its domains, in its channels, with sides that fit it."""
        fitted = copy(self)
        fitted.spec, fitted.multiple = trainer.spec, trainer.multiple
        return fitted

    def training_samples(self, seed: int) -> "TrainingSamples":
        return TrainingSamples(self, seed)

    def test_images(self, count: int | None = None) -> dict[str, list[Tensor]]:
        """The test images of each domain, or `count` of them from first to last: neighbours are often much alike.

        Each is (channels, height, width) in [-1, 1]. Where the source knows the ground truth, one index shows the same
        thing in all domains, also after broken ones are skipped.
        """
        together = [self.spec.domains] if self.source.ground_truth else [(domain,) for domain in self.spec.domains]
        found = {}
        for domains in together:
            rows = list(islice(self._test_rows(*domains, count=count), count))
            found |= {domain: [row[place][1] for row in rows] for place, domain in enumerate(domains)}
        return found

    def test_items(self, domain: str) -> Iterator[tuple[ImageRef, Tensor]]:
        """The test images of a domain, each as what it is and as a tensor (channels, height, width) in [-1, 1]."""
        return (row[0] for row in self._test_rows(domain))

    def _test_rows(self, *domains: str, count: int | None = None) -> Iterator[list[tuple[ImageRef, Tensor]]]:
        """One test image of each of these domains at a time.

        The first `count` are spread over all there are; then come those between.
        """
        rows = list(zip(*(self.source.images("test", domain) for domain in domains), strict=True))
        step = max(1, len(rows) // count) if count else 1
        for refs in (row for first in range(step) for row in rows[first::step]):
            try:
                yield [(ref, self.transformed(ref, domain)) for ref, domain in zip(refs, domains, strict=True)]
            except GanzooError as error:
                if self.options.broken == "stop":
                    raise
                _tell_once(str(error))

    def transformed(self, ref: ImageRef, domain: str) -> Tensor:
        """An image of a domain without anything random, (channels, height, width) in [-1, 1]."""
        image = convert(ref.open(), self.spec.channels[domain])
        return to_tensor(test_transform(image, self.options, self.multiple))

    def counterparts(self, ref: ImageRef) -> dict[tuple[bool, ...], Tensor]:
        """The ground truth of a labelled image: labels -> the same image with these, for all that can be.

        Exactly one label of each exclusive group holds. Empty where the source does not know the ground truth.
        """
        found = {}
        for labels in _combinations(self.spec):
            counterpart = self.source.counterpart(ref, dict(zip(self.spec.labels, labels, strict=True)))
            if counterpart is None:
                return {}
            found[labels] = self.transformed(counterpart, "image")
        return found

    def classifier(self, progress: Callable[[int, int], None] | None = None) -> "Classifier":
        """A classifier of the labels, trained when it is first asked for. Raises GanzooError without labels."""
        from ganzoo.classifier import train  # it is itself trained on a Dataset

        known = next((classifier for classifier in self._classifiers if classifier.spec == self.spec), None)
        if known is None:
            labelled = copy(self)
            labelled.kind, labelled.multiple = "labelled", 1
            self._classifiers.append(known := train(labelled, progress=progress))
        return known


class TrainingSamples(data.Dataset):
    """Item i is the i-th draw of a run, as tensors in [-1, 1]; what it holds is said in trainer.KINDS."""

    def __init__(self, dataset: Dataset, seed: int) -> None:
        self.options, self.spec, self.kind = dataset.options, dataset.spec, dataset.kind
        self.multiple, self.seed = dataset.multiple, seed
        self.images = {domain: dataset.source.images("train", domain) for domain in self.spec.domains}

    def __getitem__(self, i: int) -> dict[str, Tensor] | GanzooError:
        try:
            if self.kind == "still":
                return self._still
            if self.kind == "paired":
                return self._draw(self.spec.domains, "", i)
            domains = self._two(i // self.options.batch) if self.kind == "domains" else self.spec.domains
            return {k: v for domain in domains for k, v in self._draw((domain,), domain, i).items()}
        except GanzooError as error:
            return error  # raised by batches(): an exception would come out of a worker with its traceback in the text

    @cached_property
    def _still(self) -> dict[str, Tensor]:
        """The first image of each domain, without anything random."""
        firsts = {
            domain: convert(images[0].open(), self.spec.channels[domain]) for domain, images in self.images.items()
        }
        return {d: to_tensor(test_transform(image, self.options, self.multiple)) for d, image in firsts.items()}

    def _two(self, step: int) -> list[str]:
        """The two domains of a step."""
        places = np.random.default_rng([self.seed, step]).permutation(len(self.spec.domains))[:2]
        return [self.spec.domains[place] for place in places]

    def _draw(self, domains: Sequence[str], stream_name: str, i: int) -> dict[str, Tensor]:
        """One image of each domain, from the same place in their lists and seen through the same crop."""
        stream, count = crc32(stream_name.encode()), len(self.images[domains[0]])
        epoch, place = divmod(i, count)
        for attempt in range(count):
            index = _order(self.seed, stream, epoch, count)[(place + attempt) % count]
            refs = {domain: self.images[domain][index] for domain in domains}
            try:
                images = {d: convert(p.open(), self.spec.channels[d]) for d, p in refs.items()}
            except GanzooError as error:
                if self.options.broken == "stop":
                    raise
                _tell_once(str(error))
                continue
            draw = {}
            for domain, image in images.items():
                rng = np.random.default_rng([self.seed, stream, i])
                draw[domain] = to_tensor(train_transform(image, self.options, self.multiple, rng))
                if self.kind == "labelled":
                    draw["label"] = torch.tensor(refs[domain].labels, dtype=torch.float32)
            return draw
        raise GanzooError(f"None of the {count} images of {' and '.join(domains)} can be read. Replace them.")


@lru_cache(maxsize=64)
def _order(seed: int, stream: int, epoch: int, count: int) -> np.ndarray:
    return np.random.default_rng([seed, stream, epoch, count]).permutation(count)


@lru_cache(maxsize=1000)
def _tell_once(message: str) -> None:
    print(f"skipped: {message}", file=sys.stderr)


def _combinations(spec: DataSpec) -> Iterator[tuple[bool, ...]]:
    """All values of the labels in which exactly one of each exclusive group holds."""
    for labels in product((False, True), repeat=len(spec.labels)):
        if all(sum(labels[spec.labels.index(name)] for name in group) == 1 for group in spec.groups):
            yield labels


def open_dataset(
    options: DataOptions,
    kind: str,
    say: Callable[[str], None] = print,
    progress: Callable[[int, int], None] | None = None,
) -> Dataset:
    """The data that `[data]` names, downloaded if need be; its fallback when the download cannot be had.

    `say` is given what the user should know, `progress` the bytes downloaded and their total. Raises GanzooError.
    """
    try:
        return Dataset(open_source(options, kind, say, progress), options, kind)
    except archives.Offline as error:
        if not options.fallback:
            raise
        say(f'NOT the data you asked for: "{options.fallback}" instead of "{options.source}". {error}')
        used = DataOptions(**(options.model_dump() | {"source": options.fallback, "fallback": "", "domains": ()}))
        because = {"wanted": options.source, "used": options.fallback, "because": str(error)}
        return Dataset(open_source(used, kind, say, progress), used, kind, because)
