"""`ganzoo run` as a user has it: the run folder, changes, stopping and going on."""

import json
import re
import shlex
import shutil
import signal
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
import torch
from PIL import Image

from ganzoo import checkpoint
from ganzoo.options import TrainOptions
from ganzoo.runfolder import RunFolder
from ganzoo.runtime import Runtime, settled_precision

FILES = ("env.json", "log.jsonl", "metrics.json", "recipe.toml", "report.html", "status.json")


@pytest.fixture(scope="module")
def place(tmp_path_factory, recipe):
    folder = tmp_path_factory.mktemp("run")
    recipe(folder, {"train.keep": 2})
    return folder


@pytest.fixture(scope="module")
def finished(place, start):
    """RUN and what the program said, the installed one: 24 images, 2 a step, a checkpoint every 10."""
    done = start("run", "tiny.toml", cwd=place, installed=True).wait()
    assert done.returncode == 0, done
    return place / "runs" / "tiny", done


def tables(text):
    return tomllib.loads(text)


def read_log(run):
    return [json.loads(line) for line in (run / "log.jsonl").read_text().splitlines()]


def content(folder):
    return {str(p.relative_to(folder)): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


def test_the_run_folder_is_whole(finished):
    run, _ = finished
    assert sorted(content(run)) == sorted(
        [
            *FILES,
            *(f"samples/{images:09d}.png" for images in (0, 12, 24)),
            *(
                f"checkpoints/{images:09d}/{file}"
                for images in (20, 24)
                for file in ("networks.safetensors", "state.json", "training.safetensors")
            ),
        ]
    )
    assert json.loads((run / "status.json").read_text()) == {
        "state": "finished",
        "images": 24,
        "checkpoint": 24,
        "message": "",
    }
    assert len({file.stat().st_mode for file in run.rglob("*") if file.is_file()}) == 1, "all may be read by the same"


def test_the_log_has_a_line_every_log_every(finished):
    lines = read_log(finished[0])
    assert [line["images"] for line in lines] == [4, 8, 12, 16, 20, 24]
    terms = {"G": ["G_adv", "cycle", "idt"], "D": ["D"]}
    for line in lines:
        assert line.keys() == {"images", "terms", "lr", "seconds", "images_per_s", "memory_gb"}
        for phase, names in terms.items():
            assert line["terms"][phase].keys() == {f"{name}_{domain}" for name in names for domain in "AB"}
    seconds = [line["seconds"] for line in lines]
    assert seconds == sorted(seconds)
    # constant for 12 images, then linear to zero; a line tells the rate that the next step has
    assert [line["lr"]["G"] for line in lines] == pytest.approx(
        [2e-4 * min(1, (24 - i) / 12) for i in (4, 8, 12, 16, 20, 24)]
    )


def test_samples_show_test_pictures_there_and_back(finished):
    grids = [Image.open(finished[0] / "samples" / f"{images:09d}.png") for images in (0, 24)]
    assert grids[0].size == grids[1].size
    assert grids[0].width > 6 * 32  # image, translation and reconstruction, in both directions
    assert grids[0].height > 3 * 32  # a row for each test image
    assert grids[0].tobytes() != grids[1].tobytes()


def test_the_environment_is_on_the_record(finished):
    facts = json.loads((finished[0] / "env.json").read_text())
    assert facts["plugin"] == {"distribution": "ganzoo-cyclegan", "version": "0.1.0"}
    (begun,) = facts["history"]
    assert (begun["command"], begun["images"], begun["warnings"]) == ("ganzoo run tiny.toml", 0, [])
    assert facts["libraries"].keys() >= {"torch", "lightning-fabric", "pillow"}
    assert facts["fallback"] is None


def test_the_report_is_one_page_with_everything(finished):
    page = (finished[0] / "report.html").read_text()
    for word in ("cyclegan", "G_adv_A", "cycle_B", "data:image/", "finished"):
        assert word in page
    assert not re.search(r'(src|href)="(?!data:|#)', page), "it must not need other files"


def test_it_says_how_to_use_what_was_trained(finished):
    _, done = finished
    assert "24/24 images" in done.stdout
    assert "runs/tiny/report.html" in done.stdout
    assert "ganzoo translate runs/tiny PICTURES OUTPUT" in done.stdout
    assert done.stderr == ""


def test_metrics_are_in_the_folder(finished):
    metrics = json.loads((finished[0] / "metrics.json").read_text())
    assert metrics.keys() == {"A->B", "B->A"}
    assert all(0 < values["cycle_l1"] < 1 for values in metrics.values())


def test_a_dry_run_is_a_recipe_that_says_the_same(place, finished, ganzoo):
    dry = ganzoo("run", "tiny.toml", "--dry-run", "--set", "data.flip=false", "--set", "options.loss=hinge", cwd=place)
    assert dry.returncode == 0, dry
    (place / "dry.toml").write_text(dry.stdout)
    again = ganzoo("run", "dry.toml", "--dry-run", cwd=place)
    assert tables(again.stdout) == tables(dry.stdout)
    assert tables(dry.stdout)["data"]["flip"] is False
    assert tables(dry.stdout)["options"]["loss"] == "hinge"
    resolved = tables((finished[0] / "recipe.toml").read_text())
    assert {key for table in resolved.values() if isinstance(table, dict) for key in table} >= {"flip", "betas", "seed"}
    resolved["data"]["flip"], resolved["options"]["loss"] = False, "hinge"
    resolved["train"]["threads"] = "auto"  # it is a number once the run has begun
    assert tables(dry.stdout) == resolved
    assert not (place / "runs" / "dry").exists()


def test_quick_applies_its_table_and_has_its_own_folder(tmp_path, ganzoo, recipe):
    text = recipe(tmp_path, {"train.images": 400_000}).read_text()
    quick = '\n[quick]\ntrain.images = 4\n"data.batch" = 1\n[quick.options]\npool = 0\n'
    (tmp_path / "tiny.toml").write_text(text + quick)
    done = ganzoo("run", "tiny.toml", "--quick", "--set", "data.batch=2", cwd=tmp_path)
    assert done.returncode == 0, done
    resolved = tables((tmp_path / "runs" / "tiny-quick" / "recipe.toml").read_text())
    assert (resolved["train"]["images"], resolved["data"]["batch"], resolved["options"]["pool"]) == (4, 2, 0)
    assert "quick" not in resolved
    recipe(tmp_path)
    ganzoo("run", "tiny.toml", "--quick", cwd=tmp_path).mistake("tiny.toml has no [quick] table")


def test_a_finished_run_is_never_overwritten(place, finished, ganzoo):
    run, _ = finished
    before = content(run)
    ganzoo("run", "tiny.toml", cwd=place).mistake("runs/tiny exists", "--resume", "--out")
    ganzoo("run", run, cwd=place).mistake("tiny exists", "--resume")
    assert content(run) == before


@pytest.mark.parametrize(
    "change", ["data.batch=4", "options.lr=0.1", "train.seed=3", "train.constant=0.9", "data.size=64", "model=other"]
)
def test_what_changes_the_mathematics_is_refused(place, finished, ganzoo, change):
    run, _ = finished
    before = content(run)
    words = ["There is no model"] if "model" in change else [f"{change.split('=')[0]} cannot change", "train.images"]
    ganzoo("run", run, "--resume", "--set", change, cwd=place).mistake(*words)
    assert content(run) == before


def test_a_run_can_be_made_longer(place, finished, ganzoo):
    run = shutil.copytree(finished[0], place / "longer")
    before = read_log(run)
    # as it was begun, with --resume and more images; a change to what it is already is none
    done = ganzoo(
        *("run", "tiny.toml", "--out", run, "--resume", "--set", "data.batch=2", "--set", "train.images=30"), cwd=place
    )
    assert done.returncode == 0, done
    assert "Going on from image 24 of 30" in done.stdout
    warning = "Warning: the learning rate follows the new train.images: G 0 before, 8e-05 from here on, D 0 before"
    assert warning in done.stdout
    assert read_log(run)[:6] == before
    assert read_log(run)[6]["lr"]["G"] == pytest.approx(2e-4 * (30 - 28) / 15)
    assert [line["images"] for line in read_log(run)[6:]] == [28, 30]
    assert RunFolder(run).latest().name == "000000030"
    assert tables((run / "recipe.toml").read_text())["train"]["images"] == 30


def test_a_run_goes_on_with_the_schedule_it_had(place, finished, ganzoo):
    run = shutil.copytree(finished[0], place / "kept")
    shutil.rmtree(run / "checkpoints" / "000000024")
    done = ganzoo("run", run, "--resume", "--set", "train.sample_every=4", cwd=place)
    assert done.returncode == 0, done
    assert "Going on from image 20 of 24" in done.stdout and "Warning" not in done.stdout
    untimed = [{key: line[key] for key in ("images", "terms", "lr")} for line in read_log(run)]
    assert untimed == [{key: line[key] for key in ("images", "terms", "lr")} for line in read_log(finished[0])]


def test_checkpoints_that_are_gone_are_missed(place, finished, ganzoo):
    run = shutil.copytree(finished[0], place / "emptied")
    shutil.rmtree(run / "checkpoints")
    before = content(run)
    ganzoo("run", run, "--resume", cwd=place).mistake("was trained to image 24", "holds no checkpoint", "back")
    assert content(run) == before


def test_a_checkpoint_that_a_signal_left_is_missed_too(place, finished, ganzoo):
    """Before the first regular one: the log alone could be that of a run that was killed."""
    run = shutil.copytree(finished[0], place / "emptied early")
    shutil.rmtree(run / "checkpoints")
    (run / "log.jsonl").write_text((run / "log.jsonl").read_text().splitlines(keepends=True)[0])
    ganzoo("run", run, "--resume", cwd=place).mistake("was trained to image 24", "holds no checkpoint", "back")


def test_a_checkpoint_of_another_recipe_is_refused(place, finished, ganzoo):
    run = shutil.copytree(finished[0], place / "two recipes")
    text = (run / "recipe.toml").read_text()
    assert "lr = 0.0002\n" in text
    (run / "recipe.toml").write_text(text.replace("lr = 0.0002\n", "lr = 0.0001\n"))
    before = content(run)
    ganzoo("run", run, "--resume", cwd=place).mistake(
        "checkpoints/000000024 was trained with another recipe than", "they differ in options.lr", "another --out"
    )
    assert content(run) == before


def test_every_start_is_on_the_record_and_so_is_other_data(place, finished, images, ganzoo):
    run, data = shutil.copytree(finished[0], place / "recorded"), shutil.copytree(images, place / "data")
    more = ("run", "recorded", "--resume", "--set", f"data.root={data}", "--set")
    moved = ganzoo(*more, "train.images=26", cwd=place)
    assert moved.returncode == 0 and "training images" not in moved.stdout, moved
    shutil.copy(data / "trainA" / "0.png", data / "trainA" / "new.png")
    done = ganzoo(*more, "train.images=28", cwd=place)
    assert done.returncode == 0, done
    said = "not the training images that the run saw before (8 of A, 8 of B then, 9 of A, 8 of B now"
    assert said in done.stdout
    history = json.loads((run / "env.json").read_text())["history"]
    assert [line["images"] for line in history] == [0, 24, 26]
    assert [line["command"].split()[1:3] for line in history] == [["run", "tiny.toml"], *2 * [["run", "recorded"]]]
    assert [any("training images" in warning for warning in line["warnings"]) for line in history] == [
        False,
        False,
        True,
    ]
    page = (run / "report.html").read_text()
    assert "ganzoo run tiny.toml" in page and "train.images=26" in page and "not the training images" in page
    (data / "trainA" / "new.png").rename(data / "trainA" / "000.png")  # as many, in another order
    again = ganzoo(*more, "train.images=30", cwd=place)
    assert "9 of A, 8 of B then, 9 of A, 8 of B now" in again.stdout


def test_only_checkpoints_are_removed_from_their_folder(place, finished, ganzoo):
    run = shutil.copytree(finished[0], place / "shared")
    mine = shutil.copytree(run / "checkpoints" / "000000020", place / "elsewhere")
    (run / "checkpoints" / "000000004").symlink_to(mine)
    (run / "checkpoints" / ".git").mkdir()
    (run / "checkpoints" / ".DS_Store").touch()
    (run / "checkpoints" / ".000000022").mkdir()
    (run / "checkpoints" / "2024").mkdir()
    (run / "checkpoints" / "000000020" / "notes.txt").touch()
    done = ganzoo("run", run, "--resume", "--set", "train.images=28", cwd=place)
    assert done.returncode == 0, done
    names = {path.name for path in (run / "checkpoints").iterdir()}
    assert names == {".DS_Store", ".git", "000000004", "2024", "000000020", "000000024", "000000028"}
    assert {path.name for path in (run / "checkpoints" / "000000020").iterdir()} == {"notes.txt"}
    assert "Warning: [Errno 39] Directory not empty" in done.stdout and "An older checkpoint stays." in done.stdout
    assert len(list(mine.iterdir())) == 3


def test_a_pipe_that_is_closed_does_not_end_the_training(place, start, recipe):
    recipe(place, name="piped.toml")
    code = "import sys, time; print(sys.stdin.readline()); sys.stdin.close(); time.sleep(0.1)"
    command = f"{Path(sys.executable).with_name('ganzoo')} run piped.toml --out piped | {sys.executable} -c '{code}'"
    done = subprocess.run(command, shell=True, cwd=place, capture_output=True, text=True, timeout=180)
    assert "cyclegan on folders" in done.stdout and done.stderr == ""
    assert json.loads((place / "piped" / "status.json").read_text())["state"] == "finished"


def test_a_recipe_that_was_edited_meanwhile_does_not_change_a_run(place, finished, ganzoo, recipe):
    run = shutil.copytree(finished[0], place / "edited")
    recipe(place, {"train.keep": 2, "options.lr": 0.5, "train.precision": "64"}, name="edited.toml")
    done = ganzoo("run", "edited.toml", "--out", "edited", "--resume", "--set", "train.images=26", cwd=place)
    assert done.returncode == 0, done
    assert "Not taken from edited.toml: options.lr, train.precision" in done.stdout
    weights, _ = checkpoint.load_networks(RunFolder(run).latest())
    assert {str(value.dtype) for value in weights.values()} == {"torch.float32"}
    recipe(place, {"train.precision": "auto"}, name="auto.toml")  # which was settled when the run began
    again = ganzoo("run", "auto.toml", "--out", "edited", "--resume", "--set", "train.images=26", cwd=place)
    assert again.returncode == 0 and "train.precision" not in again.stdout
    assert read_log(run)[-1]["lr"]["G"] <= 2e-4


@pytest.mark.parametrize(("number", "code", "workers"), [(signal.SIGTERM, 143, 0), (signal.SIGINT, 130, 2)])
def test_a_signal_finishes_the_step_saves_and_says_how_to_go_on(place, start, ganzoo, number, code, workers):
    run = place / f"stopped by {number.name}"
    endless = ("--set", "train.images=400000", "--set", f"data.workers={workers}")
    process = start("run", "tiny.toml", "--out", run.name, *endless, cwd=place)
    process.until(lambda: (run / "log.jsonl").exists() and read_log(run))
    process.send(number)
    done = process.wait()
    assert done.returncode == code, done
    assert "Traceback" not in done.stderr
    said = re.fullmatch(r"Stopped and saved at image ([\d,]+)\. Go on with: ganzoo (run .* --resume)\n", done.stderr)
    assert said, done.stderr
    images = int(said[1].replace(",", ""))
    assert RunFolder(run).latest().name == f"{images:09d}"
    status = json.loads((run / "status.json").read_text())
    assert (status["state"], status["images"]) == ("stopped", images)
    resumed = ganzoo(*shlex.split(said[2]), "--set", f"train.images={images + 4}", cwd=place)
    assert resumed.returncode == 0, resumed
    assert f"Going on from image {images} of {images + 4}" in resumed.stdout
    seen = [line["images"] for line in read_log(run)]
    assert seen == sorted({*range(4, images + 5, 4), images + 4})
    assert json.loads((run / "status.json").read_text())["state"] == "finished"


def test_ctrl_c_while_measuring_ends_at_once_and_nothing_is_lost(tmp_path, start, ganzoo, recipe):
    recipe(tmp_path, {"data.source": "landscapes", "data.root": None, "data.size": 128, "train.images": 2})
    process = start("run", "tiny.toml", "--out", "out", cwd=tmp_path)
    process.until(lambda: "Measuring" in process.so_far.stdout)
    process.send(signal.SIGINT)
    done = process.wait()
    said = (
        "Stopped at image 2. The last good checkpoint is out/checkpoints/000000002. Go on with: ganzoo run out --resume"
    )
    assert (done.returncode, done.stderr.strip()) == (130, said)
    status = json.loads((tmp_path / "out" / "status.json").read_text())
    assert (status["state"], status["message"]) == ("stopped", said)
    assert not (tmp_path / "out" / "metrics.json").exists()
    done = ganzoo("run", "out", "--resume", cwd=tmp_path)
    assert done.returncode == 0, done
    assert "ssim" in done.stdout
    assert (tmp_path / "out" / "metrics.json").exists()


@pytest.mark.parametrize(("units", "precision"), [(True, "bf16-mixed"), (False, "32")])
def test_automatic_precision_follows_the_processor(monkeypatch, units, precision):
    monkeypatch.setattr(torch.cpu, "_is_amx_tile_supported", lambda: units)
    train = TrainOptions(images=1, device="cpu", precision="auto")
    assert settled_precision(train) == precision
    assert Runtime(train, 1).fabric.strategy.precision.precision.startswith(precision)
    assert settled_precision(train.model_copy(update={"precision": "64"})) == "64"


def test_a_run_keeps_the_precision_that_it_began_with(tmp_path, recipe, ganzoo):
    recipe(tmp_path, {"train.images": 4, "train.precision": "auto"})
    done = ganzoo("run", "tiny.toml", "--out", "run", cwd=tmp_path)
    assert done.returncode == 0, done
    assert tables((tmp_path / "run" / "recipe.toml").read_text())["train"]["precision"] in ("32", "bf16-mixed")
