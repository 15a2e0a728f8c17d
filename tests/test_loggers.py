"""`train.loggers`: what a run sends to a logger, on resume and when the logger fails; and the CSV file."""

import csv
import json
import os
from pathlib import Path

import pytest
from ganzoo_testing import ConformanceError, check_logger
from safetensors.torch import load_file

from ganzoo import recipe as recipes
from ganzoo.translate import load
from tests.conftest import registering

NOTES = '''
import json
from typing import Annotated

from pydantic import Field

from ganzoo import Logger


class Notes(Logger):
    """Writes down whatever it is told; fails at `fails` images, when it is built with -1."""

    def __init__(self, run, images, *, fails: Annotated[int, Field(description="images seen when it fails")] = 10**9):
        self.file, self.fails = run / "notes.jsonl", fails
        if fails < 0:
            raise ModuleNotFoundError("No module named 'boards'")
        self.note("built", images)

    def note(self, what, *facts):
        with self.file.open("a") as file:
            file.write(json.dumps([what, *facts]) + "\\n")

    def settings(self, recipe):
        self.note("settings", recipe)

    def scalars(self, values, images):
        if images >= self.fails:
            raise ConnectionError("the board is gone")
        self.note("scalars", images, values)

    def sample(self, grid, images):
        self.note("sample", images, grid.size, grid.mode)

    def close(self, finished):
        self.note("close", finished)
'''


@pytest.fixture(scope="module")
def site(tmp_path_factory, plugin):
    """The environment in which the logger "notes" is installed."""
    modules = {"__init__": registering("logger", "notes", "ganzoo_notes.notes:Notes"), "notes": NOTES}
    return plugin(tmp_path_factory.mktemp("site"), "notes", modules)


def rows(run):
    with (run / "log.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def weights(run):
    return load_file(sorted((run / "checkpoints").iterdir())[-1] / "networks.safetensors")


def alike(one, other):
    return one.keys() == other.keys() and all(one[name].equal(other[name]) for name in one)


@pytest.fixture(scope="module")
def logged(tmp_path_factory, recipe, ganzoo, site):
    """A run with loggers that was stopped in its middle and gone on with."""
    folder = tmp_path_factory.mktemp("logged")
    loggers = ["csv", "notes", {"name": "notes", "fails": -1}]
    recipe(folder, {"train.loggers": loggers, "train.images": 12, "train.metrics": ["l1"]})
    first = ganzoo("run", "tiny.toml", "--out", "out", cwd=folder, env=site)
    again = ganzoo("run", "out", "--resume", "--set", "train.images=24", cwd=folder, env=site)
    assert first.returncode == again.returncode == 0, (first, again)
    return folder / "out", first, again


def test_a_logger_is_told_everything_of_a_run(logged):
    run, *_ = logged
    notes = [json.loads(line) for line in (run / "notes.jsonl").read_text().splitlines()]
    assert [facts[0] for what, *facts in notes if what == "built"] == [0, 12]
    [settings, _] = [facts[0] for what, *facts in notes if what == "settings"]
    assert settings["options.generator.width"] == 4 and settings["train.images"] == 12
    scalars = [facts for what, *facts in notes if what == "scalars"]
    log = [json.loads(line) for line in (run / "log.jsonl").read_text().splitlines()]
    sent = {images: values for images, values in scalars if "G/G_adv_A" in values}
    assert list(sent) == [line["images"] for line in log] == [4, 8, 12, 16, 20, 24]
    assert {v for v in log[2]["terms"]["G"].values()} <= set(sent[12].values())
    assert sent[12]["lr/G"] == log[2]["lr"]["G"] and sent[12]["seconds"] == log[2]["seconds"]
    metrics = [(images, values) for images, values in scalars if any("->" in name for name in values)]
    assert [images for images, _ in metrics] == [12, 24] and "A->B/cycle_l1" in metrics[0][1]
    samples = [facts for what, *facts in notes if what == "sample"]
    assert [images for images, *_ in samples] == [0, 12, 24] and samples[0][2] == "RGB"
    assert [facts for what, *facts in notes if what == "close"] == [[True], [True]]


def test_a_logger_that_cannot_be_built_is_a_warning_before_the_first_image(logged):
    run, first, _ = logged
    said = """Warning: the logger "notes" is left out from here on: ModuleNotFoundError: No module named 'boards'"""
    assert said in first.stdout.splitlines() and first.stdout.index(said) < first.stdout.index("cyclegan on folders")
    history = json.loads((run / "env.json").read_text())["history"]
    assert "No module named 'boards'" in history[0]["warnings"][0]


def test_a_logger_that_fails_ends_and_alters_nothing(tmp_path, recipe, ganzoo, site):
    for name, loggers in (("with", ["csv", {"name": "notes", "fails": 8}]), ("without", [])):
        recipe(tmp_path, {"train.loggers": loggers, "train.images": 12})
        done = ganzoo("run", "tiny.toml", "--out", name, cwd=tmp_path, env=site)
        assert done.returncode == 0, done
        said = done.stdout.count('the logger "notes" is left out from here on: ConnectionError: the board is gone')
        assert said == (name == "with")
    assert alike(weights(tmp_path / "with"), weights(tmp_path / "without"))
    assert len(rows(tmp_path / "with")) > 3, "the other logger goes on"


def test_the_csv_holds_the_log_once(logged):
    run, *_ = logged
    table = rows(run)
    log = {line["images"]: line for line in map(json.loads, (run / "log.jsonl").read_text().splitlines())}
    found = {int(row["images"]): row for row in table if row["G/G_adv_A"]}
    assert list(found) == list(log)
    assert float(found[20]["G/G_adv_A"]) == log[20]["terms"]["G"]["G_adv_A"]
    assert [int(row["images"]) for row in table if row["A->B/cycle_l1"]] == [12, 24]
    assert len(table) == len(log) + 2


def test_the_csv_is_cut_to_the_checkpoint(tmp_path, recipe, ganzoo, start):
    recipe(tmp_path, {"train.loggers": ["csv"], "train.images": 400, "train.sample_every": 400})
    process = start("run", "tiny.toml", "--out", "out", cwd=tmp_path)
    file = tmp_path / "out" / "log.csv"
    process.until(lambda: (tmp_path / "out/checkpoints/000000010").exists() and file.read_text().count("\n") > 4)
    process.send(9)
    process.wait()
    with file.open("a") as half:
        half.write("9999")
    done = ganzoo("run", "out", "--resume", "--set", "train.images=60", cwd=tmp_path)
    assert done.returncode == 0, done
    images = [int(row["images"]) for row in rows(tmp_path / "out") if row["G/G_adv_A"]]
    assert images == list(range(4, 61, 4))


def test_the_kit_tries_a_logger(site, known):
    check_logger("csv")
    known(Path(site["PYTHONPATH"].split(os.pathsep)[0]))
    check_logger("notes")
    with pytest.raises(ConformanceError, match=r'logger "notes", scalars\(\): expected no error for any name.*is gone'):
        check_logger("notes", {"fails": 8})


def test_loggers_can_change_when_a_run_goes_on(tmp_path, run, ganzoo):
    shown = recipes.read(run / "recipe.toml", changes=['train.loggers=["csv"]'])
    assert [part.name for part in shown.train.loggers] == ["csv"]


def test_a_logger_that_is_not_installed_is_a_mistake_of_the_recipe(tmp_path, recipe, ganzoo):
    recipe(tmp_path, {"train.loggers": ["csw"]})
    words = ('train.loggers: There is no logger "csw" installed. Did you mean "csv"?',)
    ganzoo("run", "tiny.toml", "--out", "out", cwd=tmp_path).mistake(*words)
    assert not (tmp_path / "out").exists()


def test_what_was_trained_is_used_without_its_loggers(logged):
    run, *_ = logged
    assert "notes" in (run / "recipe.toml").read_text()
    assert load(run).images == 24


def test_a_link_in_the_run_folder_is_not_followed(tmp_path, recipe, ganzoo):
    recipe(tmp_path, {"train.loggers": ["csv"], "train.images": 4})
    assert ganzoo("run", "tiny.toml", "--out", "out", cwd=tmp_path).returncode == 0
    (tmp_path / "other").mkdir()
    (tmp_path / "out" / "tensorboard").symlink_to(tmp_path / "other")
    done = ganzoo("run", "out", "--resume", "--set", "train.images=8", cwd=tmp_path)
    assert done.returncode == 0 and "tensorboard is a link, and loggers write into the run folder only" in done.stdout
