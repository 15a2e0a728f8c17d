"""Several processes do what one does: they share a batch, average their gradients and keep one pool."""

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from ganzoo import checkpoint
from ganzoo.runfolder import RunFolder

TRAINER = '''
import torch
from torch.optim import SGD

from ganzoo import Metric, Phase
from ganzoo_cyclegan.model import CycleGAN


class Plain(CycleGAN):
    """CycleGAN's mathematics under plain gradient descent."""

    def phases(self):
        lr = self.config.lr
        return [
            Phase("G", SGD(self.G.parameters(), lr), self.generator_loss),
            Phase("D", SGD(self.D.parameters(), lr), self.discriminator_loss),
        ]


class Counted(Metric):
    """How many images were compared."""

    against = "real"
    higher_is_better = True

    def __init__(self):
        super().__init__()
        self.add_state("images", torch.tensor(0.0), dist_reduce_fx="sum")

    def update(self, images, real):
        self.images += len(images)

    def compute(self):
        return self.images
'''
REGISTER = """
from ganzoo import hookimpl


@hookimpl
def register_models(register):
    register("plain", "ganzoo_plain.model:Plain", data_kind="unpaired")


@hookimpl
def register_metrics(register):
    register("counted", "ganzoo_plain.model:Counted", better="higher")
"""
RECIPE = {
    # 20 steps of 4 images, so that the pool of 3 is full after the first. Without norms, and from strong initial
    # weights, rounding stays what it is; instance norm enlarges it about eightfold a step while the fakes are still flat.
    "model": "plain",
    "data.batch": 4,
    "options.generator": {"name": "resnet", "width": 4, "blocks": 1, "norm": "none"},
    "options.discriminator": {"name": "patch", "width": 4, "layers": 1, "norm": "none"},
    "options.init": "kaiming",
    "options.lr": 0.001,
    "train.images": 80,
    "train.metrics": ["counted"],
    "train.checkpoint_every": 40,
    "train.sample_every": 40,
    "train.log_every": 20,
}


@pytest.fixture(scope="module")
def place(tmp_path_factory, recipe):
    folder = tmp_path_factory.mktemp("processes")
    recipe(folder, RECIPE)
    return folder


@pytest.fixture(scope="module")
def env(place, plugin):
    """The environment in which the model is there."""
    return plugin(place / "site", "plain", {"__init__": REGISTER, "model": TRAINER})


@pytest.fixture(scope="module")
def begin(place, env, start):
    """Begins the installed program with the plugin there."""
    return lambda *args: start(*args, cwd=place, env=env, installed=True)


@pytest.fixture(scope="module")
def one(place, env, ganzoo):
    """The run of one process."""
    done = ganzoo("run", "tiny.toml", "--out", "one", cwd=place, env=env)
    assert done.returncode == 0, done
    return place / "one"


@pytest.fixture(scope="module")
def two(place, begin):
    """The same with two processes, and what they said."""
    done = begin("run", "tiny.toml", "--out", "two", "--devices", 2).wait()
    assert done.returncode == 0, done
    return place / "two", done


def networks(run, images=80):
    return checkpoint.load_networks(RunFolder(run).checkpoint(images))[0]


def assert_same_weights(run, other):
    """To 1e-6, in float32; weights are up to 0.5."""
    weights, others = networks(run), networks(other)
    assert weights.keys() == others.keys()
    for name, value in weights.items():
        assert value.dtype == torch.float32
        assert (value - others[name]).abs().max() < 1e-6, name


def test_two_processes_end_with_the_weights_of_one(one, two):
    assert_same_weights(two[0], one)
    for weight in ("G.A.layers.1.weight", "G.B.layers.1.weight", "D.A.layers.0.weight", "D.B.layers.0.weight"):
        moved = networks(one, 80)[weight] - networks(one, 40)[weight]
        assert moved.abs().max() > 1e-4, "comparing weights that hardly move would say nothing"


def test_two_processes_keep_one_pool(one, two):
    pools = [checkpoint.load_state(RunFolder(run).checkpoint(80))["engine"]["stateful"] for run in (one, two[0])]
    for domain in ("pool.A", "pool.B"):
        ours, theirs = (torch.stack(pool[domain]["images"]) for pool in pools)
        assert len(ours) == 3
        assert (ours - theirs).abs().max() < 1e-5


def test_two_processes_speak_with_one_voice(one, two):
    run, said = two
    ours, theirs = ([json.loads(line) for line in (r / "log.jsonl").read_text().splitlines()] for r in (one, run))
    assert [line["images"] for line in ours] == [line["images"] for line in theirs] == [20, 40, 60, 80]
    for line, other in zip(ours, theirs, strict=True):
        for phase, terms in line["terms"].items():
            assert other["terms"][phase] == pytest.approx(terms, abs=1e-5)
    assert json.loads((run / "env.json").read_text())["processes"] == 2
    assert said.stdout.count("report.html") == 1
    assert said.stderr == ""


def test_one_process_evaluates(one, two):
    """And waits for no other."""
    for run in (one, two[0]):
        metrics = json.loads((run / "metrics.json").read_text())
        assert metrics["A->B"]["counted"] == metrics["B->A"]["counted_identity"] == 3 + 3


def test_torchrun_goes_on_with_what_one_process_began(place, env, one):
    half = shutil.copytree(one, place / "half")
    shutil.rmtree(half / "checkpoints" / "000000080")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--nproc_per_node=2", f"--master_port={port}"]
    done = subprocess.run(
        [*torchrun, Path(sys.executable).with_name("ganzoo"), "run", half, "--resume"],
        cwd=place, env=os.environ | env, capture_output=True, text=True, timeout=180,
    )  # fmt: skip
    assert done.returncode == 0, done
    assert done.stdout.count("Going on from image 40 of 80") == 1
    assert done.stdout.count("report.html") == 1
    assert json.loads((half / "env.json").read_text())["processes"] == 2
    assert_same_weights(half, one)


def test_a_signal_to_one_stops_and_saves_all(place, begin):
    process = begin("run", "tiny.toml", "--out", "stopped", "--devices", 2, "--set", "train.images=400000")
    process.until(lambda: (place / "stopped" / "log.jsonl").exists() and (place / "stopped" / "log.jsonl").read_text())
    os.kill(process.pid, signal.SIGTERM)  # the first process only, as `kill` does
    done = process.wait()
    assert done.returncode == 128 + signal.SIGTERM
    assert done.stderr.count("Stopped and saved at image") == done.stderr.count("\n") == 1
    assert checkpoint.load_state(RunFolder(place / "stopped").latest())["images"] % 4 == 0


def test_what_one_of_them_meets_is_told_once(place, images, begin):
    broken = shutil.copytree(images, place / "broken")
    image = broken / "trainA" / "0.png"
    image.write_bytes(image.read_bytes()[:300])
    done = begin("run", "tiny.toml", "--out", "failed", "--devices", 2, "--set", f"data.root={broken}").wait()
    done.mistake(f"{image} cannot be read as an image", code=1)
    status = json.loads((place / "failed" / "status.json").read_text())
    assert status["state"] == "failed"
    assert str(image) in status["message"]
