"""Pairs: side by side in one file or in two folders; both seen through the same crop and the same mirror."""

import io
import tarfile

import numpy as np
import pytest
from PIL import Image

from ganzoo import GanzooError
from ganzoo.data.dataset import open_dataset
from ganzoo.data.images import from_levels
from ganzoo.options import DataOptions


def image(number: int, size: int = 40) -> np.ndarray:
    """A smooth image in which every place and every number differs."""
    y, x = np.mgrid[0:size, 0:size] * 4
    return np.stack([x, y, np.full_like(x, 8 * number)], axis=-1).astype(np.uint8)


def draw_pair(number: int) -> tuple[np.ndarray, np.ndarray]:
    """An image and its negative."""
    return image(number), 255 - image(number)


def shown(item):
    return {domain: from_levels(levels) for domain, levels in item.items()}


def side_by_side(root, count: int = 6, test: int = 2):
    for part, numbers in (("train", range(count)), ("test", range(count, count + test))):
        (root / part).mkdir(parents=True)
        for number in numbers:
            Image.fromarray(np.concatenate(draw_pair(number), axis=1)).save(root / part / f"{number}.png")
    return root


def two_folders(root, count: int = 6):
    for number in range(count):
        for name, pixels in zip(("day", "night"), draw_pair(number), strict=True):
            (root / "train" / name).mkdir(parents=True, exist_ok=True)
            Image.fromarray(pixels).save(root / "train" / name / f"{number}.png")
    return root


def options(root, **more) -> DataOptions:
    return DataOptions(source="folders", root=str(root), size=32, load=36, **more)


@pytest.mark.parametrize("layout", [side_by_side, two_folders])
def test_both_of_a_pair_are_cropped_and_mirrored_alike(tmp_path, layout):
    opened = open_dataset(options(layout(tmp_path)), "paired")
    first, second = opened.source.domains
    seen, mirrored = set(), 0
    for item in (shown(opened.training_samples(0)[i]) for i in range(24)):
        assert (item[first] + item[second]).abs().max() < 0.02  # the negative of exactly this view, up to rounding
        mirrored += bool(item[first][0, 0, 0] > item[first][0, 0, -1])
        seen.add(round(item[first][0].min().item(), 2))
    assert 6 < mirrored < 18
    assert len(seen) > 2  # the crop moves


def test_domains_of_side_by_side_pictures(tmp_path):
    root = side_by_side(tmp_path)
    assert open_dataset(options(root), "paired").source.domains == ("A", "B")
    opened = open_dataset(options(root, domains=("photo", "label")), "paired")
    tests = opened.test_images()
    assert opened.source.ground_truth
    assert [len(tests[d]) for d in ("photo", "label")] == [2, 2]
    assert (tests["photo"][0] + tests["label"][0]).abs().max() < 0.02
    with pytest.raises(GanzooError, match="needs 2 domains, and the data has 3: a, b, c"):
        open_dataset(options(root, domains=("a", "b", "c")), "paired")


def test_side_by_side_pictures_as_unpaired_ones(tmp_path):
    """Five pairs: no training image of one side has its partner among those of the other."""
    source = open_dataset(options(side_by_side(tmp_path, count=5)), "unpaired").source
    left, right = ([p.path.stem for p in source.images("train", d)] for d in "AB")
    assert (left, right) == (["0", "1", "2"], ["3", "4"])
    assert [[p.path.stem for p in source.images("test", d)] for d in "AB"] == [["5", "6"]] * 2
    assert source.ground_truth


def test_odd_width(tmp_path):
    root = side_by_side(tmp_path)
    Image.new("RGB", (81, 40)).save(root / "train" / "3.png")
    opened = open_dataset(options(root), "paired")
    mistakes = [
        str(item) for item in (opened.training_samples(0)[i] for i in range(6)) if isinstance(item, GanzooError)
    ]
    assert len(mistakes) == 1
    assert "3.png should hold two images side by side, but its width, 81, is odd" in mistakes[0]
    skipping = open_dataset(options(root, broken="skip"), "paired")
    assert not any(isinstance(skipping.training_samples(0)[i], GanzooError) for i in range(6))


@pytest.mark.parametrize("missing", ["day", "night"])
def test_unequal_pairs(tmp_path, missing):
    root = two_folders(tmp_path)
    (root / "train" / missing / "4.png").unlink()
    with pytest.raises(
        GanzooError, match=f'"4" has no partner in {missing} .*the same name in day and night.*Add the missing'
    ):
        open_dataset(options(root), "paired")


def test_pairs_may_differ_in_file_type(tmp_path):
    root = two_folders(tmp_path)
    for path in list((root / "train" / "night").iterdir()):
        Image.open(path).save(path.with_suffix(".bmp"))
        path.unlink()
    item = shown(open_dataset(options(root), "paired").training_samples(0)[0])
    assert (item["day"] + item["night"]).abs().max() < 0.02


LAYOUTS = [  # files of day and night, and the pairs, by the suffixes that tell the two apart
    ("1.jpg 1.mirror.jpg", "1.png 1.mirror.png"),
    ("a/1.jpg b/1.jpg c.jpg", "a/1.png b/1.png c.png"),
    ("x-1.jpg x.jpg", "x-1.png x.png"),
]


@pytest.mark.parametrize(("day", "night"), LAYOUTS)
def test_partners_are_found_by_name_and_not_by_place(tmp_path, day, night):
    for domain, files in (("day", day), ("night", night)):
        for file in files.split():
            (tmp_path / domain / file).parent.mkdir(parents=True, exist_ok=True)
            Image.new("L", (8, 8)).save(tmp_path / domain / file)
    source = open_dataset(options(tmp_path), "paired").source
    ours, theirs = (
        [ref.path.relative_to(tmp_path / domain).with_suffix("") for ref in source.images("train", domain)]
        for domain in ("day", "night")
    )
    assert ours == theirs and len(ours) == len(day.split())


def test_images_held_out_are_pairs(tmp_path):
    """With suffixes in the order of names: every other one has another place among those of its domain."""
    for number in range(60):
        for domain, suffix in (("day", ".png"), ("night", (".png", ".bmp")[number % 2])):
            (tmp_path / domain).mkdir(exist_ok=True)
            Image.new("L", (8, 8)).save(tmp_path / domain / f"{number // 2}{'.a' * (number % 2)}{suffix}")
    source = open_dataset(options(tmp_path), "paired").source
    for part, count in (("train", 57), ("test", 3)):
        ours, theirs = ([ref.path.stem for ref in source.images(part, d)] for d in ("day", "night"))
        assert ours == theirs and len(ours) == count


@pytest.mark.parametrize(
    ("day", "night", "words"),
    [
        ("x/1.png x/2.png", "1.png 2.png", '"1" has no partner in day .*sub-folders of the same name'),
        ("0.png 0.jpg 1.png", "0.png 1.png", r"0\.jpg and .*0\.png have one name"),
        ("0.png 1.png", "0.png 0.jpg 1.png", r"0\.jpg and .*0\.png have one name"),
    ],
)
def test_pairs_that_cannot_be_told_are_refused(tmp_path, day, night, words):
    for domain, files in (("day", day), ("night", night)):
        for file in files.split():
            (tmp_path / domain / file).parent.mkdir(parents=True, exist_ok=True)
            Image.new("L", (8, 8)).save(tmp_path / domain / file)
    with pytest.raises(GanzooError, match=words):
        open_dataset(options(tmp_path), "paired")


def test_a_published_archive_of_pairs(tmp_path, monkeypatch):
    """A local copy of facades.tar.gz, as its publishers pack it."""
    monkeypatch.setenv("GANZOO_CACHE", str(tmp_path / "cache"))
    side_by_side(tmp_path / "facades")
    with tarfile.open(tmp_path / "facades.tar.gz", "w:gz") as tar:
        tar.add(tmp_path / "facades", "facades")
    data = DataOptions(source="pix2pix_facades", archive=str(tmp_path / "facades.tar.gz"), size=32)
    said = io.StringIO()
    opened = open_dataset(data, "paired", say=said.write)
    assert opened.spec.domains == ("photo", "label")
    assert opened.source.ground_truth
    item = shown(opened.training_samples(0)[0])
    assert (item["photo"] + item["label"]).abs().max() < 0.02
    assert "does not hold the published numbers of images (train has 6, not 400)" in said.getvalue()


@pytest.mark.parametrize("domains", [("photo",), ("photo", "edges", "painting")])
def test_a_world_with_other_than_two_domains(domains):
    with pytest.raises(GanzooError, match=f"needs 2 domains, and the data has {len(domains)}: photo.*data.domains"):
        open_dataset(DataOptions(source="landscapes", domains=domains), "paired")
