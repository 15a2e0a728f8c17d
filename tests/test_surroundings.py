"""A run outlives its surroundings, or ends in seconds with the true reason: signals, pipes, processes, full folders."""

import json
import os
import pty
import signal
import subprocess
import sys
import time

import pytest
import torch

from ganzoo.cli.screen import PlainScreen, RichScreen, make_screen
from ganzoo.errors import GanzooError, Stopped, out_of_memory, tell
from ganzoo.options import TrainOptions
from ganzoo.runfolder import RunFolder
from ganzoo.runtime import RANKS, Place, place
from ganzoo.signals import STOP, stop_requests

ENDLESS = ("--set", "train.images=400000", "--set", "train.checkpoint_every=400000")
SECONDS = 60  # in which a run must have ended, once a process of it is gone: 5 or so where nothing else runs
UNREACHABLE = dict.fromkeys(("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY"), "http://127.0.0.1:9")
STARTED = (
    "LOCAL_WORLD_SIZE",
    "WORLD_SIZE",
    "MASTER_ADDR",
    "MASTER_PORT",
    "NODE_RANK",
    "TORCHELASTIC_RUN_ID",
    "SLURM_STEP_NUM_TASKS",
)
PLUGIN = '''
from ganzoo import Metric, hookimpl
from ganzoo.data.folders import Folders


class Mine(Folders):
    """Folders, by a plugin that is one file."""


class Boom(Metric):
    """Cannot be measured."""

    against = "real"
    higher_is_better = True

    def update(self, images, real):
        pass

    def compute(self):
        raise ValueError("boom")


@hookimpl
def register_sources(register):
    register("mine", "single:Mine")


@hookimpl
def register_metrics(register):
    register("boom", "single:Boom", better="higher")
'''


@pytest.fixture(scope="module")
def folder(tmp_path_factory, recipe):
    folder = tmp_path_factory.mktemp("surroundings")
    recipe(folder, {"train.sample_every": 400_000})
    (folder / "single.py").write_text(PLUGIN)
    return folder


def status(run):
    return json.loads((run / "status.json").read_text())


def logged(run):
    """Whether a first line of the log is there, which is after the first steps."""
    log = run / "log.jsonl"
    return lambda: log.exists() and bool(log.read_text())


def children(pid):
    """The processes that one has started and that still run."""
    rows = subprocess.run(["ps", "-A", "-o", "pid=,ppid=,stat="], capture_output=True, text=True, check=True).stdout
    found = (row.split() for row in rows.splitlines())
    return [int(child) for child, parent, state in found if int(parent) == pid and "Z" not in state]


def group(pid):
    """All processes of a process group that still run."""
    rows = subprocess.run(["ps", "-A", "-o", "pid=,pgid=,stat="], capture_output=True, text=True, check=True).stdout
    return [row for row in map(str.split, rows.splitlines()) if int(row[1]) == pid and "Z" not in row[2]]


def ends_soon(process):
    """How it ended, after checking that this took seconds and that nothing of it is left."""
    began = time.monotonic()
    done = process.wait()
    while group(process.pid) and time.monotonic() - began < SECONDS:
        time.sleep(0.1)
    assert not group(process.pid), "some of its processes are left"
    return done, time.monotonic() - began


def test_a_lost_terminal_saves_and_leaves_nothing_behind(folder, start):
    run = folder / "hangup"
    process = start("run", "tiny.toml", "--out", run, *ENDLESS, "--set", "data.workers=2", cwd=folder)
    process.until(logged(run))
    process.send(signal.SIGHUP)
    process.send(signal.SIGHUP)  # as a shell that hands it on does
    done, _ = ends_soon(process)
    assert done.returncode == 128 + signal.SIGHUP, done
    assert done.stderr.startswith("Stopped and saved at image ") and done.stderr.count("\n") == 1
    images = status(run)["images"]
    assert (status(run)["state"], RunFolder(run).latest().name) == ("stopped", f"{images:09d}")


def test_a_signal_that_is_ignored_stays_so():
    """As nohup and shells in the background have it."""
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with stop_requests() as asked:
            asked.heeded = True
            signal.raise_signal(signal.SIGHUP)
            assert asked.number == 0
            signal.raise_signal(signal.SIGUSR1)  # SLURM's warning
            signal.raise_signal(signal.SIGTERM)
            assert asked.number == signal.SIGUSR1
    finally:
        signal.signal(signal.SIGHUP, before)
    with pytest.raises(Stopped) as stopped, stop_requests():
        signal.raise_signal(signal.SIGTERM)  # where no step looks at it
    assert stopped.value.exit_code == 143
    assert all(signal.getsignal(number) in (signal.SIG_DFL, signal.default_int_handler) for number in STOP)


def test_ctrl_c_before_the_first_checkpoint_says_that_nothing_is_saved(tmp_path, start, recipe):
    slow = {"data.source": "landscapes", "data.root": None, "data.size": 128, "train.best": "ssim"}
    recipe(tmp_path, slow)
    process = start("run", "tiny.toml", "--out", "out", cwd=tmp_path)
    process.until((tmp_path / "out" / "samples").exists)  # then it measures, before the first step
    process.send(signal.SIGINT)
    done = process.wait()
    said = "Stopped at image 0. There is no checkpoint yet, so that ganzoo run out --resume starts from the beginning."
    assert (done.returncode, done.stderr.strip()) == (130, said)
    assert status(tmp_path / "out")["state"] == "stopped"


def test_a_killed_worker_ends_the_run_with_the_reason(folder, start):
    run = folder / "worker"
    process = start("run", "tiny.toml", "--out", run, *ENDLESS, "--set", "data.workers=2", cwd=folder)
    process.until(logged(run))
    workers = [worker for child in children(process.pid) for worker in children(child)]
    assert len(workers) == 2
    os.kill(workers[0], signal.SIGKILL)
    done, seconds = ends_soon(process)
    done.mistake("was killed (SIGKILL)", "lower data.workers, which is 2, or data.batch", code=1)
    assert seconds < SECONDS
    assert status(run)["state"] == "failed" and "SIGKILL" in status(run)["message"]


def test_no_module_of_the_current_folder_is_run(tmp_path, start, recipe):
    """Python itself looks there first in a process that is started with -c or -m, as data workers and sweeps are."""
    recipe(tmp_path, {"train.images": 4, "data.workers": 1})
    for name in ("torch", "ganzoo", "pickle", "multiprocessing", "numpy"):
        (tmp_path / f"{name}.py").write_text("open('it-ran', 'w')")
    ended = start("sweep", "tiny.toml", "--out", "all", cwd=tmp_path, installed=True).wait()
    assert ended.returncode == 0, ended
    assert not (tmp_path / "it-ran").exists()


def test_workers_end_with_a_run_that_is_killed(folder, start):
    process = start("run", "tiny.toml", "--out", folder / "killed", *ENDLESS, "--set", "data.workers=2", cwd=folder)
    process.until(logged(folder / "killed"))
    os.kill(process.pid, signal.SIGKILL)
    _, seconds = ends_soon(process)
    assert seconds < SECONDS


@pytest.mark.parametrize("training", [True, False])
def test_a_killed_process_ends_the_others_with_the_reason(folder, start, training):
    run = folder / f"two {training}"
    process = start("run", "tiny.toml", "--out", run, *ENDLESS, "--devices", 2, cwd=folder)
    process.until(logged(run) if training else lambda: bool(children(process.pid)))
    os.kill(max(children(process.pid)), signal.SIGKILL)
    done, seconds = ends_soon(process)
    done.mistake("Another of the 2 processes has ended", "lower data.batch or data.workers", code=1)
    assert seconds < SECONDS
    if training:
        assert status(run)["state"] == "failed" and "Another of the 2" in status(run)["message"]


@pytest.fixture
def alone(monkeypatch):
    """No variable says anything of other processes; gives what sets some."""
    for name in (*RANKS, *STARTED):
        monkeypatch.delenv(name, raising=False)
    return lambda **variables: [monkeypatch.setenv(name, value) for name, value in variables.items()]


TORCHRUN = {"TORCHELASTIC_RUN_ID": "1", "LOCAL_WORLD_SIZE": "2", "WORLD_SIZE": "4", "RANK": "3", "LOCAL_RANK": "1"}
TORCHRUN |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": "1"}
BY_HAND = {"LOCAL_RANK": "1", "NODE_RANK": "1", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": "1"}
SRUN = {"SLURM_STEP_NUM_TASKS": "4", "SLURM_PROCID": "3"}


@pytest.mark.parametrize(
    ("variables", "train", "expected"),
    [
        ({}, {}, Place(1, 1, 0)),
        ({"SLURM_PROCID": "1"}, {}, Place(1, 1, 0)),
        ({"RANK": "1"}, {}, Place(1, 1, 0)),
        ({"LOCAL_WORLD_SIZE": "2"}, {}, Place(1, 1, 0)),
        ({"LOCAL_WORLD_SIZE": "x"}, {}, Place(1, 1, 0)),
        ({"SLURM_NTASKS": "4", "SLURM_PROCID": "0"}, {}, Place(1, 1, 0)),
        (SRUN, {}, Place(1, 1, 0)),  # four independent tasks
        (SRUN, {"devices": 2, "nodes": 2}, Place(2, 2, 3, 1, "srun")),
        ({"SLURM_NTASKS": "4", "SLURM_PROCID": "0"}, {"devices": 4}, Place(4, 1, 0)),  # in a job, without srun
        (TORCHRUN, {}, Place(2, 2, 3, 1, "torchrun")),
        (BY_HAND, {"devices": 2, "nodes": 2}, Place(2, 2, 3, 1)),
    ],
    ids=str,
)
def test_a_process_knows_its_place(alone, variables, train, expected):
    alone(**variables)
    assert place(TrainOptions(images=1, **train)) == expected


@pytest.mark.parametrize(
    ("variables", "words"),
    [
        ({"RANK": "x"}, "RANK='x'"),
        ({"SLURM_PROCID": "-1"}, "SLURM_PROCID='-1'"),
        ({"LOCAL_RANK": "\u0663"}, "LOCAL_RANK"),
        ({"LOCAL_RANK": "1"}, "MASTER_PORT is not set"),
        ({"TORCHELASTIC_RUN_ID": "1", "WORLD_SIZE": "2"}, "LOCAL_WORLD_SIZE is not set"),
        (TORCHRUN | {"WORLD_SIZE": "2", "LOCAL_WORLD_SIZE": "0"}, "LOCAL_WORLD_SIZE='0'"),
    ],
    ids=str,
)
def test_variables_that_make_no_sense_are_named(alone, variables, words):
    alone(**variables)
    with pytest.raises(GanzooError, match="Unset RANK") as told:
        place(TrainOptions(images=1, devices=2))
    assert words in str(told.value)


def test_independent_tasks_of_a_job_run_and_speak(folder, ganzoo):
    env = {"SLURM_PROCID": "1", "RANK": "1", "LOCAL_WORLD_SIZE": "4", "SLURM_NTASKS": "4"}
    done = ganzoo("run", "tiny.toml", "--out", "task", "--set", "train.images=2", cwd=folder, env=env)
    assert done.returncode == 0 and "1 x cpu" in done.stdout and done.stderr == "", done
    ganzoo("run", "tiny.toml", cwd=folder, env={"RANK": "x"}).mistake("RANK='x' in the environment is no number")


@pytest.mark.parametrize("kind", ["pipe", "terminal", "full"])
def test_a_screen_that_nobody_sees_goes_quiet(monkeypatch, kind):
    reading, writing = pty.openpty() if kind == "terminal" else os.pipe()
    stream = open("/dev/full", "w") if kind == "full" else os.fdopen(writing, "w")  # noqa: SIM115 - its end fails
    monkeypatch.setattr(sys, "stdout", stream)
    monkeypatch.setenv("TERM", "xterm")
    screen = make_screen(0)
    assert isinstance(screen, RichScreen if kind == "terminal" else PlainScreen)
    screen.start(0, 10)
    os.close(reading)
    for _ in range(2):
        screen.say("something")
        screen.start(0, 10)
        screen.record({"terms": {"G": {"G_adv": 0.5}}, "images_per_s": 1.0})
        screen.advance(10)
    time.sleep(0.2)  # a terminal is drawn by a thread
    screen.stop()
    screen.say("the end")
    monkeypatch.setattr(sys, "stderr", stream)
    tell("an error that nobody sees")


def test_no_screen_at_all(monkeypatch):
    """As daemons have it."""
    monkeypatch.setattr(sys, "stdout", None)
    monkeypatch.setattr(sys, "stderr", None)
    make_screen(0).say("something")
    tell("an error")


def test_what_is_beside_the_training_cannot_end_it(folder, ganzoo):
    """A report, a sample grid and metrics that fail; and a source and a metric of a plugin that is one file."""
    more = ("--set", "data.source=mine", "--set", "data.workers=1", "--set", 'train.metrics=["l1", "boom"]')
    run = folder / "beside"
    run.mkdir()
    first = ("--plugin", "single.py", "run", "tiny.toml", "--out", "beside", "--set", "train.images=12", *more)
    done = ganzoo(*first, cwd=folder)
    assert done.returncode == 0, done
    assert "Warning: ValueError: boom. Training has finished, without metrics: ganzoo evaluate beside" in done.stdout
    (run / "report.html").unlink()
    (run / "report.html").mkdir()
    (run / "samples" / "000000014.png").mkdir()
    again = ("run", "beside", "--resume", "--set", "train.images=14", "--set", 'train.metrics=["l1"]')
    done = ganzoo("--plugin", "single.py", *again, "--set", "data.workers=0", cwd=folder)
    assert done.returncode == 0, done
    assert "report.html cannot be written (Is a directory). The report is not up to date." in done.stdout
    assert "000000014.png cannot be written (Is a directory). This sample grid is missing." in done.stdout
    assert status(run)["state"] == "finished" and (run / "metrics.json").exists()


def test_metrics_that_cannot_be_had_are_known_before_the_first_image(folder, ganzoo):
    env = UNREACHABLE | {"TORCH_HOME": str(folder / "hub")}
    done = ganzoo("run", "tiny.toml", "--out", "fid", "--set", 'train.metrics=["fid"]', cwd=folder, env=env)
    done.mistake("weights of the Inception network", "cannot be downloaded", code=2)
    assert not (folder / "fid" / "status.json").exists()


def test_too_little_memory_is_told_apart():
    with pytest.raises(RuntimeError) as error:
        torch.empty(1 << 60)
    assert out_of_memory(error.value) and out_of_memory(MemoryError()) and not out_of_memory(RuntimeError("shape"))
