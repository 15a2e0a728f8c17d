"""`ganzoo pack`: what using a model needs and no more, the same to the bit, for every model that is installed."""

import copy
import json
import shutil
from pathlib import Path

import pytest
import torch
from ganzoo_testing import trainer
from ganzoo_testing.helpers import parsed
from PIL import Image
from safetensors import safe_open
from safetensors.torch import load_file, save_file

import ganzoo as package
from ganzoo import GanzooError, card, checkpoint
from ganzoo.pack import pack
from ganzoo.registry import registry
from ganzoo.runfolder import RunFolder

PATCH = {"name": "patch", "width": 4, "layers": 2}
NOISE = {"generator_width": 4, "discriminator_width": 4, "latent": 8}
SMALL = {  # model -> options, what is left out of its networks, size of the images
    "cgan": (NOISE, ["D"], 16),
    "combogan": ({"width": 4, "encoder_blocks": 1, "decoder_blocks": 1,
                  "discriminator": {"name": "two-stream", "width": 4, "layers": 3}}, ["D"], 32),
    "cut": ({"generator": {"name": "resnet-antialiased", "width": 4, "blocks": 3}, "discriminator": PATCH,
             "projection": 64, "patches": 16}, ["D", "F"], 32),
    "cyclegan": ({"generator": {"name": "resnet", "width": 4, "blocks": 1}, "discriminator": PATCH}, ["D"], 32),
    "discogan": ({"generator": {"name": "disco", "width": 4}, "discriminator": {"name": "disco", "width": 4}}, ["D"], 64),
    "gan": (NOISE, ["D"], 16),
    "pix2pix": ({"generator": {"name": "unet", "width": 4, "norm": "batch", "dropout": 0.5}, "discriminator": PATCH},
                ["D"], 64),
    "stargan": ({"generator": {"name": "stargan", "width": 4, "blocks": 1}, "discriminator_width": 4,
                 "discriminator_layers": 3}, [], 32),  # D says which labels an image has
    "starganv2": ({"width": 4, "max_width": 8, "hidden": 8, "style": 6, "latent": 5}, ["D"], 32),
    "style": ({"features": "random", "feature_width": 2}, [], 32),
    "unit": ({"width": 4, "blocks": 2, "discriminator": PATCH}, ["D"], 32),
    "xgan": ({"width": 4, "embedding": 16}, ["D", "classifier"], 32),
}  # fmt: skip


def test_every_model_of_the_zoo_is_tried_here():
    own = {e.name for e in registry().entries if e.type == "model" and e.distribution.startswith("ganzoo-")}
    assert own == SMALL.keys()


def made(translator, size):
    """An image, of everything that the model can be asked for."""
    noise = 2 * torch.rand(1, 4, size, size, generator=torch.Generator().manual_seed(1)) - 1
    for source, target in translator.directions:
        yield translator.translate_tensor(noise[:, : translator.spec.channels[source]], source, target, seed=3)
    if translator.trainer.generates:
        yield from translator.generate(1, seed=5)


@pytest.mark.parametrize("model", SMALL)
def test_what_is_left_out_and_what_is_as_before(tmp_path, model):
    options, left_out, size = SMALL[model]
    torch.manual_seed(0)
    built, file = trainer(model, options, size=size), tmp_path / "packed.safetensors"
    facts = checkpoint.about(parsed(model, options, size), built.spec, 7)
    path = checkpoint.save(tmp_path / "checkpoint", built.state_dict(), {}, facts)
    pack(path, file)
    assert checkpoint.read_about(file).left_out == left_out
    assert not [name for name in load_file(file) if name.split(".")[0] in left_out]
    packed, before = package.load(file), package.load(path)
    for one, other in zip(made(packed, size), made(before, size), strict=True):
        assert torch.equal(one, other) if isinstance(one, torch.Tensor) else one == other
    pack(file, tmp_path / "again.safetensors")
    assert load_file(file).keys() == load_file(tmp_path / "again.safetensors").keys()


@pytest.fixture(scope="module")
def packed(tmp_path_factory, run, ganzoo) -> Path:
    folder = tmp_path_factory.mktemp("packed")
    for args in (("whole.safetensors",), ("half.safetensors", "--half")):
        done = ganzoo("pack", run, *args, cwd=folder)
        assert done.returncode == 0, done
        assert "Left out, as translating needs none of it: D." in done.stdout
    return folder


def test_a_packed_run_translates_to_the_bit_alike(packed, run, images, ganzoo, tmp_path):
    for model in (run, packed / "whole.safetensors"):
        done = ganzoo("translate", model, images / "testA", tmp_path / model.name, cwd=tmp_path)
        assert done.returncode == 0, done
    for file in (images / "testA").iterdir():
        one, other = (Image.open(tmp_path / model / file.name) for model in (run.name, "whole.safetensors"))
        assert one.tobytes() == other.tobytes()


def test_it_is_much_smaller(packed, run):
    before, whole, half = (
        file.stat().st_size
        for file in (
            RunFolder(run).latest() / checkpoint.NETWORKS,
            packed / "whole.safetensors",
            packed / "half.safetensors",
        )
    )
    text = len(safe_open(packed / "whole.safetensors", "pt").metadata()["recipe"])
    assert whole - text < (before - text) / 2 and half < whole
    weights, halved = (load_file(packed / f"{name}.safetensors") for name in ("whole", "half"))
    assert not [name for name in weights if not name.startswith("G.")]
    assert {v.dtype for v in weights.values()} == {torch.float32} and {v.dtype for v in halved.values()} == {
        torch.float16
    }


def test_half_precision_is_nearly_the_same(packed, run):
    image = 2 * torch.rand(1, 3, 40, 36, generator=torch.Generator().manual_seed(1)) - 1
    whole, half = (package.load(x).translate_tensor(image, "A", "B") for x in (run, packed / "half.safetensors"))
    assert 0 < (whole - half).abs().max() < 1e-2


def test_what_is_left_out_is_told_where_it_is_needed(packed, run, images, ganzoo):
    translator = package.load(packed / "whole.safetensors")
    copied = copy.deepcopy(translator.trainer).double()
    with pytest.raises(GanzooError, match=r'"D\.A\..*weight" were left out of .*whole.safetensors.* Use the run'):
        copied.D["A"](torch.zeros(1, 3, 32, 32).double())
    assert sum(p.numel() for p in translator.trainer.D.parameters()) == 0
    done = ganzoo("evaluate", packed / "whole.safetensors", "--data", images, "--json", cwd=packed)
    assert json.loads(done.stdout) == json.loads((run / "metrics.json").read_text())


def test_the_card_says_all_that_is_known_and_nothing_of_the_machine(packed, run, images):
    text = (packed / "whole.md").read_text()
    metrics = json.loads((run / "metrics.json").read_text())
    assert f"{metrics['A->B']['cycle_l1']:.4f}" in text and "@inproceedings{zhu2017cyclegan" in text
    for words in (
        "# cyclegan: A and B",
        "ganzoo translate whole.safetensors photo.jpg",
        "24 images of each",
        "(whole.png)",
    ):
        assert words in text, words
    shown = RunFolder(run).sample_grids()[-1]
    assert (packed / "whole.png").read_bytes() == shown.read_bytes()
    assert str(images) in shown.parents[1].joinpath("recipe.toml").read_text()
    for file in packed.iterdir():
        assert str(images).encode() not in file.read_bytes(), file


def test_nothing_is_overwritten_or_left_behind(tmp_path, packed, run, ganzoo):
    for name in ("x.safetensors", "x.md", "x.png"):
        (tmp_path / name).write_text("mine")
        ganzoo("pack", run, "x.safetensors", cwd=tmp_path).mistake(f"{name} exists and is not overwritten")
        (tmp_path / name).unlink()
    ganzoo("pack", run, "x.bin", cwd=tmp_path).mistake("x.bin: give the file a name that ends in .safetensors")
    ganzoo("pack", tmp_path / "none", "x.safetensors", cwd=tmp_path).mistake("There is no run")
    assert not [*tmp_path.iterdir()]


def stranger(packed, folder, **changes):
    with safe_open(packed / "whole.safetensors", "pt") as content:
        facts = content.metadata()
    save_file(load_file(packed / "whole.safetensors"), folder / "stranger.safetensors", facts | changes)
    return folder / "stranger.safetensors"


@pytest.mark.parametrize("text", ["{", "5", '"D"', "[5]", '[""]', '["\\u001b[31m"]', "[" * 10_000])
def test_nonsense_in_the_place_of_what_was_left_out(tmp_path, packed, ganzoo, text):
    file = stranger(packed, tmp_path, left_out=text)
    with pytest.raises(GanzooError, match="not a sound ganzoo file"):
        package.load(file)


def test_more_may_be_left_out_than_there_is_but_not_less(tmp_path, packed):
    image = torch.zeros(1, 3, 32, 32)
    one_way = package.load(stranger(packed, tmp_path, left_out='["G.B", "D", "nothing", "D.A"]'))
    with pytest.raises(GanzooError, match=r'"G\.B\.layers.*were left out'):
        one_way.translate_tensor(image, "A", "B")
    assert one_way.translate_tensor(image, "B", "A").shape == image.shape
    with pytest.raises(GanzooError, match="all weights are left out"):
        package.load(stranger(packed, tmp_path, left_out='["G", "D"]'))
    with pytest.raises(GanzooError, match="another model than the recipe's"):
        package.load(stranger(packed, tmp_path, left_out='["D.A"]'))


def test_the_texts_of_strangers_are_only_text(tmp_path, packed):
    file = stranger(packed, tmp_path, licence="<script>\n# [x](y) \u001b", metrics='{"a->b": {"l1": "x", "m|": 1}}')
    text = card.markdown(card.read(file), file.name)
    assert "Licence: \\<script\\>\\\\u000a\\# \\[x\\](y) \\\\u001b" in text and "| a-\\>b | m\\| | 1.0000 |" in text
    for metrics in ("5", "[]", '{"a": 5}'):
        assert card.read(stranger(packed, tmp_path, metrics=metrics)).metrics in ({}, {"a": {}})
    shutil.copy(packed / "whole.safetensors", tmp_path / "other.safetensors")
    assert card.read(tmp_path / "other.safetensors").texts == {}
