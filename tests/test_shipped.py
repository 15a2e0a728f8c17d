"""Recipes that come with packages, by name; models trained without a recipe; mistakes in the user's own images."""

import json
import os
import shutil
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest

from ganzoo import recipe as recipes
from ganzoo.data.dataset import look
from ganzoo.errors import GanzooError
from ganzoo.registry import registry
from ganzoo.shipped import files, shipped
from tests.conftest import registering

ROOT = Path(__file__).parents[1]
NAMES = sorted(path.stem for path in (ROOT / "recipes").glob("*.toml"))


def test_all_recipes_are_listed_without_torch(tmp_path):
    program = "import sys; from ganzoo.cli import cli; cli(['recipes', '--json'], standalone_mode=False); "
    program += "sys.exit('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", program], cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done
    listed = json.loads(done.stdout)
    assert [recipe["name"] for recipe in listed] == NAMES
    by_name = {recipe["name"]: recipe for recipe in listed}
    assert by_name["cyclegan_monet"]["summary"] == "Monet's paintings <-> photographs"
    assert by_name["cyclegan_monet"]["model"] == "cyclegan"
    data = {name: by_name[name]["data"] for name in ("cyclegan_monet", "cyclegan_folders", "style_transfer")}
    assert data == {"cyclegan_monet": "downloaded", "cyclegan_folders": "your own", "style_transfer": "built in"}
    assert Path(by_name["cyclegan_monet"]["path"]).read_bytes() == (ROOT / "recipes/cyclegan_monet.toml").read_bytes()


def test_they_are_in_a_wheel_that_is_built_from_the_sdist(tmp_path):
    for name in ("ganzoo", "recipes"):
        shutil.copytree(ROOT / name, tmp_path / "source" / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, tmp_path / "source")
    build = [sys.executable, "-c", "import setuptools.build_meta as b, sys; getattr(b, sys.argv[1])(sys.argv[2])"]
    subprocess.run([*build, "build_sdist", tmp_path], cwd=tmp_path / "source", capture_output=True, check=True)
    [archive] = tmp_path.glob("*.tar.gz")
    with tarfile.open(archive) as file:
        file.extractall(tmp_path, filter="data")
    unpacked = archive.with_name(archive.name.removesuffix(".tar.gz"))
    subprocess.run([*build, "build_wheel", tmp_path], cwd=unpacked, capture_output=True, check=True)
    [wheel] = tmp_path.glob("*.whl")
    with zipfile.ZipFile(wheel) as file:
        file.extractall(tmp_path / "site")
    there, built = ({path.relative_to(root) for path in root.rglob("*") if path.suffix in (".py", ".j2", ".typed")}
                    for root in (ROOT / "ganzoo", tmp_path / "site" / "ganzoo"))  # fmt: skip
    assert built == {path for path in there if "__pycache__" not in path.parts}, "see packages in pyproject.toml"
    environment = os.environ | {"PYTHONPATH": str(tmp_path / "site")}
    command = [sys.executable, "-m", "ganzoo", "recipes", "--json"]
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=True)
    listed = json.loads(done.stdout)
    assert [recipe["name"] for recipe in listed] == NAMES
    assert Path(listed[0]["path"]).parent == tmp_path / "site" / "ganzoo" / "recipes"


def test_a_recipe_by_its_name(tmp_path, ganzoo, monkeypatch):
    shown = ganzoo("run", "cyclegan_monet", "--quick", "--dry-run", cwd=tmp_path)
    assert '[data]\nsource = "landscapes"' in shown.stdout, shown
    monkeypatch.chdir(tmp_path)
    assert recipes.read("cyclegan_monet", quick=True).name == "cyclegan_monet-quick"
    assert recipes.read("ganzoo/cyclegan_monet").options == recipes.read("cyclegan_monet").options
    (tmp_path / "cyclegan_monet").write_text('model = "cut"\n[data]\nsource = "landscapes"\n')
    assert recipes.read("cyclegan_monet").model == "cut", "a file of that name goes first"


def test_near_misses(tmp_path, ganzoo):
    ganzoo("run", "cyclegan_mone", cwd=tmp_path).mistake('no recipe cyclegan_mone. Did you mean "cyclegan_monet"?')
    ganzoo("copy", "cyclegan_mone", "my.toml", cwd=tmp_path).mistake('Did you mean "cyclegan_monet"?')
    ganzoo("run", "cyclegan", cwd=tmp_path).mistake("--data FOLDER", "cyclegan_horse2zebra")
    ganzoo("run", "cyclegan", "--data", "x", "--quick", cwd=tmp_path).mistake("only a recipe has settings for --quick")


def test_a_copy_of_ones_own_is_never_overwritten(tmp_path, ganzoo):
    done = ganzoo("copy", "cut_folders", "mine/my.toml", cwd=tmp_path)
    assert "ganzoo run mine/my.toml" in done.stdout, done
    assert (tmp_path / "mine/my.toml").read_bytes() == (ROOT / "recipes/cut_folders.toml").read_bytes()
    (tmp_path / "mine/my.toml").write_text("changed")
    ganzoo("copy", "cut_folders", "mine/my.toml", cwd=tmp_path).mistake("exists and is not overwritten")
    assert (tmp_path / "mine/my.toml").read_text() == "changed"
    ganzoo("copy", "cut_folders", "mine", cwd=tmp_path).mistake("should end in .toml")


def test_a_plugin_ships_recipes_too(tmp_path, plugin, known):
    plugin(tmp_path / "site", "shipping", {"__init__": registering("model", "shipping", "ganzoo_shipping.model:M")})
    folder = tmp_path / "site" / "ganzoo_shipping" / "recipes"
    folder.mkdir()
    for name in ("mine", "cyclegan_monet"):
        (folder / f"{name}.toml").write_text(
            '# Mine.    ganzoo run it\nmodel = "shipping"\n[data]\nsource = "nowhere"\n'
        )
    (folder / "broken.toml").write_text("model = ")
    known(tmp_path / "site")
    listed = {recipe.name: recipe for recipe in shipped()}
    mine = listed["mine"]
    assert (mine.summary, mine.model, mine.data, mine.package) == (
        "Mine",
        "shipping",
        "not installed",
        "ganzoo-shipping",
    )
    assert listed["cyclegan_monet"].package == "ganzoo" and "ganzoo-shipping/cyclegan_monet" in listed
    assert files()["broken"] == folder / "broken.toml" and "broken" not in listed


@pytest.mark.parametrize("model", registry().names("model"))
def test_a_model_without_a_recipe_has_its_published_settings(model):
    given = recipes.read(model, data="pictures")
    assert (given.name, given.data.source.name, given.data.root) == (model, "folders", "pictures")
    assert given.data.size == given.trainer.recipe_defaults["data.size"] and given.train.images >= 1_000


def test_train_a_model_on_a_folder(tmp_path, ganzoo, images):
    small = ("options.generator={name='resnet',width=4,blocks=1}", "options.discriminator={name='patch',width=4}")
    sets = [f"--set={change}" for change in (*small, "data.size=32", "train.images=2", "train.metrics=[]")]
    done = ganzoo("run", "cyclegan", "--data", images, *sets, "--device", "cpu", cwd=tmp_path)
    assert done.returncode == 0, done
    assert (tmp_path / "runs/cyclegan/checkpoints/000000002").is_dir()
    moved = shutil.copytree(images, tmp_path / "moved")
    again = ganzoo("run", "cyclegan", "--data", moved, *sets, "--set=train.images=4", "--resume", cwd=tmp_path)
    assert again.returncode == 0 and "Going on from image 2 of 4" in again.stdout, again
    assert f'root = "{moved}"' in (tmp_path / "runs/cyclegan/recipe.toml").read_text()


def test_own_images_instead_of_those_of_a_recipe():
    read = recipes.read("cyclegan_horse2zebra", quick=True, data="pictures")
    assert (read.data.source.name, read.data.root, read.data.domains, read.data.fallback) == (
        "folders",
        "pictures",
        (),
        None,
    )
    assert read.data.size == 64 and read.train.images == 4000, "the rest of [quick] holds"
    celeba = recipes.read("stargan_celeba", quick=True, data="faces").data
    assert celeba.labels == "list_attr_celeba.txt" and "Male" in celeba.attributes and celeba.root == "faces"


def test_mistakes_in_the_images_stand_among_the_others(tmp_path, images, recipe):
    file = recipe(tmp_path, {"data.root": "no/such/place", "data.sise": 3, "options.cycel": 1})
    with pytest.raises(GanzooError) as caught:
        recipes.read(file, look=look)
    told = str(caught.value)
    assert "has 3 mistakes" in told and told.count("line ") == 3
    assert " data.root: there is no folder no/such/place. Create it or correct the path." in told


def test_too_few_and_too_many_domains_are_mistakes_of_the_recipe(tmp_path, images, recipe):
    for name in "ABC":
        shutil.copytree(images / "trainA", tmp_path / "mine" / name)
    with pytest.raises(
        GanzooError, match=r"(?s)has 2 mistakes.*needs 2 domains, and the data has 3: A, B, C"
    ) as caught:
        recipes.read(recipe(tmp_path, {"data.root": str(tmp_path / "mine"), "options.cycel": 1}), look=look)
    shutil.rmtree(tmp_path / "mine" / "B"), shutil.rmtree(tmp_path / "mine" / "C")
    with pytest.raises(
        GanzooError, match=r"(?s)should hold two domains or more, 1 found: A\. Expected one of:"
    ) as caught:
        recipes.read(recipe(tmp_path, {"data.root": str(tmp_path / "mine")}), look=look)
    assert all(line.startswith("  ") for line in str(caught.value).splitlines()[1:]), (
        "it stays in its place in the list"
    )


def test_a_sweep_takes_names(tmp_path, ganzoo):
    sweep = ("sweep", "cyclegan_monet", "cut_horse2zebra", "--quick", "--dry-run", "--set", "options.lr=1e-3,1e-4")
    done = ganzoo(*sweep, cwd=tmp_path)
    assert done.returncode == 0 and done.stdout.count("\n") == 4, done
    assert f"runs/sweep-cyclegan_monet/cyclegan_monet-lr=0.001{os.sep}seed-0" in done.stdout
