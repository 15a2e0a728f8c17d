"""`ganzoo export`: the ONNX file gives what `ganzoo translate` gives, for any number and size; and what is refused."""

import shutil
import sys

import numpy as np
import onnxruntime
import pytest
import torch

import ganzoo as package
from ganzoo import export, recipe
from ganzoo.cli import cli
from ganzoo.translate import Translator

UNET = {"name": "unet", "width": 2, "norm": "batch", "dropout": 0.5}
PATCH = {"name": "patch", "width": 4, "layers": 1}
MODELS = {  # what differs from the tiny recipe; source and target
    "cyclegan": ({"options": {"generator": {"name": "unet", "width": 2}, "discriminator": PATCH}}, ("B", "A")),
    "pix2pix": ({"data.size": 64, "options": {"generator": UNET, "discriminator": PATCH}}, ("A", "B")),
    "discogan": (
        {
            "data.size": 64,
            "options": {"generator": {"name": "disco", "width": 2}, "discriminator": {"name": "disco", "width": 2}},
        },
        ("A", "B"),
    ),
    "combogan": (
        {
            "options": {
                "width": 2,
                "encoder_blocks": 1,
                "decoder_blocks": 1,
                "discriminator": {"name": "two-stream", "width": 2, "layers": 2},
            }
        },
        ("A", "B"),
    ),
    "unit": ({"options": {"width": 2, "blocks": 2, "discriminator": PATCH}}, ("B", "A")),
    "xgan": ({"options": {"width": 2, "embedding": 8}}, ("A", "B")),
    "stargan": (
        {
            "data.labels": "labels.csv",
            "options": {
                "generator": {"name": "stargan", "width": 2, "blocks": 1},
                "discriminator_width": 2,
                "discriminator_layers": 3,
            },
        },
        ("image", "blond,smiling"),
    ),
}


LABELS = "file,blond,smiling,glasses\n" + "".join(f"{i}.png,{i % 2},{i // 2 % 2},{i // 4}\n" for i in range(8))


def trained(folder, model, images, recipe, ganzoo):
    changes, direction = MODELS[model]
    changes = changes | {"model": model, "train.images": 6, "train.checkpoint_every": 6}
    if "data.labels" in changes:
        shutil.copytree(images / "trainA", folder / "labelled")
        (folder / "labelled" / "labels.csv").write_text(LABELS)
        changes["data.root"] = str(folder / "labelled")
    recipe(folder, changes)
    done = ganzoo("run", "tiny.toml", "--out", "run", cwd=folder)
    assert done.returncode == 0, done
    return folder / "run", *direction


@pytest.fixture
def refused(tmp_path):
    """`refused(translator)` tries to export it and gives the sentence, after checking that no file is left."""

    def attempt(translator, to=None, source=None, name="x.onnx"):
        before = list(tmp_path.iterdir())
        with pytest.raises(package.GanzooError) as error:
            export.write(translator, tmp_path / name, to, source)
        assert list(tmp_path.iterdir()) == before
        return str(error.value)

    return attempt


def through(file, images):
    session = onnxruntime.InferenceSession(file, providers=["CPUExecutionProvider"])
    return torch.from_numpy(session.run(["translation"], {"image": images.numpy()})[0])


def facts(file):
    session = onnxruntime.InferenceSession(file, providers=["CPUExecutionProvider"])
    return session.get_modelmeta().custom_metadata_map, session.get_inputs()[0].shape


def noise(*shape):
    return 2 * torch.rand(shape, generator=torch.Generator().manual_seed(5)) - 1


def test_the_command_writes_a_file_that_says_how_it_is_used(tmp_path, run, ganzoo):
    done = ganzoo("export", run, "sub/night.onnx", cwd=tmp_path)
    assert done.returncode == 0 and not done.stderr, done
    assert "A to B: sub/night.onnx, 0." in done.stdout
    assert "any number of images of any size" in done.stdout and "multiples of 4 from 8 on" in done.stdout
    assert "0.001 would be allowed" in done.stdout
    assert [path.name for path in (tmp_path / "sub").iterdir()] == ["night.onnx"]
    file = tmp_path / "sub" / "night.onnx"
    said, shape = facts(file)
    assert shape == ["batch", 3, "height", "width"]
    assert said.items() >= {"model": "cyclegan", "distribution": "ganzoo-cyclegan", "range": "-1 1"}.items()
    assert said.items() >= {"source": "A", "target": "B", "multiple": "4", "images": "24"}.items()
    assert "multiples of 4 from 8 on" in said["use"] and said["version"] and 'model = "cyclegan"' in said["recipe"]
    translator = package.load(run)
    for shape in ((1, 3, 8, 8), (5, 3, 32, 32), (2, 3, 60, 44)):
        there = translator.translate_tensor(noise(*shape), "A", "B")
        assert torch.allclose(through(file, noise(*shape)), there, atol=2e-5)


@pytest.mark.parametrize("model", MODELS)
def test_every_model_gives_the_same_as_here(tmp_path, model, images, recipe, ganzoo, capsys):
    run, source, target = trained(tmp_path, model, images, recipe, ganzoo)
    file = tmp_path / "made.onnx"
    cli(["export", str(run), str(file), "--to", target, "--from", source], standalone_mode=False)
    assert "any number of images of any size" in capsys.readouterr().out
    translator = package.load(run)
    for module in translator.trainer.modules():
        if isinstance(module, torch.nn.Dropout):
            module.p = 0.0
    multiple = translator.trainer.multiple
    for count, height, width in ((1, translator.spec.size, translator.spec.size), (3, 75, 134)):
        given = noise(count, 3, height // multiple * multiple, width // multiple * multiple)
        there = translator.translate_tensor(given, source, target)
        made = through(file, given)
        assert made.shape == there.shape
        assert torch.allclose(made, there, atol=2e-5)
    said, _ = facts(file)
    assert said["model"] == model and said["target"] == target
    assert ("Dropout is off" in said["use"]) == (model == "pix2pix")


def test_torch_export_alone_needs_no_onnx(run, monkeypatch, refused):
    for name in ("onnx", "onnxruntime", "onnxscript"):
        monkeypatch.setitem(sys.modules, name, None)
    trainer = package.load(run).trainer
    program = export.exported(export.Direction(trainer, "B", "A"), noise(2, 3, 32, 32)).module()
    with trainer.inference():
        assert torch.equal(program(noise(5, 3, 32, 32)), trainer.translate(noise(5, 3, 32, 32), "B", "A"))
    assert not trainer.training
    assert 'pip install "ganzoo[export]"' in refused(package.load(run))


def test_nothing_is_overwritten(tmp_path, run, refused):
    (tmp_path / "x.onnx").write_text("mine")
    assert "exists and is not overwritten" in refused(package.load(run))
    assert (tmp_path / "x.onnx").read_text() == "mine"


def test_a_full_disk_leaves_nothing(tmp_path, run, ganzoo):
    ganzoo("export", run, "x.onnx", cwd=tmp_path, largest=20_000).mistake("x.onnx cannot be written")
    assert not list(tmp_path.iterdir())


def test_mistakes(tmp_path, run, refused):
    translator = package.load(run)
    assert 'cannot translate to "C"' in refused(translator, "C")
    assert 'cannot translate from "C"' in refused(translator, source="C")
    assert "ends in .onnx" in refused(translator, name="x.pt")
    (tmp_path / "file").touch()
    assert "cannot be written" in refused(translator, name="file/x.onnx")


@pytest.mark.parametrize(("model", "domains"), [("gan", ("image",)), ("style", ("A", "B"))])
def test_models_that_translate_nothing_are_refused(model, domains, refused):
    tables = {"model": model, "data": {"source": "none", "size": 16}, "train": {"images": 1}}
    made_from = recipe.parse(tables)
    spec = package.DataSpec(domains, dict.fromkeys(domains, 3), 16)
    said = refused(Translator(made_from.trainer(made_from.options, spec).eval(), made_from))
    assert "translates no images" in said and "no input for noise" in said and "ganzoo generate RUN" in said


def dark(images):
    """Depends on what is in the images, as no fixed program can."""
    return -images if images.mean() > 0 else images


@pytest.mark.parametrize(
    ("translate", "words"),
    [
        (lambda images: images + torch.rand_like(images), ["draws at random"]),
        (dark, ["cannot be exported", "data-dependent", "ganzoo translate RUN"]),
        (lambda images: images / (images - images), ["cannot be exported", "differ by nan"]),
    ],
)
def test_what_no_file_can_do_is_refused(run, refused, translate, words):
    translator = package.load(run)
    translator.trainer.translate = lambda images, source, target: translate(images)
    said = refused(translator)
    for word in words:
        assert word in said, said


def test_too_large_for_one_file(run, refused, monkeypatch):
    monkeypatch.setattr(export, "LARGEST", 1000)
    assert "2 GB" in refused(package.load(run))


@pytest.mark.parametrize(
    ("translate", "takes"),
    [
        (lambda images: -images if images.shape[2] > 32 else images, "any number of images of the training size"),
        (lambda images: images * len(images), "one image of the training size"),
    ],
)
def test_sizes_that_a_model_does_not_allow_are_told(tmp_path, run, translate, takes):
    translator = package.load(run)
    translator.trainer.translate = lambda images, source, target: translate(images)
    said = "\n".join(export.write(translator, tmp_path / "x.onnx"))
    assert "It cannot take any number of images of any size: " in said
    assert f"It takes {takes}" in said and takes in facts(tmp_path / "x.onnx")[0]["use"]
    batch = 3 if "number" in takes else 1
    assert np.allclose(through(tmp_path / "x.onnx", noise(batch, 3, 32, 32)), noise(batch, 3, 32, 32), atol=1e-6)
