"""Your own images: layouts, order, what a training image looks like, and that the clock alone decides which."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torchvision.transforms.functional import to_pil_image

from ganzoo import GanzooError
from ganzoo.clock import Clock
from ganzoo.data import transforms
from ganzoo.data.dataset import open_dataset
from ganzoo.data.images import find_images, to_levels
from ganzoo.data.loader import batches
from ganzoo.options import DataOptions

DAY2NIGHT = Path(__file__).parents[2] / "shared" / "data" / "day2night"


def fill(folder: Path, count: int, first: int = 0):
    """Images 0.png, 1.png, ... of one grey each, `first`, first + 1, ..."""
    folder.mkdir(parents=True, exist_ok=True)
    for i in range(count):
        Image.new("L", (12, 10), first + i).save(folder / f"{i}.png")


def opened(root, **options):
    return open_dataset(DataOptions(source="folders", root=str(root), **options), "unpaired")


def counts(source):
    return {(split, d): len(source.images(split, d)) for d in source.domains for split in ("train", "test")}


def layout(root: Path, names: str):
    for name in names.split():
        folder, _, count = name.partition(":")
        fill(root / folder, int(count))
    return root


@pytest.mark.parametrize(
    ("folders", "expected"),
    [
        ("trainA:3 trainB:4 testA:1 testB:2", {"A": (3, 1), "B": (4, 2)}),
        ("trainA:3 trainB:4 valA:1", {"A": (3, 1), "B": (4, 4)}),
        ("train/cat:3 train/dog:4 test/cat:1 test/dog:2", {"cat": (3, 1), "dog": (4, 2)}),
        ("train/cat:3 train/dog:4 val/cat:1", {"cat": (3, 1), "dog": (4, 4)}),
        ("cat/train:3 cat/test:1 dog/train:4", {"cat": (3, 1), "dog": (4, 4)}),
        ("cat:3 dog:4 .hidden:2 __MACOSX:2", {"cat": (3, 3), "dog": (4, 4)}),
        ("cat:100 dog:39", {"cat": (95, 5), "dog": (39, 39)}),
        ("cat:40 dog/one:2 dog/two:3", {"cat": (38, 2), "dog": (5, 5)}),
    ],
)
def test_layouts(tmp_path, folders, expected):
    source = opened(layout(tmp_path, folders)).source
    assert source.domains == tuple(expected)
    assert counts(source) == {
        (split, d): n for d, pair in expected.items() for split, n in zip(("train", "test"), pair, strict=True)
    }


def test_held_out_pictures_are_not_trained_on(tmp_path):
    source = opened(layout(tmp_path, "cat:100 dog:45")).source
    for domain in source.domains:
        train, test = (set(source.images(split, domain)) for split in ("train", "test"))
        assert not train & test
        assert {p.path.stem for p in test} == {str(i) for i in range(0, 100 if domain == "cat" else 45, 20)}


@pytest.mark.parametrize(
    ("folders", "names", "expected"),
    [
        ("trainA:1 trainB:1", ("monet", "photo"), ("monet", "photo")),
        ("cat:1 dog:1 emu:1", ("emu", "cat"), ("emu", "cat")),
        ("train/cat:1 train/dog:1", ("dog", "cat"), ("dog", "cat")),
    ],
)
def test_names_of_domains(tmp_path, folders, names, expected):
    assert opened(layout(tmp_path, folders), domains=names).source.domains == expected


@pytest.mark.parametrize(
    ("folders", "names", "words"),
    [
        ("cat:1 dog:1 emu:1", (), ["needs 2 domains", "has 3: cat, dog, emu", "Name those to use with data.domains"]),
        ("cat:1 dog:1", ("cat", "wolf"), ['has no folder "wolf"', "It has: cat, dog"]),
        ("trainA:1 trainB:1", ("a", "b", "c"), ["names 3 domains", "trainA, trainB"]),
        ("trainA:1 trainB:0", (), ['"B" is empty']),
    ],
)
def test_layouts_that_do_not_fit(tmp_path, folders, names, words):
    with pytest.raises(GanzooError) as error:
        opened(layout(tmp_path, folders), domains=names)
    for word in words:
        assert word in str(error.value)


def test_a_run_is_no_folder_of_pictures(tmp_path):
    layout(tmp_path, "samples:2 cats:2")
    for name in ("recipe.toml", "env.json"):
        (tmp_path / name).touch()
    with pytest.raises(GanzooError, match="is the folder of a run"):
        opened(tmp_path)


def test_natural_order_and_only_pictures(tmp_path):
    for name in ("b10.png", "b2.PNG", "B1.jpeg", "a.webp", "x²3.png", "x²20.png", "sub/0.png"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(b"")
    for name in ("notes.txt", ".b3.png", "b.gif.part", "Thumbs.db"):
        (tmp_path / name).write_bytes(b"")
    found = [path.relative_to(tmp_path).as_posix() for path in find_images(tmp_path)]
    assert found == ["a.webp", "B1.jpeg", "b2.PNG", "b10.png", "sub/0.png", "x²3.png", "x²20.png"]


def draws(root, seed=0, batch=2, workers=0, **options):
    return opened(root, size=8, batch=batch, workers=workers, **options).training_samples(seed)


def taken(made, start=0, stop=20, rank=0, world=1):
    """The batches between two times of the clock."""
    clock = Clock(made.seed, made.dataset.options.batch, rank, world)
    clock.set(start)
    return list(batches(made, clock, stop))


def equal(ours, theirs):
    return len(ours) == len(theirs) and all(
        one.keys() == other.keys() and all(torch.equal(one[key], other[key]) for key in one)
        for one, other in zip(ours, theirs, strict=True)
    )


@pytest.fixture(scope="module")
def greys(tmp_path_factory):
    """Domains A and B of 7 and 5 images, each of its own grey."""
    root = tmp_path_factory.mktemp("greys")
    fill(root / "trainA", 7)
    fill(root / "trainB", 5, first=100)
    return root


def test_draws_are_a_function_of_the_clock(greys, images):
    for root in (greys, images):
        all_of_them = taken(draws(root))
        assert len(all_of_them) == 10
        assert all(batch["A"].shape == (2, 3, 8, 8) for batch in all_of_them)
        assert equal(taken(draws(root)), all_of_them)
        assert equal(taken(draws(root, workers=2)), all_of_them)
        assert equal(taken(draws(root), start=6), all_of_them[3:])
        assert not equal(taken(draws(root, seed=1)), all_of_them)


def test_processes_share_a_batch(images):
    whole = taken(draws(images, batch=4))
    parts = [taken(draws(images, batch=4), rank=rank, world=2) for rank in (0, 1)]
    joined = [{d: torch.cat([a[d], b[d]]) for d in a} for a, b in zip(*parts, strict=True)]
    assert equal(joined, whole)


def shades(made, domain, stop):
    """Which images were drawn, known by their grey."""
    return [
        round((value.item() + 1) * 127.5) for batch in taken(made, stop=stop) for value in batch[domain][:, 0, 0, 0]
    ]


def test_every_picture_comes_once_an_epoch_in_a_new_order(greys):
    seen = shades(draws(greys), "A", 70)
    epochs = [seen[i : i + 7] for i in range(0, 70, 7)]
    assert all(sorted(epoch) == list(range(7)) for epoch in epochs)
    assert len({tuple(epoch) for epoch in epochs}) > 5


def test_the_first_images_alone_are_trained_on(greys):
    dataset = draws(greys, max_images=3)
    seen = shades(dataset, "A", 12)
    assert all(sorted(seen[i : i + 3]) == [0, 1, 2] for i in range(0, 12, 3))
    assert dataset.dataset.fingerprint().images == {"A": 3, "B": 3}


def test_kept_images_are_read_once(tmp_path):
    """Three epochs of six images: the same to the bit, and after the first one nobody needs the files."""
    rng = np.random.default_rng(0)
    for letter in "AB":
        (tmp_path / f"train{letter}").mkdir()
        for i in range(6):
            noise = rng.integers(0, 256, (20, 30, 3), np.uint8)
            Image.fromarray(noise).save(tmp_path / f"train{letter}" / f"{i}.png")
    made = {
        cache: opened(tmp_path, size=8, load=12, batch=2, cache=cache).training_samples(0)
        for cache in (0, "auto", 2e-6)
    }
    read = taken(made[0], stop=18)
    streams = {cache: batches(made[cache], Clock(0, 2, 0, 1), 18) for cache in ("auto", 2e-6)}
    first = {cache: [next(stream) for _ in range(3)] for cache, stream in streams.items()}
    shutil.rmtree(tmp_path / "trainA")
    for found, wanted in zip([*first["auto"], *streams["auto"]], read, strict=True):
        assert all(torch.equal(found[domain], wanted[domain]) for domain in "AB")
    assert [len(made[cache].cache.kept) for cache in (2e-6, "auto")] == [4, 12]  # of 12 * 12 * 3 bytes each
    with pytest.raises(GanzooError, match="cannot be read"):
        list(streams[2e-6])


def test_the_domains_are_drawn_independently(tmp_path):
    """Images with one number come together as often as chance has it, not more."""
    fill(tmp_path / "trainA", 10)
    fill(tmp_path / "trainB", 10)
    made = draws(tmp_path)
    together = sum(a == b for a, b in zip(shades(made, "A", 600), shades(made, "B", 600), strict=True))
    assert 30 < together < 90  # 60 is expected


def test_crops_and_mirrors_differ_between_draws_and_domains(images):
    first = images / "trainA" / "0.png"
    root = images.parent / "same"
    for letter in "AB":
        (root / f"train{letter}").mkdir(parents=True)
        shutil.copy(first, root / f"train{letter}")
    batch = taken(draws(root, batch=8), stop=8)[0]
    assert len({tuple(image.flatten().tolist()) for image in batch["A"]}) > 4
    assert not torch.equal(batch["A"], batch["B"])
    still = draws(root, batch=8, flip=False, load=8)
    batch = taken(still, stop=8)[0]
    assert all(torch.equal(image, batch["A"][0]) for image in batch["A"])
    assert torch.equal(batch["A"], batch["B"])


def ramp(width, height):
    """An image whose red is x and whose green is y."""
    y, x = np.mgrid[0:height, 0:width]
    return Image.fromarray(np.stack([x, y, 0 * x], axis=-1).astype(np.uint8))


def train_transform(image, data, multiple, rng):
    levels = transforms.train_transform(transforms.prepare(image, data), data, multiple, rng)
    return to_pil_image(levels)


@pytest.mark.parametrize(
    ("preprocess", "size", "expected"),
    [
        ("resize-and-crop", (100, 60), (32, 32)),
        ("crop", (100, 60), (32, 32)),
        ("crop", (20, 60), (32, 32)),
        ("resized-crop", (100, 60), (32, 32)),
        ("scale-width", (100, 60), (32, 20)),
        ("scale-width", (60, 100), (32, 52)),
        ("scale-shortside-and-crop", (100, 60), (32, 32)),
        ("scale-shortside-and-crop", (20, 30), (32, 32)),
        ("none", (101, 59), (100, 60)),
        ("none", (1, 59), (4, 60)),
    ],
)
def test_preprocess(preprocess, size, expected):
    data = DataOptions(source="none", size=32, preprocess=preprocess, flip=False)
    for view in (
        train_transform(ramp(*size), data, 4, np.random.default_rng(0)),
        transforms.test_transform(ramp(*size), data, 4),
    ):
        assert view.size == expected
    image = transforms.prepare(ramp(*size), data)
    for i in range(8):
        kept = transforms.train_transform(to_levels(image), data, 4, np.random.default_rng(i))
        assert torch.equal(kept, transforms.train_transform(image, data, 4, np.random.default_rng(i)))
    if size == (100, 60) and preprocess == "crop":
        crops = [np.asarray(train_transform(ramp(*size), data, 4, np.random.default_rng(i))) for i in range(400)]
        lefts, tops = ({int(crop[0, 0, c]) for crop in crops} for c in (0, 1))
        assert (min(lefts), max(lefts)) == (0, 68)
        assert (min(tops), max(tops)) == (0, 28)
        assert all((crop[:, :, 0] - crop[0, 0, 0] == np.arange(32)).all() for crop in crops)
        middle = np.asarray(transforms.test_transform(ramp(*size), data, 4))
        assert middle[0, 0].tolist() == [34, 14, 0]


def test_crops_of_images_scaled_to_a_width_and_test_images_of_that_width():
    data = DataOptions(source="none", size=32, load=80, preprocess="scale-width-and-crop", flip=False)
    crop = np.asarray(train_transform(ramp(160, 120), data, 4, np.random.default_rng(0)))
    assert crop.shape == (32, 32, 3)
    assert np.allclose(np.diff(crop[:, :, 0].astype(int)), 2, atol=1)  # half as wide as it was
    assert transforms.test_transform(ramp(160, 122), data, 4).size == (80, 60)


def test_the_shorter_side_is_scaled_and_the_shape_kept():
    data = DataOptions(source="none", size=32, load=40, preprocess="scale-shortside-and-crop", flip=False)
    crop = np.asarray(train_transform(ramp(160, 80), data, 4, np.random.default_rng(0)))
    assert np.allclose(np.diff(crop[:, :, 0].astype(int)), 2, atol=1) and np.allclose(
        np.diff(crop[:, :, 1].astype(int), axis=0), 2, atol=1
    )


def test_interpolation():
    """Of four new pixels from sixteen: by hand, and bicubic as it was before there was a choice."""
    image = Image.fromarray(np.random.default_rng(0).integers(0, 256, (16, 16), dtype=np.uint8))

    def resized(interpolation):
        data = DataOptions(source="none", size=8, load=8, flip=False, interpolation=interpolation)
        return np.asarray(transforms.test_transform(image, data, 1)).astype(int)

    values = np.asarray(image).astype(float)
    fours = (values[::2, ::2] + values[1::2, ::2] + values[::2, 1::2] + values[1::2, 1::2]) / 4
    assert abs(resized("bilinear-no-antialias") - fours).max() <= 1  # halving: each lies between four
    assert (resized("bilinear") == np.asarray(image.resize((8, 8), Image.Resampling.BILINEAR))).all()
    assert (resized("bicubic") == np.asarray(image.resize((8, 8), Image.Resampling.BICUBIC))).all()


def test_lines_are_thickened_before_resizing(tmp_path):
    fill(tmp_path / "trainA", 1)
    fill(tmp_path / "trainB", 1)
    line = np.full((16, 16, 3), 255, np.uint8)
    line[:, 8] = 0
    for domain in "AB":
        Image.fromarray(line).save(tmp_path / f"train{domain}" / "0.png")
    found = opened(tmp_path, size=16, load=16, thicken={"A": 3})
    (a,), (b,) = ([image for _, image in found.test_items(domain)] for domain in ("A", "B"))
    assert (a[0] == -1).sum() == 3 * (b[0] == -1).sum() == 48
    with pytest.raises(GanzooError, match=r'data.thicken: there is no domain "C"'):
        opened(tmp_path, size=16, load=16, thicken={"C": 3})


def test_images_too_small_for_the_networks_are_named(tmp_path):
    for domain, size in (("A", (4000, 1)), ("B", (100, 60))):
        (tmp_path / f"train{domain}").mkdir()
        for name in range(3):
            Image.new("RGB", size if name else (100, 60)).save(tmp_path / f"train{domain}" / f"{name}.png")
    found = opened(tmp_path, size=32, preprocess="none", broken="skip", batch=1)
    found.multiple = 4
    with pytest.raises(GanzooError, match=r"1\.png becomes an image of 4000x4 pixels, and these networks need 8 at l"):
        found.transformed(found.source.images("train", "A")[1], "A")
    assert {batch["A"].shape for batch in taken(found.training_samples(0), stop=6)} == {(1, 3, 60, 100)}
    assert [len(images) for images in found.test_images().values()] == [1, 3]


def test_a_resized_crop_is_nearly_the_whole_image():
    data = DataOptions(source="none", size=200, preprocess="resized-crop", flip=False)
    views = [train_transform(ramp(200, 100), data, 1, np.random.default_rng(i)) for i in range(400)]
    corners = [(np.asarray(v)[0, 0, :2].tolist(), np.asarray(v)[-1, -1, :2].tolist()) for v in views]
    sides = np.array([[right - left + 1, bottom - top + 1] for (left, top), (right, bottom) in corners]) / [200, 100]
    whole = (sides > 0.995).all(axis=1)
    assert 150 < whole.sum() < 250
    areas, shapes = sides.prod(axis=1)[~whole], (sides[:, 0] / sides[:, 1])[~whole]
    assert 0.77 < areas.min() < 0.83 and areas.max() > 0.95
    assert 0.86 < shapes.min() < 0.93 and 1.07 < shapes.max() < 1.15


def test_shown_pictures_are_spread_over_all(tmp_path):
    for domain in "AB":
        fill(tmp_path / f"train{domain}", 1)
        fill(tmp_path / f"test{domain}", 11, first=10)
    (tmp_path / "testB" / "4.png").write_bytes(b"broken")
    found = opened(tmp_path, size=8, load=8, channels=1, broken="skip")

    def shown(count):
        tests = found.test_images(count)
        return {domain: [round((p.mean().item() + 1) * 127.5) - 10 for p in tests[domain]] for domain in "AB"}

    assert shown(3) == {"A": [0, 3, 6], "B": [0, 3, 6]}
    assert shown(5) == {"A": [0, 2, 4, 6, 8], "B": [0, 2, 6, 8, 10]}, "in place of a broken one comes the next"
    assert shown(None)["A"] == list(range(11)) and len(shown(99)["B"]) == 10


def test_half_of_the_pictures_are_mirrored():
    data = DataOptions(source="none", size=32, preprocess="none")
    views = [np.asarray(train_transform(ramp(32, 32), data, 4, np.random.default_rng(i))) for i in range(400)]
    mirrored = [view[0, 0, 0] == 31 for view in views]
    assert 160 < sum(mirrored) < 240
    assert all((view[:, ::-1] if flip else view).tobytes() == views[mirrored.index(False)].tobytes()
               for view, flip in zip(views, mirrored, strict=True))  # fmt: skip


def test_channels_of_each_domain(images):
    found = opened(images, size=8, channels={"A": 3, "B": 1})
    made = found.training_samples(0)
    assert {d: tuple(image.shape) for d, image in made[0].items()} == {"A": (3, 8, 8), "B": (1, 8, 8)}
    tests = found.test_images()
    assert {d: (len(t), tuple(t[0].shape)) for d, t in tests.items()} == {"A": (3, (3, 8, 8)), "B": (3, (1, 8, 8))}
    assert all(image.abs().max() <= 1 for domain in tests.values() for image in domain)


def test_data_check_of_good_pictures(tmp_path, images, recipe, ganzoo):
    for what in (images, recipe(tmp_path)):
        done = ganzoo("data", "check", what, cwd=tmp_path, env={"COLUMNS": "150"})
        assert done.returncode == 0, done
        rows = [line.split() for line in done.stdout.splitlines()]
        for split, domain, count in (("train", "A", "8"), ("train", "B", "8"), ("test", "A", "3"), ("test", "B", "3")):
            assert [split, domain, count, "36x36", "RGB"] in rows
        assert "Everything can be read" in done.stdout


def test_data_check_finds_what_is_wrong(tmp_path, images, ganzoo):
    root = shutil.copytree(images, tmp_path / "mine")
    Image.open(root / "trainA" / "2.png").convert("RGBA").save(root / "testA" / "again.webp", lossless=True)
    (root / "trainB" / "3.png").write_bytes((root / "trainB" / "3.png").read_bytes()[:300])
    (root / "testB" / "0.png").write_text("no image")
    for i, value in enumerate((20_000, 60_000)):  # both would be white if 16 bits were cut to 8
        Image.fromarray(np.full((9, 9), value, np.uint16)).save(root / ("trainB", "testB")[i] / "sixteen.png")
    done = ganzoo("data", "check", "mine", cwd=tmp_path, env={"COLUMNS": "150"})
    message = done.mistake(
        "3 problems", "broken: mine/trainB/3.png", "broken: mine/testB/0.png",
        "in train and in test: mine/trainA/2.png is mine/testA/again.webp", "Remove or replace",
    )  # fmt: skip
    assert "sixteen" not in message
    assert "9x9 to 36x36" in done.stdout


def test_data_check_without_test_pictures(tmp_path, images, ganzoo):
    for letter in "AB":
        shutil.copytree(images / f"train{letter}", tmp_path / "mine" / letter)
    done = ganzoo("data", "check", "mine", cwd=tmp_path)
    assert done.returncode == 0, done
    assert "tested on those for training: A, B" in done.stdout


def test_data_check_shows_what_was_expected(tmp_path, images, ganzoo):
    shutil.copytree(images / "trainA", tmp_path / "mine" / "photos")
    ganzoo("data", "check", "mine", cwd=tmp_path).mistake(
        "1 found: photos", "Expected one of:", "mine/trainA  trainB", "Found:", "mine/photos  (8 images)"
    )
    ganzoo("data", "check", "nowhere", cwd=tmp_path).mistake("there is no folder nowhere")


needs_day2night = pytest.mark.skipif(not DAY2NIGHT.exists(), reason=f"{DAY2NIGHT} is not on this machine")


@needs_day2night
def test_real_pictures_are_all_there(ganzoo, tmp_path):
    done = ganzoo("data", "check", DAY2NIGHT, cwd=tmp_path, env={"COLUMNS": "150"})
    rows = [line.split()[:3] for line in done.stdout.splitlines()]
    for row in (["train", "A", "120"], ["train", "B", "120"], ["test", "A", "80"], ["test", "B", "80"]):
        assert row in rows
    twice = "A/20151102_224922.jpg"  # the one image that its publishers have in both
    done.mistake("1 problem:", f"in train and in test: {DAY2NIGHT}/train{twice} is {DAY2NIGHT}/test{twice}")


@needs_day2night
def test_real_pictures_train_and_translate(ganzoo, recipe, tmp_path):
    changes = {"data.root": str(DAY2NIGHT), "data.size": 128, "data.domains": ["day", "night"], "train.images": 6}
    recipe(tmp_path, changes)
    done = ganzoo("run", "tiny.toml", "--out", "out", cwd=tmp_path)
    assert done.returncode == 0, done
    assert json.loads((tmp_path / "out" / "status.json").read_text())["state"] == "finished"
    for letter, to in (("A", "night"), ("B", "day")):
        done = ganzoo("translate", "out", DAY2NIGHT / f"test{letter}", to, "--to", to, cwd=tmp_path)
        assert done.returncode == 0, done
        originals = {path.name: path for path in (DAY2NIGHT / f"test{letter}").iterdir()}
        made = {path.name: path for path in (tmp_path / to).iterdir()}
        assert originals.keys() == made.keys()
        assert len(made) == 80
        for name, path in made.items():
            assert Image.open(path).size == Image.open(originals[name]).size
