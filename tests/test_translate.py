"""`ganzoo translate` and `ganzoo evaluate`: every kind of image, with its name and size, and nothing overwritten."""

import json
import shutil
import sys
import tarfile
import tomllib
from pathlib import Path

import numpy as np
import pytest
import tomlkit
import torch
from PIL import Image
from safetensors.torch import save_file

import ganzoo as package
from ganzoo import checkpoint, recipe
from ganzoo.bulk import translate_files
from ganzoo.data.dataset import evaluation_data
from ganzoo.data.images import convert, to_tensor
from ganzoo.options import DataOptions
from ganzoo.runfolder import RunFolder
from ganzoo.translate import Translator

SIZES = {  # name -> (width, height) as seen, after turning
    "a.jpg": (40, 40),
    "grey.jpg": (37, 53),
    "b.PNG": (33, 35),
    "sub/palette.png": (30, 50),
    "sub/alpha.png": (31, 29),
    "sub/deep/sixteen.png": (20, 21),
    "grey-alpha.png": (36, 36),
    "see-through.png": (20, 24),
    "c.webp": (64, 48),
    "d.bmp": (50, 51),
    "e.tiff": (41, 17),
    "sixteen.tif": (23, 22),
    "f.ppm": (19, 90),
    "turned.jpg": (24, 60),
    "one wide.png": (1, 37),
    "one high.png": (53, 1),
    "one.png": (1, 1),
    "x² ½.png": (9, 9),
}
TURN = Image.Exif()
TURN[0x0112] = 6  # shown after a turn by 90 degrees to the right


def noise(size, channels=3):
    width, height = size
    return (np.random.default_rng(0).random((height, width, channels)) * 255).astype(np.uint8)


@pytest.fixture(scope="module")
def mixed(tmp_path_factory):
    """A folder of all kinds of images, a file that is none, and a hidden one."""
    folder = tmp_path_factory.mktemp("mixed")
    (folder / "sub" / "deep").mkdir(parents=True)
    colour = {name: Image.fromarray(noise(size)) for name, size in SIZES.items()}
    saved = {
        "grey.jpg": colour["grey.jpg"].convert("L"),
        "sub/palette.png": colour["sub/palette.png"].quantize(16),
        "sub/alpha.png": Image.fromarray(noise(SIZES["sub/alpha.png"], 4)),
        "grey-alpha.png": Image.fromarray(noise(SIZES["grey-alpha.png"], 2)),
        "sub/deep/sixteen.png": Image.fromarray(noise((20, 21))[:, :, 0].astype(np.uint16) * 257),
        "sixteen.tif": Image.fromarray(noise((23, 22))[:, :, 0].astype(np.uint16) * 257),
        "turned.jpg": colour["turned.jpg"].transpose(Image.Transpose.ROTATE_90),
    }
    assert saved["sub/deep/sixteen.png"].mode == "I;16"
    more = {"turned.jpg": {"exif": TURN}, "see-through.png": {"transparency": (0, 0, 0)}}
    for name in SIZES:
        saved.get(name, colour[name]).save(folder / name, **more.get(name, {}))
    (folder / "notes.txt").write_text("no image")
    colour["a.jpg"].save(folder / ".hidden.png")
    (folder / ".thumbs").mkdir()
    colour["a.jpg"].save(folder / ".thumbs" / "a.png")
    return folder


@pytest.fixture(scope="module")
def translated(tmp_path_factory, run, mixed, ganzoo):
    folder = tmp_path_factory.mktemp("translated")
    return folder / "out", ganzoo("translate", run, mixed, folder / "out", "--device", "cpu", cwd=folder)


def names(folder):
    return {str(p.relative_to(folder).as_posix()) for p in folder.rglob("*") if p.is_file()}


def pixels(image, channels=3):
    return np.asarray(convert(image, channels), dtype=np.int16)


def test_every_picture_keeps_name_place_and_size(translated):
    out, done = translated
    assert done.returncode == 0, done
    assert f"{len(SIZES)} images translated from A to B" in done.stdout
    assert names(out) == SIZES.keys()
    for name, size in SIZES.items():
        with Image.open(out / name) as image:
            image.load()
            assert image.size == size, name
            assert image.getexif().get(0x0112, 1) == 1, "turned already, so it must not say so"


def test_the_format_is_what_the_name_says(translated):
    out, _ = translated
    formats = {"jpg": "JPEG", "png": "PNG", "webp": "WEBP", "bmp": "BMP", "tiff": "TIFF", "tif": "TIFF", "ppm": "PPM"}
    for name in SIZES:
        with Image.open(out / name) as image:
            assert image.format == formats[name.split(".")[-1].lower()], name


def test_nothing_is_overwritten(translated, run, mixed, ganzoo):
    out, _ = translated
    before = {name: (out / name).read_bytes() for name in names(out)}
    ganzoo("translate", run, mixed, out, cwd=out).mistake("exists and is not overwritten", "another name")
    ganzoo("translate", run, mixed, mixed, cwd=out).mistake("exists and is not overwritten")
    assert {name: (out / name).read_bytes() for name in names(out)} == before


def test_a_broken_picture_is_named_and_the_others_are_done(tmp_path, run, mixed, ganzoo):
    (tmp_path / "in").mkdir()
    for name in ("a.jpg", "b.PNG", "c.webp"):
        shutil.copy(mixed / name, tmp_path / "in")
    (tmp_path / "in" / "b.PNG").write_bytes((mixed / "b.PNG").read_bytes()[:200])
    done = ganzoo("translate", run, "in", "out", cwd=tmp_path)
    done.mistake("in/b.PNG cannot be read as an image", code=1)
    assert "2 images translated from A to B" in done.stdout
    assert names(tmp_path / "out") == {"a.jpg", "c.webp"}


@pytest.mark.skipif(sys.platform != "linux", reason="limits of memory are Linux's")
def test_one_that_is_too_large_for_the_memory_is_named_and_the_others_are_done(tmp_path, run, mixed):
    import resource

    (tmp_path / "in").mkdir()
    Image.new("RGB", (5000, 5000)).save(tmp_path / "in" / "0.png")
    shutil.copy(mixed / "b.PNG", tmp_path / "in")
    translator, limits = package.load(run), resource.getrlimit(resource.RLIMIT_AS)
    taken = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (taken + 600_000_000, limits[1]))
    try:
        done = list(translate_files(translator, tmp_path / "in", tmp_path / "out"))
    finally:
        resource.setrlimit(resource.RLIMIT_AS, limits)
    assert done[0][2] == f"{tmp_path / 'in' / '0.png'} is too large for the memory here (5000x5000 pixels)"
    assert names(tmp_path / "out") == {"b.PNG"}


def test_one_that_the_format_cannot_hold_is_named_and_what_is_left_out_is_told(tmp_path, run, mixed):
    (tmp_path / "in").mkdir()
    Image.new("RGB", (20_000, 1)).save(tmp_path / "in" / "0.png")
    (tmp_path / "in" / "0.png").rename(tmp_path / "in" / "0.webp")
    shutil.copy(mixed / "b.PNG", tmp_path / "in")
    (tmp_path / "in" / "gone.png").symlink_to(tmp_path / "gone.png")
    told = []
    done = list(translate_files(package.load(run), tmp_path / "in", tmp_path / "out", say=told.append))
    assert "0.webp cannot be written as WEBP" in done[0][2] and names(tmp_path / "out") == {"b.PNG"}
    assert told == [f"Left out of {tmp_path / 'in'}: broken links and devices: 1 (gone.png)."]


def test_to_the_other_domain_and_from_file_to_file(tmp_path, run, mixed, translated, ganzoo):
    (tmp_path / "folder").mkdir()
    for to, target in (("A", "x.png"), ("B", "y.png"), ("B", "folder")):
        done = ganzoo("translate", run, mixed / "b.PNG", target, "--to", to, cwd=tmp_path)
        assert done.returncode == 0, done
        assert f"1 image translated from {'A' if to == 'B' else 'B'} to {to}" in done.stdout
    assert names(tmp_path) == {"x.png", "y.png", "folder/b.PNG"}
    there = pixels(Image.open(tmp_path / "y.png"))
    assert (there == pixels(Image.open(translated[0] / "b.PNG"))).all()
    assert (there != pixels(Image.open(tmp_path / "x.png"))).any()


@pytest.mark.parametrize(
    ("args", "words"),
    [
        (("a.jpg", "out", "--to", "C"), ['cannot translate to "C"', "It knows: B, A"]),
        (("nowhere", "out"), ["There is no image or folder nowhere"]),
        (("empty", "out"), ["empty holds no images"]),
        (("a.jpg", "x.docx"), ['".docx" is no kind of image']),
    ],
)
def test_mistakes(tmp_path, run, mixed, ganzoo, args, words):
    shutil.copy(mixed / "a.jpg", tmp_path)
    (tmp_path / "empty").mkdir()
    ganzoo("translate", run, *args, cwd=tmp_path).mistake(*words)


def test_from_python(run, mixed, translated):
    translator = package.load(run)
    assert translator.directions == [("A", "B"), ("B", "A")]
    assert translator.images == 24
    for name in ("b.PNG", "sub/palette.png", "one wide.png"):
        image = Image.open(mixed / name)
        made = translator.translate(image)
        assert made.size == image.size == SIZES[name]
        assert (pixels(made) == pixels(Image.open(translated[0] / name))).all()
        assert (pixels(translator.translate(str(mixed / name))) == pixels(made)).all()


def test_the_averaged_weights_are_used(run, mixed):
    last = RunFolder(run).latest()
    weights, averaged = (checkpoint.load_networks(last, ema)[0] for ema in (False, True))
    name = "G.B.layers.1.weight"
    assert not torch.equal(weights[name], averaged[name])
    assert torch.equal(package.load(run).trainer.state_dict()[name], averaged[name])


def test_the_weights_alone_are_enough(tmp_path, run, mixed, translated, ganzoo):
    shutil.copy(RunFolder(run).latest() / "networks.safetensors", tmp_path / "monet.safetensors")
    done = ganzoo("translate", "monet.safetensors", mixed / "b.PNG", "b.png", cwd=tmp_path)
    assert done.returncode == 0, done
    assert (pixels(Image.open(tmp_path / "b.png")) == pixels(Image.open(translated[0] / "b.PNG"))).all()


def test_an_older_checkpoint_can_be_chosen(tmp_path, run, mixed):
    first = package.load(run / "checkpoints" / "000000010")
    assert first.images == 10
    image = mixed / "b.PNG"
    assert (pixels(first.translate(image)) != pixels(package.load(run).translate(image))).any()


GENERATORS = [
    {"name": "resnet", "width": 4, "blocks": 1},
    {"name": "resnet", "width": 4, "blocks": 1, "upsample": "nearest", "norm": "batch"},
    {"name": "small", "width": 4},
    {"name": "unet", "width": 2},
]


@pytest.mark.parametrize("generator", GENERATORS, ids=lambda g: "-".join(map(str, g.values())))
@pytest.mark.parametrize("size", [(1, 1), (1, 37), (53, 1), (2, 3), (37, 53), (64, 64), (65, 64)])
def test_any_size_through_any_generator(generator, size):
    tables = {"model": "cyclegan", "data": {"source": "none", "size": 64}, "options": {"generator": generator}}
    made_from = recipe.parse(tables | {"train": {"images": 1}})
    spec = package.DataSpec(("x", "y"), {"x": 3, "y": 3}, 64)
    translator = Translator(made_from.trainer(made_from.options, spec).eval(), made_from)
    assert translator.translate(Image.fromarray(noise(size))).size == size


def test_padding_leaves_what_needs_none_alone(run):
    translator = package.load(run)
    image = torch.rand(1, 3, 64, 48) * 2 - 1
    with translator.trainer.inference():
        plain = translator.trainer.translate(image, "A", "B")
    assert torch.equal(translator.translate_tensor(image, "A", "B"), plain)


def test_pictures_become_what_the_networks_take(tmp_path):
    grey = Image.fromarray(np.array([[0, 65535]], np.uint16))
    assert to_tensor(convert(grey, 1)).tolist() == [[[-1, 1]]]
    upright = Image.fromarray(noise((5, 3)))
    upright.transpose(Image.Transpose.ROTATE_90).save(tmp_path / "turned.png", exif=TURN)
    assert (pixels(package.ImageRef(tmp_path / "turned.png").open()) == pixels(upright)).all()
    clear = Image.new("RGBA", (1, 1), (10, 20, 30, 0))
    assert pixels(clear).tolist() == [[[255, 255, 255]]]
    assert pixels(clear, 4).tolist() == [[[10, 20, 30, 0]]]
    palette = Image.new("P", (1, 1))
    palette.putpalette([255, 0, 0])
    assert pixels(palette).tolist() == [[[255, 0, 0]]]
    palette.info["transparency"] = 0
    assert pixels(palette).tolist() == [[[255, 255, 255]]]
    assert to_tensor(convert(Image.new("L", (2, 1), 255), 3)).shape == (3, 1, 2)


def test_channels_for_each_domain(tmp_path, images, mixed, recipe, ganzoo):
    recipe(tmp_path, {"data.channels": {"A": 3, "B": 1}, "options.identity": 0, "train.images": 2})
    done = ganzoo("run", "tiny.toml", "--out", "out", cwd=tmp_path)
    assert done.returncode == 0, done
    for to, mode in (("A", "RGB"), ("B", "L")):
        done = ganzoo("translate", "out", mixed, f"to{to}", "--to", to, cwd=tmp_path)
        assert done.returncode == 0, done
        assert names(tmp_path / f"to{to}") == SIZES.keys()
        assert Image.open(tmp_path / f"to{to}" / "b.PNG").mode == mode


def test_evaluate_without_ground_truth_tells_cycle_consistency(run, ganzoo):
    done = ganzoo("evaluate", run, "--json", cwd=run)
    assert done.returncode == 0, done
    metrics = json.loads(done.stdout)
    assert metrics.keys() == {"A->B", "B->A"}
    assert all(values.keys() == {"cycle_l1"} for values in metrics.values())
    assert metrics == json.loads((run / "metrics.json").read_text())


def test_evaluate_with_ground_truth_stands_beside_the_identity_baseline(tmp_path, recipe, ganzoo):
    recipe(tmp_path, {"data.source": "landscapes", "data.root": None, "train.images": 2})
    assert ganzoo("run", "tiny.toml", "--out", "out", cwd=tmp_path).returncode == 0
    metrics = json.loads(ganzoo("evaluate", "out", "--json", cwd=tmp_path).stdout)
    assert metrics.keys() == {"photo->painting", "painting->photo"}
    for values in metrics.values():
        assert values.keys() >= {f"{name}{suffix}" for name in ("l1", "psnr", "ssim") for suffix in ("", "_identity")}
        assert 0 < values["l1_identity"] < values["l1"] < 1, "after 2 images, the identity baseline is still better"
        assert values["ssim"] < values["ssim_identity"] < 1
    text = ganzoo("evaluate", "out", cwd=tmp_path, env={"COLUMNS": "120"}).stdout
    assert f"{metrics['photo->painting']['l1']:.4f}" in text
    assert "identity baseline" in text


@pytest.fixture(scope="module")
def strangers(tmp_path_factory, run):
    """A file of weights whose recipe names an archive and a file of labels on this machine, and a published data set."""
    folder = tmp_path_factory.mktemp("strangers")
    weights, facts = checkpoint.load_networks(RunFolder(run).latest())
    document = tomllib.loads(facts["recipe"])
    document["data"] |= {"source": "pix2pix_night2day", "archive": str(folder / "evil.tar.gz"), "labels": "/etc/passwd"}
    facts["recipe"] = tomlkit.dumps(document)
    save_file({name: value.contiguous() for name, value in weights.items()}, folder / "evil.safetensors", facts)
    with tarfile.open(folder / "evil.tar.gz", "w:gz") as archive:
        archive.add(folder / "evil.safetensors", "train/0.jpg")
    return folder


@pytest.mark.parametrize("command", ["evaluate", "compare"])
def test_a_strangers_file_names_no_data(strangers, tmp_path, images, run, ganzoo, command):
    env, files = {"GANZOO_CACHE": str(tmp_path / "cache")}, (strangers / "evil.safetensors", run)
    files = files[: 1 if command == "evaluate" else 2]
    ganzoo(command, *files, cwd=tmp_path, env=env).mistake("is a file of weights alone", "on with --data: a folder")
    done = ganzoo(command, *files, "--data", images, "--json", cwd=tmp_path, env=env)
    assert done.returncode == 0 and "A->B" in str(json.loads(done.stdout)), done
    assert [*tmp_path.iterdir()] == []


def test_what_a_run_is_evaluated_on(tmp_path, recipe, images):
    (tmp_path / "labels.csv").touch()
    (tmp_path / "images").mkdir()
    own = DataOptions(source="monet2photo", archive="a.zip", labels="labels.csv", fallback="landscapes", size=32)
    nothing = {"archive": "", "fallback": None, "size": 32}

    def chosen(given, **changes):
        return evaluation_data(tmp_path, own.model_copy(update=changes), str(given)).model_dump()

    assert evaluation_data(tmp_path, own) is own
    found = chosen(tmp_path)
    assert found.items() >= (nothing | {"source": "folders", "root": str(tmp_path), "labels": "labels.csv"}).items()
    for outside in ("../labels.csv", str(tmp_path / "labels.csv"), "images"):
        assert chosen(tmp_path / "images", labels=outside)["labels"] == ""
    assert chosen("faces").items() >= (nothing | {"source": "faces", "root": "", "labels": ""}).items()
    other = chosen(recipe(tmp_path, {"data.size": 64}))
    assert other.items() >= (nothing | {"source": "folders", "root": str(images), "labels": ""}).items()
