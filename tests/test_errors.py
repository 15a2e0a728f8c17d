"""Every mistake gets one sentence that names the place and the way out, an exit code, and no traceback."""

import json
import os
import shutil
import zipfile

import pytest
import torch
from PIL import Image
from safetensors import safe_open

from ganzoo.runfolder import RunFolder

UNREACHABLE = dict.fromkeys(("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY"), "http://127.0.0.1:9")
SICK = '''
from ganzoo_cyclegan.model import CycleGAN


class Sick(CycleGAN):
    """Falls ill after 14 images."""

    def generator_loss(self, batch, carry):
        terms = super().generator_loss(batch, carry)
        if self.clock.images >= 14:
            terms["cycle_B"] = terms["cycle_B"] * float("nan")
        return terms
'''
REGISTER = """
from ganzoo import hookimpl


@hookimpl
def register_models(register):
    register("sick", "ganzoo_sick.model:Sick", data_kind="unpaired")
"""


@pytest.fixture
def fails(tmp_path, ganzoo, recipe):
    """`fails({"data.size": 30}, "words")`: that recipe is refused with these words, before anything is made."""

    def check(changes, *words, args=(), env=None):
        recipe(tmp_path, changes)
        message = ganzoo("run", "tiny.toml", "--out", "out", *args, cwd=tmp_path, env=env).mistake(*words)
        assert not (tmp_path / "out").exists()
        return message

    return check


def test_unknown_model(fails):
    fails({"model": "cyclgan"}, 'no model "cyclgan"', 'Did you mean "cyclegan"?', "Installed: ", "line 1 model")


def test_no_model(fails):
    fails({"model": None}, "model", "is missing")


def test_every_mistyped_key_at_once_with_its_line(tmp_path, ganzoo):
    (tmp_path / "tiny.toml").write_text(
        'model = "cyclegan"\n'
        "\n"
        "[data]\n"
        'fallback = "landscapes"\n'
        "sise = 64\n"
        'size = "large"\n'
        "\n"
        "[options]\n"
        'generator = { name = "resnett" }\n'
        'discriminator = { name = "patch", layer = 2 }\n'
        "cycel = 10.0\n"
        "lr = -1\n"
        "\n"
        "[trian]\n"
        "images = 8\n"
        "\n"
        "[quick]\n"
        "data.bacth = 4\n"
    )
    message = ganzoo(
        "run", "tiny.toml", "--quick", "--set", "data.flop=true", "--set", "train.keep=0", cwd=tmp_path
    ).mistake(
        "tiny.toml has 11 mistakes",
        'line 5 data.sise: there is no such key. Did you mean "size"?',
        "line 6 data.size: ",
        "'large'",
        'line 9 options.generator: There is no generator "resnett" installed. Did you mean "resnet"?',
        'line 10 options.discriminator: the discriminator "patch" has no option "layer". Did you mean "layers"?',
        'line 11 options.cycel: there is no such key. Did you mean "cycle"?',
        "line 12 options.lr: input should be greater than or equal to 0, it is -1",
        'line 14 trian: there is no such key. Did you mean "train"?',
        '[quick] data.bacth: there is no such key. Did you mean "batch"?',
        '--set data.flop: there is no such key. Did you mean "flip"?',
        "--set train.keep: ",
        "line 3 data.source: is missing; the recipe must say it",
    )
    assert message.count("\n") == 12


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("model = cyclegan\n", ["tiny.toml is not valid TOML", "line 1"]),
        ('model = "cyclegan"\ndata = 3\n', ["line 2 data: should be a table, written [data]"]),
    ],
)
def test_a_recipe_that_is_none(tmp_path, ganzoo, text, words):
    (tmp_path / "tiny.toml").write_text(text)
    ganzoo("run", "tiny.toml", cwd=tmp_path).mistake(*words)


def test_a_recipe_that_is_not_there(tmp_path, ganzoo, recipe):
    recipe(tmp_path)
    ganzoo("run", "tyni.toml", cwd=tmp_path).mistake("There is no recipe tyni.toml.", 'Did you mean "tiny.toml"?')


def test_unknown_source(fails):
    fails(
        {"data.source": "monet2foto"}, 'There is no data source "monet2foto"', 'Did you mean "monet2photo"?', "folders"
    )


def test_missing_folder(fails):
    fails({"data.root": "no/such/place"}, "data.root: there is no folder no/such/place")


def test_empty_domain(tmp_path, images, fails):
    shutil.copytree(images / "trainA", tmp_path / "mine" / "trainA")
    (tmp_path / "mine" / "trainB").mkdir()
    fails({"data.root": "mine"}, 'The domain "B" is empty: put images', f"mine{os.sep}trainB")


def test_one_domain_only_shows_what_was_expected_and_what_was_found(tmp_path, images, fails):
    shutil.copytree(images / "trainA", tmp_path / "mine" / "trainA")
    fails(
        {"data.root": "mine"},
        "mine should hold two domains or more, 1 found: A",
        "Expected one of",
        "Found:",
        "(8 images)",
    )


def damage(root, way):
    """All of a domain's training images but one are left whole."""
    file = root / "trainB" / "3.png"
    if way == "truncated":
        file.write_bytes(file.read_bytes()[:-400])
    else:
        file.write_text("this is no image")
    return file


@pytest.mark.parametrize("way", ["truncated", "corrupt"])
def test_broken_picture(tmp_path, images, ganzoo, recipe, way):
    file = damage(shutil.copytree(images, tmp_path / "mine"), way)
    recipe(tmp_path, {"data.root": "mine"})
    stopped = ganzoo("run", "tiny.toml", "--out", "out", cwd=tmp_path)
    stopped.mistake(f"mine{os.sep}trainB{os.sep}3.png cannot be read", 'data.broken = "skip"', code=1)
    assert json.loads((tmp_path / "out" / "status.json").read_text())["state"] == "failed"
    skipped = ganzoo("run", "out", "--resume", "--set", 'data.broken="skip"', cwd=tmp_path)
    assert skipped.returncode == 0, skipped
    assert skipped.stderr.count("skipped: ") == 1
    assert file.name in skipped.stderr
    assert "Traceback" not in skipped.stderr


def test_only_broken_pictures(tmp_path, images, ganzoo, recipe):
    for file in (shutil.copytree(images, tmp_path / "mine") / "trainB").iterdir():
        file.write_text("this is no image")
    recipe(tmp_path, {"data.root": "mine", "data.broken": "skip"})
    ganzoo("run", "tiny.toml", cwd=tmp_path).mistake("None of the 8 images of", "B", "can be read", code=1)


@pytest.mark.parametrize(
    ("channels", "words"),
    [
        ({"A": 3, "C": 1}, ['data.channels: there is no domain "C"', "A, B"]),
        ({"A": 3}, ['data.channels: missing domain "B"', "It has: A"]),
        ({"A": 3, "B": 1}, ["A has 3 and B has 1 channels", "options.identity = 0"]),
        (5, ["data.channels", "less than or equal to 4"]),
    ],
)
def test_channels_that_do_not_fit(fails, channels, words):
    fails({"data.channels": channels}, *words)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"data.size": 72, "options.generator": "unet"}, ["72 px", "data.size", "64 or 80"]),
        ({"data.size": 30}, ["data.size", "30", "28 or 32"]),
        ({"data.size": 36, "options.generator": "small"}, ["data.size", "36", "32 or 40"]),
        ({"data.size": 30, "data.preprocess": "scale-width"}, ["data.size", "30", "28 or 32"]),
        ({"data.size": 16, "options.discriminator": "patch"}, ["3 layers", "24 px or more", "data.size is 16"]),
    ],
)
def test_a_size_that_the_networks_cannot_take(fails, changes, words):
    fails(changes, *words)


@pytest.mark.parametrize("preprocess", ["none", "scale-width"])
def test_images_that_are_no_squares_for_a_model_of_one_size(fails, preprocess):
    changes = {"model": "xgan", "options": {"width": 2, "embedding": 4}, "data.preprocess": preprocess}
    fails(changes, "squares of data.size = 32 pixels only", f'"{preprocess}" keeps other shapes', '"crop"')


def test_pictures_of_several_sizes_in_a_batch(tmp_path, images, ganzoo, recipe):
    root = shutil.copytree(images, tmp_path / "mine")
    Image.new("RGB", (40, 20)).save(root / "trainA" / "0.png")
    recipe(tmp_path, {"data.root": "mine", "data.preprocess": "none"})
    ganzoo("run", "tiny.toml", cwd=tmp_path).mistake("several sizes", "data.batch = 1", code=1)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"train.devices": 1000, "data.batch": 1000}, ["1000 devices were asked for", "--devices"]),
        ({"train.device": "abacus"}, ['no device "abacus"', "cpu"]),
        ({"data.batch": 3, "train.devices": 2}, ["data.batch = 3 cannot be shared by 2 processes", "multiple of 2"]),
        ({"train.precision": "16-mixed"}, ["16-mixed", "needs a GPU"]),
    ],
)
def test_devices_that_are_not_there(fails, changes, words):
    fails(changes, *words)


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_no_gpu(fails, tmp_path, ganzoo):
    fails({}, 'There is no device "cuda"', "It has: cpu", args=("--device", "cuda"))


def test_a_run_folder_that_exists_is_left_alone(tmp_path, ganzoo, recipe):
    recipe(tmp_path)
    (tmp_path / "runs" / "tiny").mkdir(parents=True)
    (tmp_path / "runs" / "tiny" / "diary.txt").write_text("dear")
    (tmp_path / "file").write_text("mine")
    for more in ([], ["--resume"]):
        ganzoo("run", "tiny.toml", *more, cwd=tmp_path).mistake(
            f"runs{os.sep}tiny exists and is no run folder", "another folder with --out"
        )
    ganzoo("run", "tiny.toml", "--out", "file", cwd=tmp_path).mistake("file exists and is no run folder", "--out")
    assert [p.name for p in (tmp_path / "runs" / "tiny").iterdir()] == ["diary.txt"]
    assert (tmp_path / "file").read_text() == "mine"


@pytest.fixture(scope="module")
def trained(tmp_path_factory, recipe, ganzoo):
    """A folder with a finished run "out"."""
    folder = tmp_path_factory.mktemp("trained")
    recipe(folder)
    assert ganzoo("run", "tiny.toml", "--out", "out", cwd=folder).returncode == 0
    return folder


def test_a_checkpoint_of_another_model(tmp_path, trained, ganzoo, recipe):
    recipe(tmp_path, {"options.generator": {"name": "small", "width": 4}, "train.images": 2})
    other = tmp_path / "other"
    assert ganzoo("run", "tiny.toml", "--out", other, cwd=tmp_path).returncode == 0
    run = shutil.copytree(trained / "out", tmp_path / "out")
    last = RunFolder(run).latest()
    shutil.copy(RunFolder(other).latest() / "networks.safetensors", last)
    ganzoo("run", run, "--resume", cwd=tmp_path).mistake(str(last), "another recipe", "options.generator", "new run")


def test_what_is_no_run(tmp_path, trained, ganzoo):
    (tmp_path / "empty").mkdir()
    image = trained / "out" / "samples" / "000000000.png"
    for run, words in (
        ("nowhere", "There is no run nowhere"),
        ("empty", "empty is not a run folder"),
        (image, "cannot be read"),
    ):
        ganzoo("translate", run, image, "out", cwd=tmp_path).mistake(words)
    ganzoo("evaluate", "nowhere", cwd=tmp_path).mistake("There is no run nowhere")
    ganzoo("report", "empty", cwd=tmp_path).mistake("empty is not a run folder")


def test_a_full_disk_keeps_the_last_good_checkpoint(tmp_path, trained, ganzoo):
    run = shutil.copytree(trained / "out", tmp_path / "out")
    last = RunFolder(run).latest()
    before = {file.name: file.read_bytes() for file in last.iterdir()}
    networks, training = (len(before[f"{name}.safetensors"]) for name in ("networks", "training"))
    assert (run / "report.html").stat().st_size < networks < training, (
        "the limit must be met in the middle of a checkpoint"
    )
    more = ("run", run, "--resume", "--set", "train.images=40")
    full = ganzoo(*more, cwd=tmp_path, largest=(networks + training) // 2)
    full.mistake("000000030 cannot be written (File too large)", f"The last good checkpoint is {last}", code=1)
    assert {file.name: file.read_bytes() for file in last.iterdir()} == before
    assert RunFolder(run).latest() == last
    assert not list((run / "checkpoints").glob(".*"))
    done = ganzoo(*more, cwd=tmp_path)
    assert done.returncode == 0, done
    assert "Going on from image 24 of 40" in done.stdout
    assert RunFolder(run).latest().name == "000000040"


def test_a_full_disk_elsewhere(tmp_path, recipe, ganzoo):
    recipe(tmp_path)
    full = ganzoo("run", "tiny.toml", "--out", "out", cwd=tmp_path, largest=4000)
    full.mistake(f"out{os.sep}", "cannot be written (File too large)", code=1)


def test_a_term_that_is_no_number(tmp_path, ganzoo, recipe, plugin):
    env = plugin(tmp_path / "site", "sick", {"__init__": REGISTER, "model": SICK})
    recipe(tmp_path, {"model": "sick", "train.checkpoint_every": 6})
    ill = ganzoo("run", "tiny.toml", "--out", "out", cwd=tmp_path, env=env)
    last = RunFolder(tmp_path / "out").latest()
    ill.mistake(
        'term "cycle_B" of phase "G"', "image 16", "options.lr", f"The last good checkpoint is out{os.sep}", code=1
    )
    assert last.name == "000000012"
    with safe_open(last / "networks.safetensors", framework="pt") as weights:
        assert all(weights.get_tensor(name).isfinite().all() for name in weights.keys())  # noqa: SIM118
    status = json.loads((tmp_path / "out" / "status.json").read_text())
    assert status["state"] == "failed"
    assert "cycle_B" in status["message"]
    assert "cycle_B" in (tmp_path / "out" / "report.html").read_text()


def test_the_first_term_that_is_no_number_is_named_and_others_are_not(tmp_path, ganzoo, recipe, plugin):
    """Noticed six steps late, when every term is ill and cycle_B is neither the first phase's first nor its last."""
    env = plugin(tmp_path / "site", "sick", {"__init__": REGISTER, "model": SICK})
    recipe(tmp_path, {"model": "sick", "train.log_every": 1000, "train.checkpoint_every": 1000})
    ganzoo("run", "tiny.toml", "--out", "out", cwd=tmp_path, env=env).mistake(
        'term "cycle_B" of phase "G"', "between image 14 and image 24", code=1
    )


def test_no_network(tmp_path, fails):
    env = UNREACHABLE | {"GANZOO_CACHE": str(tmp_path / "cache"), "GANZOO_MIRROR": "http://127.0.0.1:9"}
    fails(
        {"data.source": "monet2photo", "data.root": None},
        "Cannot download monet2photo", "http://127.0.0.1:9", "data.archive", "data.fallback", env=env,
    )  # fmt: skip


def test_no_network_but_a_fallback_which_is_said_everywhere(tmp_path, ganzoo, recipe):
    env = UNREACHABLE | {"GANZOO_CACHE": str(tmp_path / "cache"), "GANZOO_MIRROR": "http://127.0.0.1:9"}
    recipe(tmp_path, {"data.source": "monet2photo", "data.fallback": "landscapes", "data.root": None})
    done = ganzoo("run", "tiny.toml", "--out", "out", cwd=tmp_path, env=env)
    assert done.returncode == 0, done

    def said_everywhere():
        fallback = json.loads((tmp_path / "out" / "env.json").read_text())["fallback"]
        assert (fallback["wanted"], fallback["used"]) == ("monet2photo", "landscapes")
        assert "Cannot download monet2photo" in fallback["because"]
        resolved = (tmp_path / "out" / "recipe.toml").read_text()
        assert 'source = "landscapes"' in resolved
        assert '# source is the fallback for "monet2photo"' in resolved
        assert "monet2photo" in (tmp_path / "out" / "report.html").read_text()

    assert 'NOT the data you asked for: "landscapes" instead of "monet2photo"' in done.stdout
    said_everywhere()
    more = ganzoo("run", "tiny.toml", "--out", "out", "--resume", "--set", "train.images=26", cwd=tmp_path, env=env)
    assert more.returncode == 0, more
    said_everywhere()


def test_an_archive_that_is_not_the_published_one(tmp_path, images, fails):
    with zipfile.ZipFile(tmp_path / "monet2photo.zip", "w") as archive:
        archive.write(images / "trainA" / "0.png", "monet2photo/trainA/0.png")
    data = {
        "data.source": "monet2photo",
        "data.fallback": "landscapes",
        "data.archive": "monet2photo.zip",
        "data.root": None,
    }
    env = {"GANZOO_CACHE": str(tmp_path / "cache")}
    fails(data, "monet2photo.zip is not the expected monet2photo", "sha256", "Get it again", env=env)
