"""VGG-19 as a fixed judge of what is in an image (Simonyan and Zisserman 2014, arXiv:1409.1556)."""

import math
import pickle
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Literal

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn
from torch.nn import functional as F

from ganzoo.errors import GanzooError

CONVOLUTIONS = (2, 2, 4, 4, 4)  # in each block; a pooling by two between blocks
LAYERS = tuple(f"relu{block}_{i + 1}" for block, count in enumerate(CONVOLUTIONS, start=1) for i in range(count))
MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)  # of ImageNet, which torchvision's weights expect


class VGG19(nn.Module):
    """The convolutions of VGG-19, 20,024,384 numbers at width 64; buffers that no checkpoint holds, never trained.

    `weights`: "imagenet" (torchvision's, downloaded once), "random" (He et al. 2015, the same every time), or a local
    file with the state of torchvision's vgg19, as .safetensors or as torch.save writes it.
    """

    def __init__(self, weights: str = "imagenet", pooling: Literal["max", "average"] = "max", width: int = 64) -> None:
        super().__init__()
        self.pool = F.max_pool2d if pooling == "max" else F.avg_pool2d
        widths = [width * min(2**block, 8) for block, count in enumerate(CONVOLUTIONS) for _ in range(count)]
        shapes = list(zip(widths, [3, *widths], strict=False))
        if weights == "random":
            tensors = _random(shapes)
        else:
            tensors = _chosen(
                _imagenet() if weights == "imagenet" else _file(Path(weights).expanduser()), shapes, weights
            )
        for name, (weight, bias) in zip(LAYERS, tensors, strict=True):
            self.register_buffer(f"{name}_weight", weight, persistent=False)
            self.register_buffer(f"{name}_bias", bias, persistent=False)

    def forward(self, image: Tensor, layers: Iterable[str]) -> dict[str, Tensor]:
        """Activations (batch, channels, height, width) by name of the layer, of images in [-1, 1], grey or colour."""
        wanted, found = set(layers), {}
        mean, std = (image.new_tensor(values).view(3, 1, 1) for values in (MEAN, STD))
        x = ((image.expand(-1, 3, -1, -1) + 1) / 2 - mean) / std
        for name in LAYERS:
            if name.endswith("_1") and name != LAYERS[0]:
                x = self.pool(x, 2)
            x = F.relu(F.conv2d(x, getattr(self, f"{name}_weight"), getattr(self, f"{name}_bias"), padding=1))
            if name in wanted:
                found[name] = x
            if len(found) == len(wanted):
                break
        return found


def _random(shapes: list[tuple[int, int]]) -> list[tuple[Tensor, Tensor]]:
    rng = torch.Generator().manual_seed(0)
    draws = [torch.randn(out, channels, 3, 3, generator=rng) for out, channels in shapes]
    return [(draw * math.sqrt(2 / draw[0].numel()), torch.zeros(len(draw))) for draw in draws]


def _imagenet() -> dict[str, Tensor]:
    from torchvision.models import VGG19_Weights

    try:
        return VGG19_Weights.IMAGENET1K_V1.get_state_dict(progress=True, check_hash=True)
    except (OSError, RuntimeError) as error:
        raise GanzooError(
            f"The ImageNet weights of VGG-19 cannot be downloaded ({error}). Give a local copy, "
            f'{VGG19_Weights.IMAGENET1K_V1.url.rpartition("/")[2]}, by its path, or "random" for random features.'
        ) from error


def _file(path: Path) -> dict[str, Tensor]:
    if not path.is_file():
        raise GanzooError(f'There is no file {path}. Weights of VGG-19 are "imagenet", "random" or the path of a file.')
    try:
        if path.suffix == ".safetensors":
            return load_file(path)
        return torch.load(path, map_location="cpu", weights_only=True)
    except (OSError, RuntimeError, EOFError, pickle.UnpicklingError, SafetensorError) as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise GanzooError(
            f"{path} cannot be read as weights ({reason}). Give the file that torchvision offers."
        ) from error


def _chosen(state: dict[str, Tensor], shapes: list[tuple[int, int]], where: str) -> list[tuple[Tensor, Tensor]]:
    """The convolutions out of a whole vgg19, in their order."""
    numbers = sorted({int(m[1]) for name in state if (m := re.fullmatch(r"(?:features\.)?(\d+)\.weight", name))})
    prefix = "features." if any(name.startswith("features.") for name in state) else ""
    pairs = [(state[f"{prefix}{n}.weight"], state.get(f"{prefix}{n}.bias")) for n in numbers]
    expected = [(out, channels, 3, 3) for out, channels in shapes]
    if [tuple(weight.shape) for weight, _ in pairs] != expected or any(bias is None for _, bias in pairs):
        raise GanzooError(
            f"{where} does not hold the 16 convolutions of VGG-19. Give the file that torchvision offers."
        )
    return pairs
