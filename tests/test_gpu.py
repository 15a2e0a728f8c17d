"""What only a GPU can show: `pytest -m gpu`. Speed and memory there: `ganzoo bench RECIPE`."""

import json

import pytest
import torch
from ganzoo_testing import batch, engine
from safetensors.torch import load_file
from test_graph import MODELS

from ganzoo.evaluation.scores import Scores
from ganzoo.metrics import L1, PSNR, SSIM

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no CUDA device"),
]


def weights(run, images):
    return load_file(run / "checkpoints" / f"{images:09d}" / "networks.safetensors")


@pytest.mark.parametrize(
    "train",
    [
        {},
        {"precision": "bf16-mixed"},
        {"precision": "16-mixed"},
        {"compile": True},
        {"compile": True, "precision": "bf16-mixed"},
        {"compile": "graph"},
        {"compile": "graph", "precision": "bf16-mixed"},
    ],
    ids=str,
)
def test_a_run_trains_resumes_and_is_used(tmp_path, ganzoo, recipe, images, train):
    changes = {f"train.{key}": value for key, value in train.items()}
    recipe(tmp_path, changes | {"train.device": "cuda", "data.workers": 2})
    done = ganzoo("run", "tiny.toml", "--out", "out", "--set", "train.images=12", cwd=tmp_path)
    assert done.returncode == 0, done
    done = ganzoo("run", "out", "--resume", "--set", "train.images=24", cwd=tmp_path)
    assert done.returncode == 0, done
    assert all(value.isfinite().all() for value in weights(tmp_path / "out", 24).values())
    assert json.loads((tmp_path / "out" / "env.json").read_text())["device"] == torch.cuda.get_device_name()
    lines = [json.loads(line) for line in (tmp_path / "out" / "log.jsonl").read_text().splitlines()]
    assert [line["images"] for line in lines] == [4, 8, 12, 16, 20, 24]
    assert lines[-1]["memory_gb"] > 0
    done = ganzoo("translate", "out", images / "testA", "made", "--device", "cuda", cwd=tmp_path)
    assert done.returncode == 0, done
    assert len(list((tmp_path / "made").glob("*.png"))) == 3


def test_the_gpu_computes_what_the_processor_does(tmp_path, ganzoo, recipe):
    """Three steps in float64, after which rounding has not grown beyond 1e-9."""
    for device in ("cpu", "cuda"):
        recipe(tmp_path, {"train.device": device, "train.precision": "64", "train.images": 6, "train.ema": 0.0})
        done = ganzoo("run", "tiny.toml", "--out", device, cwd=tmp_path)
        assert done.returncode == 0, done
    ours, theirs = (weights(tmp_path / device, 6) for device in ("cpu", "cuda"))
    for name, value in ours.items():
        assert (value - theirs[name]).abs().max() < 1e-9, name


@pytest.mark.parametrize("name", MODELS)
def test_a_captured_step_trains_the_same(name):
    """Ten steps in float64, of which the first are not captured."""
    found = []
    for compiled in (False, "graph"):
        ours = engine(name, MODELS[name], size=64, precision="64", device="cuda", compile=compiled)
        for step in range(10):
            terms = ours.step(batch(ours, step)).terms
        found.append((terms, ours.trainer.state_dict()))
    torch.testing.assert_close(found[1], found[0], rtol=1e-6, atol=1e-9)


@pytest.mark.parametrize("compiled", [False, True, "graph"])
def test_bench_measures_it(tmp_path, ganzoo, recipe, compiled):
    recipe(tmp_path, {"train.compile": compiled})
    done = ganzoo("bench", "tiny.toml", "--device", "cuda", "--steps", "6", "--json", cwd=tmp_path)
    assert done.returncode == 0, done
    assert json.loads(done.stdout)


def test_metrics_are_those_of_the_cpu():
    fakes, sources, targets = torch.rand(3, 4, 3, 32, 40) * 2 - 1
    found = []
    for device in ("cpu", "cuda"):
        scores = Scores({"l1": L1(), "psnr": PSNR(), "ssim": SSIM()}, torch.device(device))
        scores.add(fakes.to(device), sources.to(device), targets)
        found.append(scores.compute())
    assert found[0].keys() == {f"{name}{suffix}" for name in ("l1", "psnr", "ssim") for suffix in ("", "_identity")}
    assert found[1] == pytest.approx(found[0], rel=1e-4)
