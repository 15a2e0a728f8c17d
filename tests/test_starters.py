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
    """CycleGAN; the process of a number in the environment is killed at image 16, once."""

    def discriminator_loss(self, batch, carry):
        killed = Path("killed")
        if self.clock.images == 16 and os.environ.get("KILL") == str(self.clock.rank) and not killed.exists():
            killed.touch()
            os.kill(os.getpid(), signal.SIGKILL)
        return super().discriminator_loss(batch, carry)


@hookimpl
def register_models(register):
    register("mortal", "mortal:Mortal", data_kind="unpaired")
'''
RUN = ("--plugin", "mortal.py", "run", "tiny.toml", "--out")


@pytest.fixture(scope="module")
def folder(tmp_path_factory, recipe):
    folder = tmp_path_factory.mktemp("starters")
    recipe(folder, {"model": "mortal", "train.metrics": [], "train.images": 24, "train.checkpoint_every": 8})
    (folder / "mortal.py").write_text(PLUGIN)
    return folder


@pytest.fixture(scope="module")
def usual(folder, start):
    """The weights that two processes of ganzoo's own train."""
    done = start(*RUN, "usual", "--devices", 2, cwd=folder).wait()
    assert done.returncode == 0, done
    return weights(folder / "usual")


def weights(run):
    return checkpoint.load_networks(RunFolder(run).checkpoint(24))[0]


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


def torchrun(folder, args, *more, env=None):
    """Begins torchrun with `ganzoo ARGS`, in a process group of its own."""
    program = Path(sys.executable).with_name("ganzoo")
    return subprocess.Popen(
        [*TORCHRUN, *more, program, *args],
        cwd=folder, env=os.environ | {"OMP_NUM_THREADS": "1"} | (env or {}), text=True, start_new_session=True,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip


def ended(agents):
    """What they said, after checking that they ended well; nothing of them is left."""
    try:
        said = [agent.communicate(timeout=PATIENCE) for agent in agents]
    finally:
        for agent in agents:
            if agent.poll() is None:
                os.killpg(agent.pid, signal.SIGKILL)
    assert all(agent.returncode == 0 for agent in agents), said
    return said


def test_a_lost_process_of_two_machines_is_started_again(folder, usual):
    """By torchrun, on each of two "machines"; then it goes on by itself."""
    options = ("--nnodes=2", "--nproc-per-node=1", "--max-restarts=3", "--local-addr=127.0.0.1", "--rdzv-backend=c10d")
    more = (*options, f"--rdzv-endpoint=127.0.0.1:{free_port()}")
    agents = [torchrun(folder, (*RUN, "again", "--resume"), *more, env={"KILL": "1"}) for _ in range(2)]
    said, errors = zip(*ended(agents), strict=True)
    (folder / "killed").unlink()
    assert "".join(said).count("Going on from image 16 of 24.") == 1, (said, errors)
    assert "".join(errors).count("Error: Another of the 2 processes has ended") == 1, errors
    history = json.loads((folder / "again" / "env.json").read_text())["history"]
    assert len(history) == 2, "it was started once again, and no more often"
    assert_equal(weights(folder / "again"), usual)


@pytest.mark.parametrize("starter", ["srun", "mpirun", "mpiexec", "by hand"])
def test_two_processes_of_any_starter_train_the_same(folder, usual, start, starter):
    """Each as one machine's one process, but mpiexec's, which are on one machine."""
    port, devices = free_port(), 2 if starter == "mpiexec" else 1
    met = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}

    def said(rank):
        return {
            "srun": srun(rank, port),
            "mpirun": met | {name: str(n) for name, n in zip(STARTERS["mpirun"], (2, 1, rank, 0), strict=True)},
            "mpiexec": {"MASTER_PORT": str(port), "PMI_SIZE": "2", "PMI_RANK": str(rank)},
            "by hand": met | {"WORLD_SIZE": "2", "RANK": str(rank)},
        }[starter]

    more = ("--set", f"train.devices={devices}", "--set", f"train.nodes={2 // devices}")
    tasks = [start(*RUN, starter, *more, cwd=folder, env=said(rank)) for rank in range(2)]
    done = [task.wait() for task in tasks]
    assert [(one.returncode, one.stderr) for one in done] == [(0, "")] * 2, done
    assert "2 x cpu" in done[0].stdout and not done[1].stdout
    assert_equal(weights(folder / starter), usual)


@pytest.mark.parametrize("lost", [0, 1])
def test_a_lost_task_ends_the_others_with_a_sentence(folder, start, lost):
    port = free_port()
    more = (f"killed-{lost}", "--set", "train.nodes=2")
    tasks = [start(*RUN, *more, cwd=folder, env=srun(rank, port) | {"KILL": str(lost)}) for rank in range(2)]
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
