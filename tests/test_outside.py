"""Outside packages of another shape than ours: many domains, three phases at three rates, growing networks, own data."""

import json
import os
import shutil
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import numpy as np
import pytest
from ganzoo_testing import ConformanceError, check_discriminator, check_model, check_source, difference
from PIL import Image

from ganzoo import checkpoint, load
from ganzoo.clock import Clock
from ganzoo.registry import registry
from ganzoo.runfolder import RunFolder
from ganzoo.trainer import DataSpec

OUTSIDE = Path(__file__).with_name("outside")
SMALL = {
    "rosetta": {
        "generator": {"name": "unet", "width": 4, "depth": 3},
        "discriminator": {"name": "patch", "width": 4, "layers": 1},
    },
    "plain": {"generator": {"name": "unet", "width": 4, "depth": 3}},
    "vaegan": {"width": 4, "latent": 8, "discriminator": {"name": "patch", "width": 4, "layers": 1}},
    "starlet": {"width": 4, "latent": 4, "style": 6},
    "triplets": {"generator": {"name": "unet", "width": 4, "depth": 3}, "width": 4},
    "progressive": {"width": 4, "latent": 8, "discriminator": {"name": "patch", "width": 4, "layers": 1}, "fade": 20},
}

PARTS = """
from pathlib import Path

import torch
from PIL import Image
from torch import nn

from ganzoo import Discriminator, Generator, ImageRef, Loss, Source


class Tint(Generator):
    def __init__(self, in_channels, out_channels, size, *, kernel: int = 1):
        super().__init__()
        self.layers = nn.Sequential(nn.Conv2d(in_channels, out_channels, kernel, padding=kernel // 2), nn.Tanh())

    def forward(self, image):
        return self.layers(image)


class Glance(Discriminator):
    def __init__(self, in_channels, size, *, stride: int = 4):
        super().__init__()
        self.layer = nn.Conv2d(in_channels, 1, stride, stride)

    def forward(self, image):
        return self.layer(image)


class Steep(Loss):
    def __init__(self, *, slope: float = 1.0):
        self.slope = slope

    def generator(self, fake):
        return nn.functional.softplus(-self.slope * fake).mean()

    def discriminator(self, real, fake):
        return nn.functional.softplus(-self.slope * real).mean() + nn.functional.softplus(self.slope * fake).mean()


class Flat(ImageRef):
    def open(self):
        return Image.new("RGB", (40, 40), self.path.stem)


class Colours(Source):
    domains = ("warm", "cold")

    def __init__(self, options, kind):
        self.colours = {"warm": ("red", "orange", "gold"), "cold": ("blue", "cyan", "navy")}

    def images(self, split, domain):
        return [Flat(Path(f"{colour}.png")) for colour in self.colours[domain]]
"""
REGISTER = """
from ganzoo import hookimpl


@hookimpl
def register_generators(register):
    register("tint", "ganzoo_parts.parts:Tint")


@hookimpl
def register_discriminators(register):
    register("glance", "ganzoo_parts.parts:Glance")


@hookimpl
def register_losses(register):
    register("steep", "ganzoo_parts.parts:Steep")


@hookimpl
def register_sources(register):
    register("colours", "ganzoo_parts.parts:Colours", data_kinds="unpaired")
"""


@pytest.fixture(scope="module", autouse=True)
def site(tmp_path_factory, known):
    """A folder that all of them are installed into, by pip."""
    root = tmp_path_factory.mktemp("outside")
    shutil.copytree(OUTSIDE, root / "source")
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-build-isolation", "--target"]
    subprocess.run([*pip, root / "site", *(root / "source").iterdir()], check=True)
    known(root / "site")
    return root / "site"


def test_these_are_all():
    assert {folder.name for folder in OUTSIDE.iterdir()} == {f"ganzoo-{name}" for name in (*SMALL, "multiscale")}


@pytest.mark.parametrize("name", SMALL)
def test_it_passes_the_kit(name):
    check_model(name, SMALL[name])


@pytest.mark.parametrize("name", SMALL)
def test_it_is_at_most_sixty_lines(name):
    lines = (OUTSIDE / f"ganzoo-{name}" / f"ganzoo_{name}" / "model.py").read_text().splitlines()
    assert len([line for line in lines if line.strip() and not line.strip().startswith('"""')]) <= 60


def test_three_phases_keep_their_rates():
    spec = DataSpec(("image",), {"image": 3}, 16)
    model = registry().load("model", "vaegan")
    trainer = model(model.Config(**SMALL["vaegan"]), spec)
    trainer.clock = Clock()
    taken = {phase.name: [step for step in range(7) if phase.when(step)] for phase in trainer.phases()}
    assert taken == {"E": [0, 1, 2, 3, 4, 5, 6], "G": [0, 2, 4, 6], "D": [2, 5]}


@pytest.mark.parametrize(
    ("name", "data", "use"),
    [
        (
            "rosetta",
            {"domains": ["summer", "autumn", "winter"]},
            ("translate", "out", "image.png", "x.png", "--from", "winter"),
        ),
        ("plain", {"domains": ["edges", "photo"]}, ("translate", "out", "image.png", "x.png")),
        ("vaegan", {}, ("generate", "out", "made", "--count", "2")),
    ],
)
def test_it_gets_everything_from_the_engine(tmp_path, site, ganzoo, recipe, images, name, data, use):
    changes = {f"data.{key}": value for key, value in data.items()} | {
        f"options.{k}": v for k, v in SMALL[name].items()
    }
    mine = {"generator", "discriminator"} & SMALL[name].keys()
    changes |= {f"options.{key}": None for key in ("generator", "discriminator", "pool") if key not in mine}
    recipe(tmp_path, changes | {"model": name, "data.source": "landscapes", "data.root": None, "train.images": 12})
    env = {"PYTHONPATH": os.fspath(site)}
    done = ganzoo("run", "tiny.toml", "--out", "out", cwd=tmp_path, env=env)
    assert done.returncode == 0, done
    assert (tmp_path / "out" / "report.html").exists() and list((tmp_path / "out" / "samples").glob("*.png"))
    assert json.loads((tmp_path / "out" / "metrics.json").read_text())
    shutil.copy(images / "testA" / "0.png", tmp_path / "image.png")
    done = ganzoo(*use, cwd=tmp_path, env=env)
    assert done.returncode == 0, done
    assert (tmp_path / "x.png").exists() or len(list((tmp_path / "made").glob("*.png"))) == 2
    if name == "rosetta":  # of many domains, --from and --to choose
        assert "from winter to summer" in done.stdout
        done = ganzoo(
            "translate", "out", "image.png", "y.png", "--to", "autumn", "--from", "winter", cwd=tmp_path, env=env
        )
        assert "from winter to autumn" in done.stdout
        assert (tmp_path / "x.png").read_bytes() != (tmp_path / "y.png").read_bytes()
        same = ("--from", "winter", "--to", "winter")
        ganzoo("translate", "out", "image.png", "z.png", *same, cwd=tmp_path, env=env).mistake(
            'cannot translate from winter to "winter"', "It knows: summer, autumn."
        )


def test_the_kit_notices_that_a_generator_is_not_told_where_to_go():
    deaf = SMALL["rosetta"] | {"generator": {"name": "resnet", "width": 4, "blocks": 1}}
    with pytest.raises(ConformanceError, match=r"other images than translate\(left to right\) gives.*instance norm"):
        check_model("rosetta", deaf, processes=False)


def test_what_grows_with_the_images_seen_is_right_after_loading(tmp_path, site, ganzoo, recipe):
    """A buffer that follows the clock, and rates that grow: after resume, and in a model that is only used."""
    options = {f"options.{key}": value for key, value in SMALL["progressive"].items()} | {"options.warmup": 20}
    changes = options | {
        "options.generator": None,
        "options.pool": None,
        "data.source": "landscapes",
        "data.root": None,
    }
    recipe(tmp_path, changes | {"model": "progressive", "train.images": 24, "train.constant": 1.0})
    env = {"PYTHONPATH": os.fspath(site)}
    assert ganzoo("run", "tiny.toml", "--out", "out", cwd=tmp_path, env=env).returncode == 0
    lines = [json.loads(line) for line in (tmp_path / "out" / "log.jsonl").read_text().splitlines()]
    growing = [min(1.0, (line["images"] + 2) / 20) * 2e-4 for line in lines]
    assert [line["lr"]["G"] for line in lines] == pytest.approx(growing) and len(set(growing)) > 3
    weights, _ = checkpoint.load_networks(RunFolder(tmp_path / "out").checkpoint(24))
    for images, alpha in ((10, 8 / 20), (20, 18 / 20), (24, 1.0)):  # as it was in the last step before
        assert load(RunFolder(tmp_path / "out").checkpoint(images)).trainer.alpha.item() == pytest.approx(alpha)
    shutil.rmtree(RunFolder(tmp_path / "out").checkpoint(24))
    assert ganzoo("run", "out", "--resume", cwd=tmp_path, env=env).returncode == 0
    assert difference(checkpoint.load_networks(RunFolder(tmp_path / "out").checkpoint(24))[0], weights) == 0
    assert ganzoo("generate", "out", "made", "--count", 2, cwd=tmp_path, env=env).returncode == 0


def test_a_discriminator_of_several_scales_serves_a_model_of_ours(tmp_path, site, ganzoo, recipe):
    check_discriminator("multi-scale", {"scales": 3, "layers": 1})
    loss = {"name": "lsgan", "penalty": {"name": "r1", "weight": 1.0, "every": 2}}
    landscapes = {"data.source": "landscapes", "data.root": None, "data.domains": ["photo", "painting"]}
    recipe(tmp_path, landscapes | {"options.discriminator": "multi-scale", "options.loss": loss, "train.images": 12})
    done = ganzoo("run", "tiny.toml", "--out", "out", cwd=tmp_path, env={"PYTHONPATH": os.fspath(site)})
    assert done.returncode == 0, done
    terms = json.loads((tmp_path / "out" / "log.jsonl").read_text().splitlines()[-1])["terms"]["D"]
    assert set(terms) == {"D_photo", "D_painting", "r1_photo", "r1_painting"}
    scales = {
        name.split(".")[3]
        for name in checkpoint.load_networks(tmp_path / "out" / "checkpoints" / "000000012")[0]
        if name.startswith("D.photo")
    }
    assert scales == {"0", "1"}


def test_parts_are_published_without_a_model(tmp_path, ganzoo, recipe, plugin):
    """A generator, a discriminator, a loss and a data source, with options, under a model of ours."""
    env = plugin(tmp_path / "site", "parts", {"__init__": REGISTER, "parts": PARTS})
    options = {
        "generator": {"name": "tint", "kernel": 3},
        "discriminator": "glance",
        "loss": {"name": "steep", "slope": 2.0},
    }
    changes = {f"options.{key}": value for key, value in options.items()}
    recipe(tmp_path, changes | {"data.source": "colours", "data.root": None, "train.images": 6})
    done = ganzoo("run", "tiny.toml", "--out", "out", cwd=tmp_path, env=env)
    assert done.returncode == 0, done
    assert "cold->warm" in json.loads((tmp_path / "out" / "metrics.json").read_text())
    Image.new("RGB", (50, 30), "teal").save(tmp_path / "teal.png")
    done = ganzoo("translate", "out", "teal.png", "warm.png", "--to", "warm", cwd=tmp_path, env=env)
    assert done.returncode == 0, done
    shown = json.loads(ganzoo("show", "glance", "--json", cwd=tmp_path, env=env).stdout)
    assert shown["type"] == "discriminator" and shown["options"][0]["name"] == "stride"
    recipe(tmp_path, {"options.loss": {"name": "steep", "slop": 2.0}})
    ganzoo("run", "tiny.toml", cwd=tmp_path, env=env).mistake('"steep" has no option "slop"', 'Did you mean "slope"?')


def test_a_package_brings_data_of_its_own(tmp_path, site, ganzoo, recipe):
    """A kind of data, a model for it, a source with options of its own, and a published archive."""
    check_source("swatches", {"grain": 0.5, "count": 20}, domains=("red", "blue"))
    env = {"PYTHONPATH": os.fspath(site), "GANZOO_CACHE": os.fspath(tmp_path / "cache")}
    rng = np.random.default_rng(0)
    with zipfile.ZipFile(tmp_path / "cards.zip", "w") as archive:
        for i in range(3):
            for side in ("front", "back"):
                Image.fromarray(rng.integers(0, 255, (20, 20, 3), np.uint8)).save(tmp_path / "card.png")
                archive.write(tmp_path / "card.png", f"cards/{side}/{i}.png")
    swatches = {"data.source": {"name": "swatches", "count": 10}, "data.domains": ["red", "blue", "green"]}
    cards = {"data.source": "cards", "data.archive": os.fspath(tmp_path / "cards.zip")}
    changes = {f"options.{key}": SMALL["triplets"].get(key) for key in ("generator", "discriminator", "pool", "width")}
    for name, data in (("swatches", swatches), ("cards", cards)):
        recipe(tmp_path, changes | data | {"model": "triplets", "data.root": None, "train.images": 6})
        more = ("--set", "data.source.grain=0.4") if name == "swatches" else ()
        done = ganzoo("run", "tiny.toml", *more, "--out", name, cwd=tmp_path, env=env)
        assert done.returncode == 0, done
    written = tomllib.loads((tmp_path / "swatches" / "recipe.toml").read_text())
    assert written["data"]["source"] == {"name": "swatches", "count": 10, "grain": 0.4}
    assert set(json.loads((tmp_path / "cards" / "metrics.json").read_text())) == {"front->back", "back->front"}
    Image.new("RGB", (30, 20), "teal").save(tmp_path / "teal.png")
    done = ganzoo("translate", "swatches", "teal.png", "red.png", "--to", "red", cwd=tmp_path, env=env)
    assert done.returncode == 0, done
    shown = json.loads(ganzoo("show", "swatches", "--json", cwd=site, env=env).stdout)
    assert [option["name"] for option in shown["options"]] == ["count", "grain"]
    listed = ganzoo("data", "list", cwd=tmp_path, env=env | {"COLUMNS": "150"}).stdout
    assert "images of one hue" in listed and "cards" in listed
    recipe(tmp_path, {"data.source": {"name": "swatches", "count": 3}, "data.root": None})
    message = ganzoo("run", "tiny.toml", cwd=tmp_path, env=env).mistake('the source "swatches": count: ')
    assert "greater than or equal to 10" in message
    recipe(tmp_path, {"data.source": "swatches", "data.root": None})
    ganzoo("run", "tiny.toml", cwd=tmp_path, env=env).mistake('gives no data of kind "unpaired"', "landscapes")
