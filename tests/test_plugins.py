"""Plugins as strangers publish them: installed packages, whole and broken ones, beside each other."""

import ast
import json
import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from ganzoo import GanzooError
from ganzoo.registry import Registry

ROOT = Path(__file__).parents[1]
HOOK = """
from ganzoo import hookimpl


@hookimpl
def register_{type_}s(register):
    register("{name}", "{target}", summary="{summary}")
"""
CYCLEGAN = "ganzoo_cyclegan.model:CycleGAN"


def registering(type_, name, target, summary="from elsewhere"):
    return HOOK.format(type_=type_, name=name, target=target, summary=summary)


BROKEN = {  # plugin -> its __init__, the reason that is told
    "noimport": ("import there_is_no_such_module", "ModuleNotFoundError: No module named 'there_is_no_such_module'"),
    "quits": ("raise SystemExit(3)", "SystemExit: 3"),
    "syntax": ("def (", "SyntaxError"),
    "numbered": (registering("model", "numbered", "7").replace('"7"', "7"), 'the target of model "numbered" is 7'),
    "homeless": (registering("model", "homeless", "ganzoo_homeless"), 'it should be "package.module:Name"'),
    "failing": (registering("generator", "x", "y:z").replace('"y:z"', "1 / 0"), "ZeroDivisionError"),
    "unhooked": (registering("paintbrush", "x", "y:z"), "register_paintbrushs"),
    "counted": (registering("metric", "x", "a:B").replace('"x"', "5"), "its name of a metric that it registers is 5"),
    "blank": (registering("model", "x", "a:B").replace('"from elsewhere"', "None"), "summary of a model that it"),
    "listed": (registering("model", "x", "a:B").replace("summary=", "paper=[], summary="), "paper of a model that it"),
    "bare": ("class Own(BaseException): ...\nraise Own(5)", "Own: 5"),
    "twice": (
        registering("model", "two-stream", "a:B") + '    register("two-stream", "c:D")\n',
        'ValueError: it registers the model "two-stream" twice',
    ),
}


def beside(folder):
    """The environment in which what lies in the folder is installed, too."""
    return {"PYTHONPATH": os.pathsep.join(filter(None, (str(folder), os.environ.get("PYTHONPATH"))))}


@pytest.fixture(scope="module")
def site(tmp_path_factory, plugin):
    """A folder of strangers' packages: all the broken ones, one whole one, one that takes the name cyclegan."""
    folder = tmp_path_factory.mktemp("site")
    for name, (text, _) in BROKEN.items():
        plugin(folder, name, {"__init__": text})
    plugin(folder, "member", {"__init__": "class Thing: ..."}, entry="ganzoo_member:Thing")
    plugin(folder, "rival", {"__init__": registering("model", "cyclegan", CYCLEGAN, summary="mine")})
    plugin(
        folder, "late", {"__init__": registering("generator", "late", "ganzoo_late.net:Late"), "net": "import no_such"}
    )
    return folder


@pytest.fixture(scope="module")
def env(site):
    return beside(site)


def test_broken_plugins_are_lines_and_the_others_work(site, env, start):
    text = start("list", cwd=site, env=env | {"COLUMNS": "300"}, installed=True).wait()
    assert text.returncode == 0, text
    assert "Traceback" not in text.stdout + text.stderr
    listing = json.loads(start("list", "--json", cwd=site, env=env, installed=True).wait().stdout)
    reasons = {broken["plugin"]: broken["reason"] for broken in listing["broken"]}
    assert reasons.keys() == {*BROKEN, "member"}
    for name, (_, reason) in BROKEN.items():
        assert reason in reasons[name], name
        assert f"broken {name} (ganzoo-{name} 0.5) does not load: " in text.stdout
    assert "it should name a module" in reasons["member"]
    assert 'note ganzoo-cyclegan/cyclegan and ganzoo-rival/cyclegan are both called "cyclegan"' in text.stdout
    names = [model["name"] for model in listing["models"]]
    assert "two-stream" not in names, "nothing of a broken plugin is left"
    assert {(m["distribution"], m["version"]) for m in listing["models"] if m["name"] == "cyclegan"} == {
        ("ganzoo-cyclegan", "0.1.0"),
        ("ganzoo-rival", "0.5"),
    }
    assert {"resnet", "unet", "late"} <= {part["name"] for part in listing["generators"]}


def test_a_broken_plugin_does_not_hinder_a_run_and_is_named_beside_an_unknown_name(tmp_path, env, ganzoo, recipe):
    recipe(tmp_path, {"train.images": 4, "model": "ganzoo-cyclegan/cyclegan"})
    done = ganzoo("run", "tiny.toml", cwd=tmp_path, env=env)
    assert done.returncode == 0, done
    recipe(tmp_path, {"model": "numberd"})
    ganzoo("run", "tiny.toml", cwd=tmp_path, env=env).mistake(
        'no model "numberd"', "Broken plugins", "numbered", "ganzoo list"
    )


@pytest.mark.parametrize(
    ("command", "code"),
    [
        (("--help",), 0),
        (("show", "ganzoo-cyclegan/cyclegan"), 0),
        (("schema",), 0),
        (("data", "list"), 0),
        (("new", "recipe", "discogan"), 0),
        (("new", "plugin", "mine"), 0),
        (("run", "tiny.toml", "--dry-run"), 0),
        (("bench", "tiny.toml", "--steps", "2"), 0),
        (("doctor",), 1),
    ],
)
def test_beside_all_broken_plugins_every_command_works(tmp_path, env, ganzoo, recipe, command, code):
    recipe(tmp_path, {"model": "ganzoo-cyclegan/cyclegan"})
    done = ganzoo(*command, cwd=tmp_path, env=env)
    assert done.returncode == code, done
    assert "Traceback" not in done.stdout + done.stderr
    if command == ("doctor",):
        assert 'problem: ganzoo-cyclegan/cyclegan and ganzoo-rival/cyclegan are both called "cyclegan"' in done.stdout
        for name, (_, reason) in BROKEN.items():
            assert re.search(
                rf"problem: {name} \(ganzoo-{name} 0.5\) does not load: .*{re.escape(reason)}", done.stdout
            )


def test_two_plugins_with_one_name_are_refused_at_use(tmp_path, env, ganzoo, recipe):
    recipe(tmp_path)
    for args in (("run", "tiny.toml"), ("show", "cyclegan")):
        ganzoo(*args, cwd=tmp_path, env=env).mistake('"ganzoo-cyclegan/cyclegan" and "ganzoo-rival/cyclegan"')
    shown = ganzoo("show", "ganzoo-rival/cyclegan", "--json", cwd=tmp_path, env=env)
    assert json.loads(shown.stdout)["distribution"] == "ganzoo-rival"


def test_what_was_trained_with_a_qualified_name_loads_again(tmp_path, env, ganzoo, recipe, images):
    recipe(tmp_path, {"train.images": 2, "model": "ganzoo-rival/cyclegan"})
    assert ganzoo("run", "tiny.toml", "--out", "out", cwd=tmp_path, env=env).returncode == 0
    assert json.loads((tmp_path / "out" / "env.json").read_text())["plugin"]["distribution"] == "ganzoo-rival"
    done = ganzoo("translate", "out", images / "testA", "translated", cwd=tmp_path, env=env)
    assert done.returncode == 0, done


def test_a_plugin_that_is_gone_is_asked_for(tmp_path, env, ganzoo, recipe, plugin, images):
    alone = plugin(tmp_path / "site", "sketch", {"__init__": registering("model", "sketch", CYCLEGAN)})
    recipe(tmp_path, {"train.images": 2, "model": "sketch"})
    assert ganzoo("run", "tiny.toml", "--out", "out", cwd=tmp_path, env=alone).returncode == 0
    for args in (("translate", "out", images / "testA", "translated"), ("evaluate", "out")):
        ganzoo(*args, cwd=tmp_path).mistake('"sketch" of ganzoo-sketch 0.5', "pip install ganzoo-sketch")


def test_a_part_that_does_not_import_is_told_when_it_is_used(tmp_path, env, ganzoo, recipe):
    recipe(tmp_path, {"model": "ganzoo-cyclegan/cyclegan", "options.generator": "late"})
    ganzoo("run", "tiny.toml", cwd=tmp_path, env=env).mistake(
        "options.generator", 'The generator "late" of ganzoo-late 0.5 does not load', "No module named 'no_such'"
    )


@pytest.mark.parametrize(
    ("chosen", "models", "broken"),
    [
        ("", set(), set()),
        ("rival", {"ganzoo-rival"}, set()),
        ("ganzoo-cyclegan, quits", {"ganzoo-cyclegan"}, {"quits"}),
    ],
)
def test_some_plugins_only(site, monkeypatch, chosen, models, broken):
    monkeypatch.syspath_prepend(str(site))
    monkeypatch.setenv("GANZOO_LOAD_PLUGINS", chosen)
    found = Registry()
    assert {entry.distribution for entry in found.entries if entry.type == "model"} == models
    assert {plugin.plugin for plugin in found.broken} == broken
    assert "resnet" in found.names("generator")


LOADED = {  # a model's module, the reason that is told
    "number": ("Model = 5", "it is 5, it should be a subclass of ganzoo.Trainer"),
    "plain": ("class Model: ...", "it should be a subclass of ganzoo.Trainer"),
    "config": ("import ganzoo\nclass Model(ganzoo.Trainer):\n    Config = None", "Model.Config is None"),
    "stops": ("class Stop(BaseException): ...\nraise Stop", "Stop: "),
}


def test_a_model_that_is_none_is_told_when_it_is_used(tmp_path, plugin, ganzoo):
    for name, (text, _) in LOADED.items():
        modules = {"__init__": registering("model", name, f"ganzoo_{name}.model:Model"), "model": text}
        env = plugin(tmp_path, name, modules)
    for name, (_, reason) in LOADED.items():
        ganzoo("show", name, cwd=tmp_path, env=env).mistake(f'The model "{name}" of ganzoo-{name} 0.5 does not', reason)
    assert json.loads(ganzoo("schema", cwd=tmp_path, env=env).stdout)["properties"]
    doctor = ganzoo("doctor", cwd=tmp_path, env=env)
    assert "verdict: 4 problems" in doctor.stdout, doctor


def test_what_a_plugin_prints_or_is_called_harms_nothing(tmp_path, plugin, ganzoo):
    loud = 'print("hello")\n' + registering("model", "[/bold]\\x1b[31m:smile:", CYCLEGAN).replace(
        "def register_models(register):", "def register_models(register):\n    print('more')"
    )
    env = plugin(tmp_path, "loud", {"__init__": loud})
    listing = ganzoo("list", "--json", cwd=tmp_path, env=env)
    assert "[/bold]\x1b[31m:smile:" in [model["name"] for model in json.loads(listing.stdout)["models"]]
    assert listing.stderr == "hello\nmore\n"
    for args in (("list",), ("data", "list"), ("--help",), ("doctor",)):
        done = ganzoo(*args, cwd=tmp_path, env=env | {"COLUMNS": "200"})
        assert done.returncode == 0 and "\x1b[31m" not in done.stdout, done
    assert "[/bold]\\u001b[31m:smile:" in done.stdout


DAMAGED = {  # what an interrupted or broken installation of some other package leaves: entry_points.txt or nothing
    "-1.0.dist-info": None,
    "foo-1.0.dist-info": None,
    "bar-1.0.dist-info": b"[ganzoo]\n\xff\xfe = x",
    "baz-1.0.dist-info": b"[other]\nno equals sign\n",
}


def test_packages_that_are_half_installed_are_named(tmp_path, start, recipe):
    """pydantic and torch themselves do not load beside some of them."""
    recipe(tmp_path)
    for folder, content in DAMAGED.items():
        (tmp_path / folder).mkdir()
        if content:
            (tmp_path / folder / "entry_points.txt").write_bytes(content)
    for args in (("list",), ("run", "tiny.toml")):
        done = start(*args, cwd=tmp_path, env=beside(tmp_path) | {"COLUMNS": "200"}, installed=True).wait()
        if args[0] == "run":
            done.mistake("is damaged: its metadata cannot be read", "Reinstall or remove it")
        assert (done.returncode, "Traceback" in done.stderr) == (2 if args[0] == "run" else 0, False), done
        assert args != ("list",) or all(f"{folder} is damaged" in done.stdout for folder in list(DAMAGED)[2:])


@pytest.mark.parametrize("name", ["torch.py", "json.py", "ganzoo.py", "missing.py", "notes.txt"])
def test_a_file_that_cannot_be_a_plugin_is_refused(tmp_path, ganzoo, name):
    if name != "missing.py":
        (tmp_path / name).write_text("")
    ganzoo("--plugin", name, "list", cwd=tmp_path).mistake(name)


def test_whoever_gives_up_waiting_for_a_plugin_is_told_which(tmp_path, plugin, monkeypatch):
    plugin(tmp_path, "endless", {"__init__": "raise KeyboardInterrupt"})
    monkeypatch.syspath_prepend(str(tmp_path))
    with pytest.raises(GanzooError, match=r"Aborted while endless \(ganzoo-endless 0.5\) was loaded") as aborted:
        Registry()
    assert aborted.value.exit_code == 130


METADATA = {
    "nameless": "Metadata-Version: 2.1\nVersion: 1.0\n",
    "versionless": "Metadata-Version: 2.1\nName: ganzoo-versionless\n",
    "blank": "",
    "absent": None,
}


def test_metadata_that_lacks_a_name_or_a_version_harms_nothing(tmp_path, plugin, ganzoo):
    for name, text in METADATA.items():
        env = plugin(tmp_path, name, {"__init__": registering("model", name, CYCLEGAN)})
        facts = tmp_path / f"ganzoo_{name}-0.5.dist-info" / "METADATA"
        facts.unlink()
        if text is not None:
            facts.write_text(text)
    listing = json.loads(ganzoo("list", "--json", cwd=tmp_path, env=env).stdout)
    shown = {m["name"]: (m["distribution"], m["version"]) for m in listing["models"] if m["name"] in METADATA}
    assert shown == {
        "nameless": ("unnamed", "1.0"),
        "versionless": ("ganzoo-versionless", "unknown"),
        "blank": ("unnamed", "unknown"),
        "absent": ("unnamed", "unknown"),
    }
    for args in (("list",), ("show", "blank"), ("--help",), ("doctor",)):
        done = ganzoo(*args, cwd=tmp_path, env=env)
        assert done.returncode == 0, done


def test_of_two_copies_of_a_plugin_the_first_on_the_path_counts(tmp_path, plugin, monkeypatch):
    for folder in ("second", "first"):
        target = f"ganzoo_{folder}:Model"
        plugin(tmp_path / folder, "copied", {"__init__": registering("model", "copied", target)})
        monkeypatch.syspath_prepend(str(tmp_path / folder))
    assert [e.target for e in Registry().entries if e.name == "copied"] == ["ganzoo_first:Model"]


@pytest.mark.parametrize(
    "args", [["list"], ["--help"], ["list", "--json"], ["run", "--help"], ["data", "list"], ["--version"]]
)
def test_what_only_lists_imports_no_torch(args):
    code = """if True:
        import sys, ganzoo.cli
        try:
            ganzoo.cli.main()
        except SystemExit as end:
            assert not end.code
        assert not {"torch", "numpy", "PIL"} & sys.modules.keys()
    """
    done = subprocess.run([sys.executable, "-c", code, *args], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stdout


def test_show_tells_every_option(tmp_path, ganzoo):
    facts = json.loads(ganzoo("show", "cyclegan", "--json", cwd=tmp_path).stdout)
    assert (facts["type"], facts["data_kind"], facts["package"]) == ("model", "unpaired", "ganzoo-cyclegan 0.1.0")
    assert "arXiv:1703.10593" in facts["paper"]
    options = {option["name"]: option for option in facts["options"]}
    assert options["pool"]["default"] == 50
    assert {"generator", "cycle", "identity", "loss", "lr"} <= options.keys()
    for option in facts["options"]:
        assert option["type"]
        assert option["meaning"]
    assert {"paper", "official"} <= facts["presets"].keys()
    text = ganzoo("show", "cyclegan", cwd=tmp_path, env={"COLUMNS": "200"}).stdout
    for name, option in options.items():
        assert name in text
        assert option["meaning"][:30] in text
    part = json.loads(ganzoo("show", "resnet", "--json", cwd=tmp_path).stdout)
    assert part["type"] == "generator"
    assert {option["name"]: option["default"] for option in part["options"]}["width"] == 64
    both = {type_: ganzoo("show", "disco", "--type", type_, cwd=tmp_path) for type_ in ("generator", "discriminator")}
    assert "one logit" in both["discriminator"].stdout and "encoder-decoder" in both["generator"].stdout
    assert "ganzoo show disco --type discriminator" in both["generator"].stdout
    ganzoo("show", "resnat", cwd=tmp_path).mistake('"resnat"', "ganzoo list")


def literals(path):
    """Every text in a module but its docstrings, and every name that it imports."""
    tree = ast.parse(path.read_text())
    docs = {
        ast.get_docstring(n, clean=False)
        for n in ast.walk(tree)
        if isinstance(n, ast.Module | ast.ClassDef | ast.FunctionDef)
    }
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and node.value not in docs:
            yield node.lineno, node.value
        elif isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield node.lineno, node.module or ""


def test_the_core_names_no_plugin():
    """No import of one, no text equal to a model's name, no package named in a message."""
    projects = [tomllib.loads(p.read_text())["project"] for p in sorted((ROOT / "plugins").glob("*/pyproject.toml"))]
    distributions = {project["name"] for project in projects}
    packages = {name.replace("-", "_") for name in distributions}
    models = {entry.name for entry in Registry().entries if entry.type == "model"} - {
        "style",
        "unit",
    }  # plain words, too
    assert "ganzoo_cyclegan" in packages
    assert "cyclegan" in models
    named = re.compile(rf"\b({'|'.join(sorted(packages | distributions))})\b")
    assert named.search("Models come as packages: `pip install ganzoo-cyclegan`.")
    files = sorted((ROOT / "ganzoo").rglob("*.py"))
    assert len(files) > 30
    found = [
        f"{path.relative_to(ROOT)}:{line}: {text}"
        for path in files
        for line, text in literals(path)
        if named.search(text) or text in models
    ]
    assert not found
