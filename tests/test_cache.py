"""Decoded images in files: shared by workers and runs, never wrong, never more than they may be; lists of many images."""

import json
import os
import shutil
import tracemalloc
from hashlib import sha256

import numpy as np
import pytest
import torch
from PIL import Image

from ganzoo.clock import Clock
from ganzoo.data import cache
from ganzoo.data.cache import Files, open_files
from ganzoo.data.dataset import open_dataset
from ganzoo.data.images import ImageRef
from ganzoo.data.loader import batches
from ganzoo.options import DataOptions

COUNT = 6


@pytest.fixture
def photographs(tmp_path, monkeypatch):
    """Domains A and B of 6 JPEGs of noise, and ganzoo's cache beside them."""
    monkeypatch.setenv("GANZOO_CACHE", str(tmp_path / "cache"))
    rng = np.random.default_rng(0)
    for letter in "AB":
        (tmp_path / f"train{letter}").mkdir()
        for i in range(COUNT):
            noise = Image.fromarray(rng.integers(0, 256, (20, 30, 3), np.uint8))
            noise.save(tmp_path / f"train{letter}" / f"{i}.jpg")
    return tmp_path


def opened(root, **options):
    return open_dataset(DataOptions(source="folders", root=str(root), size=8, load=12, batch=2, **options), "unpaired")


def taken(root, start=0, stop=3 * COUNT, said=None, **options):
    clock = Clock(0, 2)
    clock.set(start)
    say = (lambda text: None) if said is None else said.append
    return [batch["A"] for batch in batches(opened(root, **options).training_samples(0), clock, stop, say=say)]


def same(ours, theirs):
    return torch.equal(torch.cat(ours), torch.cat(theirs))


def test_files_serve_the_next_run_and_notice_what_has_changed(photographs):
    said = []
    read = taken(photographs, cache=0)
    assert same(taken(photographs, cache="file", said=said), read)
    (folder,) = (photographs / "cache" / "decoded").glob("[!.]*")
    assert said == [f"Images are kept decoded and resized in {folder}, for other runs too (data.cache)."]
    size = (folder / "pixels").stat().st_size
    assert size == 2 * COUNT * 12 * 12 * 3
    assert same(taken(photographs, cache="file"), read) and (folder / "pixels").stat().st_size == size

    changed = photographs / "trainA" / "3.jpg"
    Image.new("RGB", (30, 20), "red").save(changed)
    assert same(taken(photographs, cache="file"), taken(photographs, cache=0))
    assert (folder / "pixels").stat().st_size == size + 12 * 12 * 3

    content = bytearray((folder / "pixels").read_bytes())
    content[100] ^= 1
    (folder / "pixels").write_bytes(content[:-1])  # a bit of one image, and the end of another
    assert same(taken(photographs, cache="file"), taken(photographs, cache=0))
    shutil.rmtree(folder)
    assert same(taken(photographs, cache="file"), taken(photographs, cache=0))


def test_workers_share_the_files(photographs):
    read = taken(photographs, cache=0)
    assert same(taken(photographs, workers=2), read)  # auto: files, as there are workers
    (pixels,) = (photographs / "cache").glob("decoded/*/pixels")
    assert pixels.stat().st_size <= 2 * 2 * COUNT * 12 * 12 * 3  # two may decode one image at the same time
    for file in photographs.glob("train?/*.jpg"):  # so whoever needed them would stop the run
        about = file.stat()
        file.write_bytes(b"x" * about.st_size)
        os.utime(file, ns=(about.st_atime_ns, about.st_mtime_ns))
    assert same(taken(photographs, workers=1), read)


def test_other_transforms_have_other_files(photographs):
    for options in ({}, {"preprocess": "square"}, {"channels": 1}):
        assert same(taken(photographs, cache="file", **options), taken(photographs, cache=0, **options))
    assert len([*(photographs / "cache").glob("decoded/*/pixels")]) == 3


def test_files_keep_to_their_limit_and_the_oldest_make_way(photographs, monkeypatch):
    ref, image = ImageRef(photographs / "trainA" / "0.jpg"), Image.new("RGB", (10, 10))
    limited = open_files("a", 8, needed=300)
    limited = Files(limited.folder, 8, limit=700)
    for place in range(8):
        assert limited.get(place, ref) is None
        limited.put(place, ref, image)
    assert (limited.folder / "pixels").stat().st_size == 600
    assert limited.get(1, ref) is not None and limited.get(2, ref) is None

    free = cache.SHARE * 1000
    monkeypatch.setattr(shutil, "disk_usage", lambda path: shutil._ntuple_diskusage(2 * free, free, free))
    os.utime(limited.folder, (0, 0))
    assert open_files("b", 8, needed=2000) is None and limited.folder.exists()
    other = open_files("b", 8, needed=800)
    assert not limited.folder.exists() and other.folder.exists() and other.limit < 2000


def test_draft_decodes_a_photograph_at_a_smaller_scale(tmp_path):
    y, x = np.mgrid[0:768, 0:1024]
    waves = (127 * (1 + np.sin(x / 40) * np.cos(y / 30))).astype(np.uint8)
    photograph = Image.fromarray(np.stack([waves, waves[::-1], waves[:, ::-1]], axis=-1))
    for letter in "AB":
        (tmp_path / f"train{letter}").mkdir()
        photograph.save(tmp_path / f"train{letter}" / "0.jpg", quality=95)
    ref = ImageRef(tmp_path / "trainA" / "0.jpg")
    assert [ref.at_least(least).size for least in (None, 768, 300, 96, 1)] == [
        (1024, 768), (1024, 768), (512, 384), (128, 96), (128, 96),
    ]  # fmt: skip
    whole, draft = (taken(tmp_path, 0, 4, draft=draft) for draft in (False, True))
    difference = (torch.cat(whole) - torch.cat(draft)).abs()
    assert 0 < difference.mean() < 0.02


def test_the_fingerprint_is_that_of_the_json_of_all_names(photographs):
    dataset = opened(photographs)
    listed = {letter: [[f"{letter}/{i}.jpg", "()"] for i in range(COUNT)] for letter in "AB"}
    assert dataset.fingerprint().sha256 == sha256(json.dumps(listed).encode()).hexdigest()


def test_many_images_are_few_bytes_each(tmp_path):
    """20,000 links in 20 folders."""
    first = tmp_path / "one.png"
    Image.new("RGB", (8, 8)).save(first)
    for folder in range(20):
        here = tmp_path / "images" / ("trainA" if folder < 10 else "trainB") / f"{folder:02d}"
        here.mkdir(parents=True)
        for i in range(1000):
            (here / f"photograph_{i:06d}.png").symlink_to(first)
    tracemalloc.start()
    try:
        dataset = opened(tmp_path / "images")
        samples = dataset.training_samples(0)
        assert samples.draw(9_499, "A")[0].image.shape == (3, 8, 8)
        held, most = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert sum(len(refs) for refs in samples.refs.values()) == 20_000 - 2 * 50
    assert held < 100 * 20_000 and most < 400 * 20_000
