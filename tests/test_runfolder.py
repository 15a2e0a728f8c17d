"""One run, one folder, one process: who else wants it is told, and nothing outside it is touched."""

import os
import shutil
import signal
import socket
import tomllib
from pathlib import Path

import pytest

from ganzoo import GanzooError, checkpoint
from ganzoo.runfolder import RunFolder

PARTS = [path.name for path in vars(RunFolder(Path())).values() if path.name]
ENDLESS = ("--set", "train.images=400000")


@pytest.fixture(scope="module")
def place(tmp_path_factory, recipe):
    folder = tmp_path_factory.mktemp("runfolder")
    recipe(folder)
    return folder


def test_a_run_that_goes_on_is_left_alone_and_its_lock_ends_with_it(place, start, ganzoo):
    run = place / "busy"
    process = start("run", "tiny.toml", "--out", "busy", *ENDLESS, "--set", "data.workers=1", cwd=place)
    process.until((run / "log.jsonl").exists)
    for args in (("run", "busy", "--resume"), ("run", "tiny.toml", "--out", "busy")):
        ganzoo(*args, cwd=place).mistake(f"busy is being trained by process {process.pid} on '{socket.gethostname()}'")
    assert process.running
    os.kill(process.pid, signal.SIGKILL)  # its worker lives on for some seconds
    done = ganzoo("run", "busy", "--resume", "--set", "train.images=12", "--set", "data.workers=0", cwd=place)
    assert done.returncode == 0, done
    assert not (run / ".lock").exists()


def test_of_two_that_begin_at_once_one_gets_the_folder(place, start):
    twins = {
        seed: start("run", "tiny.toml", "--out", "twins", "--set", f"train.seed={seed}", cwd=place) for seed in (3, 4)
    }
    done = {seed: process.wait() for seed, process in twins.items()}
    (winner,) = (seed for seed, result in done.items() if result.returncode == 0)
    done[7 - winner].mistake("twins")  # it is being trained, or exists by now
    assert tomllib.loads((place / "twins" / "recipe.toml").read_text())["train"]["seed"] == winner
    for folder in RunFolder(place / "twins").checkpoints():
        about = checkpoint.load_networks(folder)[1]
        assert tomllib.loads(about["recipe"])["train"]["seed"] == winner


@pytest.mark.parametrize("part", PARTS)
def test_a_part_that_is_a_link_is_refused(tmp_path, part):
    (tmp_path / "mine").write_text("mine")
    folder = RunFolder(tmp_path / "run")
    folder.path.mkdir()
    with folder.locked():
        pass
    (folder.path / part).symlink_to(tmp_path / "mine")
    with (
        pytest.raises(GanzooError, match=f"{part} is a link to .*mine.* whole run folder may be a link"),
        folder.locked(),
    ):
        pass
    assert [path.name for path in folder.path.iterdir()] == [part]
    assert (tmp_path / "mine").read_text() == "mine"


def test_a_run_folder_of_a_stranger_writes_nothing_elsewhere(tmp_path, run, ganzoo):
    evil, mine = shutil.copytree(run, tmp_path / "evil"), tmp_path / "mine"
    mine.mkdir()
    (mine / "rc").write_text("mine")
    for name in ("recipe.toml", "status.json", "env.json"):
        (evil / f".{name}").symlink_to(mine / "rc")  # where a fixed temporary name would be
    more = ("run", "evil", "--resume", "--set", "train.images=26")
    done = ganzoo(*more, cwd=tmp_path)
    assert done.returncode == 0, done
    shutil.move(evil / "samples", mine / "samples")
    (evil / "samples").symlink_to(mine / "samples")
    before = sorted(mine.rglob("*"))
    for args in (more, ("report", "evil")):
        ganzoo(*args, cwd=tmp_path).mistake("evil/samples is a link", "run folder may be a link")
    assert sorted(mine.rglob("*")) == before and (mine / "rc").read_text() == "mine"


def test_a_run_folder_may_itself_be_a_link(tmp_path, run, ganzoo):
    shutil.copytree(run, tmp_path / "disk")
    (tmp_path / "run").symlink_to(tmp_path / "disk")
    done = ganzoo("run", "run", "--resume", "--set", "train.images=26", cwd=tmp_path)
    assert done.returncode == 0, done
    assert RunFolder(tmp_path / "disk").latest().name == "000000026"


def test_a_folder_that_stays_empty_is_removed(tmp_path):
    with pytest.raises(GanzooError), RunFolder(tmp_path / "a" / "b").locked():
        raise GanzooError("no")
    assert not (tmp_path / "a").exists()
    (tmp_path / "mine").mkdir()
    with RunFolder(tmp_path / "mine").locked():
        pass
    assert (tmp_path / "mine").is_dir()
