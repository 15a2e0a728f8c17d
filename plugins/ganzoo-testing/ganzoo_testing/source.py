"""The conformance test of a data source: what the engine, the metrics and the processes that prepare images rely on."""

import math
import pickle
from collections.abc import Mapping, Sequence
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
from ganzoo_testing.report import expecting, wrong

SIZE, OPENED = 16, 4  # pixels; images of each domain and split that are opened


def check_source(name: str, options: Mapping[str, Any] | None = None, kinds: Sequence[str] = (), **data: Any) -> None:
    """Opens a registered data source in every way in which models use it. Raises ConformanceError.

    `options` are the source's own, `data` keys of the recipe's `[data]` table, such as `root` or `domains`. `kinds` are
    those that this data has, by default all that the source claims. Some images of each domain are opened.
    """
    what, data = f'source "{name}"', {"size": SIZE, "batch": 2} | data
    claimed = registry().load("source", name).kinds
    registered = registry().find("source", name).facts.get("data_kinds", "").split()
    if set(registered) != set(claimed):
        raise wrong(
            what, "data_kinds", f"the kinds of data that the class has, {claimed}; it is registered for {registered}"
        )
    try:
        table = DataOptions(source={"name": name, **(options or {})}, **data)
    except ValidationError as error:
        mistakes = "; ".join(mistake for _, mistake in sentences(error, DataOptions))
        raise wrong(what, "options", f"valid options and keys of [data]; {mistakes}") from error
    for asked in kinds or claimed:
        where = f'asked for kind "{asked}"'
        dataset = _opened(what, where, table, asked)
        _check_images(what, where, dataset.source)
        _check_labels(what, where, dataset.source, asked)
        _check_together(what, where, dataset.source, asked)
        _check_again(what, where, dataset, _opened(what, where, table, asked))
        _check_channels(what, where, table, asked)


def _opened(what: str, where: str, table: DataOptions, asked: str) -> Dataset:
    """The data for a model of the kind that asks a source for this one."""
    with expecting(what, where, "data to train on"):
        others = (name for name in registry().names("kind") if load_kind(name).source_kind == asked)
        return open_dataset(table, asked if registry().matches("kind", asked) else next(others, asked))


def _check_images(what: str, where: str, source: Source) -> None:
    """There are images to train on, they can be opened, and those for testing are others, or all the same."""
    for domain in source.domains:
        train, test = source.images("train", domain), source.images("test", domain)
        if not len(train):
            raise wrong(what, where, f'images in the split "train" of "{domain}"; there are none')
        for split, refs in (("train", train), ("test", test)):
            for ref in _some(refs):
                with expecting(what, f"{where}, {split} image {ref.name}", "an image that can be opened"):
                    ref.open().load()
        with expecting(what, where, "images that can be compared, so frozen dataclasses of what can be hashed"):
            both = set(train) & set(test)
        if both and list(train) != list(test):
            expected = f'test images of "{domain}" that are not trained on, or all of those for training'
            raise wrong(what, where, f"{expected}; {next(iter(both)).name} is in both")


def _check_labels(what: str, where: str, source: Source, asked: str) -> None:
    """Every image has one number for each label, and a counterpart with its own labels is the image itself."""
    if asked == "labelled" and not source.labels:
        raise wrong(what, where, "labels; it has none")
    for name in (label for group in source.groups for label in group):
        if name not in source.labels:
            raise wrong(what, where, f"groups of labels that it has, {source.labels}; it has a group with {name}")
    for split, domain in ((split, domain) for domain in source.domains for split in ("train", "test")):
        for ref in source.images(split, domain):
            if len(ref.labels) != len(source.labels):
                expected = f"a number for each label, {len(source.labels)} in all"
                raise wrong(what, f"{where}, {split} image {ref.name}", f"{expected}; there are {len(ref.labels)}")
            if not all(value in (0, 1) or math.isnan(value) for value in ref.labels):
                raise wrong(what, f"{where}, {split} image {ref.name}", f"labels of 1, 0 or nan; they are {ref.labels}")
    for ref in _some(source.images("test", source.domains[0])) if source.labels else ():
        own = {name: bool(value) for name, value in zip(source.labels, ref.labels, strict=True)}
        unclear = any(math.isnan(value) for value in ref.labels)
        same = None if unclear else source.counterpart(ref, own)
        if same is not None and _pixels(same) != _pixels(ref):
            raise wrong(
                what, f"{where}, counterpart of {ref.name}", "with its own labels the same image; it is another"
            )


def _check_together(what: str, where: str, source: Source, asked: str) -> None:
    """Pairs, and test images whose ground truth is known, are as many in every domain."""
    for split in ("train", "test") if asked == "paired" else ("test",):
        counts = {domain: len(source.images(split, domain)) for domain in source.domains}
        if (asked == "paired" or source.ground_truth) and len(set(counts.values())) > 1:
            raise wrong(
                what, where, f'as many images of each domain in "{split}", as they show the same; it has {counts}'
            )


def _check_again(what: str, where: str, dataset: Dataset, again: Dataset) -> None:
    """The same images in the same order each time, also in another process."""
    with expecting(what, where, "a source that can be pickled, as it travels to other processes"):
        travelled = pickle.loads(pickle.dumps(dataset))
    for other, how in ((again, "opened again"), (travelled, "in another process")):
        if other.spec != dataset.spec:
            raise wrong(what, where, f"the same domains and labels {how}; they are {other.spec}, before {dataset.spec}")
        for split, domain in ((split, domain) for domain in dataset.spec.domains for split in ("train", "test")):
            ours, theirs = dataset.source.images(split, domain), other.source.images(split, domain)
            if [_described(ref) for ref in ours] != [_described(ref) for ref in theirs]:
                raise wrong(what, where, f'the same images of "{domain}" in "{split}" in the same order {how}')
            for one, two in zip(_some(ours), _some(theirs), strict=True):
                if not _pixels(one) == _pixels(one) == _pixels(two):
                    raise wrong(what, f"{where}, {split} image {one.name}", f"the same pixels {how}")


def _check_channels(what: str, where: str, table: DataOptions, asked: str) -> None:
    """Items for training can be drawn, with as many channels as the recipe wants."""
    for channels in (1, 2, 3, 4):
        how = f"{where}, data.channels = {channels}"
        dataset = _opened(what, how, table.model_copy(update={"channels": channels}), asked)
        with expecting(what, how, "items for training"):
            if isinstance(drawn := dataset.training_samples(0)[0], GanzooError):
                raise drawn


def _some(refs: Sequence[ImageRef]) -> list[ImageRef]:
    """A few, from first to last."""
    return list(refs[:: max(1, len(refs) // OPENED)][:OPENED])


def _described(ref: ImageRef) -> tuple[str, tuple[float | None, ...]]:
    return ref.name, tuple(None if math.isnan(value) else value for value in ref.labels)


def _pixels(ref: ImageRef) -> tuple[tuple[int, ...], bytes]:
    pixels = np.asarray(ref.open())
    return pixels.shape, pixels.tobytes()
