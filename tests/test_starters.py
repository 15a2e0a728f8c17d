"""Whoever starts the processes of a run, it trains the same weights; and one that is lost is told, or started again."""

import json
import os
import signal
import socket
import subprocess
import sys
from itertools import chain
from pathlib import Path

import pytest
import torch

from ganzoo import checkpoint
from ganzoo.errors import GanzooError
from ganzoo.options import TrainOptions
from ganzoo.runfolder import RunFolder
from ganzoo.runtime import RANKS, STARTERS, place

TORCHRUN = [sys.executable, "-m", "torch.distributed.run"]
PATIENCE = 180  # seconds until processes are taken to hang
PLUGIN = '''
import os
import signal
from pathlib import Path

from ganzoo import hookimpl
from ganzoo_cyclegan.model import CycleGAN


class Mortal(CycleGAN):
    """CycleGAN; the process of a number in the environment is killed at image 8, once."""

    def discriminator_loss(self, batch, carry):
        killed = Path("killed")
        if self.clock.images == 8 and os.environ.get("KILL") == str(self.clock.rank) and not killed.exists():
            killed.touch()
            os.kill(os.getpid(), signal.SIGKILL)
        return super().discriminator_loss(batch, carry)


@hookimpl
def register_models(register):
    register("mortal", "mortal:Mortal", data_kind="unpaired")
'''
TRAIN = {"train.images": 12, "train.checkpoint_every": 4, "train.threads": 1}
RUN = ("--plugin", "mortal.py", "run", "tiny.toml", "--out")


@pytest.fixture(scope="module")
def folder(tmp_path_factory, recipe):
    folder = tmp_path_factory.mktemp("starters")
    recipe(folder, {"model": "mortal", "train.metrics": [], **TRAIN})
    (folder / "mortal.py").write_text(PLUGIN)
    return folder


@pytest.fixture(scope="module")
def begin(folder, start):
    """`begin(out, said, *args)` starts `ganzoo run`, as task 0 and 1, with the variables that `said(rank)` gives."""

    def begin(out, said, *args):
        return [start(*RUN, out, *args, cwd=folder, env=said(rank)) for rank in range(2)]

    return begin


@pytest.fixture(scope="module")
def usual(folder, begin):
    """The weights that two processes train, started by hand on two "machines"."""
    met = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(free_port()), "WORLD_SIZE": "2"}
    tasks = begin("by hand", lambda rank: met | {"RANK": str(rank)}, "--set", "train.nodes=2")
    check(task.wait() for task in tasks)
    return weights(folder / "by hand")


def check(done):
    """That two tasks ended well, and the first one spoke for both."""
    first, second = done
    assert (first.returncode, first.stderr) == (second.returncode, second.stderr) == (0, ""), (first, second)
    assert "2 x cpu" in first.stdout and not second.stdout


def weights(run):
    return checkpoint.load_networks(RunFolder(run).checkpoint(12))[0]


def assert_equal(ours, theirs):
    """To the bit."""
    assert ours.keys() == theirs.keys()
    assert all(torch.equal(ours[name], theirs[name]) for name in ours)


def free_port():
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return free.getsockname()[1]


def srun(rank, job):
    """What srun says to one of two tasks on two nodes, from a shell as salloc gives it."""
    numbers = {"STEP_NUM_TASKS": 2, "NTASKS": 2, "PROCID": rank, "LOCALID": 0, "NODEID": rank, "JOB_ID": job}
    facts = {"STEP_NODELIST": "127.0.0.[1-2]", "JOB_NAME": "bash"} | numbers
    return {f"SLURM_{name}": str(value) for name, value in facts.items()}


def torchrun(folder, args, *more, env):
    """Begins torchrun with `ganzoo ARGS`."""
    program = Path(sys.executable).with_name("ganzoo")
    return subprocess.Popen(
        [*TORCHRUN, *more, program, *args],
        cwd=folder, env=os.environ | env, text=True,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip


def ended(agents):
    """What they said, after checking that they ended well; nothing of them is left."""
    try:
        said = [agent.communicate(timeout=PATIENCE) for agent in agents]
    finally:
        for agent in agents:
            agent.terminate()  # it ends its processes, too
            agent.wait(PATIENCE)
    assert all(agent.returncode == 0 for agent in agents), said
    return said


def test_a_lost_process_of_two_machines_is_started_again(folder, usual):
    """By torchrun, on each of two "machines"; then it goes on by itself."""
    options = ("--nnodes=2", "--nproc-per-node=1", "--max-restarts=3", "--local-addr=127.0.0.1", "--rdzv-backend=c10d")
    more = (*options, f"--rdzv-endpoint=127.0.0.1:{free_port()}")
    agents = [torchrun(folder, (*RUN, "again", "--resume"), *more, env={"KILL": "1"}) for _ in range(2)]
    said, errors = zip(*ended(agents), strict=True)
    (folder / "killed").unlink()
    assert "".join(said).count("Going on from image 8 of 12.") == 1, (said, errors)
    assert "".join(errors).count("Error: Another of the 2 processes has ended") == 1, errors
    history = json.loads((folder / "again" / "env.json").read_text())["history"]
    assert len(history) == 2, "it was started once again, and no more often"
    assert_equal(weights(folder / "again"), usual)


@pytest.mark.parametrize("starter", ["srun", "mpirun", "mpiexec"])
def test_two_processes_of_any_starter_train_the_same(folder, usual, begin, starter):
    """Each as one machine's one process, but mpiexec's, which are on one machine."""
    port, devices = free_port(), 2 if starter == "mpiexec" else 1

    def said(rank):
        numbers = dict(zip(STARTERS["mpirun"], map(str, (2, 1, rank, 0)), strict=True))
        return {
            "srun": srun(rank, port),
            "mpirun": {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)} | numbers,
            "mpiexec": {"MASTER_PORT": str(port), "PMI_SIZE": "2", "PMI_RANK": str(rank)},
        }[starter]

    more = ("--set", f"train.devices={devices}", "--set", f"train.nodes={2 // devices}")
    check(task.wait() for task in begin(starter, said, *more))
    assert_equal(weights(folder / starter), usual)


@pytest.mark.parametrize("lost", [0, 1])
def test_a_lost_task_ends_the_others_with_a_sentence(folder, begin, lost):
    port = free_port()
    tasks = begin(f"lost {lost}", lambda rank: srun(rank, port) | {"KILL": str(lost)}, "--set", "train.nodes=2")
    done = [task.wait() for task in tasks]
    (folder / "killed").unlink()
    assert done[lost].returncode == -signal.SIGKILL, done
    done[1 - lost].mistake("Another of the 2 processes has ended", "killed", code=1)


def test_a_shell_of_slurm_is_no_run_of_several(folder, ganzoo):
    """As salloc and `srun --pty bash` give it: for one task, and of a name that Lightning knows."""
    env = {"SLURM_JOB_NAME": "bash", "SLURM_NTASKS": "2", "SLURM_PROCID": "0", "SLURM_STEP_NUM_TASKS": "1"}
    done = ganzoo(*RUN, "shell", "--set", "train.images=2", cwd=folder, env=env)
    assert done.returncode == 0 and "1 x cpu" in done.stdout and done.stderr == "", done


@pytest.mark.parametrize(
    ("variables", "train", "words"),
    [
        (
            "TORCHELASTIC_RUN_ID=1 WORLD_SIZE=2 LOCAL_WORLD_SIZE=2",
            {"devices": 4},
            "WORLD_SIZE=2 .* ask for 4 processes",
        ),
        (
            "TORCHELASTIC_RUN_ID=1 WORLD_SIZE=4 LOCAL_WORLD_SIZE=3",
            {},
            "WORLD_SIZE=4 is no multiple of LOCAL_WORLD_SIZE=3",
        ),
        ("TORCHELASTIC_RUN_ID=1 WORLD_SIZE=4 LOCAL_WORLD_SIZE=2 RANK=4", {}, "RANK=4 .* not below 4"),
        (
            "TORCHELASTIC_RUN_ID=1 WORLD_SIZE=4 LOCAL_WORLD_SIZE=2 RANK=3 LOCAL_RANK=2",
            {},
            "LOCAL_RANK=2 .* not below 2",
        ),
        (
            "TORCHELASTIC_RUN_ID=1 WORLD_SIZE=4 LOCAL_WORLD_SIZE=4 RANK=3 LOCAL_RANK=3 SLURM_STEP_NUM_TASKS=2",
            {},
            "srun started 2 tasks .* torchrun in each of them 4 processes",
        ),
        ("RANK=1", {"devices": 2}, "WORLD_SIZE is not set"),
        ("RANK=1 WORLD_SIZE=4", {"devices": 2}, "WORLD_SIZE=4 .* ask for 2 processes"),
        ("LOCAL_RANK=2 MASTER_PORT=1", {"devices": 2}, "LOCAL_RANK=2 .* not below 2"),
        ("SLURM_STEP_NUM_TASKS=2 SLURM_PROCID=0", {"devices": 4}, "SLURM_STEP_NUM_TASKS=2 .* ask for 4"),
        ("OMPI_COMM_WORLD_SIZE=4", {"devices": 2}, "OMPI_COMM_WORLD_SIZE=4 .* ask for 2"),
        ("PMI_SIZE=2 PMI_RANK=1", {"devices": 2}, "MASTER_PORT is not set"),
        ("PMI_SIZE=2 PMI_RANK=1 MASTER_PORT=1", {"nodes": 2}, "MASTER_ADDR is not set"),
        ("", {"nodes": 2}, "MASTER_PORT is not set"),
        ("MASTER_PORT=1 MASTER_ADDR=a", {"nodes": 2}, "NODE_RANK is not set"),
    ],
)
def test_a_wrong_mixture_is_a_sentence(monkeypatch, variables, train, words):
    for name in {*RANKS, *chain(*STARTERS.values()), "TORCHELASTIC_RUN_ID", "MASTER_ADDR", "MASTER_PORT", "NODE_RANK"}:
        monkeypatch.delenv(name, raising=False)
    for pair in variables.split():
        monkeypatch.setenv(*pair.split("="))
    with pytest.raises(GanzooError, match=words):
        place(TrainOptions(images=1, **train))
