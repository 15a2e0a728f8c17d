"""`ganzoo.train`: in this process, and in a script that is a process of its own."""

import json
import os
import signal
import subprocess
import sys
import threading
import tomllib

import pytest
from PIL import Image
from safetensors.torch import load_file

import ganzoo
from ganzoo import GanzooError, Translator

SCRIPT = """
import ganzoo

def show(line, grid):
    print(line["images"], flush=True)

try:
    trained = ganzoo.train("tiny.toml", "out", set={"data.workers": 1, "train.log_every": 2}, resume=True, callback=show)
    print("trained to", trained.images)
except KeyboardInterrupt as stopped:
    print("stopped:", stopped)
"""  # without `if __name__ == "__main__"`, as people write it: workers must not run it again


def weights(folder, images=24):
    return load_file(folder / "checkpoints" / f"{images:09d}" / "networks.safetensors")


def alike(one, other):
    return one.keys() == other.keys() and all(one[name].equal(other[name]) for name in one)


def test_a_recipe_as_a_dict_gives_a_translator_and_the_weights_of_the_program(
    tmp_path, monkeypatch, recipe, run, images
):
    monkeypatch.chdir(tmp_path)
    document = tomllib.loads(recipe(tmp_path).read_text())
    before, seen = json.dumps(document), []
    trained = ganzoo.train(document, callback=lambda line, grid: seen.append((line, grid)))
    assert isinstance(trained, Translator) and trained.images == 24
    assert trained.translate(images / "testA" / "0.png").size == (36, 36)
    assert json.dumps(document) == before
    folder = tmp_path / "runs" / "cyclegan"
    assert alike(weights(folder), weights(run))
    lines = [line for line, grid in seen if "terms" in line]
    assert lines == [json.loads(line) for line in (folder / "log.jsonl").read_text().splitlines()]
    grids = {line["images"]: grid for line, grid in seen if grid}
    assert list(grids) == [0, 12, 24]
    assert grids[24].tobytes() == Image.open(folder / "samples" / "000000024.png").convert("RGB").tobytes()
    [metrics] = [line for line, _ in seen if "metrics" in line]
    assert metrics["metrics"] == json.loads((folder / "metrics.json").read_text())


def test_set_takes_values_of_python(tmp_path, recipe, images):
    part = {"name": "resnet", "width": 5, "blocks": 1}
    changes = {
        "options.generator": part,
        "data.root": images,
        "train.images": 2,
        "train.metrics": [],
        "data.flip": False,
    }
    trained = ganzoo.train(recipe(tmp_path), tmp_path / "out", set=changes | {"train.ema": 2.5})
    assert (trained.recipe.options.generator.width, trained.recipe.train.ema, trained.recipe.data.flip) == (
        5,
        2.5,
        False,
    )
    with pytest.raises(GanzooError, match=r"data.root is set to <object object at .*, which a recipe cannot say"):
        ganzoo.train(recipe(tmp_path), set={"data.root": object()})


def test_a_model_by_its_name_on_a_folder(tmp_path, monkeypatch, images):
    monkeypatch.chdir(tmp_path)
    small = {"options.generator": {"name": "resnet", "width": 4, "blocks": 1}, "data.size": 32, "train.metrics": []}
    assert ganzoo.train("cyclegan", data=images, set=small | {"train.images": 1}).images == 1
    assert ganzoo.train("cyclegan", data=images, set=small | {"train.images": 2}, resume=True).images == 2
    assert ganzoo.train("runs/cyclegan", set={"train.images": 3}, resume=True).images == 3


def test_mistakes_are_told_before_anything_is_made(tmp_path, monkeypatch, recipe, run):
    monkeypatch.chdir(tmp_path)
    wrong = {"model": "cyclegan", "data": {"source": "folders", "root": "nowhere"}, "options": {"cycel": 1}}
    with pytest.raises(
        GanzooError, match=r"(?s)has 2 mistakes:.*options.cycel.*\n  data.root: there is no folder nowhere"
    ):
        ganzoo.train(wrong)
    with pytest.raises(GanzooError, match=r"exists\. Go on with it by resume=True"):
        ganzoo.train(recipe(tmp_path), run)
    with pytest.raises(GanzooError, match="Several processes are started from the command line"):
        ganzoo.train(recipe(tmp_path), set={"train.devices": 2})
    assert not (tmp_path / "runs").exists()


def test_what_a_callback_raises_ends_the_training_also_in_a_thread(tmp_path, recipe):
    def prune(line, grid):
        if line["images"] == 12:
            raise LookupError("not worth it")

    raised = []

    def work():
        try:
            ganzoo.train(recipe(tmp_path), tmp_path / "out", callback=prune)
        except LookupError as error:
            raised.append(str(error))

    thread = threading.Thread(target=work)
    thread.start()
    thread.join(120)
    assert raised == ["not worth it"]
    status = json.loads((tmp_path / "out" / "status.json").read_text())
    assert status["state"] == "failed" and "not worth it" in status["message"]


def test_ctrl_c_in_a_script_saves_and_the_script_again_goes_on(tmp_path, recipe):
    recipe(tmp_path, {"train.images": 4000, "train.sample_every": 4000, "train.checkpoint_every": 4000})
    (tmp_path / "train.py").write_text(SCRIPT)
    process = subprocess.Popen([sys.executable, "train.py"], cwd=tmp_path, stdout=subprocess.PIPE, text=True,
                               env=os.environ | {"PYTHONUNBUFFERED": "1"})  # fmt: skip
    said = [next(line for line in process.stdout if line == "4\n")]
    process.send_signal(signal.SIGINT)
    said += process.stdout.readlines()
    assert process.wait(120) == 0, said
    stopped = next(line for line in said if line.startswith("stopped: Stopped and saved at image"))
    assert "Go on with: ganzoo run out --resume" in stopped and not [line for line in said if "trained to" in line]
    last = int(stopped.split()[6].rstrip("."))
    script = SCRIPT.replace("{", f'{{"train.images": {last + 4}, ', 1)
    (tmp_path / "train.py").write_text(script)
    again = subprocess.run([sys.executable, "train.py"], cwd=tmp_path, capture_output=True, text=True, timeout=120)
    assert (
        f"Going on from image {last:,} of {last + 4:,}" in again.stdout and f"trained to {last + 4}" in again.stdout
    ), again
    plain = ganzoo.train(tmp_path / "tiny.toml", tmp_path / "plain", set={"train.images": last + 4})
    assert plain.images == last + 4
