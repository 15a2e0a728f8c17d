"""Runs side by side: the same images through each, one page, metrics that are each run's own."""

import json
import re

import pytest


@pytest.fixture(scope="module")
def runs(ganzoo, recipe, tmp_path_factory):
    folder = tmp_path_factory.mktemp("compare")
    world = {"data.source": "landscapes", "train.images": 4}
    recipe(folder, world)
    recipe(folder, world | {"options.cycle": 0.0, "options.identity": 0.0}, name="direct.toml")
    recipe(folder, world | {"data.size": 48}, name="larger.toml")
    for name in ("tiny", "direct", "larger"):
        assert ganzoo("run", f"{name}.toml", "--out", name, cwd=folder).returncode == 0
    return folder


def test_metrics_are_those_of_evaluate(ganzoo, runs):
    found = json.loads(ganzoo("compare", "tiny", "direct", "--json", cwd=runs).stdout)
    assert list(found) == ["tiny", "direct"]
    for name, metrics in found.items():
        assert metrics == json.loads(ganzoo("evaluate", name, "--json", cwd=runs).stdout)
    assert found["tiny"]["photo->painting"]["l1"] != found["direct"]["photo->painting"]["l1"]


def test_page_stands_alone_and_is_not_overwritten(ganzoo, runs):
    assert ganzoo("compare", "tiny", "direct", "--out", "page.html", cwd=runs).returncode == 0
    page = (runs / "page.html").read_text()
    assert len(re.findall(r'<img src="data:image/webp;base64,', page)) == 2
    assert not re.findall(r'(?:src|href)="https?:', page)
    assert "tiny" in page and "direct" in page
    ganzoo("compare", "tiny", "direct", "--out", "page.html", cwd=runs).mistake(
        "page.html exists and is not overwritten"
    )


def test_runs_that_cannot_be_set_side_by_side(ganzoo, runs):
    ganzoo("compare", "tiny", "larger", cwd=runs).mistake("larger was trained at 48 px, tiny at 32 px")
    ganzoo("compare", "tiny", "nothing", cwd=runs).mistake("There is no run nothing")


def test_runs_that_make_new_pictures(ganzoo, recipe, tmp_path):
    digits = {"data.source": "digits", "data.root": None, "data.channels": 1, "data.size": 16, "train.images": 2}
    own = {"options.generator": None, "options.discriminator": None, "options.pool": None, "options.generator_width": 8}
    for model in ("gan", "cgan"):
        recipe(tmp_path, digits | own | {"model": model}, name=f"{model}.toml")
        done = ganzoo("run", f"{model}.toml", "--out", model, cwd=tmp_path)
        assert done.returncode == 0, done
    done = ganzoo("compare", "gan", "cgan", "--out", "page.html", cwd=tmp_path)
    assert done.returncode == 0, done
    page = (tmp_path / "page.html").read_text()
    assert len(re.findall(r'<img src="data:image/webp;base64,', page)) == 1 and "new images" in page
    found = json.loads(ganzoo("compare", "gan", "cgan", "--json", cwd=tmp_path).stdout)
    assert {"confidence", "mode_coverage"} <= found["gan"]["generated"].keys()
    assert "target_accuracy" in found["cgan"]["generated"]
