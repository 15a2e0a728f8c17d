"""Runs with the real libraries, read back with them; each is skipped where its library is not installed."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from safetensors.torch import load_file

RECIPE = """
model = "cyclegan"
[data]
source = "landscapes"
size = 32
[options]
generator = { name = "resnet", width = 4, blocks = 1 }
discriminator = { name = "patch", width = 4, layers = 1 }
[train]
images = 6
log_every = 2
sample_every = 4
checkpoint_every = 4
constant = 1.0
metrics = ["l1"]
device = "cpu"
"""
IMAGES = [2, 4, 6, 8, 10]
QUIET = {"WANDB_MODE": "offline", "MLFLOW_DISABLE_TELEMETRY": "true", "DO_NOT_TRACK": "1"}


def ganzoo(folder, *args, **env):
    command = [sys.executable, "-m", "ganzoo", *map(str, args)]
    done = subprocess.run(command, cwd=folder, env=os.environ | QUIET | env, capture_output=True, text=True)
    assert done.returncode == 0, done
    return done.stdout


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """`trained(loggers, library)`: a run that logs, in its middle gone on with from its last checkpoint."""

    def train(loggers, *libraries):
        for library in libraries:
            pytest.importorskip(library, reason=f"{library} is not installed: pip install 'ganzoo-loggers[{library}]'")
        folder = tmp_path_factory.mktemp("boards")
        (folder / "tiny.toml").write_text(RECIPE)
        ganzoo(folder, "run", "tiny.toml", "--out", "out", "--set", f"train.loggers={loggers}")
        shutil.rmtree(folder / "out" / "checkpoints" / "000000006")  # as if it was ended later than it had saved
        again = ganzoo(folder, "run", "out", "--resume", "--set", "train.images=10")
        assert "is left out" not in again, again
        return folder / "out"

    return train


def log(run):
    """images -> term G/G_adv_photo, as the run's own log has it."""
    lines = [json.loads(line) for line in (run / "log.jsonl").read_text().splitlines()]
    return {line["images"]: line["terms"]["G"]["G_adv_photo"] for line in lines}


def test_all_together_alter_nothing(trained, monkeypatch):
    """They change no weight, and each holds every step once: the terms, the sample grids, the metrics, the settings."""
    one = trained('["tensorboard", "wandb", "mlflow"]', "tensorboard", "wandb", "mlflow")
    none = trained("[]")
    ours, theirs = (load_file(run / "checkpoints/000000010/networks.safetensors") for run in (one, none))
    assert ours.keys() == theirs.keys() and all(ours[name].equal(theirs[name]) for name in ours)
    assert list(log(one)) == IMAGES
    check_tensorboard(one)
    check_wandb(one)
    monkeypatch.setenv("MLFLOW_ALLOW_FILE_STORE", "true")  # as the logger does
    check_mlflow(one)


def check_tensorboard(run):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    found = EventAccumulator(str(run / "tensorboard"), size_guidance={"images": 0}).Reload()
    events = found.Scalars("G/G_adv_photo")
    assert {event.step: event.value for event in events} == pytest.approx(log(run))
    assert [event.step for event in events] == IMAGES
    assert [event.step for event in found.Scalars("photo->painting/l1")][-1] == IMAGES[-1]
    assert [image.step for image in found.Images("samples")][-1] == IMAGES[-1]
    assert b"options.generator.width = 4" in found.Tensors("recipe/text_summary")[0].tensor_proto.string_val[0]


def check_wandb(run):
    from wandb.proto.wandb_internal_pb2 import Record

    folders = sorted((run / "wandb").glob("offline-run-*"))
    assert len(folders) == 2 and len({folder.name.rpartition("-")[2] for folder in folders}) == 1, (
        "the same run goes on"
    )
    found, settings = {}, {}
    for folder in folders:
        assert list((folder / "files" / "media" / "images").glob("samples_*.png"))
        [file] = folder.glob("*.wandb")
        for content in wandb_records(file.read_bytes()):
            record = Record()
            record.ParseFromString(content)
            items = {"/".join(item.nested_key) or item.key: item.value_json for item in record.history.item}
            if "G/G_adv_photo" in items:
                found[int(items["_step"])] = float(items["G/G_adv_photo"])
            settings |= {item.key: item.value_json for item in record.config.update}
    assert found == pytest.approx(log(run))
    assert settings["options.generator.width"] == "4"


def wandb_records(content):
    """The records of a .wandb file, which are in the format of LevelDB's log after a header of 7 bytes."""
    place, parts = 7, b""
    while place + 7 <= len(content):
        if 32768 - place % 32768 < 7:  # what is left of a block
            place += 32768 - place % 32768
            continue
        size, kind = int.from_bytes(content[place + 4 : place + 6], "little"), content[place + 6]
        parts += content[place + 7 : place + 7 + size]
        place += 7 + size
        if kind in (1, 4):  # the whole record, or the last part of it
            yield parts
            parts = b""


def check_mlflow(run):
    from mlflow.tracking import MlflowClient

    known = json.loads((run / "mlflow.json").read_text())
    client = MlflowClient(tracking_uri=known["uri"])
    history = client.get_metric_history(known["run"], "G/G_adv_photo")
    assert [metric.step for metric in history] == IMAGES, "no step twice"
    assert {metric.step: metric.value for metric in history} == pytest.approx(log(run))
    about = client.get_run(known["run"])
    assert about.info.status == "FINISHED" and about.data.params["options.generator.width"] == "4"
    assert about.data.metrics["photo to painting/l1"] > 0
    assert Path(known["uri"].removeprefix("file://")) == run.parent / "mlruns"
    grids = {path.name for path in (run.parent / "mlruns").rglob("samples/*.png")}
    assert grids == {path.name for path in (run / "samples").iterdir()}


def test_a_library_that_is_missing_is_named_before_the_first_image(tmp_path):
    (tmp_path / "tiny.toml").write_text(RECIPE)
    (tmp_path / "wandb.py").write_text("raise ImportError('No module named wandb')")
    said = ganzoo(tmp_path, "run", "tiny.toml", "--set", 'train.loggers=["wandb"]', "--set", "train.images=2",
                  PYTHONPATH=str(tmp_path))  # fmt: skip
    warning = 'Warning: the logger "wandb" is left out from here on: No module named wandb. Install it: pip install'
    assert warning in said and said.index(warning) < said.index("cyclegan on landscapes")
    assert (tmp_path / "runs/tiny/checkpoints/000000002").is_dir()


@pytest.mark.parametrize("logger", ["wandb", "mlflow"])
def test_no_network(tmp_path, logger):
    """A server that cannot be reached is told before the first image, and the training goes on without it."""
    pytest.importorskip(logger, reason=f"{logger} is not installed: pip install 'ganzoo-loggers[{logger}]'")
    (tmp_path / "tiny.toml").write_text(RECIPE)
    nowhere = {"WANDB_MODE": "online", "WANDB_BASE_URL": "http://127.0.0.1:9", "MLFLOW_TRACKING_URI": "http://127.0.0.1:9",
               "HOME": str(tmp_path), "WANDB_API_KEY": ""}  # fmt: skip
    said = ganzoo(
        tmp_path, "run", "tiny.toml", "--set", f'train.loggers=["{logger}"]', "--set", "train.images=2", **nowhere
    )
    warning = f'Warning: the logger "{logger}" is left out from here on: '
    assert warning in said and said.index(warning) < said.index("cyclegan on landscapes")
    assert (tmp_path / "runs/tiny/checkpoints/000000002").is_dir()
