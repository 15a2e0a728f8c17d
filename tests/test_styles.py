"""Models with styles: by a seed, by a reference image, the same wherever a translation is asked for."""

import json
import tomllib
from pathlib import Path

import numpy as np
import onnxruntime
import pytest
import torch
from PIL import Image
from torch import nn

import ganzoo as package
from ganzoo import GanzooError, Options, checkpoint
from ganzoo.export import Direction, exported
from ganzoo.registry import registry
from ganzoo.trainer import DataSpec, Trainer

STARLET = Path(__file__).with_name("outside") / "ganzoo-starlet" / "ganzoo_starlet"
WORDS = (("reference", ""), ("to", ", its style"))  # titles around the name of a target
SPEC = DataSpec(("x", "y"), {"x": 3, "y": 3}, 8)


class Plain(Trainer):
    """One answer to each image."""

    def __init__(self):
        super().__init__(Options(), SPEC)
        self.scale = nn.Parameter(torch.tensor(0.5))

    def phases(self):
        return []

    def translate(self, images, source, target):
        return self.scale * images


class Shift(Plain):
    """The style is added to the image."""

    def translate(self, images, source, target, style):
        return self.scale * images + style[:, :, None, None]


class Sampling(Shift):
    def sample_style(self, count, domain):
        return torch.randn(count, 3) + 10 * self.domains.index(domain)


class Encoding(Shift):
    def encode_style(self, images, domain):
        return images.mean((2, 3)) + 10 * self.domains.index(domain)


class Both(Sampling, Encoding):
    """Also makes images from noise."""

    def generate(self, count, label=None):
        return torch.randn(count, 3, 8, 8)


class Dropping(Plain):
    inference_mode = "train-stats"

    def __init__(self, p=0.5):
        super().__init__()
        self.dropout = nn.Dropout(p)

    def translate(self, images, source, target):
        return self.dropout(images)


def noise(*shape):
    return torch.rand(shape, generator=torch.Generator().manual_seed(5)) * 2 - 1


def translated(trainer, images, **how):
    with trainer.inference():
        return trainer.translate_with(images, "x", "y", **how)


def test_a_seed_gives_one_style_to_all_images():
    trainer, images = Both(), noise(3, 3, 8, 8)
    styles = translated(trainer, images) - trainer.scale * images
    assert (styles - styles[:1, :, :1, :1]).abs().max() < 1e-6 and 5 < styles.mean() < 15
    assert torch.equal(translated(trainer, images)[1:2], translated(trainer, images[1:2]))
    assert not torch.equal(translated(trainer, images), translated(trainer, images, seed=1))


def test_a_reference_gives_its_style():
    trainer, images, reference = Both(), noise(2, 3, 8, 8), noise(1, 3, 4, 6)
    expected = trainer.scale * images + reference.mean((2, 3))[:, :, None, None] + 10
    assert torch.allclose(translated(trainer, images, reference=reference), expected, atol=1e-6)
    assert translated(trainer, images, reference=noise(2, 3, 8, 8)).shape == images.shape  # one for each


def test_the_global_generator_is_left_alone():
    torch.manual_seed(3)
    expected = torch.rand(2)
    for trainer in (Both(), Dropping()):
        torch.manual_seed(3)
        translated(trainer, noise(1, 3, 8, 8), seed=8)
        assert torch.equal(torch.rand(2), expected)


def test_dropout_depends_on_the_seed():
    trainer, images = Dropping(), noise(1, 3, 8, 8)
    assert torch.equal(translated(trainer, images), translated(trainer, images))
    assert not torch.equal(translated(trainer, images), translated(trainer, images, seed=1))


def test_what_is_stochastic():
    trainers = Plain(), Encoding(), Sampling(), Both(), Dropping(), Dropping(0.0)
    assert [trainer.stochastic for trainer in trainers] == [False, False, True, True, True, False]


@pytest.mark.parametrize("trainer", [Plain, Sampling])
def test_who_takes_no_reference_says_so(trainer):
    with pytest.raises(GanzooError, match="takes no style from a reference image"):
        translated(trainer(), noise(1, 3, 8, 8), reference=noise(1, 3, 8, 8))


def test_who_needs_a_reference_says_so():
    with pytest.raises(GanzooError, match="takes its style from a reference image: give one"):
        translated(Encoding(), noise(1, 3, 8, 8))


def columns(trainer):
    images, others = ({d: noise(i, 3, 8, 8)[-1:] for d in "xy"} for i in (1, 2))
    with trainer.inference():
        return images, others, trainer.sample_columns(images, others)


def test_sample_columns_show_seeds_and_references():
    trainer = Both()
    images, others, groups = columns(trainer)
    seeds = [f"to y, seed {seed}" for seed in range(3)]
    assert list(groups) == ["x", "y", "generated"] and list(groups["generated"]) == ["new"]
    assert list(groups["x"]) == ["x", *seeds, "reference y", "to y, its style"]
    assert list(groups["y"])[:2] == ["y", "to x, seed 0"]
    assert torch.equal(groups["x"]["reference y"], others["y"])
    for seed, title in enumerate(seeds):
        assert torch.equal(groups["x"][title], translated(trainer, images["x"], seed=seed))
    assert torch.equal(groups["x"]["to y, its style"], translated(trainer, images["x"], reference=others["y"]))


def test_sample_columns_show_what_a_model_can():
    assert list(columns(Sampling())[2]["x"]) == ["x", "to y, seed 0", "to y, seed 1", "to y, seed 2"]
    assert list(columns(Encoding())[2]["x"]) == ["x", "reference y", "to y, its style"]
    assert list(columns(Plain())[2]["x"]) == ["x", "to y", "back to x"]


class Labelled(Encoding):
    """Its targets are labels, which are no domains."""

    def __init__(self):
        super().__init__()
        self.spec, self.domains = DataSpec(("image",), {"image": 3}, 8, ("blond", "smiling")), ("image",)

    def directions(self):
        return [("image", "blond"), ("image", "smiling")]

    def encode_style(self, images, domain):
        return images.mean((2, 3)) + ("blond", "smiling").index(domain)


class LabelledBoth(Labelled):
    def sample_style(self, count, domain):
        return torch.randn(count, 3)


def test_references_of_labels():
    """No image is known to be of a label: one is taken where there is nothing else."""
    image, other = noise(1, 3, 8, 8), -noise(1, 3, 8, 8)
    for trainer, titles in (
        (Labelled(), ["image", *(f"{a} {t}{b}" for t in ("blond", "smiling") for a, b in WORDS)]),
        (LabelledBoth(), ["image", "to blond, seed 0", "to smiling, seed 0"]),
    ):
        with trainer.inference():
            (group,) = trainer.sample_columns({"image": image}, {"image": other}).values()
        assert list(group) == titles


@pytest.mark.parametrize("trainer", [Encoding, Labelled])
def test_a_direction_that_needs_references_can_be_exported(trainer):
    trainer = trainer()
    direction = Direction(trainer, *trainer.directions()[0])
    program, inputs = exported(direction, noise(2, 3, 8, 8)).module(), direction.inputs(noise(5, 3, 8, 8))
    assert inputs["style"].shape == (5, 3)
    assert torch.allclose(program(*inputs.values()), direction(*inputs.values()))


# The same with the program itself, and a package that is not ours.


@pytest.fixture(scope="module")
def place(tmp_path_factory, recipe, plugin, ganzoo):
    """A folder with a run of starlet, `in` with two images, and the environment to use it in."""
    folder = tmp_path_factory.mktemp("styles")
    modules = {file.stem: file.read_text() for file in STARLET.glob("*.py")}
    env = plugin(folder / "site", "starlet", modules)
    changes = {"model": "starlet", "data.source": "landscapes", "data.root": None, "train.images": 8, "train.ema": None}
    recipe(folder, changes | {"options": {"width": 4, "style": 6}, "train.sample_every": 8, "data.batch": 2})
    done = ganzoo("run", "tiny.toml", "--out", "run", cwd=folder, env=env)
    assert done.returncode == 0, done
    (folder / "in").mkdir()
    for name, size in (("a.png", (37, 53)), ("b.jpg", (32, 32))):
        Image.fromarray((np.random.default_rng(0).random((*size[::-1], 3)) * 255).astype(np.uint8)).save(
            folder / "in" / name
        )
    Image.new("L", (50, 20), 200).save(folder / "reference.png")
    return folder, env


@pytest.fixture
def translate(place, ganzoo):
    folder, env = place
    return lambda *args: ganzoo("translate", "run", *args, cwd=folder, env=env)


@pytest.fixture
def translator(place, monkeypatch):
    folder, _ = place
    monkeypatch.syspath_prepend(str(folder / "site"))
    registry.cache_clear()
    yield package.load(folder / "run")
    registry.cache_clear()


def contents(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_a_run_is_sampled_evaluated_and_averaged(place):
    run = place[0] / "run"
    metrics = json.loads((run / "metrics.json").read_text())
    assert metrics.keys() == {"photo->painting", "painting->photo"} and "l1" in metrics["photo->painting"]
    assert metrics["photo->painting"]["l1_diversity"] > 0 and "ssim_diversity" not in metrics["photo->painting"]
    assert tomllib.loads((run / "recipe.toml").read_text())["train"]["ema"] == 5000, "the model's own default"
    averaged = checkpoint.load_networks(run / "checkpoints" / "000000008", ema=True)[0]
    assert not torch.equal(
        averaged["G.last.weight"], checkpoint.load_networks(run / "checkpoints" / "000000008")[0]["G.last.weight"]
    )
    with Image.open(run / "samples" / "000000008.png") as grid:
        assert grid.width > 2 * 7 * 64, "two groups of source, three seeds, reference, its style, ground truth"


def test_a_folder_in_several_variants(place, translate):
    folder, _ = place
    done = translate("in", "many", "--variants", 3, "--to", "painting")
    assert done.returncode == 0, done
    assert "2 images translated from photo to painting, 3 variants each: many" in done.stdout
    many = contents(folder / "many")
    assert many.keys() == {"a-1.png", "a-2.png", "a-3.png", "b-1.jpg", "b-2.jpg", "b-3.jpg"}
    assert len(set(many.values())) == 6
    assert translate("in/a.png", "seed.png", "--seed", 1).returncode == 0
    assert (folder / "seed.png").read_bytes() == many["a-2.png"]
    assert translate("in/a.png", "default.png").returncode == 0
    assert (folder / "default.png").read_bytes() == many["a-1.png"]
    translate("in", "many", "--variants", 3).mistake("a-1.png exists and is not overwritten")
    assert translate("in/a.png", "other.png", "--seed", 2, "--variants", 2).returncode == 0
    assert (folder / "other-1.png").read_bytes() == many["a-3.png"] != (folder / "other-2.png").read_bytes()


def test_a_reference_of_any_size(place, translate, translator):
    folder, _ = place
    done = translate("in", "styled", "--reference", "reference.png")
    assert done.returncode == 0, done
    with Image.open(folder / "styled" / "a.png") as made:
        expected = translator.translate(folder / "in" / "a.png", reference=Image.open(folder / "reference.png"))
        assert made.size == (37, 53) and (np.asarray(made) == np.asarray(expected)).all()
    other = translator.translate(folder / "in" / "a.png", reference=folder / "in" / "b.jpg")
    assert (np.asarray(other) != np.asarray(expected)).any()


@pytest.mark.parametrize(
    ("options", "tiles"),
    [((), 2), (("--variants", 4), 5), (("--reference", "reference.png"), 3)],
)
def test_a_grid_shows_the_variants(place, translate, options, tiles):
    folder, _ = place
    name = f"grid{len(options)}{tiles}.png"
    assert translate("in/b.jpg", name, "--grid", *options).returncode == 0
    with Image.open(folder / name) as grid:
        columns, rows = {2: (2, 1), 3: (3, 1), 5: (3, 2)}[tiles]
        assert grid.size[0] == 6 + columns * 70 and grid.size[1] == rows * 90 + 6


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (("--reference", "reference.png", "--seed", 3), ["A reference image gives a style, and so does a seed"]),
        (("--reference", "reference.png", "--variants", 3), ["--reference gives one style"]),
        (("--reference", "nowhere.png"), ["nowhere.png cannot be read as an image"]),
        (("--reference", "tiny.toml"), ["tiny.toml cannot be read as an image"]),
    ],
)
def test_mistakes(place, translate, options, words):
    said = translate("in", "out", *options).mistake(*words)
    assert "data.broken" not in said and not (place[0] / "out").exists()


def test_who_has_no_styles_says_so(tmp_path, run, images, ganzoo):
    use = ("translate", run, images / "testA", "out")
    for options, words in (
        (("--reference", images / "testB" / "0.png"), "takes no style from a reference image"),
        (("--seed", 3), "has one translation of an image"),
        (("--variants", 3), "has one translation of an image"),
    ):
        ganzoo(*use, *options, cwd=tmp_path).mistake(words)
    ganzoo("export", run, "x.onnx", "--encoder", cwd=tmp_path).mistake("no style encoder: leave out --encoder")
    assert not list(tmp_path.iterdir())


def session(file):
    return onnxruntime.InferenceSession(file, providers=["CPUExecutionProvider"])


def test_exported_with_a_style(place, translator, ganzoo):
    folder, env = place
    for name, options in (("translation.onnx", ()), ("encoder.onnx", ("--encoder",))):
        done = ganzoo("export", "run", name, "--to", "painting", *options, cwd=folder, env=env)
        assert done.returncode == 0 and '"style", (batch, 6)' in done.stdout, done
        assert "any number of images of any size" in done.stdout
    translation, encoder = session(folder / "translation.onnx"), session(folder / "encoder.onnx")
    assert [(i.name, i.shape) for i in translation.get_inputs()] == [
        ("image", ["batch", 3, "height", "width"]),
        ("style", ["batch", 6]),
    ]
    facts = translation.get_modelmeta().custom_metadata_map
    assert facts["style"] == encoder.get_modelmeta().custom_metadata_map["style"] == '["batch", 6]'
    images, reference = noise(2, 3, 40, 32).numpy(), noise(1, 3, 32, 32).numpy()
    styles = np.array(json.loads(facts["styles"]), np.float32)
    assert styles.shape == (8, 6)
    made = translation.run(None, {"image": images, "style": styles[[0, 5]]})[0]
    for i, seed in enumerate((0, 5)):
        expected = translator.translate_tensor(torch.from_numpy(images[i : i + 1]), "photo", "painting", seed)
        assert np.allclose(made[i : i + 1], expected, atol=2e-5)
    (style,) = encoder.run(["style"], {"image": reference})
    made = translation.run(None, {"image": images[:1], "style": style})[0]
    one, other = torch.from_numpy(images[:1]), torch.from_numpy(reference)
    expected = translator.translate_tensor(one, "photo", "painting", reference=other)
    assert np.allclose(made, expected, atol=2e-5)
