"""Encoders and decoders as the authors' code saves them: the same names, and from then on the same images."""

from itertools import permutations

import pytest
import torch
from torch import nn

from ganzoo import GanzooError, TrainedOn, load
from ganzoo.importer import import_files


class Block(nn.Module):
    def __init__(self, channels):
        super().__init__()
        halves = [[nn.ReflectionPad2d(1), nn.Conv2d(channels, channels, 3), nn.InstanceNorm2d(channels)] for _ in "12"]
        self.conv_block = nn.Sequential(*halves[0], nn.PReLU(), *halves[1])

    def forward(self, x):
        return x + self.conv_block(x)


class Half(nn.Module):
    def __init__(self, layers):
        super().__init__()
        self.model = nn.Sequential(*layers)
        for module in self.modules():
            if isinstance(module, nn.PReLU):
                nn.init.uniform_(module.weight)  # otherwise all alike

    def forward(self, x):
        return self.model(x)


def encoder(width=3, blocks=2):
    layers = [nn.ReflectionPad2d(3), nn.Conv2d(3, width, 7), nn.InstanceNorm2d(width), nn.PReLU()]
    for c in (width, 2 * width):
        layers += [nn.Conv2d(c, 2 * c, 3, 2, 1), nn.InstanceNorm2d(2 * c), nn.PReLU()]
    return Half([*layers, *(Block(4 * width) for _ in range(blocks))])


def decoder(width=3, blocks=1):
    layers = [Block(4 * width) for _ in range(blocks)]
    for c in (4 * width, 2 * width):
        layers += [nn.ConvTranspose2d(c, c // 2, 4, 2, 1), nn.InstanceNorm2d(c // 2), nn.PReLU()]
    return Half([*layers, nn.ReflectionPad2d(3), nn.Conv2d(width, 3, 7), nn.Tanh()])


def test_images_are_those_of_the_authors_code_in_all_directions(tmp_path):
    """Files as a shell gives them: 10 before 2."""
    torch.manual_seed(1)
    domains = ("spring", "summer", "autumn", "winter", "fog", "snow")
    halves = [*(encoder() for _ in domains), *(decoder() for _ in domains)]
    for number, half in enumerate(halves):
        torch.save(half.state_dict(), tmp_path / f"200_net_G{number}.pth")
    files = sorted(tmp_path.glob("200_net_G*.pth"))
    assert [file.name for file in files][2] == "200_net_G10.pth"
    import_files(files, tmp_path / "b.safetensors", TrainedOn(domains=domains, size=64))
    made = load(tmp_path / "b.safetensors")
    assert made.directions == list(permutations(domains, 2)) and made.spec.size == 64
    image = torch.rand(1, 3, 16, 20) * 2 - 1
    for source, target in made.directions[::4]:
        theirs = halves[6 + domains.index(target)](halves[domains.index(source)](image))
        torch.testing.assert_close(made.translate_tensor(image, source, target), theirs.detach(), atol=1e-6, rtol=0)


def test_what_does_not_belong_together(tmp_path):
    for name, half in {"e": encoder(), "e2": encoder(), "d": decoder(), "d2": decoder(blocks=3)}.items():
        torch.save(half.state_dict(), tmp_path / f"{name}.pth")
    torch.save({f"model.{i}.conv_block.1.weight": torch.ones(4, 4, 3, 3) for i in range(2)}, tmp_path / "shared.pth")
    for names, words in (
        (["e", "d"], "There are 1 encoders and 1 decoders"),
        (["e", "e2", "d"], "There are 2 encoders and 1 decoders"),
        (["e", "e2", "d", "d2"], "not of one ComboGAN"),
        (["e", "e2", "d", "shared"], "is no network of"),
    ):
        with pytest.raises(GanzooError, match=words):
            import_files([tmp_path / f"{name}.pth" for name in names], tmp_path / "b.safetensors")
