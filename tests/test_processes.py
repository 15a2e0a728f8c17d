"""Several processes do what one does: they share a batch, average their gradients and keep one pool."""

import json
import os
import signal
import socket
import subprocess
import sys

import pytest
import torch

from ganzoo import checkpoint

TRAINER = '''
from torch.optim import SGD

from ganzoo import Phase
from ganzoo_cyclegan.model import CycleGAN


class Plain(CycleGAN):
    """CycleGAN's mathematics under plain gradient descent, where rounding stays small: Adam divides by it."""

    def phases(self):
        lr = self.config.lr
        return [
            Phase("G", SGD(self.G.parameters(), lr), self.generator_loss),
            Phase("D", SGD(self.D.parameters(), lr), self.discriminator_loss),
        ]
'''
REGISTER = """
from ganzoo import hookimpl


@hookimpl
def register_models(register):
    register("plain", "ganzoo_plain.model:Plain", data="unpaired")
"""
RECIPE = {  # 20 steps of 4 pictures; the pool of 3 is full after the first
    "model": "plain",
    "data.batch": 4,
    "options.lr": 0.01,
    "train.images": 80,
    "train.checkpoint_every": 40,
    "train.log_every": 20,
}


@pytest.fixture(scope="module")
def place(tmp_path_factory, recipe, plugin):
    folder = tmp_path_factory.mktemp("processes")
    recipe(folder, RECIPE)
    plugin(folder / "site", "plain", {"__init__": REGISTER, "model": TRAINER})
    return folder


@pytest.fixture(scope="module")
def env(place):
    return {"PYTHONPATH": str(place / "site")}


@pytest.fixture(scope="module")
def one(place, env, ganzoo):
    """The run of one process."""
    done = ganzoo("run", "tiny.toml", "--out", "one", cwd=place, env=env)
    assert done.returncode == 0, done
    return place / "one"


@pytest.fixture(scope="module")
def two(place, env, program):
    """The same with two processes, and what it said."""
    done = program("run", "tiny.toml", "--out", "two", "--devices", 2, cwd=place, env=env)
    assert done.returncode == 0, done
    return place / "two", done


def networks(run, images=80):
    return checkpoint.load_networks(checkpoint.folder(run, images))[0]


def largest_difference(run, other):
    """Of any weight; in float32 they are about 0.02."""
    weights, others = networks(run), networks(other)
    assert weights.keys() == others.keys()
    assert all(value.dtype == torch.float32 for value in weights.values())
    return max((value - others[name]).abs().max().item() for name, value in weights.items())


def test_two_processes_end_with_the_weights_of_one(one, two):
    run, _ = two
    assert largest_difference(run, one) < 1e-6
    moved = networks(one, 80)["G.A.layers.1.weight"] - networks(one, 40)["G.A.layers.1.weight"]
    assert moved.abs().max() > 1e-4, "a comparison of weights that hardly move says nothing"


def test_two_processes_keep_one_pool(one, two):
    pools = [checkpoint.load_state(checkpoint.folder(run, 80))["engine"]["keepsakes"]["pool.A"] for run in (one, two[0])]
    assert len(pools[0]["images"]) == len(pools[1]["images"]) == 3
    for ours, theirs in zip(*(pool["images"] for pool in pools), strict=True):
        assert (ours - theirs).abs().max() < 1e-4


def test_two_processes_speak_with_one_voice(one, two):
    run, said = two
    lines = [[json.loads(line) for line in (r / "log.jsonl").read_text().splitlines()] for r in (one, run)]
    assert [line["images"] for line in lines[0]] == [line["images"] for line in lines[1]] == [20, 40, 60, 80]
    for ours, theirs in zip(*lines, strict=True):
        for phase, terms in ours["terms"].items():
            assert theirs["terms"][phase] == pytest.approx(terms, abs=1e-5)
    assert json.loads((run / "env.json").read_text())["processes"] == 2
    assert said.stdout.count("report.html") == 1
    assert said.stderr == ""


def test_two_processes_go_on_with_what_one_began_even_after_a_signal(place, env, one, start):
    half = start("run", "tiny.toml", "--out", "half", cwd=place, env=env)
    half.until(lambda: (place / "half" / "log.jsonl").exists() and '"images": 20' in (place / "half" / "log.jsonl").read_text())
    half.send(signal.SIGTERM)
    assert half.wait().returncode == 128 + signal.SIGTERM
    script = os.path.join(os.path.dirname(sys.executable), "ganzoo")
    both = subprocess.Popen(
        [script, "run", "half", "--resume", "--devices", "2", "--set", "train.images=400_000"],
        cwd=place, env=os.environ | env, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True,
    )
    for line in both.stdout:
        if "Going on from" in line:
            break
    out, err = both.communicate(timeout=5)
