"""Recipes, names and plugins of strangers: whatever they hold, there is one sentence, and nothing acts on the terminal."""

import io
import json
import math
import os
import sys
from copy import deepcopy
from pathlib import Path

import pytest
import tomlkit
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from ganzoo import GanzooError, Phase, Trainer, files
from ganzoo import recipe as recipes
from ganzoo.cli.output import bar, print_table, say
from ganzoo.cli.screen import RichScreen
from ganzoo.clock import Clock
from ganzoo.loop import Engine
from ganzoo.options import DataOptions, TrainOptions
from ganzoo.runtime import Runtime
from ganzoo.text import printable
from ganzoo.trainer import DataSpec

BASE = {
    "model": "cyclegan",
    "data": {"source": "folders", "size": 32, "batch": 2},
    "options": {"generator": {"name": "resnet", "width": 4, "blocks": 1}, "discriminator": "patch", "pool": 3},
    "train": {"images": 24, "ema": 10.0, "device": "cpu"},
}
TRAIN = TrainOptions(images=4, device="cpu")
TEXT = tomlkit.dumps(BASE)
DEEP = "[" * 5000 + "]" * 5000
NAME = "[/x] \x1b]0;owned\x07\u202e\x9b31m\r:smile:\u2028"  # closes markup, acts on terminals, turns text round
SHOWN = "[/x] \\u001b]0;owned\\u0007\\u202e\\u009b31m\\u000d:smile:\\u2028"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (f"preset = 5\n{TEXT}", "line 1 preset: should be text"),
        (f'preset = ["x"]\n{TEXT}', "line 1 preset: should be text"),
        (f"quick = 5\n{TEXT}", "line 1 quick: should be a table"),
        (f"{TEXT}\n[quick]\ntrain.imagess = 4\n", r"\[quick\] train.imagess: there is no such key. Did you mean"),
        (f"{TEXT}\n[quick]\nquick = 4\n", r"\[quick\] quick: there is no such key"),
        (f"{TEXT}\n[quick.data]\nsource = 'no'\n", r"\[quick\] data.source: There is no data source"),
        (TEXT.replace("pool = 3", f"loss = {DEEP}"), "is not valid TOML: it is nested too deeply"),
        (TEXT.replace("pool = 3", f"loss = {'[' * 40}{']' * 40}"), "options.loss: it is nested too deeply"),
        (TEXT.replace("pool = 3", "pool = " + "9" * 5000), "is not valid TOML: Exceeds the limit"),
        (TEXT.replace("pool = 3", f"pool = {2**70}"), "options.pool: it is too large a number"),
        (TEXT.replace("pool = 3", f"pool = {2**60}"), "options.pool: input should be less than"),
        (TEXT.replace("width = 4", "width = 1000000000"), "options.generator: .*width: input should be less than"),
        (TEXT.replace("blocks = 1", "blocks = -3"), "options.generator: .*blocks: input should be greater than"),
        (TEXT.replace("size = 32", "size = 32\nload = 8"), "data.load: a crop of size 32 does not fit in 8"),
        (TEXT.replace('"folders"', '"no"').replace("pool", "pol"), "(?s)data.source: There is no .*options.pol"),
        ("\x00", "is not valid TOML"),
        (TEXT.encode("utf-16").decode("latin-1"), "is not UTF-8 text .* Save it as UTF-8"),
        ("".join(f"a{n} = 1\n" for n in range(3000)), "and 2953 more"),
    ],
)
def test_recipes_that_cannot_be(tmp_path, text, words):
    (tmp_path / "tiny.toml").write_bytes(text.encode("latin-1"))
    with pytest.raises(GanzooError, match=words):
        recipes.read(tmp_path / "tiny.toml")


def test_a_recipe_with_the_mark_of_an_editor_is_read(tmp_path):
    (tmp_path / "tiny.toml").write_text(TEXT, encoding="utf-8-sig")
    assert recipes.read(tmp_path / "tiny.toml").model == "cyclegan"


def test_quick_is_looked_at_but_does_not_stand_in_the_way_of_what_is_set():
    quick = {"quick": {"options.generator": "unet", "options.generator.depth": 2}}
    assert recipes.parse(BASE | quick, changes=["options.generator.blocks=2"]).options.generator.blocks == 2
    assert recipes.parse(BASE | quick, quick=True).options.generator.depth == 2
    for change in ("quick=5", "train.images=" + "9" * 5000, f"options.loss={DEEP}"):
        with pytest.raises(GanzooError, match=change.partition("=")[0]):
            recipes.parse(BASE, changes=[change])


LEAVES = [(table, key) for table in ("data", "options", "train") for key in BASE[table]]
PLACES = [("model",), ("preset",), ("data",), ("options",), ("quick",), ("options", "betas"), ("data", "load"), *LEAVES]
WHOLE = st.integers() | st.sampled_from([2**31, 2**63 - 1, 2**64, -(2**63)])
SIMPLE = WHOLE | st.floats() | st.text() | st.booleans() | st.none() | st.just("\udc80")
VALUES = st.recursive(SIMPLE, lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner), max_leaves=5)


@settings(max_examples=150, deadline=None, derandomize=True)
@given(st.dictionaries(st.sampled_from(PLACES), st.none() | VALUES, min_size=1, max_size=3), st.booleans())
def test_any_value_in_any_place_is_taken_or_refused(changes, quick):
    """And what is taken comes back from the file that a run folder keeps."""
    document = deepcopy(BASE)
    for keys, value in changes.items():
        *table, last = keys
        place = document.setdefault(table[0], {}) if table else document
        if isinstance(place, dict):
            place[last] = value
            if value is None:
                del place[last]
    try:
        found = recipes.parse(document, quick=quick)
    except GanzooError as error:
        assert str(error)
        return
    assert recipes.parse(recipes.read_toml(found.to_toml(NAME), "")).tables() == found.tables()


def test_images_that_no_machine_can_hold(tmp_path, recipe, ganzoo):
    recipe(tmp_path, {"data.batch": 10**9})
    ganzoo("run", "tiny.toml", cwd=tmp_path).mistake("data.batch = 1000000000", "do not fit in this machine's memory")
    spec = DataSpec(("A", "B"), {"A": 3, "B": 3})
    for key in ("size", "load"):
        with pytest.raises(GanzooError, match=f"data.{key} = 1000000000.*Lower them"):
            Runtime(TRAIN, 2).check_room(DataOptions(source="folders", **{key: 10**9}), spec)
    Runtime(TRAIN, 2).check_room(DataOptions(source="folders"), spec)


def test_a_path_that_cannot_be(tmp_path, recipe, ganzoo):
    recipe(tmp_path)
    long, bytes_ = "x" * 300, os.fsdecode(b"a\x80")
    ganzoo("run", "tiny.toml", "--out", long, cwd=tmp_path).mistake("File name too long: xxx")
    ganzoo("run", f"{long}.toml", cwd=tmp_path).mistake("File name too long: xxx")
    ganzoo("run", "tiny.toml", "--out", bytes_, cwd=tmp_path).mistake("a\\udc80 is not UTF-8 text", "--out")
    ganzoo("new", "recipe", "cyclegan", "--out", long, cwd=tmp_path).mistake("File name too long: xxx")
    for args in (("new", "plugin", "none"), ("new", "plugin", long)):
        ganzoo(*args, cwd=tmp_path).mistake("cannot name a package: use up to 50 small letters")
    recipe(tmp_path, {"data.root": "~nosuchuser/x"})
    ganzoo("run", "tiny.toml", cwd=tmp_path).mistake('"~nosuchuser/x": Could not determine home directory')
    assert [path.name for path in tmp_path.iterdir()] == ["tiny.toml"]


@pytest.mark.parametrize("value", [DEEP, "9" * 5000, "["])
def test_a_metric_that_cannot_be_read(value):
    from ganzoo.cli.evaluate import _metric

    with pytest.raises(GanzooError, match=r"--metric .* is not valid TOML"):
        _metric(f"{{ name = 'kid', subsets = {value} }}")


def test_what_acts_on_a_terminal_is_shown_as_an_escape():
    assert printable("über 日本 [b]") == "über 日本 [b]"
    assert printable(NAME) == SHOWN
    assert printable("a\nb\udc80", keep="\n") == "a\nb\\udc80"
    assert tomlkit.parse(f'a = "{printable(NAME)}"')["a"] == NAME


def test_names_of_strangers_are_only_text_in_lines_tables_and_bars(capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "300")
    say(NAME, label=NAME)
    print_table([NAME, "other"], [[NAME, NAME]], title=NAME, right=[NAME])
    screen = RichScreen()
    screen.start(0, 8)
    screen.record({"terms": {NAME: {NAME: 1.0}}, "images_per_s": 1.0})
    screen.say(NAME)
    screen.stop()
    with bar(NAME) as update:
        update(1, 2)
    shown = capsys.readouterr().out
    assert shown.count(SHOWN) == 2 + 4 + 3, shown
    assert "\x1b" not in shown


def test_a_run_whose_domains_are_markup(tmp_path, recipe, ganzoo):
    domains = {"data.domains": ["[/x]", "\u65e5"], "train.images": 2}
    recipe(tmp_path, domains)
    done = ganzoo("run", "tiny.toml", "--out", "a\x1b[31mb", cwd=tmp_path)
    assert done.returncode == 0 and "[/x]->\u65e5" in done.stdout, done
    assert "\x1b" not in done.stdout + done.stderr
    done = ganzoo("evaluate", "a\x1b[31mb", cwd=tmp_path)
    assert done.returncode == 0 and "[/x]->" in done.stdout and "a\\u001b[31mb at 2" in done.stdout, done
    assert recipes.read(tmp_path / "a\x1b[31mb" / "recipe.toml").data.domains == ("[/x]", "\u65e5")


def test_no_line_of_a_stranger_looks_like_one_of_ours(tmp_path, ganzoo):
    done = ganzoo("report", "a\nError: \x1b[31mb", cwd=tmp_path)
    assert done.stderr == "Error: a\n  Error: \\u001b[31mb is not a run folder. `ganzoo run RECIPE` makes one.\n"


def test_a_terminal_that_knows_ascii_only(monkeypatch):
    from ganzoo.cli import main

    monkeypatch.setattr(sys, "argv", ["ganzoo", "report", "日"])
    monkeypatch.setattr(sys, "stderr", terminal := io.TextIOWrapper(io.BytesIO(), "ascii"))
    with pytest.raises(SystemExit):
        main()
    terminal.seek(0)
    assert terminal.read().startswith("Error: \\u65e5 is not a run folder")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full")
def test_output_that_cannot_be_written_is_told(monkeypatch, capsys):
    from ganzoo.cli import main

    monkeypatch.setattr(sys, "argv", ["ganzoo", "list"])
    monkeypatch.setattr(sys, "stdout", open("/dev/full", "w"))  # noqa: SIM115
    with pytest.raises(SystemExit, match="2"):
        main()
    assert capsys.readouterr().err == "Error: No space left on device: what is printed cannot be written.\n"


def test_no_color_is_heeded(monkeypatch, tmp_path):
    from ganzoo.cli import main

    class Terminal(io.StringIO):
        def isatty(self):
            return True

    monkeypatch.setattr(sys, "argv", ["ganzoo", "report", "nowhere"])
    for off, expected in (("", "\x1b[31m"), ("1", "Error: nowhere")):
        monkeypatch.setenv("NO_COLOR", off)
        monkeypatch.setattr(sys, "stderr", terminal := Terminal())
        with pytest.raises(SystemExit):
            main()
        assert terminal.getvalue().startswith(expected)


def test_json_is_valid(tmp_path):
    value = {"a": [math.nan, (math.inf, 1.5)], "b": {"c": -math.inf}, "d": "\x1b\u202e\udc80"}
    assert json.loads(files.to_json(value)) == {"a": [None, [None, 1.5]], "b": {"c": None}, "d": value["d"]}
    assert files.to_json(value).isascii()
    files.write_json(tmp_path / "metrics.json", value)
    assert "NaN" not in (tmp_path / "metrics.json").read_text()


def test_labels_that_cannot_be_told_apart_and_domains_that_cannot_be_named():
    from ganzoo.data.sources import Source, data_spec

    class Labels(Source):
        domains, labels = ("image",), ("smile", "no-smile")

        def __init__(self): ...

        def images(self, split, domain):
            return []

    options = DataOptions(source="folders")
    with pytest.raises(GanzooError, match='"smile" and "no-smile" cannot be told apart'):
        data_spec(Labels(), options)
    Labels.labels, Labels.domains = (), ("a\x1bb",)
    with pytest.raises(GanzooError, match=r'"a\\u001bb" cannot be the name of a domain'):
        data_spec(Labels(), options)


def engine(model):
    return Engine(model, TRAIN, Runtime(TRAIN, 2), Clock(0, 2))


class Wrong(Trainer):
    """Its loss gives what it is told to."""

    gives = None

    def __init__(self, config, spec):
        super().__init__(config, spec)
        self.scale = torch.nn.Parameter(torch.tensor(0.5))

    def phases(self):
        return [Phase("shrink", torch.optim.SGD([self.scale], 0.1), lambda batch, carry: self.gives(self.scale))]


@pytest.mark.parametrize(
    ("gives", "words"),
    [
        (lambda w: None, "gives None"),
        (lambda w: {}, "gives {}"),
        (lambda w: w, "gives Parameter"),
        (lambda w: {"a": 1.0}, 'gives 1.0 as "a"'),
        (lambda w: {"a": w, "b": None}, 'gives None as "b"'),
        (lambda w: {"a": w.expand(3)}, r'gives a tensor of shape \(3,\) as "a"'),
        (lambda w: {"a": w.detach()}, "gives terms without a gradient"),
    ],
)
def test_a_loss_that_cannot_be_minimised(gives, words):
    model = Wrong(Trainer.Config(), DataSpec(("A", "B"), {"A": 3, "B": 3}, 8))
    model.gives = gives
    with pytest.raises(GanzooError, match=f'The loss of phase "shrink" {words}'):
        engine(model).step({"A": torch.zeros(1, 3, 8, 8)})


def test_a_translation_in_the_wrong_channels():
    class Grey(Wrong):
        def translate(self, images, source, target):
            return images[:, :1]

    model = Grey(Trainer.Config(), DataSpec(("A", "B"), {"A": 3, "B": 3}, 8))
    image = torch.zeros(1, 3, 8, 8)
    for translate in (
        lambda: model.translate_with(image, "A", "B"),
        lambda: model.sample_columns({"A": image, "B": image}, {}),
    ):
        with pytest.raises(GanzooError, match=r"Grey.translate gives \(1, 1, 8, 8\): B has 3 channels"):
            translate()


FAULTY = """
from ganzoo_cyclegan.model import CycleGAN


class Faulty(CycleGAN):
    def generator_loss(self, batch, carry):
        return len(5)
"""


def test_what_nobody_expected_names_phase_and_plugin_and_keeps_the_traceback(tmp_path, plugin, recipe, ganzoo):
    register = 'from ganzoo import hookimpl\n@hookimpl\ndef register_models(register):\n    register("faulty", "{}")\n'
    modules = {"__init__": register.format("ganzoo_faulty.model:Faulty"), "model": FAULTY}
    env = plugin(tmp_path / "site", "faulty", modules) | {"XDG_STATE_HOME": str(tmp_path / "state")}
    recipe(tmp_path, {"model": "faulty"})
    run = ("run", "tiny.toml", "--out")
    message = ganzoo(*run, "out", cwd=tmp_path, env=env).mistake(
        "in phase \"G\": TypeError: object of type 'int' has no len()",
        "It was in the plugin ganzoo-faulty 0.5 (ganzoo_faulty.model, line 7): tell its author.",
        "GANZOO_TRACEBACK=1",
        code=1,
    )
    [kept] = (tmp_path / "state" / "ganzoo" / "log").iterdir()
    assert str(kept) in message
    assert "Traceback (most recent call last)" in kept.read_text() and "ganzoo run tiny.toml" in kept.read_text()
    assert json.loads((tmp_path / "out" / "status.json").read_text())["state"] == "failed"
    shown = ganzoo("--traceback", *run, "other", cwd=tmp_path, env=env)
    assert "Traceback" in shown.stderr and shown.returncode == 1
    (tmp_path / "no").touch()
    nowhere = ganzoo(*run, "third", cwd=tmp_path, env=env | {"XDG_STATE_HOME": str(tmp_path / "no")})
    nowhere.mistake("tell its author. GANZOO_TRACEBACK=1 shows the traceback.", code=1)
