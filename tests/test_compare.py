"""Runs side by side: the same images through each, one page, metrics that are each run's own."""

import json
import re

import pytest

from ganzoo.comparison import rows

MODELS = '''
import torch
from torch import nn
from torch.optim import SGD

from ganzoo import Phase, Trainer


class Both(Trainer):
    """Translates with a style at random, and generates."""

    def __init__(self, config, spec):
        super().__init__(config, spec)
        self.scale = nn.Parameter(torch.tensor(0.5))

    def phases(self):
        return [Phase("scale", SGD([self.scale], 0.01), self.loss)]

    def loss(self, batch, carry):
        return {"power": (self.scale * batch["A"]).square().mean()}

    def sample_style(self, count, domain):
        return torch.rand(count, 1, 1, 1)

    def translate(self, images, source, target, style):
        return (self.scale * images + style).tanh()

    def generate(self, count, label=None):
        return 2 * torch.rand(count, 3, self.spec.size, self.spec.size) - 1


class OneWay(Both):
    def directions(self):
        return [("A", "B")]
'''
REGISTER = """
from ganzoo import hookimpl


@hookimpl
def register_models(register):
    register("both", "ganzoo_both.model:Both", data_kind="unpaired")
    register("oneway", "ganzoo_both.model:OneWay", data_kind="unpaired")
"""


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
    ganzoo("compare", "tiny", "larger", cwd=runs).mistake(
        "larger was trained at 48 px, tiny at 32 px: compare runs of one size."
    )
    ganzoo("compare", "tiny", "nothing", cwd=runs).mistake("There is no run nothing")


def test_runs_that_generate(ganzoo, recipe, tmp_path):
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


def test_one_direction_several_answers_and_new_images(ganzoo, recipe, plugin, tmp_path):
    env = plugin(tmp_path, "both", {"__init__": REGISTER, "model": MODELS})
    for model in ("both", "oneway"):
        recipe(tmp_path, {"model": model, "options": {}, "train.images": 2}, name=f"{model}.toml")
        done = ganzoo("run", f"{model}.toml", "--out", model, cwd=tmp_path, env=env)
        assert done.returncode == 0, done
    done = ganzoo("compare", "oneway", "both", "--out", "page.html", cwd=tmp_path, env=env)
    assert done.returncode == 0, done
    page = (tmp_path / "page.html").read_text()
    assert re.findall("<h2>(.*)</h2>", page) == ["Metrics", "A to B", "new images"]
    assert len(re.findall(r'<img src="data:image/webp;base64,', page)) == 2
    assert re.search(r"B-&gt;A</td><td>cycle_l1</td>\s*<td></td>\s*<td>0\.\d{4}</td>", page)


def test_labels_of_rows():
    metrics = {"x": {"a->b": {"l1": 0.1, "l1_identity": 0.2}}, "y": {"a->b": {"l1": 0.3}, "b->a": {"fid": 4.0}}}
    assert rows(metrics) == [
        ("a->b", "l1", [0.1, 0.3]),
        ("a->b", "l1 of the identity baseline", [0.2, None]),
        ("b->a", "fid", [None, 4.0]),
    ]
