"""Real data sets in Parquet files and in a folder of images, written by the datasets library."""

import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from ganzoo_testing import check_source
from PIL import Image

from ganzoo import GanzooError
from ganzoo.clock import Clock
from ganzoo.data.dataset import open_dataset
from ganzoo.data.loader import batches
from ganzoo.options import DataOptions


@pytest.fixture(scope="module", autouse=True)
def datasets(tmp_path_factory):
    """The library, which keeps its files in a folder of the test and asks no network."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HF_HOME", str(tmp_path_factory.mktemp("home")))
        patch.setenv("HF_HUB_OFFLINE", "1")
        patch.setenv("HF_DATASETS_DISABLE_PROGRESS_BARS", "1")
        yield pytest.importorskip("datasets", reason="datasets is not installed: it is in the extra test")


def images(greys) -> list[Image.Image]:
    return [Image.new("RGB", (12, 10), (grey, 0, 255 - grey)) for grey in greys]


@pytest.fixture(scope="module")
def parquet(datasets, tmp_path_factory) -> Path:
    """Six rows of two columns of images and a class; red tells an image."""
    root = tmp_path_factory.mktemp("parquet")
    image = datasets.Image()
    features = {
        "one": image,
        "other": image,
        "kind": datasets.ClassLabel(names=["cat", "dog"]),
        "text": datasets.Value("string"),
    }
    rows = {
        "one": images(range(6)),
        "other": images(range(100, 106)),
        "kind": [0, 1, 0, 0, 1, 0],
        "text": list("abcdef"),
    }
    datasets.Dataset.from_dict(rows, features=datasets.Features(features)).to_parquet(root / "train.parquet")
    return root


def opened(root, kind="unpaired", domains=(), workers=0, **options):
    source = {"name": "huggingface", "dataset": str(root), **options}
    return open_dataset(
        DataOptions(source=source, domains=domains, size=8, load=8, batch=2, workers=workers, cache=0), kind
    )


def reds(refs):
    return [int(np.asarray(ref.open())[0, 0, 0]) for ref in refs]


COLUMNS = {"a": "one", "b": "other"}


def test_it_is_a_source(parquet):
    check_source(
        "huggingface", {"dataset": str(parquet), "columns": COLUMNS}, ["unpaired", "paired", "domains", "images"]
    )
    check_source(
        "huggingface", {"dataset": str(parquet), "label": "kind"}, ["unpaired", "domains", "labelled", "images"]
    )


def test_columns_classes_and_labels(parquet):
    two = opened(parquet, "paired", columns=COLUMNS).source
    assert reds(two.images("train", "a")) == list(range(6)) and reds(two.images("test", "b")) == list(range(100, 106))
    classes = opened(parquet, label="kind", domains=("dog", "cat")).source
    assert (reds(classes.images("train", "dog")), reds(classes.images("train", "cat"))) == ([1, 4], [0, 2, 3, 5])
    labelled = opened(parquet, "labelled", label="kind").source
    assert labelled.labels == ("cat", "dog") and labelled.groups == (("cat", "dog"),)
    assert [ref.labels for ref in labelled.images("train", "image")][:2] == [(1, 0), (0, 1)]


def test_a_resume_goes_on_with_the_next_images(parquet):
    def drawn(start, workers=0):
        clock = Clock(0, 2)
        clock.set(start)
        samples = opened(parquet, columns=COLUMNS, workers=workers).training_samples(0)
        return torch.cat([batch["a"] for batch in batches(samples, clock, 18)])

    seen = drawn(0)
    assert torch.equal(drawn(8), seen[8:]) and torch.equal(drawn(0, workers=2), seen)
    assert len({float(image[0, 0, 0]) for image in seen[:6]}) == 6


def test_a_folder_of_images(parquet, tmp_path):
    for name in ("cat", "dog"):
        (tmp_path / name).mkdir()
        for i, image in enumerate(images(range(3))):
            image.save(tmp_path / name / f"{i}.png")
    (tmp_path / "dog" / "1.png").write_bytes(b"no image")
    source = opened(tmp_path, label="label").source
    assert reds(source.images("train", "cat")) == [0, 1, 2]
    with pytest.raises(GanzooError, match=r"row 4, image cannot be read as an image"):
        reds(source.images("train", "dog"))


@pytest.mark.parametrize(
    ("options", "kind", "words"),
    [
        ({"columns": {"a": "one", "b": "text"}}, "unpaired", ['no column of images "text"', "It has: one, other"]),
        ({"label": "text"}, "labelled", ['no column of classes "text"', "It has: kind"]),
        ({"label": "kind"}, "paired", ["Classes are not pairs"]),
        ({}, "unpaired", ["Say which images are which domain"]),
        ({}, "labelled", ["This model needs labels"]),
        ({"columns": COLUMNS, "train": "nothing"}, "unpaired", ["cannot be opened as a data set", 'split ("nothing")']),
    ],
)
def test_mistakes(parquet, options, kind, words):
    with pytest.raises(GanzooError) as error:
        opened(parquet, kind, **options)
    for word in words:
        assert word in str(error.value)


def test_without_the_library_its_name_is_told(parquet, monkeypatch):
    monkeypatch.setitem(sys.modules, "datasets", None)
    with pytest.raises(GanzooError, match=r"pip install \"ganzoo-huggingface\[datasets\]\""):
        opened(parquet, columns=COLUMNS)
