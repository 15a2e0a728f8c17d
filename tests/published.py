"""What the authors publish, with small networks of noise in the layout of their files."""

import io
import tarfile
import zipfile

import torch

from ganzoo import pretrained
from ganzoo.registry import registry

NAMES = registry().names("pretrained model")


def saved(state: object) -> bytes:
    torch.save(state, file := io.BytesIO())
    return file.getvalue()


def noise(*shape: int) -> torch.Tensor:
    return torch.randn(shape) / 8


def resnet(places: tuple[int, ...], w: int = 3, blocks: int = 1) -> dict[str, torch.Tensor]:
    """Convolutions of a residual generator at the places where the authors' files have them."""
    shapes = [
        (w, 3, 7, 7),
        (2 * w, w, 3, 3),
        (4 * w, 2 * w, 3, 3),
        (4 * w, 2 * w, 3, 3),
        (2 * w, w, 3, 3),
        (3, w, 7, 7),
    ]
    state = {f"model.{place}.weight": noise(*shape) for place, shape in zip(places, shapes, strict=True)}
    for i in range(blocks):
        state |= {f"model.{places[2] + (3 if places[1] == 4 and places[2] == 7 else 4) + i}.conv_block.{j}.weight":
                  noise(4 * w, 4 * w, 3, 3) for j in (1, 5)}  # fmt: skip
    biases = {}
    for name, value in state.items():
        transposed = name in (f"model.{places[3]}.weight", f"model.{places[4]}.weight") and places[2] == 7
        biases[name.replace("weight", "bias")] = noise(value.shape[1 if transposed else 0])
    return state | biases


def cyclegan() -> dict[str, torch.Tensor]:
    return resnet((1, 4, 7, 11, 14, 18))


def cut() -> dict[str, torch.Tensor]:
    state = resnet((1, 4, 8, 14, 18, 22))
    for place in ("14", "18"):
        state[f"model.{place}.weight"] = state[f"model.{place}.weight"].transpose(0, 1).contiguous()
        state[f"model.{place}.bias"] = noise(len(state[f"model.{place}.weight"]))
    for place, row, gain in ((7, (1, 2, 1), 1), (11, (1, 2, 1), 1), (13, (1, 3, 3, 1), 4), (17, (1, 3, 3, 1), 4)):
        line = torch.tensor(row).float() / sum(row)
        state[f"model.{place}.filt"] = gain * torch.outer(line, line).expand(6, 1, -1, -1).clone()
    return state


def pix2pix(w: int = 1, depth: int = 8) -> dict[str, torch.Tensor]:
    state, prefix = {}, "model.model."
    widths = [w * min(2**level, 8) for level in range(depth)]

    def norm(name: str, channels: int) -> dict[str, torch.Tensor]:
        values = dict.fromkeys(("weight", "bias", "running_mean"), torch.zeros(channels))
        return {f"{prefix}{name}.{key}": value for key, value in values.items()} | {
            f"{prefix}{name}.running_var": torch.ones(channels)
        }

    for level, width in enumerate(widths):
        inner, before = level == depth - 1, widths[level - 1] if level else 3
        down, up = ("0", "3") if level == 0 else ("1", "3") if inner else ("1", "5")
        state[f"{prefix}{down}.weight"] = noise(width, before, 4, 4)
        state[f"{prefix}{up}.weight"] = noise(width if inner else 2 * width, before, 4, 4)
        if level == 0:
            state[f"{prefix}{up}.bias"] = noise(3)
        else:
            state |= norm("4" if inner else "6", before) | ({} if inner else norm("2", width))
        prefix += "1.model." if level == 0 else "3.model."
    return state


def stargan(size: int) -> dict[str, bytes]:
    g = {"main.0.weight": noise(2, 8, 7, 7), "main.3.weight": noise(4, 2, 4, 4), "main.6.weight": noise(8, 4, 4, 4)}
    g |= {f"main.9.main.{j}.weight": noise(8, 8, 3, 3) for j in (0, 3)}
    g |= {"main.10.weight": noise(8, 4, 4, 4), "main.13.weight": noise(4, 2, 4, 4), "main.16.weight": noise(3, 2, 7, 7)}
    for place, channels in {"1": 2, "4": 4, "7": 8, "9.main.1": 8, "9.main.4": 8, "11": 4, "14": 2}.items():
        values = dict.fromkeys(("weight", "bias", "running_mean", "running_var"), torch.ones(channels))
        g |= {f"main.{place}.{key}": value for key, value in values.items()}
    d = {"conv1.weight": noise(1, 4, 3, 3), "conv2.weight": noise(5, 4, size // 4, size // 4)}
    for place, shape in {0: (2, 3, 4, 4), 2: (4, 2, 4, 4)}.items():
        d |= {f"main.{place}.weight": noise(*shape), f"main.{place}.bias": noise(shape[0])}
    return {"200000-G.ckpt": saved(g), "200000-D.ckpt": saved(d)}


def published() -> dict[str, bytes]:
    """Every file that is published, with small networks, by its path at the mirror."""
    torch.manual_seed(0)
    files = {}
    for name in NAMES:
        each = pretrained.find(name)
        if each.model in ("cyclegan", "pix2pix"):
            content = saved(cyclegan() if each.model == "cyclegan" else pix2pix())
        elif each.model == "stargan":
            with zipfile.ZipFile(zipped := io.BytesIO(), "w") as opened:
                for member, weights in stargan(each.trained_on.size).items():
                    opened.writestr(f"stargan_celeba/models/{member}", weights)
            content = zipped.getvalue()
        else:
            content = tarred({p.members[0]: saved(cut()) for p in map(pretrained.find, NAMES) if p.model == "cut"})
        files[f"/mirror/{each.file}"] = content
    return files


def tarred(members: dict[str, bytes]) -> bytes:
    with tarfile.open(fileobj=(file := io.BytesIO()), mode="w") as opened:
        for name, content in members.items():
            info = tarfile.TarInfo(f"checkpoints/{name}")
            info.size = len(content)
            opened.addfile(info, io.BytesIO(content))
    return file.getvalue()
