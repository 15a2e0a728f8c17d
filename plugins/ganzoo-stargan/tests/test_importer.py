"""Networks as the authors' code saves them: the same names, and from then on the same images."""

from itertools import pairwise

import pytest
import torch
from torch import nn

from ganzoo import GanzooError, TrainedOn, load
from ganzoo.importer import import_files

LABELS = ("Black_Hair", "Blond_Hair", "Brown_Hair", "Male", "Young")


def norm(channels):
    return nn.InstanceNorm2d(channels, affine=True, track_running_stats=True)


class Block(nn.Module):
    def __init__(self, channels):
        super().__init__()
        first, second = (nn.Conv2d(channels, channels, 3, 1, 1, bias=False) for _ in "12")
        self.main = nn.Sequential(first, norm(channels), nn.ReLU(), second, norm(channels))

    def forward(self, x):
        return x + self.main(x)


class OfficialG(nn.Module):
    def __init__(self, width=4, labels=5, blocks=2):
        super().__init__()
        w = width
        layers = [nn.Conv2d(3 + labels, w, 7, 1, 3, bias=False), norm(w), nn.ReLU()]
        for c in (w, 2 * w):
            layers += [nn.Conv2d(c, 2 * c, 4, 2, 1, bias=False), norm(2 * c), nn.ReLU()]
        layers += [Block(4 * w) for _ in range(blocks)]
        for c in (4 * w, 2 * w):
            layers += [nn.ConvTranspose2d(c, c // 2, 4, 2, 1, bias=False), norm(c // 2), nn.ReLU()]
        self.main = nn.Sequential(*layers, nn.Conv2d(w, 3, 7, 1, 3, bias=False), nn.Tanh())

    def forward(self, x, c):
        return self.main(torch.cat([x, c[:, :, None, None].expand(-1, -1, *x.shape[2:])], 1))


class OfficialD(nn.Module):
    def __init__(self, size=32, width=4, labels=5, layers=3):
        super().__init__()
        widths = [3, *(width * 2**i for i in range(layers))]
        parts = [[nn.Conv2d(a, b, 4, 2, 1), nn.LeakyReLU(0.01)] for a, b in pairwise(widths)]
        self.main = nn.Sequential(*(layer for part in parts for layer in part))
        self.conv1 = nn.Conv2d(widths[-1], 1, 3, 1, 1, bias=False)
        self.conv2 = nn.Conv2d(widths[-1], labels, size // 2**layers, bias=False)

    def forward(self, x):
        h = self.main(x)
        return self.conv1(h), self.conv2(h)[:, :, 0, 0]


def test_images_and_labels_are_those_of_the_authors_code(tmp_path):
    torch.manual_seed(1)
    G, D = OfficialG(), OfficialD()
    with torch.no_grad():
        G(torch.randn(4, 3, 32, 32), torch.ones(4, 5))  # running statistics that were never used
        for parameter in [p for name, p in G.named_parameters() if p.ndim == 1]:
            parameter.normal_()
    for module in G.modules():
        if isinstance(module, nn.InstanceNorm2d):
            module.track_running_stats = False
    G.eval(), D.eval()
    torch.save(G.state_dict(), tmp_path / "200000-G.ckpt")
    torch.save(D.state_dict(), tmp_path / "200000-D.ckpt")
    files = [tmp_path / "200000-G.ckpt", tmp_path / "200000-D.ckpt"]
    known = TrainedOn(labels=LABELS, groups=(LABELS[:3],))
    said = import_files(files[::-1], tmp_path / "b.safetensors", known)  # in any order
    assert "stargan, labels Black_Hair, " in said[0] and "32 px" in said[0]
    made = load(tmp_path / "b.safetensors")
    assert made.spec.labels == LABELS and made.spec.groups == (LABELS[:3],) and made.spec.size == 32
    image = torch.rand(2, 3, 32, 32) * 2 - 1
    wanted = torch.tensor([[0.0, 1.0, 0.0, 0.0, 1.0]]).expand(2, -1)
    with torch.no_grad():
        theirs = G(image, wanted)
        torch.testing.assert_close(
            made.translate_tensor(image, "image", "Blond_Hair,no-Male,Young"), theirs, atol=1e-6, rtol=0
        )
        for ours, expected in zip(made.trainer.D.classify(image), D(image), strict=True):
            torch.testing.assert_close(ours, expected, atol=1e-6, rtol=0)


def test_what_is_missing(tmp_path):
    torch.save(OfficialG().state_dict(), tmp_path / "G.ckpt")
    torch.save(OfficialG(labels=7).state_dict(), tmp_path / "G7.ckpt")
    torch.save(OfficialD().state_dict(), tmp_path / "D.ckpt")
    for files, labels, words in (
        (["G.ckpt"], LABELS, "give the generator and the discriminator"),
        (["G.ckpt", "G7.ckpt"], LABELS, "give the generator and the discriminator"),
        (["G.ckpt", "D.ckpt"], (), "has 5 labels: name them in order, with --labels"),
        (["G.ckpt", "D.ckpt"], LABELS[:2], r"\(now: Black_Hair, Blond_Hair\)"),
        (["G7.ckpt", "D.ckpt"], LABELS, "G sees 7 planes beside the image, D knows 5 labels"),
    ):
        with pytest.raises(GanzooError, match=words):
            import_files([tmp_path / file for file in files], tmp_path / "b.safetensors", TrainedOn(labels=labels))
