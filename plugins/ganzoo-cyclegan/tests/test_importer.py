"""Generators as the authors' code saves them: the same names, and from then on the same images."""

import pytest
import torch
from click.testing import CliRunner
from PIL import Image
from torch import nn

from ganzoo import GanzooError, TrainedOn, load
from ganzoo.cli import cli
from ganzoo.importer import import_files


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


def same_images(made, source, target, network):
    image = torch.rand(2, made.spec.channels[source], 32, 40) * 2 - 1
    with torch.no_grad():
        torch.testing.assert_close(made.translate_tensor(image, source, target), network(image), atol=1e-6, rtol=0)


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
def test_both_directions_are_those_of_the_authors_code(tmp_path, kind, spoil):
    torch.manual_seed(1)
    forth = Official(**kind).eval()
    back = Official(**kind | ({"channels": kind["channels"][::-1]} if "channels" in kind else {})).eval()
    for file, network in (("ab.pth", forth), ("ba.pth", back)):
        torch.save(spoil(network.state_dict()), tmp_path / file)
    out = tmp_path / "made" / "both.safetensors"
    said = run("import", tmp_path / "ab.pth", tmp_path / "ba.pth", out, "--domains", "horse,zebra")
    assert "cyclegan, horse and zebra" in said
    made = load(out)
    same_images(made, "horse", "zebra", forth)
    same_images(made, "zebra", "horse", back)
    with pytest.raises(GanzooError, match="exists and is not overwritten"):
        run("import", tmp_path / "ab.pth", tmp_path / "ba.pth", out)


def test_one_direction_and_every_command(tmp_path):
    """There is one generator: nothing else is made up, and whatever would need it is a sentence."""
    torch.manual_seed(1)
    network = Official(blocks=1).eval()
    old = {"_use_new_zipfile_serialization": False}  # as files of the authors are
    torch.save(network.state_dict(), tmp_path / "g.pth", **old)
    bundle = tmp_path / "one.safetensors"
    said = run("import", tmp_path / "g.pth", bundle, "--domains", "horse, zebra", "--size", 32)
    assert (
        f"{bundle}: cyclegan, horse to zebra, " in said
        and f"{sum(p.numel() for p in network.parameters()):,} w" in said
    )
    made = load(bundle)
    assert made.directions == [("horse", "zebra")] and made.spec.size == 32
    same_images(made, "horse", "zebra", network)
    with pytest.raises(GanzooError, match=r'cannot translate to "horse"\. It knows: zebra'):
        made.translate(Image.new("RGB", (32, 32)), to="horse")
    with pytest.raises(GanzooError, match=r'weights "G\.horse\.\S+" '):
        made.translate_tensor(torch.zeros(1, 3, 32, 32), "zebra", "horse")

    for split in ("trainA", "trainB", "testA", "testB"):
        (tmp_path / "images" / split).mkdir(parents=True)
        Image.effect_noise((36, 30), 60).convert("RGB").save(tmp_path / "images" / split / f"{split}.png")
    photo = tmp_path / "images" / "testA" / "testA.png"
    run("translate", bundle, photo, tmp_path / "z.png")
    assert Image.open(tmp_path / "z.png").size == (36, 30)
    with pytest.raises(GanzooError, match='cannot translate from "zebra"'):
        run("translate", bundle, photo, tmp_path / "h.png", "--from", "zebra")
    run("translate", bundle, photo, tmp_path / "grid.png", "--grid")
    assert "horse->zebra" in (said := run("evaluate", bundle, "--data", tmp_path / "images", "--json"))
    assert "zebra->horse" not in said and "cycle_l1" not in said
    with pytest.raises(GanzooError, match="file of weights alone"):
        run("evaluate", bundle)
    assert "horse->zebra" in run("compare", bundle, bundle, "--data", tmp_path / "images", "--json")
    run("pack", bundle, tmp_path / "packed.safetensors")
    assert load(tmp_path / "packed.safetensors").directions == [("horse", "zebra")]
    card = (tmp_path / "packed.md").read_text()
    assert all(
        words in card for words in ("Trained with another program", "Imported: g.pth (sha256 ", "Data: not named")
    )
    with pytest.raises(GanzooError, match="generates no images"):
        run("generate", bundle, tmp_path / "new")


def test_what_is_no_generator_or_no_pair(tmp_path):
    def importing(*files, **known):
        paths = [tmp_path / name for name in files]
        return import_files(paths, tmp_path / "out.safetensors", TrainedOn(**known))

    torch.save(Official().state_dict(), tmp_path / "g.pth")
    torch.save(Official(blocks=3).state_dict(), tmp_path / "larger.pth")
    torch.save(Official(channels=(1, 3)).state_dict(), tmp_path / "grey.pth")
    torch.save({"model.0.weight": torch.ones(1)}, tmp_path / "d.pth")
    torch.save(Official(), tmp_path / "pickled.pth")
    (tmp_path / "text.pth").write_text("hello")
    large, small = torch.ones(1).expand(10**6, 3, 7, 7), torch.ones(())
    strange = [[1], small, None, {1: small}, {"model.1.weight": large}, {"a": torch.empty(10**6, device="meta")}]
    convolutions = [name for name, value in Official().state_dict().items() if value.ndim == 4]
    wide = {"model.1.weight": torch.ones(9_000, 3, 1, 1)}
    strange += [dict.fromkeys(convolutions, small), dict.fromkeys(convolutions, torch.ones(3, 1, 1, 1)) | wide]
    for number, content in enumerate(strange):
        torch.save(content, tmp_path / f"{number}.pth")
    for other, words in (
        *((f"{number}.pth", "holds no plain weights") for number in range(6)),
        ("6.pth", "is no network of"),
        ("7.pth", "not of one CycleGAN"),
        ("larger.pth", "not of one CycleGAN"),
        ("grey.pth", "not of one CycleGAN"),
        ("d.pth", r'is no network of .*cyclegan.* begins with "model\.0\.weight"'),
        ("pickled.pth", "holds no plain weights"),
        ("text.pth", "holds no plain weights"),
        ("nothing.pth", "There is no file"),
    ):
        with pytest.raises(GanzooError, match=words):
            importing("g.pth", other)
    with pytest.raises(GanzooError, match="larger than the file"):
        importing("7.pth")
    with pytest.raises(GanzooError, match="given twice"):
        importing("g.pth", "g.pth")
    torch.save({n: v for n, v in Official().state_dict().items() if n != "model.4.bias"}, tmp_path / "less.pth")
    with pytest.raises(GanzooError, match=r"less\.pth cannot be used as weights of cyclegan: .*Missing"):
        importing("less.pth")
    (tmp_path / "B").mkdir()  # the same names in two folders, as the authors' code has them
    torch.save(Official().state_dict(), tmp_path / "B" / "g.pth")
    import_files([tmp_path / "g.pth", tmp_path / "B" / "g.pth"], tmp_path / "two.safetensors")
    assert len(load(tmp_path / "two.safetensors").directions) == 2
    for domains, words in (
        (("horse", "horse"), "Two domains are called horse"),
        (("a.b", "c"), "cannot be the name of a domain"),
        (("a", "b", "c"), "name 2, or none"),
    ):
        with pytest.raises(GanzooError, match=words):
            importing("g.pth", domains=domains)
    with pytest.raises(GanzooError, match="give one or two"):
        importing("g.pth", "larger.pth", "grey.pth")
    (tmp_path / "full").write_text("a file, not a folder")
    with pytest.raises(GanzooError, match="cannot be written"):
        import_files([tmp_path / "g.pth"], tmp_path / "full" / "out.safetensors")
    with pytest.raises(GanzooError, match=r"ends in \.safetensors"):
        import_files([tmp_path / "g.pth"], tmp_path / "out.pth")
    assert not (tmp_path / "out.safetensors").exists()
