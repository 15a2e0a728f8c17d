"""The source: rows of a data set that lies in Arrow files, so that any of them can be read at any time."""

import io
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, BinaryIO, overload

import numpy as np
from pydantic import Field

from ganzoo import GanzooError, ImageRef, Offline, Source
from ganzoo.data.sources import check_known, held_out
from ganzoo.options import DataOptions


@dataclass(frozen=True)
class Cell(ImageRef):
    """An image in a row of a data set; `path` is the file that the rows are in."""

    row: int
    column: str
    rows: Any = field(repr=False, compare=False)

    @property
    def name(self) -> str:
        return f"{self.path}, row {self.row}, {self.column}"

    def file(self) -> Path | BinaryIO:
        image = self.rows[self.row][self.column]
        return Path(image["path"]) if image["bytes"] is None else io.BytesIO(image["bytes"])


class Cells(Sequence[ImageRef]):
    """The images of a column in some rows: 8 bytes each, and another 4 for each label."""

    def __init__(self, rows: Any, column: str, places: np.ndarray, labels: np.ndarray | None = None) -> None:
        """`rows` is a `datasets.Dataset` that leaves images encoded; `labels` has a row for each place."""
        self.rows, self.column, self.places, self.labels = rows, column, places, labels
        files = rows.cache_files
        self.path = Path(files[0]["filename"] if files else "in memory")

    def __len__(self) -> int:
        return len(self.places)

    @overload
    def __getitem__(self, place: int) -> ImageRef: ...
    @overload
    def __getitem__(self, place: slice) -> "Cells": ...
    def __getitem__(self, place: int | slice) -> "ImageRef | Cells":
        if isinstance(place, slice):
            return self.take(np.arange(len(self))[place])
        labels = () if self.labels is None else tuple(self.labels[place].tolist())
        return Cell(self.path, int(self.places[place]), self.column, self.rows, labels=labels)

    def take(self, chosen: np.ndarray) -> "Cells":
        labels = None if self.labels is None else self.labels[chosen]
        return Cells(self.rows, self.column, self.places[chosen], labels)


class HuggingFace(Source):
    """A data set of the Hugging Face hub, or a folder here in one of its formats (Parquet, images, WebDataset ...).

    It is downloaded and written as Arrow files once, by the `datasets` library. Without a split for testing every 20th
    image is held out, 50 at most.
    """

    kinds = ("unpaired", "paired", "domains", "labelled", "images")

    def __init__(
        self,
        options: DataOptions,
        kind: str,
        *,
        dataset: Annotated[str, Field(min_length=1, description="USER/NAME on the hub, or a folder")],
        columns: Annotated[dict[str, str], Field(description="domain -> its column; paired: images of a row")] = {},  # noqa: B006
        label: Annotated[str, Field(description="column of classes: labels, or without `columns` the domains")] = "",
        config: Annotated[str, Field(description="configuration of the data set, if it has several")] = "",
        train: Annotated[str, Field(description="split for training")] = "train",
        test: Annotated[str, Field(description="split for testing; empty: some of `train` are held out")] = "",
    ) -> None:
        self.dataset, self.config = dataset, config
        splits = {"train": self._load(train)} | ({"test": self._load(test)} if test else {})
        features = splits["train"].features
        images = [name for name, kind_of in features.items() if type(kind_of).__name__ == "Image"]
        for name in columns.values():
            check_known(f"data.source.columns: {dataset} has no column of images", [name], images)
        if not images:
            raise GanzooError(f"{dataset} has no column of images; it has: {', '.join(features)}.")
        classes = getattr(features.get(label), "names", None)
        if label and not classes:
            named = [name for name, kind_of in features.items() if hasattr(kind_of, "names")]
            check_known(f"data.source.label: {dataset} has no column of classes", [label], named)
        wanted: dict[str, tuple[str, int | None]]
        if kind in ("labelled", "images"):
            self.domains, column = ("image",), next(iter(columns.values()), images[0])
            wanted = {"image": (column, None)}
            if kind == "labelled":
                if not classes:
                    raise GanzooError("This model needs labels: name a column of classes, source = { label = ... }.")
                self.labels = tuple(classes)
                self.groups = (self.labels,)
        elif columns or not classes:
            self.domains = options.domains or tuple(columns)
            check_known("data.domains: data.source.columns has no domain", self.domains, columns)
            if not columns:
                raise GanzooError(
                    "Say which images are which domain: source = { columns = { day = COLUMN, night = COLUMN } }, or "
                    "label = COLUMN, of which each class is a domain."
                )
            wanted = {domain: (columns[domain], None) for domain in self.domains}
        elif kind == "paired":
            raise GanzooError("Classes are not pairs: name two columns of images with source = { columns = ... }.")
        else:
            self.domains = options.domains or tuple(classes)
            check_known(f"data.domains: {dataset} has no class", self.domains, classes)
            wanted = {domain: (images[0], classes.index(domain)) for domain in self.domains}
        self.ground_truth = kind == "paired"
        found = {split: self._cells(rows, wanted, label) for split, rows in splits.items()}
        self._images = found if test else _held_out(found["train"])

    def images(self, split: str, domain: str) -> Sequence[ImageRef]:
        return self._images[split][domain]

    def _load(self, split: str) -> Any:
        """The rows of a split, with images as they were encoded."""
        try:
            import datasets
        except ImportError:
            raise GanzooError(
                'The source "huggingface" needs the datasets library: pip install "ganzoo-huggingface[datasets]".'
            ) from None
        folder = Path(self.dataset).expanduser()
        try:
            rows = datasets.load_dataset(
                str(folder if folder.is_dir() else self.dataset), self.config or None, split=split
            )
        except (ConnectionError, TimeoutError) as error:
            raise Offline(
                f"{self.dataset} cannot be downloaded ({error}): connect to the internet and run again."
            ) from error
        except Exception as error:  # which ones there are for what is wrong with a data set is not documented
            raise GanzooError(
                f"{self.dataset} cannot be opened as a data set ({str(error).partition(chr(10))[0]}). Correct the "
                f'name, the configuration ("{self.config}") or the split ("{split}").'
            ) from error
        for name, kind_of in rows.features.items():
            if isinstance(kind_of, datasets.Image):
                rows = rows.cast_column(name, datasets.Image(decode=False))
        return rows

    def _cells(self, rows: Any, wanted: dict[str, tuple[str, int | None]], label: str) -> dict[str, Cells]:
        given = np.array(rows[label][:]) if label else None
        found = {}
        for domain, (column, number) in wanted.items():
            there = rows.data.column(column).is_valid().to_numpy(zero_copy_only=False)
            if given is not None and number is not None:
                there &= given == number
            places, one = np.flatnonzero(there), None
            if self.labels and given is not None:
                one = np.eye(len(self.labels), dtype=np.float32)[given[places]]
                one[given[places] < 0] = np.nan  # not known
            found[domain] = Cells(rows.select_columns([column]), column, places, one)
            if not len(places):
                raise GanzooError(f'{self.dataset} has no images of "{domain}".')
        if self.ground_truth and len({tuple(cells.places) for cells in found.values()}) > 1:
            raise GanzooError(f"{self.dataset} has rows without a partner, so its columns are no pairs.")
        return found


def _held_out(found: dict[str, Cells]) -> dict[str, dict[str, Cells]]:
    splits: dict[str, dict[str, Cells]] = {"train": {}, "test": {}}
    for domain, cells in found.items():
        for split, places in zip(splits, held_out(len(cells)), strict=True):
            splits[split][domain] = cells.take(places)
    return splits
