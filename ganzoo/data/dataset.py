"""The images of a run: to train on as a function of the clock, to test on, and what is known of them."""

import hashlib
import json
import os
import pickle
from collections.abc import Iterator, Sequence
from copy import copy
from functools import lru_cache
from itertools import accumulate, chain, islice, product, repeat
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple
from zlib import crc32

import numpy as np
import torch
from PIL import Image
from pydantic import BaseModel
from torch import Tensor
from torch.utils import data

from ganzoo import recipe
from ganzoo.data.cache import Cache, Memory
from ganzoo.data.downloads import Progress, Say
from ganzoo.data.images import ImageRef, Pixels, convert, from_levels, to_levels
from ganzoo.data.kinds import DataKind, Labelled, load_kind
from ganzoo.data.sources import Source, data_spec, open_source
from ganzoo.data.transforms import prepare, resized_to, size_of, test_transform, thicken, train_transform
from ganzoo.errors import GanzooError, Offline, tell
from ganzoo.files import expanded
from ganzoo.options import PLACES, DataOptions, find_source
from ganzoo.registry import FILES, registry
from ganzoo.trainer import Trainer

if TYPE_CHECKING:
    from ganzoo.classifier import Classifier


class Dataset:
    """A source opened for a recipe: what is trained on, tested on, and known of it.

    `options` is the `[data]` table that the source was opened with, `kind` the kind of data, `fallback` why the source
    is not the one asked for (None where it is), `spec` what a model must know to be built. Sides of images are
    multiples of `multiple`. Small, and pickled whole: it travels to other processes. Raises GanzooError where the kind
    cannot use the source's domains, or `options` do not fit them.
    """

    def __init__(
        self, source: Source, options: DataOptions, kind: DataKind, fallback: dict[str, str] | None = None
    ) -> None:
        kind.check(source.domains)
        self.source, self.options, self.kind, self.fallback = source, options, kind, fallback
        self.spec, self.multiple = data_spec(source, options), 1
        self._classifiers: list[Classifier] = []

    def for_model(self, trainer: Trainer) -> "Dataset":
        """The same images as this model takes them: of its domains, in its channels, with sides that fit it."""
        fitted = copy(self)
        fitted.spec, fitted.multiple = trainer.spec, trainer.multiple
        return fitted

    @property
    def ground_truth(self) -> bool:
        """Whether the test images of all domains at one index show the same thing."""
        return self.kind.ground_truth(self.source)

    def training_images(self, domain: str) -> Sequence[ImageRef]:
        """Those of a domain that are trained on."""
        images, most = self.source.images("train", domain), self.options.max_images
        return images[:most] if most else images

    def training_samples(self, seed: int) -> "TrainingSamples":
        return TrainingSamples(self, seed)

    def fingerprint(self) -> "Fingerprint":
        """Which training images there are, wherever they lie."""
        refs = {domain: self.training_images(domain) for domain in self.spec.domains}
        common = next(iter(refs.values()))[0].name
        for name in (ref.name for images in refs.values() for ref in images):
            if not name.startswith(common):
                common = os.path.commonprefix((common, name))  # noqa: RUF071 - a source's own names need not be paths
        digest, folder = hashlib.sha256(), len(common)
        for between, (domain, images) in zip(chain("{", repeat(", ")), refs.items(), strict=False):  # as JSON
            digest.update(f"{between}{json.dumps(domain)}: [".encode())
            for place, ref in enumerate(images):
                listed = json.dumps((ref.name[folder:], repr(ref.labels)))
                digest.update(f"{', ' if place else ''}{listed}".encode())
            digest.update(b"]")
        digest.update(b"}")
        return Fingerprint(images={domain: len(images) for domain, images in refs.items()}, sha256=digest.hexdigest())

    def test_images(self, count: int | None = None) -> dict[str, list[Tensor]]:
        """The test images of each domain, or `count` of them from first to last: neighbours are often much alike.

        Each is (channels, height, width) in [-1, 1]. Where the source knows the ground truth, one index shows the same
        thing in all domains, also after broken ones are skipped.
        """
        together = [self.spec.domains] if self.ground_truth else [(domain,) for domain in self.spec.domains]
        found: dict[str, list[Tensor]] = {}
        for domains in together:
            rows = list(islice(self.test_rows(*domains, count=count), count))
            found |= {domain: [row[place][1] for row in rows] for place, domain in enumerate(domains)}
        return found

    def test_items(self, domain: str) -> Iterator[tuple[ImageRef, Tensor]]:
        """The test images of a domain, each as what it is and as a tensor (channels, height, width) in [-1, 1]."""
        return (row[0] for row in self.test_rows(domain))

    def test_count(self, domain: str) -> int:
        """How many test images of a domain there are, those that turn out to be broken among them."""
        return len(self.kind.test_images(self.source, domain))

    def test_rows(self, *domains: str, count: int | None = None) -> Iterator[list[tuple[ImageRef, Tensor]]]:
        """One test image of each of these domains at a time.

        The first `count` are spread over all there are; then come those between.
        """
        rows = list(zip(*(self.kind.test_images(self.source, domain) for domain in domains), strict=True))
        step = max(1, len(rows) // count) if count else 1
        for refs in (row for first in range(step) for row in rows[first::step]):
            try:
                yield [(ref, self.transformed(ref, domain)) for ref, domain in zip(refs, domains, strict=True)]
            except GanzooError as error:
                self.skip(error)

    def skip(self, error: GanzooError) -> None:
        """Tells about an image that cannot be read, or raises the error if the recipe wants that."""
        if self.options.broken == "stop":
            raise error
        _tell_once(str(error))

    def transformed(self, ref: ImageRef, domain: str) -> Tensor:
        """An image of a domain without anything random, (channels, height, width) in [-1, 1]."""
        return from_levels(self.to_levels(test_transform(self.opened(ref, domain), self.options, self.multiple), ref))

    def opened(self, ref: ImageRef, domain: str) -> Image.Image:
        """An image of a domain with the channels that it should have, its lines thickened if that is wanted."""
        side = self.options.thicken.get(domain)
        least = resized_to(self.options) if self.options.draft and not side else None
        whole = ref.at_least(least) if least and type(ref).open is ImageRef.open else ref.open()
        image = convert(whole, self.spec.channels[domain])
        return thicken(image, side) if side else image

    def to_levels(self, image: Pixels, ref: ImageRef) -> Tensor:
        """What has become of an image, as uint8. Raises GanzooError where that is too small for the networks.

        Norms and mirrored borders need more than one position inside them.
        """
        least = 2 * self.multiple if 2 * self.multiple <= self.options.size else self.multiple
        width, height = size_of(image)
        if min(width, height) < least:
            raise GanzooError(
                f"{ref.name} becomes an image of {width}x{height} pixels, and these networks need {least} "
                f'at least. Remove it, or set another data.preprocess than "{self.options.preprocess}".'
            )
        return to_levels(image)

    def counterparts(self, ref: ImageRef) -> dict[tuple[bool, ...], Tensor]:
        """The ground truth of a labelled image: labels -> the same image with these, for all that can be.

        Exactly one label of each exclusive group holds. Empty where the source does not know the ground truth.
        """
        found = {}
        for labels in product((False, True), repeat=len(self.spec.labels)):
            named = dict(zip(self.spec.labels, labels, strict=True))
            if all(sum(named[name] for name in group) == 1 for group in self.spec.groups):
                counterpart = self.source.counterpart(ref, named)
                if counterpart is None:
                    return {}
                found[labels] = self.transformed(counterpart, "image")
        return found

    def classifier(self, progress: Progress = lambda done, total: None) -> "Classifier":
        """A classifier of the labels, trained when it is first asked for. Raises GanzooError without labels."""
        from ganzoo.classifier import train  # it is itself trained on a Dataset

        known = next((classifier for classifier in self._classifiers if classifier.spec == self.spec), None)
        if known is None:
            labelled = copy(self)
            labelled.kind, labelled.multiple = Labelled(), 1
            self._classifiers.append(known := train(labelled, progress=progress))
        return known


class Fingerprint(BaseModel):
    """Tells whether a run goes on with the training images that it began with."""

    images: dict[str, int]
    """how many of each domain"""
    sha256: str
    """of their names and labels, in their order"""


class Sample(NamedTuple):
    """One training image, as the networks see it."""

    image: Tensor
    """(channels, height, width), uint8; `batches` gives floats in [-1, 1]"""
    labels: Tensor
    """(labels,): 1, 0, or nan where it is not known; empty where the source has no labels"""


class TrainingSamples(data.Dataset):
    """Item i is the i-th item of a run; what it holds is drawn by the kind of data, with the methods below.

    All of them are functions of the seed and `i` alone.
    """

    def __init__(self, dataset: Dataset, seed: int, cache: Cache | None = None) -> None:
        self.dataset, self.seed, self.domains, self.cache = dataset, seed, dataset.spec.domains, cache or Memory(0)
        self.refs = {domain: dataset.training_images(domain) for domain in self.domains}
        ends = accumulate((len(self.refs[domain]) for domain in self.domains), initial=0)
        self._first = dict(zip(self.domains, ends, strict=False))  # places in the cache
        self._orders: dict[int, tuple[int, np.ndarray]] = {}  # of each stream, in its newest epoch

    def __reduce__(self) -> tuple[Any, ...]:
        return _with_plugins, (FILES, pickle.dumps(self.dataset), self.seed, self.cache)

    def __getitem__(self, i: int) -> dict[str, Tensor] | GanzooError:
        try:
            return self.dataset.kind.draw(self, i)
        except GanzooError as error:
            return error  # raised by batches(): an exception would come out of a worker with its traceback in the text

    def draw(self, i: int, *domains: str, stream: str | None = None) -> list[Sample]:
        """Image number `i` of each of these domains, from the same place in their lists, cropped and mirrored alike.

        A stream shuffles all images again for each epoch; streams of different names are independent. By default it is
        called after the domain.
        """
        name = domains[0] if stream is None else stream
        key, count = crc32(name.encode()), len(self.refs[domains[0]])
        epoch, place = divmod(i, count)
        for attempt in range(count):
            index = int(self._order(key, epoch, count)[(place + attempt) % count])
            try:
                return [self._sample(domain, index, self.rng(i, name)) for domain in domains]
            except GanzooError as error:
                self.dataset.skip(error)
        raise GanzooError(f"None of the {count} images of {' and '.join(domains)} can be read. Replace them.")

    def _sample(self, domain: str, index: int, rng: np.random.Generator) -> Sample:
        dataset, ref = self.dataset, self.refs[domain][index]
        kept = self._first[domain] + index
        image: Pixels | None = self.cache.get(kept, ref)
        if image is None:
            image = prepare(dataset.opened(ref, domain), dataset.options)
            self.cache.put(kept, ref, image)
        image = train_transform(image, dataset.options, dataset.multiple, rng)
        return Sample(dataset.to_levels(image, ref), torch.tensor(ref.labels, dtype=torch.float32))

    def _order(self, stream: int, epoch: int, count: int) -> np.ndarray:
        if self._orders.get(stream, (None,))[0] != epoch:
            order = np.random.default_rng([self.seed, stream, epoch, count]).permutation(count)
            self._orders[stream] = epoch, order
        return self._orders[stream][1]

    def rng(self, i: int, stream: str) -> np.random.Generator:
        """The random numbers of item `i` in a stream."""
        return np.random.default_rng([self.seed, crc32(stream.encode()), i])

    def step_rng(self, i: int) -> np.random.Generator:
        """The random numbers of the step that item `i` belongs to: the same for all items of a batch."""
        return np.random.default_rng([self.seed, i // self.dataset.options.batch])


@lru_cache(maxsize=1000)
def _tell_once(message: str) -> None:
    tell(f"skipped: {message}")


def _with_plugins(files: list[Path], dataset: bytes, seed: int, cache: Cache) -> TrainingSamples:
    """In a worker, which knows nothing yet of plugins that are files."""
    if FILES[:] != files:
        FILES[:] = files
        registry.cache_clear()
        registry()
    return TrainingSamples(pickle.loads(dataset), seed, cache)


def open_dataset(
    options: DataOptions, kind: str, say: Say = print, progress: Progress = lambda done, total: None
) -> Dataset:
    """The data that `[data]` names, downloaded if need be; its fallback when the download cannot be had.

    `say` is given what the user should know, `progress` the bytes downloaded and their total. Raises GanzooError.
    """
    wanted, fallback = load_kind(kind), None
    try:
        source = open_source(options, wanted.source_kind, say, progress)
    except Offline as error:
        if not options.fallback:
            raise
        fallback = {"wanted": options.source.name, "used": options.fallback.name, "because": str(error)}
        say('NOT the data you asked for: "{used}" instead of "{wanted}". {because}'.format(**fallback))
        options = DataOptions(**options.model_dump(exclude={"source", "fallback", "domains"}), source=options.fallback)
        source = open_source(options, wanted.source_kind, say, progress)
    for sentence in source.left_out:
        say(sentence)
    return Dataset(source, options, wanted, fallback)


def look(options: DataOptions, kind: str) -> None:
    """Opens the user's own images, to see what is wrong with them; what may have to be downloaded is left alone.

    Raises GanzooError.
    """
    if find_source(options.source.name).qualified == "ganzoo/folders":
        open_dataset(options, kind, say=lambda text: None)


def evaluation_data(run: Path, options: DataOptions, given: str = "") -> DataOptions:
    """The `[data]` table to evaluate a run with: its own, or with the images of a folder, a recipe or a named source.

    Raises GanzooError for a file of weights alone, or its name, where none are given: it may be a stranger's, and what
    its recipe names would be read, downloaded and unpacked here.
    """
    if not given and not run.is_dir():
        raise GanzooError(
            f"{run} is a file of weights alone, so the data that it names is not looked for here. Say what to evaluate "
            "it on with --data: a folder of images, a recipe, or a data source."
        )
    if not given:
        return options
    folder = expanded(given)
    places = {"source": given, "root": "", "archive": "", "fallback": None, "labels": ""}
    if folder.suffix == ".toml":
        places = recipe.read(folder).data.model_dump(include=set(PLACES))
    elif os.path.isdir(folder):
        labels = (folder / options.labels).resolve()
        inside = labels.is_file() and labels.is_relative_to(folder.resolve())
        places |= {"source": "folders", "root": given, "labels": options.labels if inside else ""}
    return DataOptions(**options.model_dump() | places)
