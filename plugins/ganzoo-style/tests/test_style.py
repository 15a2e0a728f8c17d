"""Style transfer is the published one: Gram matrices by hand, plain loops that agree to 1e-9, exact resume."""

import pytest
import torch
from ganzoo_style.model import gram, total_variation
from PIL import Image
from torch import nn

from ganzoo import GanzooError, recipe
from ganzoo.clock import Clock
from ganzoo.data.batches import batches
from ganzoo.data.dataset import open_dataset
from ganzoo.evaluation import evaluate
from ganzoo.nets.vgg import LAYERS, VGG19
from ganzoo.testing import build, check_model, random_batch
from ganzoo.trainer import DataSpec

SMALL = {"features": "random", "feature_width": 4}
SPEC = DataSpec(("content", "style"), {"content": 3, "style": 3}, 32)
STYLE_LAYERS = ("relu1_1", "relu2_1", "relu3_1", "relu4_1", "relu5_1")


def parsed(data=None, precision="64", images=80, **options):
    tables = {
        "model": "style",
        "data": {"source": "none", "size": 32} | (data or {}),
        "options": SMALL | options,
        "train": {"images": images, "precision": precision, "device": "cpu", "constant": 1.0},
    }
    return recipe.parse(tables)


def make(**options):
    return build(parsed(**options), SPEC)


@pytest.mark.parametrize(
    "options",
    [
        {"history": 3},  # resume while L-BFGS forgets
        {"optimizer": "adam", "lr": 0.08, "init": "content", "relative": True, "smooth": 0.0},
    ],
)
def test_conformance(options):
    check_model("style", **(SMALL | options))


def test_gram_matrix_by_hand():
    features = torch.tensor([[[[1.0, 2.0]], [[3.0, -1.0]]]])  # two channels, two places
    assert torch.equal(gram(features), torch.tensor([[[5.0, 1.0], [1.0, 10.0]]]) / 4)


def test_total_variation_by_hand():
    image = torch.tensor([[[[0.0, 2.0], [1.0, 5.0]]]])
    assert total_variation(image).item() == (2**2 + 4**2 + 1**2 + 3**2) / 2


def plain_network(vgg):
    """VGG-19 as one writes it down, with the same weights: name of layer -> all layers up to it."""
    stack, upto = [], {}
    for name in LAYERS:
        weight, bias = getattr(vgg, f"{name}_weight"), getattr(vgg, f"{name}_bias")
        if name.endswith("_1") and stack:
            stack.append(nn.MaxPool2d(2))
        convolution = nn.Conv2d(weight.shape[1], weight.shape[0], 3, padding=1).double()
        convolution.weight.data, convolution.bias.data = weight.clone(), bias.clone()
        stack += [convolution, nn.ReLU()]
        upto[name] = nn.Sequential(*stack)
    return upto


def plain_image(engine, batch, steps, *, style_weight=100.0):
    """Gatys et al. 2016 with the constants of jcjohnson/neural-style; features of images from 0 to 255."""
    network = plain_network(engine.trainer.vgg())
    mean = torch.tensor([0.485, 0.456, 0.406], dtype=torch.float64).view(1, 3, 1, 1)
    std = torch.tensor([0.229, 0.224, 0.225], dtype=torch.float64).view(1, 3, 1, 1)
    content, style = batch["content"][:1], batch["style"][:1]

    def features(image, name):
        return 255 * network[name](((image + 1) / 2 - mean) / std)

    def products(activations):
        _, channels, height, width = activations.shape
        rows = activations.view(channels, height * width)
        return torch.mm(rows, rows.t()) / (channels * height * width)

    wanted = features(content, "relu4_2").detach()
    styles = {name: products(features(style, name)).detach() for name in STYLE_LAYERS}
    image = nn.Parameter(engine.trainer.change.detach().clone())
    optimizer = torch.optim.LBFGS([image], lr=1, max_iter=steps, history_size=100)

    def evaluate_loss():
        optimizer.zero_grad()
        loss = 5 * nn.functional.mse_loss(features(image, "relu4_2"), wanted)
        for name, target in styles.items():
            loss = loss + style_weight * nn.functional.mse_loss(products(features(image, name)), target)
        levels = image * 127.5
        across, down = levels[..., 1:] - levels[..., :-1], levels[..., 1:, :] - levels[..., :-1, :]
        loss = loss + 1e-3 * 0.5 * ((across**2).sum() + (down**2).sum())
        loss.backward()
        return loss

    optimizer.step(evaluate_loss)  # all iterations in one call, as the published programs do
    return image.detach()


def test_ten_steps_of_lbfgs_agree_with_the_paper():
    engine = make()
    batch = {key: value.double() for key, value in random_batch(SPEC, 0).items()}
    theirs, other = plain_image(engine, batch, 10), plain_image(engine, batch, 10, style_weight=102.0)
    for _ in range(10):
        engine.step(batch)
    ours = engine.trainer.generate(1)
    assert (engine.trainer.change - theirs).abs().max() < 1e-9
    assert (engine.trainer.change - other).abs().max() > 1e-7  # a weight that is 2 % off is noticed
    assert ours.shape == (1, 3, 32, 32) and ours.abs().max() <= 1


def test_parameters_of_vgg19():
    network = VGG19("random")
    assert sum(b.numel() for name, b in network.named_buffers() if "relu" in name) == 20_024_384
    assert not list(network.parameters()) and not network.state_dict()


def torchvision_state(vgg):
    """The state that torchvision's vgg19 would have, with a head, which is to be left alone."""
    state, index = {"classifier.0.weight": torch.zeros(3, 3), "classifier.0.bias": torch.zeros(3)}, 0
    for name in LAYERS:
        index += name.endswith("_1") and name != LAYERS[0]  # the pooling before this block
        state[f"features.{index}.weight"] = getattr(vgg, f"{name}_weight")
        state[f"features.{index}.bias"] = getattr(vgg, f"{name}_bias")
        index += 2
    return state


def test_weights_from_a_local_file(tmp_path):
    vgg = VGG19("random", width=4)
    state = torchvision_state(vgg)
    assert "features.34.weight" in state  # as torchvision numbers the last one
    torch.save(
        {name: value + 0 if "classifier" in name else value * 2 for name, value in state.items()}, tmp_path / "v.pth"
    )
    read = VGG19(str(tmp_path / "v.pth"), width=4)
    assert torch.equal(read.relu5_4_weight, 2 * vgg.relu5_4_weight)
    with pytest.raises(GanzooError, match="does not hold the 16 convolutions"):
        VGG19(str(tmp_path / "v.pth"), width=8)
    (tmp_path / "broken.pth").write_bytes(b"not weights")
    with pytest.raises(GanzooError, match="cannot be read as weights"):
        VGG19(str(tmp_path / "broken.pth"))
    with pytest.raises(GanzooError, match='"imagenet", "random" or the path'):
        VGG19(str(tmp_path / "nowhere.pth"))


def test_a_single_pair_is_the_same_in_every_step(tmp_path):
    for domain, colour in (("content", "red"), ("style", "blue")):
        (tmp_path / domain).mkdir()
        Image.new("RGB", (60, 40), colour).save(tmp_path / domain / "image.png")
    made = parsed({"source": "folders", "root": str(tmp_path)}, optimizer="adam", lr=0.08)
    dataset = open_dataset(made.data, made.data_kind)
    assert dataset.spec.domains == ("content", "style")
    samples = dataset.training_samples(0)
    assert torch.equal(samples[0]["content"], samples[7]["content"])
    assert samples[0]["content"].shape == (3, 32, 32) and samples[0]["style"][2].min() == 1


def test_style_is_taken_over_and_measured():
    made = parsed({"source": "landscapes"}, init="content", optimizer="adam", lr=0.05, relative=True)
    dataset = open_dataset(made.data, made.data_kind)
    engine = build(made, dataset.spec)
    samples = dataset.training_samples(0)
    before = evaluate(engine.trainer, dataset, {})["generated"]
    assert before["style"] == before["style_identity"] > 0 and before["content"] == 0
    for batch in batches(samples, Clock(), 30):
        engine.step({name: value.double() for name, value in batch.items()})
    after = evaluate(engine.trainer, dataset, {})["generated"]
    assert after["style"] < 0.5 * after["style_identity"] and after["content"] > 0


def test_it_translates_nothing_else():
    trainer = make().trainer
    assert trainer.directions() == []
    with pytest.raises(GanzooError, match=r"translates no images.*ganzoo generate"):
        trainer.translate(torch.zeros(1, 3, 32, 32), "content", "style")


def test_channels_that_vgg_does_not_know_are_refused():
    made = parsed()
    with pytest.raises(GanzooError, match="channels of style to 3"):
        made.trainer(made.options, DataSpec(("content", "style"), {"content": 3, "style": 4}, 32))
