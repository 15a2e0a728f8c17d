"""U-Nets as the authors' code saves them: the same names, and from then on the same images."""

import pytest
import torch
from torch import nn

from ganzoo import GanzooError, TrainedOn, load
from ganzoo.export import steady
from ganzoo.importer import import_files


class Block(nn.Module):
    """A halving, the block inside, and a doubling; its parts where the authors' files have them."""

    def __init__(self, outer, inner, inside=None, outermost=False, channels=(3, 3), norm=nn.BatchNorm2d, drop=False):
        super().__init__()
        self.outermost, bias = outermost, norm is not nn.BatchNorm2d
        down = nn.Conv2d(channels[0] if outermost else outer, inner, 4, 2, 1, bias=bias)
        up = nn.ConvTranspose2d(inner * (2 if inside else 1), channels[1] if outermost else outer, 4, 2, 1, bias=bias)
        if outermost:
            up = nn.ConvTranspose2d(inner * 2, channels[1], 4, 2, 1)
            parts = [down, inside, nn.ReLU(), up, nn.Tanh()]
        elif inside is None:
            parts = [nn.LeakyReLU(0.2), down, nn.ReLU(), up, norm(outer)]
        else:
            parts = [nn.LeakyReLU(0.2), down, norm(inner), inside, nn.ReLU(), up, norm(outer)]
            parts += [nn.Dropout(0.5)] if drop else []
        self.model = nn.Sequential(*parts)

    def forward(self, x):
        return self.model(x) if self.outermost else torch.cat([x, self.model(x)], 1)


class Official(nn.Module):
    def __init__(self, depth=6, width=2, dropout=True, **kind):
        super().__init__()
        block = Block(8 * width, 8 * width, **kind)
        for _ in range(depth - 5):
            block = Block(8 * width, 8 * width, block, drop=dropout, **kind)
        for times in (4, 2, 1):
            block = Block(times * width, 2 * times * width, block, **kind)
        self.model = Block(0, width, block, outermost=True, **kind)

    def forward(self, x):
        return self.model(x)


def random_statistics(network):
    """Other running statistics and scales than those that batch norm begins with."""
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.running_mean.normal_()
            module.running_var.uniform_(0.5, 2)
            nn.init.normal_(module.weight, 1)
            nn.init.normal_(module.bias)
    return network


@pytest.mark.parametrize(
    "kind", [{}, {"depth": 5, "width": 3}, {"depth": 8, "channels": (1, 3)}, {"norm": nn.InstanceNorm2d}]
)
def test_images_are_those_of_the_authors_code(tmp_path, kind):
    """With the image's own statistics, as the authors test; dropout, at random, is taken out of both."""
    torch.manual_seed(1)
    network = random_statistics(Official(**kind)).train()
    old = {name: v for name, v in network.state_dict().items() if not name.endswith("num_batches_tracked")}  # torch 0.3
    torch.save(old, tmp_path / "latest_net_G.pth")
    known = TrainedOn(domains=("edges", "shoes"))
    import_files([tmp_path / "latest_net_G.pth"], tmp_path / "b.safetensors", known)
    made = load(tmp_path / "b.safetensors")
    side = 2 ** kind.get("depth", 6)
    assert made.directions == [("edges", "shoes")] and made.spec.size == side
    image = torch.rand(1, made.spec.channels["edges"], side, 2 * side) * 2 - 1
    for module in network.modules():
        if isinstance(module, nn.Dropout):
            module.p = 0.0
    with torch.no_grad(), steady(made.trainer):
        ours = made.trainer.translate(image, "edges", "shoes")
        torch.testing.assert_close(ours, network(image), atol=1e-6, rtol=0)
        if "norm" not in kind:
            assert not torch.allclose(
                ours, made.trainer.eval().translate(image, "edges", "shoes")
            )  # running statistics


def test_dropout_is_on_as_the_authors_test_and_follows_the_seed(tmp_path):
    torch.manual_seed(1)
    torch.save(random_statistics(Official()).state_dict(), tmp_path / "g.pth")
    import_files([tmp_path / "g.pth"], tmp_path / "b.safetensors")
    torch.save(Official().state_dict(), tmp_path / "also.pth")
    made, image = load(tmp_path / "b.safetensors"), torch.rand(1, 3, 64, 64) * 2 - 1
    one, again, other = (made.translate_tensor(image, "A", "B", seed) for seed in (0, 0, 1))
    assert torch.equal(one, again) and not torch.equal(one, other)
    with pytest.raises(GanzooError, match="there are 2 files: give one"):
        import_files([tmp_path / "g.pth", tmp_path / "also.pth"], tmp_path / "c.safetensors")
