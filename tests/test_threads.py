"""How many threads a run computes with, beside a program that uses a core it would like to have."""

import json
import os
import re
import shlex
import signal
import subprocess
import sys
import time
import tomllib

import pytest

from ganzoo import cores
from ganzoo.cores import Crowding

CORES = sorted(os.sched_getaffinity(0))[:2] if hasattr(os, "sched_getaffinity") else []
pytestmark = pytest.mark.skipif(len(CORES) < 2, reason="needs two cores, and a system that tells and sets them")


@pytest.fixture
def busy():
    """A program that uses one of two cores as long as the test runs, and is no child of this process."""
    program = f"{shlex.quote(sys.executable)} -c 'while True: pass' >/dev/null 2>&1 & echo $!"
    pid = int(subprocess.run(program, shell=True, capture_output=True, check=True).stdout)
    os.sched_setaffinity(pid, CORES[:1])
    yield
    os.kill(pid, signal.SIGKILL)


def threads(run) -> int:
    recipe = tomllib.loads((run / "recipe.toml").read_text())
    assert json.loads((run / "env.json").read_text())["threads"] == recipe["train"]["threads"]
    return recipe["train"]["threads"]


def test_a_run_takes_the_cores_that_are_free_and_keeps_their_number(tmp_path, ganzoo, recipe, busy):
    recipe(tmp_path, {"train.images": 4})
    two = {"OMP_NUM_THREADS": "2"}
    done = ganzoo("run", "tiny.toml", "--out", "out", cwd=tmp_path, env=two, installed=True)
    assert done.returncode == 0, done
    assert "Other programs use" in done.stdout
    assert "training with train.threads = 1." in done.stdout
    assert threads(tmp_path / "out") == 1
    done = ganzoo("run", "tiny.toml", "--out", "out", "--resume", "--set", "train.images=8", cwd=tmp_path)
    assert done.returncode == 0, done
    assert "Not taken" not in done.stdout
    assert threads(tmp_path / "out") == 1


def test_how_many_threads_can_be_set_and_changed(tmp_path, ganzoo, recipe):
    recipe(tmp_path, {"train.images": 4, "train.threads": 2})
    assert ganzoo("run", "tiny.toml", "--out", "out", cwd=tmp_path).returncode == 0
    assert threads(tmp_path / "out") == 2
    more = ("--set", "train.images=8", "--set", "train.threads=1")
    assert ganzoo("run", "out", "--resume", *more, cwd=tmp_path).returncode == 0
    assert threads(tmp_path / "out") == 1


def test_threads_that_wait_for_each_other_are_told_with_what_to_do(busy):
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, CORES)
    try:
        crowdings = [Crowding(threads, processes=1) for threads in (1, 2)]
        assert not any(crowding.look(images=10) for crowding in crowdings)
        time.sleep(cores.EVERY)
        one, two = (crowding.look(images=20) for crowding in crowdings)
    finally:
        os.sched_setaffinity(0, before)
    assert one is None
    assert two is not None
    said, fewer = two
    assert fewer == 1
    assert re.match(r"\d+(\.\d+)? images/s, as other programs use [12]\.\d of the 2 cores and 2 threads", said)
