"""The conformance test of a data source: what the engine, the metrics and the processes that prepare images rely on."""

import math
import pickle
from collections.abc import Mapping, Sequence
from itertools import product
from typing import Any

import numpy as np
from pydantic import ValidationError

from ganzoo.data.dataset import Dataset, open_dataset
from ganzoo.data.images import ImageRef
from ganzoo.data.kinds import load_kind
from ganzoo.data.sources import Source
from ganzoo.errors import GanzooError
from ganzoo.options import DataOptions, sentences
from ganzoo.registry import registry
from ganzoo_testing.subject import Subject, check_package

SIZE, OPENED = 16, 4  # pixels; images of each domain and split that are opened
SPLITS = ("train", "test")


def check_source(name: str, options: Mapping[str, Any] | None = None, kinds: Sequence[str] = (), **data: Any) -> None:
    """Opens a registered data source in every way in which models use it. Raises ConformanceError.

    `options` are the source's own, `data` keys of the recipe's `[data]` table, such as `root` or `domains`. `kinds` are
    those that this data has, by default all that the source claims. Some images of each domain are opened.
    """
    subject, data = Subject("source", name), {"size": SIZE, "batch": 2} | data
    check_package(subject)
    claimed = registry().load("source", name).kinds
    registered = registry().find("source", name).facts.get("data_kinds", "").split()
    expected = f"the kinds of data that the class has, {claimed}; it is registered for {registered}"
    subject.expect(set(registered) == set(claimed), "data_kinds", expected)
    try:
        table = DataOptions(source={"name": name, **(options or {})}, **data)
    except ValidationError as error:
        mistakes = "; ".join(mistake for _, mistake in sentences(error, DataOptions))
        raise subject.wrong("options", f"valid options and keys of [data]; {mistakes}") from error
    for asked in kinds or claimed:
        where = f'asked for kind "{asked}"'
        dataset = _opened(subject, where, table, asked)
        _check_images(subject, where, dataset.source)
        _check_labels(subject, where, dataset.source, asked)
        _check_together(subject, where, dataset.source, asked)
        _check_again(subject, where, dataset, _opened(subject, where, table, asked))
        _check_channels(subject, where, table, asked)


def _opened(subject: Subject, where: str, table: DataOptions, asked: str) -> Dataset:
    """The data for a model of the kind that asks a source for this one."""
    with subject.expecting(where, "data to train on"):
        others = (name for name in registry().names("kind") if load_kind(name).source_kind == asked)
        return open_dataset(table, asked if registry().matches("kind", asked) else next(others, asked))


def _check_images(subject: Subject, where: str, source: Source) -> None:
    """There are images to train on, they can be opened, and those for testing are others, or all the same."""
    for domain in source.domains:
        train, test = (source.images(split, domain) for split in SPLITS)
        subject.expect(len(train), where, f'images in the split "train" of "{domain}"; there are none')
        for split, refs in zip(SPLITS, (train, test), strict=True):
            for ref in _some(refs):
                with subject.expecting(f"{where}, {split} image {ref.name}", "an image that can be opened"):
                    ref.open().load()
        with subject.expecting(where, "images that can be compared, so frozen dataclasses of what can be hashed"):
            both = ", ".join(ref.name for ref in set(train) & set(test))
        expected = f'test images of "{domain}" that are not trained on, or all of those for training; {both} is in both'
        subject.expect(not both or list(train) == list(test), where, expected)


def _check_labels(subject: Subject, where: str, source: Source, asked: str) -> None:
    """Every image has one number for each label, and a counterpart with its own labels is the image itself."""
    subject.expect(source.labels or asked != "labelled", where, "labels; it has none")
    for name in (label for group in source.groups for label in group):
        expected = f"groups of labels that it has, {source.labels}; it has a group with {name}"
        subject.expect(name in source.labels, where, expected)
    for split, domain in product(SPLITS, source.domains):
        for ref in source.images(split, domain):
            place, wanted, found = f"{where}, {split} image {ref.name}", len(source.labels), len(ref.labels)
            subject.expect(found == wanted, place, f"a number for each label, {wanted} in all; there are {found}")
            known = all(value in (0, 1) or math.isnan(value) for value in ref.labels)
            subject.expect(known, place, f"labels of 1, 0 or nan; they are {ref.labels}")
    for ref in _some(source.images("test", source.domains[0])) if source.labels else ():
        own = {name: bool(value) for name, value in zip(source.labels, ref.labels, strict=True)}
        same = None if any(map(math.isnan, ref.labels)) else source.counterpart(ref, own)
        subject.expect(
            same is None or _pixels(same) == _pixels(ref),
            f"{where}, counterpart of {ref.name}",
            "with its own labels the same image; it is another",
        )


def _check_together(subject: Subject, where: str, source: Source, asked: str) -> None:
    """Pairs, and test images whose ground truth is known, are as many in every domain."""
    for split in SPLITS if asked == "paired" else ("test",) if source.ground_truth else ():
        counts = {domain: len(source.images(split, domain)) for domain in source.domains}
        expected = f'as many images of each domain in "{split}", as they show the same; it has {counts}'
        subject.expect(len(set(counts.values())) == 1, where, expected)


def _check_again(subject: Subject, where: str, dataset: Dataset, again: Dataset) -> None:
    """The same images in the same order each time, also in another process."""
    with subject.expecting(where, "a source that can be pickled, as it travels to other processes"):
        travelled = pickle.loads(pickle.dumps(dataset))
    for other, how in ((again, "opened again"), (travelled, "in another process")):
        expected = f"the same domains and labels {how}; they are {other.spec}, before {dataset.spec}"
        subject.expect(other.spec == dataset.spec, where, expected)
        for split, domain in product(SPLITS, dataset.spec.domains):
            ours, theirs = dataset.source.images(split, domain), other.source.images(split, domain)
            same = list(map(_described, ours)) == list(map(_described, theirs))
            subject.expect(same, where, f'the same images of "{domain}" in "{split}" in the same order {how}')
            for one, two in zip(_some(ours), _some(theirs), strict=True):
                same = _pixels(one) == _pixels(one) == _pixels(two)
                subject.expect(same, f"{where}, {split} image {one.name}", f"the same pixels {how}")


def _check_channels(subject: Subject, where: str, table: DataOptions, asked: str) -> None:
    """Items for training can be drawn, with as many channels as the recipe wants."""
    for channels in (1, 2, 3, 4):
        how = f"{where}, data.channels = {channels}"
        dataset = _opened(subject, how, table.model_copy(update={"channels": channels}), asked)
        with subject.expecting(how, "items for training"):
            if isinstance(drawn := dataset.training_samples(0)[0], GanzooError):
                raise drawn


def _some(refs: Sequence[ImageRef]) -> list[ImageRef]:
    """A few, from first to last."""
    return list(refs[:: max(1, len(refs) // OPENED)][:OPENED])


def _described(ref: ImageRef) -> tuple[str, str]:
    return ref.name, str(ref.labels)  # as text nan equals nan


def _pixels(ref: ImageRef) -> tuple[tuple[int, ...], bytes]:
    pixels = np.asarray(ref.open())
    return pixels.shape, pixels.tobytes()
