"""Metrics: our own, a stranger's, those that need a network; and a stranger's command."""

import json
import math
import subprocess
import sys
from itertools import zip_longest

import pytest
import torch
from ganzoo_testing import check_metric
from torch_fidelity import feature_extractor_inceptionv3 as inception
from torchvision.models import AlexNet_Weights, alexnet

from ganzoo import GanzooError, checkpoint
from ganzoo.evaluation.scores import Scores
from ganzoo.metrics import FID, KID, L1, LPIPS, PSNR, SSIM
from ganzoo.runfolder import RunFolder, better

STRANGER = """
from ganzoo import hookimpl


@hookimpl
def register_metrics(register):
    register("worst", "ganzoo_ruler.metrics:Worst", summary="largest error", better="lower")
    register("count", "ganzoo_ruler.metrics:Count", summary="how many there are", better="higher")
    register("second", "ganzoo_ruler.metrics:Second", summary="0 the second time it is taken", better="lower")
    register("moody", "ganzoo_ruler.metrics:Worst", summary="nobody knows what is better")


@hookimpl
def register_commands(register):
    register("ruler", "ganzoo_ruler.command:ruler", summary="say how long a thing is")
    register("crooked", "ganzoo_ruler.metrics:Worst", summary="no command at all")
"""
METRICS = """
import torch

from ganzoo import Metric


class Worst(Metric):
    higher_is_better = False

    def __init__(self, *, times: float = 1.0) -> None:
        super().__init__()
        self.times = times
        self.add_state("largest", torch.tensor(0.0), dist_reduce_fx="max")

    def update(self, fake, target):
        assert fake.shape == target.shape == (1, 3, 32, 32) and fake.min() >= 0 and fake.max() <= 1
        self.largest = torch.maximum(self.largest, (fake - target).abs().max())

    def compute(self):
        return self.times * self.largest


class Second(Worst):
    computed = -1

    def compute(self):  # of each direction: once of the translations, once of the identity baseline
        Second.computed += 1
        return torch.tensor(abs(Second.computed // 4 - 1.0))


class Count(Metric):
    against = "real"
    higher_is_better = True

    def __init__(self):
        super().__init__()
        self.add_state("images", torch.tensor(0.0), dist_reduce_fx="sum")

    def update(self, images, real):
        self.images += len(images) if real else 100 * len(images)

    def compute(self):
        return self.images
"""
COMMAND = """
import click

from ganzoo import GanzooError


@click.command()
@click.argument("thing")
@click.option("--unit", default="px", help="Of the answer.")
def ruler(thing, unit):
    if thing == "nothing":
        raise GanzooError("Nothing has no length.")
    click.echo(f"{thing} is {len(thing)} {unit} long")
"""


@pytest.fixture(scope="module")
def env(tmp_path_factory, plugin):
    modules = {"__init__": STRANGER, "metrics": METRICS, "command": COMMAND}
    return plugin(tmp_path_factory.mktemp("site"), "ruler", modules)


def scores(metrics, fakes, sources=None, targets=None, reals=()):
    """What the metrics say of a direction, given image by image, each (channels, height, width) in [-1, 1]."""
    found = Scores(metrics, torch.device("cpu"), baseline=sources is not None)
    for rows in zip_longest(fakes, sources or (), targets or ()):
        found.add(*(image if image is None else image[None] for image in rows))
    for image in reals:
        found.add_real(image[None])
    return found.compute()


def test_images_are_compared_between_0_and_1():
    black, grey = -torch.ones(3, 16, 16), torch.zeros(3, 16, 16)
    found = scores({"l1": L1(), "psnr": PSNR(), "ssim": SSIM()}, [black], [grey], [grey])
    assert found["l1"] == 0.5 and found["l1_identity"] == 0
    assert found["psnr"] == pytest.approx(6.0206, abs=1e-3)
    assert found["ssim"] < 0.01 and found["ssim_identity"] == pytest.approx(1)


def test_means_are_over_images_whatever_their_size():
    fakes = [torch.zeros(1, 16, 16), torch.zeros(1, 32, 32), torch.zeros(1, 32, 32)]
    targets = [fakes[0] + 1, fakes[1] + 0.5, fakes[2] + 0.25]
    found = scores({"l1": L1(), "psnr": PSNR(), "ssim": SSIM()}, fakes, None, targets)
    assert found["l1"] == pytest.approx((0.5 + 0.25 + 0.125) / 3)
    assert found["psnr"] == pytest.approx(20 * (math.log10(2) + math.log10(4) + math.log10(8)) / 3, rel=1e-6)
    assert found["ssim"] == pytest.approx(
        sum(scores({"ssim": SSIM()}, [f], None, [t])["ssim"] for f, t in zip(fakes, targets, strict=True)) / 3
    )


def test_there_is_no_identity_baseline_in_other_channels():
    colour, grey = torch.zeros(3, 16, 16), torch.zeros(1, 16, 16)
    assert scores({"l1": L1()}, [grey], [colour], [grey]) == {"l1": 0}


def test_a_strangers_metrics_in_a_recipe_and_on_the_command_line(tmp_path, env, ganzoo, recipe):
    recipe(
        tmp_path,
        {
            "data.source": "landscapes",
            "data.root": None,
            "train.images": 2,
            "train.metrics": ["l1", "count", {"name": "worst", "times": 10.0}],
            "train.best": "worst",
        },
    )
    done = ganzoo("run", "tiny.toml", "--out", "out", cwd=tmp_path, env=env)
    assert done.returncode == 0, done
    measured = json.loads((tmp_path / "out" / "metrics.json").read_text())["photo->painting"]
    assert measured.keys() == {"cycle_l1", "l1", "l1_identity", "worst", "worst_identity", "count", "count_identity"}
    assert measured["count"] == measured["count_identity"] > 101
    assert 1 < measured["worst"] <= 10
    page = (tmp_path / "out" / "report.html").read_text()
    assert "worst <small>lower is better</small>" in page and "count <small>higher is better</small>" in page
    done = ganzoo("evaluate", "out", "--metric", "worst", "--json", cwd=tmp_path, env=env)
    again = json.loads(done.stdout)["photo->painting"]
    assert again.keys() == {"cycle_l1", "worst", "worst_identity"}
    assert again["worst"] == pytest.approx(measured["worst"] / 10)
    with_options = '{ name = "worst", times = 10 }'
    done = ganzoo("evaluate", "out", "--metric", with_options, "--metric", "l1", "--json", cwd=tmp_path, env=env)
    assert json.loads(done.stdout)["photo->painting"]["worst"] == pytest.approx(measured["worst"])
    for metric, said in {
        "wurst": ('no metric "wurst"', 'Did you mean "worst"?'),
        '{ name = "worst", time = 10 }': ('"worst" has no option "time"', 'Did you mean "times"?'),
        "{ name = worst }": ("is not valid TOML",),
        "{ times = 10 }": ("write the name of a metric",),
    }.items():
        ganzoo("evaluate", "out", "--metric", metric, cwd=tmp_path, env=env).mistake(f"--metric {metric}", *said)
    done = ganzoo("evaluate", "out", "--json", cwd=tmp_path)  # without the stranger's plugin
    assert json.loads(done.stdout)["photo->painting"].keys() == {"cycle_l1", "l1", "l1_identity"}
    assert "Not evaluated, as no plugin here knows it: count, worst" in done.stderr
    done = ganzoo("compare", "out", cwd=tmp_path)
    assert "Not evaluated, as no plugin here knows it: count, worst" in done.stderr
    assert "count, worst" in (tmp_path / "comparison.html").read_text()
    recipe(tmp_path, {"train.metrics": [{"name": "worst", "time": 1}]})
    ganzoo("run", "tiny.toml", cwd=tmp_path, env=env).mistake('"worst" has no option "time"', 'Did you mean "times"?')


def test_the_best_checkpoint_is_kept(tmp_path, env, ganzoo, recipe):
    drawn = {"data.source": "landscapes", "data.root": None, "train.checkpoint_every": 8, "train.keep": 1}
    recipe(tmp_path, drawn | {"train.metrics": ["l1", "second"]})
    for name, best in (("with", "second"), ("without", "")):
        done = ganzoo("run", "tiny.toml", "--set", f"train.best={best}", "--out", name, cwd=tmp_path, env=env)
        assert done.returncode == 0, done
        assert ("Best by second (0): with/checkpoints/000000008" in done.stdout) == bool(best)
    run = tmp_path / "with"
    assert [path.name for path in RunFolder(run).checkpoints()] == ["000000008", "000000024"]
    assert [path.name for path in RunFolder(tmp_path / "without").checkpoints()] == ["000000024"]
    rows = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    found = [(row["images"], row["metrics"]["photo->painting"]["second"]) for row in rows]
    assert found == [(0, 1), (8, 0), (16, 1), (24, 2)]
    assert rows[-1]["metrics"] == json.loads((run / "metrics.json").read_text())
    page = (run / "report.html").read_text()
    assert "latest 24, best by second 8" in page and "second over images seen" in page
    trained, plainly = (checkpoint.load_networks(RunFolder(tmp_path / n).latest())[0] for n in ("with", "without"))
    assert trained.keys() == plainly.keys() and all(torch.equal(trained[key], plainly[key]) for key in plainly)
    lines = (run / "metrics.jsonl").read_text().splitlines(keepends=True)
    (run / "metrics.jsonl").write_text("".join(lines[:-1]))  # killed between checkpoint and metrics
    assert ganzoo("run", run, "--resume", cwd=tmp_path, env=env).returncode == 0
    again = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    assert [row["images"] for row in again] == [0, 8, 16, 24]
    assert again[-1]["metrics"]["photo->painting"]["l1"] == rows[-1]["metrics"]["photo->painting"]["l1"]


def test_a_best_that_cannot_be_measured(tmp_path, env, ganzoo, recipe):
    recipe(tmp_path, {"train.best": "sim"})
    ganzoo("run", "tiny.toml", cwd=tmp_path).mistake('"sim" is not among train.metrics', 'Did you mean "ssim"?')
    recipe(tmp_path, {"train.best": "moody", "train.metrics": ["moody"]})
    ganzoo("run", "tiny.toml", cwd=tmp_path, env=env).mistake("does not say whether lower or higher is better")
    recipe(tmp_path, {"train.best": "ssim"})  # folders of images without pairs
    done = ganzoo("run", "tiny.toml", cwd=tmp_path)
    assert done.returncode == 1 and "needs their ground truth" in done.stderr and "Traceback" not in done.stderr


def test_a_strangers_command(tmp_path, env, ganzoo):
    assert ganzoo("ruler", "rope", "--unit", "m", cwd=tmp_path, env=env).stdout == "rope is 4 m long\n"
    assert "Of the answer." in ganzoo("ruler", "--help", cwd=tmp_path, env=env).stdout
    ganzoo("ruler", "nothing", cwd=tmp_path, env=env).mistake("Nothing has no length.")
    ganzoo("crooked", cwd=tmp_path, env=env).mistake("@click.command()")
    assert ganzoo("ganzoo-ruler/ruler", "rope", cwd=tmp_path, env=env).stdout == "rope is 4 px long\n"
    program = ganzoo("--help", cwd=tmp_path, env=env).stdout
    assert "Commands of plugins" in program and "say how long a thing is" in program
    listing = json.loads(ganzoo("list", "--json", cwd=tmp_path, env=env).stdout)
    assert {"ruler", "crooked"} <= {command["name"] for command in listing["commands"]}
    shown = json.loads(ganzoo("show", "ruler", "--json", cwd=tmp_path, env=env).stdout)
    assert {"name": "--unit", "type": "text", "default": None, "meaning": "Of the answer."} in shown["options"]


def test_a_command_in_one_file(tmp_path, ganzoo):
    (tmp_path / "short.py").write_text(
        COMMAND
        + "\n\nfrom ganzoo import hookimpl\n\n\n@hookimpl\ndef register_commands(register):\n"
        + '    register("ruler", "short:ruler")\n'
    )
    assert ganzoo("--plugin", "short.py", "ruler", "rope", cwd=tmp_path).stdout == "rope is 4 px long\n"


def test_our_own_commands_are_not_replaced(tmp_path, ganzoo, plugin):
    text = STRANGER.replace('"ruler", "ganzoo_ruler.command:ruler"', '"run", "ganzoo_ruler.command:ruler"')
    env = plugin(tmp_path, "ruler", {"__init__": text, "metrics": METRICS, "command": COMMAND})
    listing = json.loads(ganzoo("list", "--json", cwd=tmp_path, env=env).stdout)
    assert 'the command "run", which is ganzoo\'s own' in listing["broken"][0]["reason"]
    assert "What RECIPE says" in ganzoo("run", "--help", cwd=tmp_path, env=env).stdout.replace("what", "What")


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    """A folder for torch's downloads that holds networks that have learned nothing."""
    home = tmp_path_factory.mktemp("torch")
    (home / "hub" / "checkpoints").mkdir(parents=True)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(inception, "load_state_dict_from_url", lambda *args, **kwargs: {})
        patch.setattr(inception.FeatureExtractorInceptionV3, "load_state_dict", lambda self, state: None)
        torch.manual_seed(0)
        network = inception.FeatureExtractorInceptionV3("untrained", ["2048"])
        for weight in (p for p in network.parameters() if p.ndim == 4):
            torch.nn.init.kaiming_normal_(weight)
    torch.save(network.state_dict(), home / "hub" / "checkpoints" / inception.URL_INCEPTION_V3.rsplit("/", 1)[1])
    file = AlexNet_Weights.DEFAULT.url.rsplit("/", 1)[1]
    torch.save(alexnet().state_dict(), home / "hub" / "checkpoints" / file)
    return home


def test_distances_to_real_images(weights, monkeypatch):
    monkeypatch.setenv("TORCH_HOME", str(weights))
    random = torch.get_rng_state()
    metrics = {"fid": FID(), "kid": KID(subsets=2, subset_size=3)}
    assert torch.equal(torch.get_rng_state(), random)
    dark, bright = ([low + 0.4 * torch.rand(3, 20, 24) - 1 for _ in range(3)] for low in (0.0, 1.6))
    random = torch.get_rng_state()
    far = scores(metrics, bright, dark, reals=dark)
    assert torch.equal(torch.get_rng_state(), random)
    assert far.keys() == {"fid", "kid", "fid_identity", "kid_identity"}
    assert far["fid"] > 10 * abs(far["fid_identity"])
    assert far["kid"] > 10 * abs(far["kid_identity"])
    assert scores(metrics, bright[:1], reals=dark) == {}, "one image has no distribution"


def test_kid_of_fewer_images_than_a_subset(weights, monkeypatch):
    monkeypatch.setenv("TORCH_HOME", str(weights))
    grey = [torch.rand(1, 20, 24) for _ in range(3)]
    assert abs(scores({"kid": KID(subsets=2)}, grey[:2], reals=grey)["kid"]) < 1


@pytest.mark.parametrize(("name", "options"), [("kid", {"subsets": 2}), ("lpips", {})])
def test_metrics_with_a_network_pass_the_kit(weights, monkeypatch, name, options):
    monkeypatch.setenv("TORCH_HOME", str(weights))
    check_metric(name, options)


def test_perceptual_distance(weights, monkeypatch):
    monkeypatch.setenv("TORCH_HOME", str(weights))
    target = torch.rand(3, 32, 40) * 2 - 1
    near, far = target + 0.01 * torch.randn(3, 32, 40), torch.rand(3, 32, 40) * 2 - 1
    found = scores({"lpips": LPIPS()}, [near], [far], [target])
    assert 0 < found["lpips"] < 0.5 * found["lpips_identity"]
    assert scores({"lpips": LPIPS()}, [target[:1]], None, [target[:1]])["lpips"] == 0


@pytest.mark.parametrize(
    ("metric", "said"),
    [("FID", "the Inception network, which FID"), ("LPIPS", "the alex network, which LPIPS")],
)
def test_without_a_network_the_weights_are_asked_for(tmp_path, metric, said):
    code = f"from ganzoo.metrics import {metric}; {metric}()"
    proxy = {"https_proxy": "http://127.0.0.1:9", "TORCH_HOME": str(tmp_path), "PATH": ""}
    done = subprocess.run([sys.executable, "-c", code], env=proxy, capture_output=True, text=True)
    assert f"GanzooError: The weights of {said}" in done.stderr
    assert str(tmp_path / "hub" / "checkpoints") in done.stderr


@pytest.mark.parametrize("metric", [FID, KID])
def test_without_the_library_the_extra_is_named(monkeypatch, metric):
    for module in ("fid", "kid"):
        monkeypatch.setattr(f"torchmetrics.image.{module}._TORCH_FIDELITY_AVAILABLE", False)
    with pytest.raises(GanzooError, match=r'pip install "ganzoo\[eval\]"'):
        metric()


def test_the_diversity_of_variants_is_measured_by_distances_alone():
    scores = Scores({"l1": L1(), "ssim": SSIM()}, torch.device("cpu"))
    black = torch.full((1, 3, 16, 16), -1.0)
    assert scores.compute() == {}
    scores.add_variants(black, black + 0.5)
    scores.add_variants(black, black)
    assert scores.compute() == {"l1_diversity": pytest.approx(0.125)}
    assert better()["l1_diversity"] == 1 and better()["l1"] == -1 and "ssim_diversity" not in better()
