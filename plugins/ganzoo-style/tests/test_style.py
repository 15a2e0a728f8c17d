"""Style transfer is the published one: Gram matrices by hand, plain loops that agree to 1e-9, exact resume."""

import pytest
import torch
from ganzoo_style.model import gram, total_variation
from ganzoo_testing import batch, check_model, engine, trainer
from PIL import Image
from torch import nn

from ganzoo import GanzooError
from ganzoo.clock import Clock
from ganzoo.data.dataset import open_dataset
from ganzoo.data.loader import batches
from ganzoo.evaluation import evaluate
from ganzoo.nets.vgg import LAYERS, VGG19, vgg19
from ganzoo.options import DataOptions
from ganzoo.trainer import DataSpec

SMALL = {"features": "random", "feature_width": 4}
SPEC = DataSpec(("content", "style"), {"content": 3, "style": 3}, 32)
STYLE_LAYERS = ("relu1_1", "relu2_1", "relu3_1", "relu4_1", "relu5_1")


@pytest.mark.parametrize(
    "options",
    [
        {"history": 3},  # resume while L-BFGS forgets
        {"optimizer": "adam", "lr": 0.08, "init": "content", "relative": True, "smooth": 0.0},
    ],
)
def test_conformance(options):
    check_model("style", SMALL | options, processes="history" in options)


def test_gram_matrix_by_hand():
    features = torch.tensor([[[[1.0, 2.0]], [[3.0, -1.0]]]])  # two channels, two places
    assert torch.equal(gram(features), torch.tensor([[[5.0, 1.0], [1.0, 10.0]]]) / 4)


def test_total_variation_by_hand():
    image = torch.tensor([[[[0.0, 2.0], [1.0, 5.0]]]])
    assert total_variation(image).item() == (2**2 + 4**2 + 1**2 + 3**2) / 2


def convolutions(vgg):
    """Name of layer -> weight and bias."""
    layers = [(m.weight, m.bias) for m in vgg.features if isinstance(m, nn.Conv2d)]
    return dict(zip(LAYERS, layers, strict=True))


def plain_network(vgg):
    """VGG-19 as one writes it down, with the same weights: name of layer -> all layers up to it."""
    stack, upto = [], {}
    for name, (weight, bias) in convolutions(vgg).items():
        if name.endswith("_1") and stack:
            stack.append(nn.MaxPool2d(2))
        convolution = nn.Conv2d(weight.shape[1], weight.shape[0], 3, padding=1).double()
        convolution.weight.data, convolution.bias.data = weight.data.clone(), bias.data.clone()
        stack += [convolution, nn.ReLU()]
        upto[name] = nn.Sequential(*stack)
    return upto


def plain_image(ours, images, steps, *, style_weight=100.0):
    """Gatys et al. 2016 with the constants of jcjohnson/neural-style; features of images from 0 to 255."""
    network = plain_network(ours.trainer.vgg.load())
    mean = torch.tensor([0.485, 0.456, 0.406], dtype=torch.float64).view(1, 3, 1, 1)
    std = torch.tensor([0.229, 0.224, 0.225], dtype=torch.float64).view(1, 3, 1, 1)
    content, style = images["content"][:1], images["style"][:1]

    def features(image, name):
        return 255 * network[name](((image + 1) / 2 - mean) / std)

    def products(activations):
        _, channels, height, width = activations.shape
        rows = activations.view(channels, height * width)
        return torch.mm(rows, rows.t()) / (channels * height * width)

    wanted = features(content, "relu4_2").detach()
    styles = {name: products(features(style, name)).detach() for name in STYLE_LAYERS}
    image = nn.Parameter(ours.trainer.change.detach().clone())
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
    ours = engine("style", SMALL, SPEC, batch=1, precision="64", constant=1.0)
    images = batch(ours)
    theirs, other = plain_image(ours, images, 10), plain_image(ours, images, 10, style_weight=102.0)
    for _ in range(10):
        ours.step(images)
    image = ours.trainer.generate(1)
    assert (ours.trainer.change - theirs).abs().max() < 1e-9
    assert (ours.trainer.change - other).abs().max() > 1e-7  # a weight that is 2 % off is noticed
    assert image.shape == (1, 3, 32, 32) and image.abs().max() <= 1


def test_parameters_of_vgg19():
    with torch.device("meta"):
        assert sum(p.numel() for p in VGG19().parameters()) == 20_024_384
    model = trainer("style", SMALL, SPEC)
    model.vgg.load()
    assert set(model.state_dict()) == {"start", "change"}


def torchvision_state(vgg):
    """The state that torchvision's vgg19 would have, with a head, which is to be left alone."""
    state, index = {"classifier.0.weight": torch.zeros(3, 3), "classifier.0.bias": torch.zeros(3)}, 0
    for name, (weight, bias) in convolutions(vgg).items():
        index += name.endswith("_1") and name != LAYERS[0]  # the pooling before this block
        state[f"features.{index}.weight"], state[f"features.{index}.bias"] = weight, bias
        index += 2
    return state


def test_weights_from_a_local_file(tmp_path):
    vgg = vgg19("random", width=4)
    state = torchvision_state(vgg)
    assert "features.34.weight" in state  # as torchvision numbers the last one
    torch.save(
        {name: value + 0 if "classifier" in name else value * 2 for name, value in state.items()}, tmp_path / "v.pth"
    )
    read = vgg19(str(tmp_path / "v.pth"), width=4)
    assert torch.equal(convolutions(read)["relu5_4"][0], 2 * convolutions(vgg)["relu5_4"][0])
    with pytest.raises(GanzooError, match="does not hold the 16 convolutions"):
        vgg19(str(tmp_path / "v.pth"), width=8)
    (tmp_path / "broken.pth").write_bytes(b"not weights")
    for number, other in enumerate(([1], torch.ones(2), None, {1: torch.ones(2)}, {"0.weight": 1})):
        torch.save(other, tmp_path / f"{number}.pth")
    for file in (*tmp_path.glob("[b0-9]*.pth"), "/etc/passwd"):
        with pytest.raises(GanzooError, match="holds no plain weights"):
            vgg19(str(file))
    with pytest.raises(GanzooError, match="Could not determine home directory"):
        vgg19("~nosuchuser/x")
    with pytest.raises(GanzooError, match='"imagenet", "random" or the path'):
        vgg19(str(tmp_path / "nowhere.pth"))


def test_a_single_pair_is_the_same_in_every_step(tmp_path):
    for domain, colour in (("content", "red"), ("style", "blue")):
        (tmp_path / domain).mkdir()
        Image.new("RGB", (60, 40), colour).save(tmp_path / domain / "image.png")
    dataset = open_dataset(DataOptions(source="folders", root=str(tmp_path), size=32), "single-pair")
    assert dataset.spec.domains == ("content", "style")
    samples = dataset.training_samples(0)
    assert torch.equal(samples[0]["content"], samples[7]["content"])
    assert samples[0]["content"].shape == (3, 32, 32) and samples[0]["style"][2].min() == 1


def test_style_is_taken_over_and_measured():
    dataset = open_dataset(DataOptions(source="landscapes", size=32), "single-pair")
    options = {"init": "content", "optimizer": "adam", "lr": 0.05, "relative": True}
    ours = engine("style", SMALL | options, dataset.spec, batch=1, constant=1.0)
    samples = dataset.training_samples(0)
    before = evaluate(ours.trainer, dataset, {})["generated"]
    assert before["style"] == before["style_identity"] > 0 and before["content"] == 0
    for images in batches(samples, Clock(), 30):
        ours.step(images)
    after = evaluate(ours.trainer, dataset, {})["generated"]
    assert after["style"] < 0.5 * after["style_identity"] and after["content"] > 0


def test_it_translates_nothing_else():
    model = trainer("style", SMALL, SPEC)
    assert model.directions() == []
    with pytest.raises(GanzooError, match=r"translates no images.*ganzoo generate"):
        model.translate(torch.zeros(1, 3, 32, 32), "content", "style")


def test_channels_that_vgg_does_not_know_are_refused():
    with pytest.raises(GanzooError, match="channels of style to 3"):
        trainer("style", SMALL, DataSpec(("content", "style"), {"content": 3, "style": 4}, 32))
