"""Generators as the authors' code saves them: the same names, and from then on the same images."""

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from ganzoo import GanzooError, TrainedOn, load
from ganzoo.importer import import_files


def filter_of(*row):
    row = torch.tensor(row, dtype=torch.float)
    return torch.outer(row, row) / row.sum() ** 2


class Downsample(nn.Module):
    def __init__(self, channels):
        super().__init__()
        self.register_buffer("filt", filter_of(1, 2, 1).expand(channels, 1, 3, 3).clone())

    def forward(self, x):
        return F.conv2d(F.pad(x, (1, 1, 1, 1), mode="reflect"), self.filt, stride=2, groups=x.shape[1])


class Upsample(nn.Module):
    def __init__(self, channels):
        super().__init__()
        self.register_buffer("filt", 4 * filter_of(1, 3, 3, 1).expand(channels, 1, 4, 4).clone())

    def forward(self, x):
        padded = F.pad(x, (1, 1, 1, 1), mode="replicate")
        return F.conv_transpose2d(padded, self.filt, stride=2, padding=2, groups=x.shape[1])[:, :, 1:, 1:][
            :, :, :-1, :-1
        ]


class Block(nn.Module):
    def __init__(self, channels, dropout):
        super().__init__()
        halves = [[nn.ReflectionPad2d(1), nn.Conv2d(channels, channels, 3), nn.InstanceNorm2d(channels)] for _ in "12"]
        self.conv_block = nn.Sequential(*halves[0], nn.ReLU(), *([nn.Dropout(0.5)] if dropout else []), *halves[1])

    def forward(self, x):
        return x + self.conv_block(x)


class Official(nn.Module):
    """The antialiased generator, its parts where the authors' files have them."""

    def __init__(self, blocks=2, width=4, dropout=False):
        super().__init__()
        w, norm = width, nn.InstanceNorm2d
        layers = [nn.ReflectionPad2d(3), nn.Conv2d(3, w, 7), norm(w), nn.ReLU()]
        for c in (w, 2 * w):
            layers += [nn.Conv2d(c, 2 * c, 3, 1, 1), norm(2 * c), nn.ReLU(), Downsample(2 * c)]
        layers += [Block(4 * w, dropout) for _ in range(blocks)]
        for c in (4 * w, 2 * w):
            layers += [Upsample(c), nn.Conv2d(c, c // 2, 3, 1, 1), norm(c // 2), nn.ReLU()]
        self.model = nn.Sequential(*layers, nn.ReflectionPad2d(3), nn.Conv2d(w, 3, 7), nn.Tanh())

    def forward(self, x):
        return self.model(x)


@pytest.mark.parametrize("kind", [{}, {"blocks": 9, "width": 3}, {"dropout": True}])
def test_images_are_those_of_the_authors_code(tmp_path, kind):
    torch.manual_seed(1)
    network = Official(**kind).eval()
    torch.save(network.state_dict(), tmp_path / "latest_net_G.pth")
    known = TrainedOn(domains=("cat", "dog"))
    said = import_files([tmp_path / "latest_net_G.pth"], tmp_path / "b.safetensors", known)
    assert "cut, " in said[0] and said[1].endswith("--to dog")
    made = load(tmp_path / "b.safetensors")
    assert made.directions == [("cat", "dog")] and made.spec.size == 256
    image = torch.rand(2, 3, 32, 40) * 2 - 1
    with torch.no_grad():
        torch.testing.assert_close(made.translate_tensor(image, "cat", "dog"), network(image), atol=1e-6, rtol=0)


def test_other_filters_and_two_files_are_refused(tmp_path):
    state = Official().state_dict()
    torch.save(state, tmp_path / "g.pth")
    torch.save(state | {"model.7.filt": state["model.7.filt"].flip(0) / 2}, tmp_path / "other.pth")
    torch.save({name: value for name, value in state.items() if name != "model.18.filt"}, tmp_path / "less.pth")
    for file, words in (
        ("other.pth", r"model\.7\.filt in .*other\.pth is not the filter \[1, 2, 1\]"),
        ("less.pth", r"model\.18"),
    ):
        with pytest.raises(GanzooError, match=words):
            import_files([tmp_path / file], tmp_path / "b.safetensors")
    with pytest.raises(GanzooError, match="there are 2 files: give one"):
        import_files([tmp_path / "g.pth", tmp_path / "other.pth"], tmp_path / "b.safetensors")
