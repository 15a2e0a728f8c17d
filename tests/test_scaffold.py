"""A stranger's first hour: a new plugin is written, tested, built, installed elsewhere and trained; with real pip."""

import json
import os
import re
import subprocess
import sys
import sysconfig
import zipfile
from datetime import date
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from ganzoo import recipe as recipes

ROOT = Path(__file__).parents[1]
KINDS = ("unpaired", "paired", "labelled", "images", "domains")
PROGRAM = Path(sys.executable).with_name("ganzoo")
PIP = (sys.executable, "-m", "pip", "--quiet")


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


@pytest.mark.parametrize("licence", ["MIT", "BSD-3-Clause", "Apache-2.0"])
def test_the_chosen_licence_is_in_the_wheel(tmp_path, licence):
    call(PROGRAM, "new", "plugin", "sketchy", "--licence", licence, cwd=tmp_path)
    call(*PIP, "wheel", "--no-deps", "--no-build-isolation", "-w", "dist", tmp_path / "ganzoo-sketchy", cwd=tmp_path)
    [wheel] = (tmp_path / "dist").glob("*.whl")
    with zipfile.ZipFile(wheel) as parts:
        names = {name.split("/", 1)[1]: name for name in parts.namelist()}
        text = parts.read(names["licenses/LICENSE"]).decode()
        facts = parts.read(names["METADATA"]).decode()
    assert f"License-Expression: {licence}" in facts
    assert text == (tmp_path / "ganzoo-sketchy" / "LICENSE").read_text()
    assert "Apache License" in text or (f"{date.today().year}" in text and "ganzoo-sketchy" in text)


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
        "meaning": "cycle-consistency weight",
    } in shown["options"]
    schema = json.loads(call(PROGRAM, "schema", **site))
    for choice in schema["allOf"]:
        if choice["if"]["properties"]["model"]["const"] == "sketchy-unpaired":
            name = choice["then"]["properties"]["options"]["$ref"].rpartition("/")[2]
    assert schema["$defs"][name]["properties"]["cycle"]["minimum"] == 0
    assert "sketchy-paired" in schema["properties"]["model"]["enum"]


# What the tutorial's commands find here. A new environment borrows torch and ganzoo from this one, so that nothing is
# downloaded, but gets the plugin by pip.
PRELUDE = f"""
borrow() {{
    own=$(echo $1/lib/python*/site-packages)
    rm -rf $own/*setuptools* $own/_distutils_hack $own/distutils*  # Python 3.11 brings one that is too old
    echo 'import site; site.addsitedir("{sysconfig.get_path("purelib")}")' > $own/borrowed.pth
    printf '#!%s\\nfrom ganzoo.cli import main; main()' "$PWD/$1/bin/python" > $1/bin/ganzoo
    chmod +x $1/bin/ganzoo
}}
interrupted() {{
    set -m
    "$@" & until grep -q images sketches/log.jsonl 2> /dev/null; do sleep 0.1; done
    kill -INT %1; wait %1 || test $? = 130
    set +m
}}
killed() {{
    set -m
    "$@" & until test -d sketches/checkpoints/000000040; do sleep 0.1; done
    kill -KILL %1; wait %1 || test $? = 137
    set +m
}}
refused() {{ "$@" 2> refused.txt && exit 1; test $? = 2; }}
"""
STAGED = (
    (r"(python3 -m venv (\S+))", r"\1; borrow \2"),
    (r"(ganzoo .*)# press Ctrl-C.*", r"interrupted \1"),
    (r"(ganzoo .*)# kill -9.*", r"killed \1"),
    (r"(ganzoo .*)# refused", r"refused \1"),
)
SMALL = {
    "data.size": "32",
    "options.generator": '{ name = "resnet", width = 4, blocks = 1 }',
    "options.discriminator": '{ name = "patch", width = 4, layers = 1 }',
    "train.images": "80",
    "train.ema": "4",
    "train.sample_every": "40",
    "train.checkpoint_every": "40\ntrain.log_every = 2",
}


def change(diff, folder):
    """Does what a diff without line numbers says, or fails."""
    file, *hunks = re.split(r"^@@\n", diff, flags=re.MULTILINE)
    path = folder / file.split()[-1]
    for hunk in hunks:
        old, new = ("".join(line[1:] for line in hunk.splitlines(True) if line[0] in marks) for marks in (" -", " +"))
        text = path.read_text()
        assert text.count(old) == 1, f"the tutorial changes what is not in {path.name}:\n{old}"
        path.write_text(text.replace(old, new))


def test_the_tutorial_does_what_it_says(tmp_path):
    """Its commands, its changes and its message, in their order, from an empty folder to a wheel used elsewhere."""
    tutorial = (ROOT / "docs" / "tutorial.md").read_text(encoding="utf-8")
    sketch = tmp_path / "sketch"
    package = sketch / "ganzoo-sketchgan"
    state = tmp_path / "state.sh"  # where a block leaves the shell's folder and variables for the next
    state.write_text(f"cd {tmp_path}\n")
    keep = f"declare -px | grep -v PWD= > {state}; echo cd $PWD >> {state}"
    pip = {"PIP_NO_INDEX": "1", "PIP_NO_DEPS": "1", "PIP_NO_BUILD_ISOLATION": "0"}  # 0: no isolation
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    for language, text in re.findall(r"^```(bash|diff)\n(.*?)^```", tutorial, flags=re.MULTILINE | re.DOTALL):
        if language == "diff":
            change(text, package)
            continue
        for command, staged in STAGED:
            text = re.sub(command, staged, text)
        call("bash", "-c", f"set -eo pipefail\n{PRELUDE}\n. {state}\n{text}\n{keep}", PATH=path, **pip)
        if "ganzoo new plugin" in text:
            recipe = package / "ganzoo_sketchgan" / "recipes" / "sketchgan.toml"
            for key, value in SMALL.items():
                recipe.write_text(re.sub(rf"^{key} .*", f"{key} = {value}", recipe.read_text(), flags=re.MULTILINE))

    runs = (package / "runs" / "sketchgan-quick", sketch / "sketches")  # the second was interrupted
    for run in runs:
        assert json.loads((run / "status.json").read_text())["state"] == "finished"
        assert set(json.loads((run / "metrics.json").read_text())) == {"photo->painting", "painting->photo"}
        assert "idt_photo" in (run / "log.jsonl").read_text() and (run / "report.html").exists()
    one, other = (load_file(run / "checkpoints" / "000000080" / "networks.safetensors") for run in runs)
    assert one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)
    assert len(list((sketch / "translated").iterdir())) == len(list((runs[1] / "samples").iterdir()))
    assert (sketch / "sketches.onnx").stat().st_size > 0
    [message] = re.findall(r"^```text\n(Error: .*?)^```", tutorial, flags=re.MULTILINE | re.DOTALL)
    assert (sketch / "refused.txt").read_text() == message


def test_one_file_is_a_plugin(plugins, tmp_path, ganzoo, recipe, images):
    model = (plugins / "ganzoo-sketchy-unpaired" / "ganzoo_sketchy_unpaired" / "model.py").read_text()
    hook = """
from ganzoo import hookimpl


@hookimpl
def register_models(register):
    register("lone", "lone_model:SketchyUnpaired", data_kind="unpaired")
"""
    (tmp_path / "lone_model.py").write_text(model + hook)
    listing = json.loads(ganzoo("--plugin", "lone_model.py", "list", "--json", cwd=tmp_path).stdout)
    assert "lone" in [m["name"] for m in listing["models"]]
    recipe(tmp_path, {"model": "lone", "train.images": 2, "options.pool": None})
    done = ganzoo("--plugin", "lone_model.py", "run", "tiny.toml", "--out", "out", cwd=tmp_path)
    assert done.returncode == 0, done
    use = ("translate", "out", images / "testA", "translated")
    assert ganzoo("--plugin", "lone_model.py", *use, cwd=tmp_path).returncode == 0
    ganzoo(*use, cwd=tmp_path).mistake("of lone_model.py, a file", "ganzoo --plugin path/to/lone_model.py")


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
    assert "verdict: everything works" in call(PROGRAM, "doctor")
