"""Nothing is lost: a run that was killed again and again ends as one that never was."""

import contextlib
import json
import os
import random
import shutil
import signal
import time

import pytest
from safetensors import safe_open

from ganzoo.runfolder import RunFolder

TIMINGS = {"seconds", "images_per_s", "memory_gb", "logged_at", "sha256"}  # sums are also those of the seconds
RECIPE = {
    "options.loss": "wgan-gp",
    "options.discriminator_steps": 2,
    "train.images": 60,
    "train.checkpoint_every": 6,
    "train.sample_every": 30,
}

MODELS = {
    "gan": {
        "generator_width": 4,
        "discriminator_width": 4,
        "latent": 4,
        "generator": None,
        "discriminator": None,
        "pool": None,
    },
    "pix2pix": {"generator": {"name": "unet", "width": 2, "dropout": 0.5}, "pool": None},
    "unit": {"width": 4, "blocks": 2, "generator": None, "pool": None},
    "combogan": {"width": 4, "encoder_blocks": 1, "decoder_blocks": 1, "generator": None},
    "cyclegan": {"loss": "wgan-gp", "discriminator_steps": 2},
}


@pytest.fixture(scope="module")
def place(tmp_path_factory, recipe):
    folder = tmp_path_factory.mktemp("resume")
    recipe(folder, RECIPE)
    return folder


@pytest.fixture(scope="module")
def straight(place, ganzoo):
    """A run that nothing disturbed."""
    done = ganzoo("run", "tiny.toml", "--out", "straight", cwd=place)
    assert done.returncode == 0, done
    return place / "straight"


def content(run):
    """Everything that must be equal: weights, averages, optimizers, pools and settings of each checkpoint, and the log."""
    found = {"log": [without_timings(json.loads(line)) for line in (run / "log.jsonl").read_text().splitlines()]}
    for file in sorted((run / "checkpoints").rglob("*")):
        name = str(file.relative_to(run))
        if file.suffix == ".safetensors":
            with safe_open(file, framework="np") as tensors:
                arrays = {key: tensors.get_tensor(key) for key in tensors.keys()}  # noqa: SIM118
                facts = {key: (array.dtype, array.shape, array.tobytes()) for key, array in arrays.items()}
                found[name] = (facts, tensors.metadata())
        elif file.is_file():
            found[name] = without_timings(json.loads(file.read_text()))
    return found


def without_timings(node):
    """A line of the log, or the pairs that state.json keeps a dict as."""
    if isinstance(node, dict):
        return {key: without_timings(value) for key, value in node.items() if key not in TIMINGS}
    if isinstance(node, list):
        return [without_timings(item) for item in node if not (isinstance(item, list) and item and item[0] in TIMINGS)]
    return node


def assert_equal(run, straight):
    one, other = content(run), content(straight)
    assert one.keys() == other.keys()
    for name in one:
        assert one[name] == other[name], f"{name} differs"


def seen(run):
    """Images seen at the last whole line of the log."""
    lines = (run / "log.jsonl").read_bytes().splitlines(keepends=True) if (run / "log.jsonl").exists() else []
    return max((json.loads(line)["images"] for line in lines if line.endswith(b"\n")), default=0)


def test_the_comparison_sees_what_it_should(straight):
    found = content(straight)
    assert [line["images"] for line in found["log"]] == list(range(4, 61, 4))
    assert sorted(name for name in found if name != "log") == [
        f"checkpoints/{images:09d}/{file}"
        for images in (48, 54, 60)
        for file in ("networks.safetensors", "state.json", "training.safetensors")
    ]
    weights, about = found["checkpoints/000000060/networks.safetensors"]
    assert about["model"] == "cyclegan"
    assert {name.split(".")[0] for name in weights} == {"G", "D", "ema"}
    training, _ = found["checkpoints/000000060/training.safetensors"]
    for part in ("engine.optimizers.0", "engine.optimizers.1", "engine.stateful.pool.A", "engine.ema"):
        assert any(name.startswith(part) for name in training), f"{part} is not among {sorted(training)}"


@pytest.mark.parametrize("model", MODELS)
def test_ten_random_kills(tmp_path, model, recipe, start, ganzoo):
    often = {"train.images": 40, "train.checkpoint_every": 4, "train.log_every": 2, "train.sample_every": 1000}
    recipe(
        tmp_path, {"model": model, "train.metrics": []} | often | {f"options.{k}": v for k, v in MODELS[model].items()}
    )
    done = ganzoo("run", "tiny.toml", "--out", "straight", cwd=tmp_path)
    assert done.returncode == 0, done
    run, moments = tmp_path / "killed", random.Random()
    for _ in range(10):
        last = RunFolder(run).latest()
        goal, later = int(last.name if last else 0) + moments.choice((0, 1, 2, 2, 4, 4, 6)), moments.random() / 4
        print(f"killed {later:.3f} s after image {goal}")  # shown where the test fails
        process = start("run", "tiny.toml", "--out", run, "--resume", cwd=tmp_path)
        process.until(lambda goal=goal: seen(run) >= min(goal, 40))
        time.sleep(later)
        with contextlib.suppress(ProcessLookupError):  # it may have come to its end just now
            os.kill(process.pid, signal.SIGKILL)
        assert process.wait().returncode in (-signal.SIGKILL, 0)
    done = ganzoo("run", "tiny.toml", "--out", run, "--resume", cwd=tmp_path)
    assert done.returncode == 0, done
    assert_equal(run, tmp_path / "straight")


def test_killed_while_a_checkpoint_is_written(place, straight, start, ganzoo):
    run = place / "half"
    process = start("run", "tiny.toml", "--out", run, cwd=place)
    process.until(lambda: seen(run) >= 24 and any((run / "checkpoints").glob(".*")))
    process.send(signal.SIGKILL)
    process.wait()
    last = max(p for p in (run / "checkpoints").iterdir() if p.name[0] != ".")
    half = last.with_name(f".{int(last.name) + 6:09d}")
    half.mkdir(exist_ok=True)  # it may have been renamed just in time
    (half / "networks.safetensors").write_bytes((last / "networks.safetensors").read_bytes()[:1000])
    done = ganzoo("run", run, "--resume", cwd=place)
    assert done.returncode == 0, done
    assert f"Going on from image {int(last.name)}" in done.stdout
    assert not list((run / "checkpoints").glob(".*"))
    assert_equal(run, straight)


@pytest.mark.parametrize("name", ["networks.safetensors", "training.safetensors", "state.json"])
def test_a_damaged_checkpoint_is_named_and_can_be_removed(place, straight, ganzoo, name):
    run = place / f"damaged-{name}"
    shutil.copytree(straight, run)
    last = run / "checkpoints" / "000000060"
    (last / name).write_bytes((last / name).read_bytes()[:-100])
    refused = ganzoo("run", run, "--resume", cwd=place)
    refused.mistake(str(last / name), "remove its folder", "checkpoint before")
    shutil.rmtree(last)
    done = ganzoo("run", run, "--resume", cwd=place)
    assert "Going on from image 54 of 60" in done.stdout
    assert_equal(run, straight)


def test_a_run_killed_before_its_first_checkpoint_begins_again(place, straight, start, ganzoo):
    run = place / "early"
    process = start("run", "tiny.toml", "--out", run, cwd=place)
    process.until((run / "recipe.toml").exists)
    process.send(signal.SIGKILL)
    process.wait()
    assert ganzoo("run", "tiny.toml", "--out", run, "--resume", cwd=place).returncode == 0
    assert_equal(run, straight)
