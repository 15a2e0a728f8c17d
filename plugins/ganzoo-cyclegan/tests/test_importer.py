"""Generators as the authors' code saves them: the same names, and from then on the same images."""

import numpy as np
import pytest
import torch
from click.testing import CliRunner
from PIL import Image
from torch import nn

from ganzoo import GanzooError, load
from ganzoo.cli import cli
from ganzoo.translate import Translator


class Block(nn.Module):
    def __init__(self, channels, norm, dropout):
        super().__init__()
        halves = [[nn.ReflectionPad2d(1), nn.Conv2d(channels, channels, 3), norm(channels)] for _ in range(2)]
        between = [nn.ReLU(), nn.Dropout(0.5)] if dropout else [nn.ReLU()]
        self.conv_block = nn.Sequential(*halves[0], *between, *halves[1])

    def forward(self, x):
        return x + self.conv_block(x)


class Official(nn.Module):
    """The paper's generator, its parts where the authors' files have them."""

    def __init__(self, blocks=2, width=4, norm=nn.InstanceNorm2d, dropout=False, channels=(3, 3)):
        super().__init__()
        w = width
        layers = [nn.ReflectionPad2d(3), nn.Conv2d(channels[0], w, 7), norm(w), nn.ReLU()]
        for c in (w, 2 * w):
            layers += [nn.Conv2d(c, 2 * c, 3, 2, 1), norm(2 * c), nn.ReLU()]
        layers += [Block(4 * w, norm, dropout) for _ in range(blocks)]
        for c in (4 * w, 2 * w):
            layers += [nn.ConvTranspose2d(c, c // 2, 3, 2, 1, output_padding=1), norm(c // 2), nn.ReLU()]
        self.model = nn.Sequential(*layers, nn.ReflectionPad2d(3), nn.Conv2d(w, channels[1], 7), nn.Tanh())
        if norm is nn.BatchNorm2d:  # the authors give convolutions before batch norm no bias
            for first, second in zip(self.modules_in_order(), self.modules_in_order()[1:], strict=False):
                if isinstance(second, nn.BatchNorm2d):
                    first.bias = None

    def modules_in_order(self):
        return [m for m in self.modules() if isinstance(m, nn.Conv2d | nn.ConvTranspose2d | nn.BatchNorm2d)]

    def forward(self, x):
        return self.model(x)


def run(*args):
    done = CliRunner().invoke(cli, [str(arg) for arg in args])
    if isinstance(done.exception, GanzooError):
        raise done.exception
    assert done.exit_code == 0, (done.output, done.exception)
    return done.output


@pytest.mark.parametrize(
    ("kind", "spoil"),
    [
        ({}, lambda state: state),
        ({"blocks": 9, "dropout": True}, lambda state: state),
        ({"norm": nn.BatchNorm2d, "dropout": True}, lambda state: state),
        ({}, lambda state: {f"module.{name}": value for name, value in state.items()}),
        ({}, lambda state: state | {"model.2.running_mean": torch.ones(4), "model.2.running_var": torch.ones(4)}),
        ({"channels": (1, 3)}, lambda state: state),
    ],
)
def test_pictures_are_those_of_the_authors_code(tmp_path, kind, spoil):
    torch.manual_seed(1)
    forth = Official(**kind).eval()
    back = Official(**kind | ({"channels": kind["channels"][::-1]} if "channels" in kind else {})).eval()
    for file, network in (("ab.pth", forth), ("ba.pth", back)):
        torch.save(spoil(network.state_dict()), tmp_path / file)
    out = tmp_path / "made" / "both.safetensors"
    said = run("import-cyclegan", tmp_path / "ab.pth", tmp_path / "ba.pth", out, "--domains", "horse", "zebra")
    assert "horse to zebra and back" in said
    made: Translator = load(out)
    for source, target, network in (("horse", "zebra", forth), ("zebra", "horse", back)):
        image = torch.rand(2, made.spec.channels[source], 32, 40) * 2 - 1
        with torch.no_grad():
            torch.testing.assert_close(made.translate_tensor(image, source, target), network(image), atol=1e-6, rtol=0)
    noise = np.random.default_rng(0).integers(0, 256, (30, 50, 3), np.uint8)
    Image.fromarray(noise).save(tmp_path / "a.png")
    run("translate", out, tmp_path / "a.png", tmp_path / "z.png", "--to", "zebra")
    assert Image.open(tmp_path / "z.png").size == (50, 30)
    with pytest.raises(GanzooError, match="exists and is not overwritten"):
        run("import-cyclegan", tmp_path / "ab.pth", tmp_path / "ba.pth", out)


def test_what_is_no_pair_of_generators(tmp_path):
    torch.save(Official().state_dict(), tmp_path / "g.pth")
    torch.save(Official(blocks=3).state_dict(), tmp_path / "larger.pth")
    torch.save({"model.0.weight": torch.ones(1)}, tmp_path / "d.pth")
    torch.save(Official(), tmp_path / "pickled.pth")
    (tmp_path / "text.pth").write_text("hello")
    large, small = torch.ones(1).expand(10**6, 3, 7, 7), torch.ones(())
    strange = [[1], small, None, {1: small}, {"model.1.weight": large}, {"a": torch.empty(10**6, device="meta")}]
    names = ("model.1.weight", "model.10.conv_block.1.weight")
    strange += [dict.fromkeys(names, value) for value in (small, torch.ones(4), torch.ones(90_000, 3, 1, 1))]
    for number, content in enumerate(strange):
        torch.save(content, tmp_path / f"{number}.pth")
    for other, words in (
        *((f"{number}.pth", "holds no plain weights") for number in range(6)),
        *((f"{number}.pth", "no residual generator") for number in range(6, 9)),
        ("larger.pth", "not of one CycleGAN"),
        ("d.pth", r"no residual generator .* begins with model\.0\.weight"),
        ("pickled.pth", "holds no plain weights"),
        ("text.pth", "holds no plain weights"),
        ("nothing.pth", "There is no file"),
    ):
        with pytest.raises(GanzooError, match=words):
            run("import-cyclegan", tmp_path / "g.pth", tmp_path / other, tmp_path / "out.safetensors")
    both = (tmp_path / "g.pth", tmp_path / "g.pth", tmp_path / "out.safetensors", "--domains")
    for names, words in ((("horse", "horse"), "Both domains"), (("a.b", "c"), "cannot be the name of a domain")):
        with pytest.raises(GanzooError, match=words):
            run("import-cyclegan", *both, *names)
    (tmp_path / "full").write_text("a file, not a folder")
    with pytest.raises(GanzooError, match="cannot be written"):
        run("import-cyclegan", tmp_path / "g.pth", tmp_path / "g.pth", tmp_path / "full" / "out.safetensors")
    assert not (tmp_path / "out.safetensors").exists()
