"""A stranger's first hour: a new plugin is written, tested, built, installed elsewhere and trained; with real pip."""

import json
import os
import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest

from ganzoo import recipe as recipes

KINDS = ("unpaired", "paired", "labelled", "images", "domains")
PROGRAM = Path(sys.executable).with_name("ganzoo")


def call(*command, cwd=None, **environment):
    done = subprocess.run(
        [str(part) for part in command], cwd=cwd, env=os.environ | environment, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def plugins(tmp_path_factory):
    """One new plugin of each kind, and a folder that they are all installed into."""
    root = tmp_path_factory.mktemp("plugins")
    for kind in KINDS:
        call(PROGRAM, "new", "plugin", f"sketchy-{kind}", "--kind", kind, cwd=root)
    pip = (sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-build-isolation")
    call(*pip, "--target", root / "site", *(root / f"ganzoo-sketchy-{kind}" for kind in KINDS))
    return root


def test_their_own_tests_pass_as_written(plugins):
    folders = [plugins / f"ganzoo-sketchy-{kind}" for kind in KINDS]
    pytest_here = (sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--import-mode=importlib")
    out = call(*pytest_here, *folders, cwd=plugins, PYTHONPATH=str(plugins / "site"))
    assert f"{len(KINDS)} passed" in out


@pytest.mark.parametrize("kind", KINDS)
def test_the_model_is_short(plugins, kind):
    [model] = (plugins / f"ganzoo-sketchy-{kind}").glob("ganzoo_*/model.py")
    code = [line for line in model.read_text().splitlines() if line.strip() and not line.strip().startswith('"""')]
    assert len(code) <= 60


def test_all_are_listed_with_their_options(plugins):
    site = {"PYTHONPATH": str(plugins / "site")}
    listing = json.loads(call(PROGRAM, "list", "--json", **site))
    assert {f"sketchy-{kind}" for kind in KINDS} <= {model["name"] for model in listing["models"]}
    assert listing["broken"] == [] and listing["warnings"] == []
    shown = json.loads(call(PROGRAM, "show", "sketchy-unpaired", "--json", **site))
    assert {
        "name": "cycle",
        "type": "number >= 0",
        "default": 10.0,
        "meaning": "weight of the way there and back",
    } in shown["options"]
    schema = json.loads(call(PROGRAM, "schema", **site))
    assert schema["$defs"]["sketchy-unpaired"]["properties"]["cycle"]["minimum"] == 0
    assert "sketchy-paired" in schema["properties"]["model"]["enum"]


def test_wheel_installs_elsewhere_trains_resumes_and_translates(plugins, tmp_path):
    """Another virtual environment, which borrows torch and ganzoo from this one but gets the plugin as a wheel."""
    source = plugins / "ganzoo-sketchy-unpaired"
    call(sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation", "-w", tmp_path, source)
    [wheel] = tmp_path.glob("*.whl")
    call(sys.executable, "-m", "venv", tmp_path / "venv")
    python = tmp_path / "venv" / "bin" / "python"
    purelib = call(python, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))").strip()
    Path(purelib, "borrowed.pth").write_text(f"import site; site.addsitedir({sysconfig.get_path('purelib')!r})\n")
    call(python, "-m", "pip", "install", "--quiet", "--no-deps", wheel)
    ganzoo = (python, "-c", "from ganzoo.cli import main; main()")
    recipe = source / "recipes" / "sketchy-unpaired.toml"
    small = ("--set", "data.size=32", "--set", "train.ema=4", "--set", "train.precision=32", "--set", "train.images=4")
    small += ("--set", 'options.generator={name="resnet",width=4,blocks=1}', "--set", "options.discriminator.layers=1")
    small = tuple(
        s.replace("options.discriminator.layers=1", 'options.discriminator={name="patch",layers=1}') for s in small
    )
    call(*ganzoo, "run", recipe, "--quick", "--out", "run", *small, cwd=tmp_path)
    call(*ganzoo, "run", "run", "--resume", "--set", "train.images=8", cwd=tmp_path)
    assert (tmp_path / "run" / "checkpoints" / "000000008" / "networks.safetensors").exists()
    figures = json.loads(call(*ganzoo, "evaluate", "run", "--json", cwd=tmp_path))
    assert set(figures) == {"photo->painting", "painting->photo"}
    call(*ganzoo, "report", "run", cwd=tmp_path)
    call(*ganzoo, "translate", "run", tmp_path / "run" / "samples", "translated", "--to", "painting", cwd=tmp_path)
    assert len(list((tmp_path / "translated").glob("*.png"))) == len(list((tmp_path / "run" / "samples").glob("*.png")))
    without = subprocess.run([PROGRAM, "evaluate", tmp_path / "run"], capture_output=True, text=True)
    assert without.returncode == 2
    assert "pip install ganzoo-sketchy-unpaired" in without.stderr


def test_one_file_is_a_plugin(plugins, tmp_path):
    model = (plugins / "ganzoo-sketchy-unpaired" / "ganzoo_sketchy_unpaired" / "model.py").read_text()
    hook = """
from ganzoo import hookimpl


@hookimpl
def register_models(register):
    register("lone", "lone_model:SketchyUnpaired", data="unpaired")
"""
    (tmp_path / "lone_model.py").write_text(model + hook)
    listing = json.loads(call(PROGRAM, "--plugin", tmp_path / "lone_model.py", "list", "--json"))
    assert "lone" in [m["name"] for m in listing["models"]]


def test_new_recipe_is_a_recipe(tmp_path):
    call(PROGRAM, "new", "recipe", "cyclegan", "--out", tmp_path / "mine.toml")
    read = recipes.read(tmp_path / "mine.toml")
    plain = recipes.parse({"model": "cyclegan", "data": {"source": "folders"}, "train": {"images": 1}})
    assert read.options == plain.options
    again = subprocess.run(
        [PROGRAM, "new", "recipe", "cyclegan", "--out", tmp_path / "mine.toml"], capture_output=True, text=True
    )
    assert again.returncode == 2 and "not overwritten" in again.stderr


def test_bad_names_and_existing_folders_are_refused(tmp_path):
    for name, words in (("Sketch_GAN", "small letters"), ("taken", "not overwritten")):
        (tmp_path / "ganzoo-taken").mkdir(exist_ok=True)
        (tmp_path / "ganzoo-taken" / "mine.txt").write_text("mine")
        done = subprocess.run([PROGRAM, "new", "plugin", name], cwd=tmp_path, capture_output=True, text=True)
        assert done.returncode == 2 and words in done.stderr
    assert [p.name for p in (tmp_path / "ganzoo-taken").iterdir()] == ["mine.txt"]


@pytest.fixture
def broken(tmp_path):
    """Plugins that spoil things in different ways, installed as a stranger's would be."""
    bodies = {
        "future": "GANZOO_API = 99\n",
        "slow": "import torch\n",
        "missing": "import a_module_that_is_not_there\n",
    }
    for name, body in bodies.items():
        (tmp_path / f"{name}_plugin.py").write_text(body)
        info = tmp_path / f"{name}-1.0.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
        (info / "entry_points.txt").write_text(f"[ganzoo]\n{name} = {name}_plugin\n")
    return {"PYTHONPATH": str(tmp_path)}


def test_doctor_names_what_is_wrong_and_everything_else_works(broken):
    listing = json.loads(call(PROGRAM, "list", "--json", **broken))
    assert {b["plugin"] for b in listing["broken"]} == {"future", "missing"}
    assert "cyclegan" in [m["name"] for m in listing["models"]]
    done = subprocess.run([PROGRAM, "doctor"], env=os.environ | broken, capture_output=True, text=True)
    assert done.returncode == 1
    assert "version 99 of the plugin contract" in done.stdout
    assert "a_module_that_is_not_there" in done.stdout
    assert "slow (slow 1.0) imports torch when it is listed" in done.stdout
    assert "verdict: 3 problems" in done.stdout


def test_doctor_is_content_here():
    assert "verdict: all is well" in call(PROGRAM, "doctor")
