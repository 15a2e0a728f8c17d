"""VGG-19 as a fixed measure of what is in an image (Simonyan and Zisserman 2014, arXiv:1409.1556)."""

import os
import pickle
from collections.abc import Iterable
from typing import Literal

import torch
from torch import Tensor, nn
from torchvision.models import VGG19_Weights
from torchvision.models.vgg import cfgs, make_layers

from ganzoo.errors import GanzooError
from ganzoo.files import expanded
from ganzoo.weights import plain_weights

MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)  # of ImageNet, which torchvision's weights expect
GIVE = "Give the file that torchvision offers."
LAYERS = tuple(f"relu{block}_{i}" for block, count in enumerate((2, 2, 4, 4, 4), 1) for i in range(1, count + 1))


class VGG19(nn.Module):
    """torchvision's VGG-19 up to relu5_4, 20,024,384 parameters at width 64, with its activations by name."""

    def __init__(self, pooling: Literal["max", "average"] = "max", width: int = 64) -> None:
        super().__init__()
        scaled = [v if isinstance(v, str) else v * width // 64 for v in cfgs["E"]]
        self.features = make_layers(scaled)
        for layer in self.features:
            if isinstance(layer, nn.ReLU):
                layer.inplace = False  # activations are handed out
        if pooling == "average":
            self.features = nn.Sequential(
                *(nn.AvgPool2d(2) if isinstance(m, nn.MaxPool2d) else m for m in self.features)
            )

    def forward(self, image: Tensor, layers: Iterable[str]) -> dict[str, Tensor]:
        """Activations (batch, channels, height, width) by name of the layer, of images in [-1, 1], grey or colour."""
        wanted, found = set(layers), {}
        mean, std = (image.new_tensor(values).view(3, 1, 1) for values in (MEAN, STD))
        x, names = ((image.expand(-1, 3, -1, -1) + 1) / 2 - mean) / std, iter(LAYERS)
        for layer in self.features:
            x = layer(x)
            if isinstance(layer, nn.ReLU) and (name := next(names)) in wanted:
                found[name] = x
            if len(found) == len(wanted):
                break
        return found


def vgg19(weights: str = "imagenet", pooling: Literal["max", "average"] = "max", width: int = 64) -> VGG19:
    """A `VGG19` with weights, for `ganzoo.Frozen`; called with images in [-1, 1] and the names of layers.

    `weights`: "imagenet" (torchvision's, downloaded once), "random" (He et al. 2015, the same every time), or a local
    file with the state of torchvision's vgg19, as .safetensors or as torch.save writes it. Raises GanzooError where
    they cannot be had.
    """
    network = VGG19(pooling, width)
    if weights == "random":
        rng = torch.Generator().manual_seed(0)
        for name, parameter in network.features.named_parameters():
            if name.endswith("weight"):
                nn.init.kaiming_normal_(parameter, generator=rng)
            else:
                nn.init.zeros_(parameter)
        return network
    state = {name.removeprefix("features."): v for name, v in _state(weights).items() if "classifier" not in name}
    try:
        network.features.load_state_dict(state)
    except RuntimeError as error:
        raise GanzooError(f"{weights} does not hold the 16 convolutions of VGG-19. {GIVE}") from error
    return network


def _state(weights: str) -> dict[str, Tensor]:
    if weights != "imagenet":
        path = expanded(weights)
        if not os.path.isfile(path):
            raise GanzooError(
                f'There is no file {path}. Weights of VGG-19 are "imagenet", "random" or the path of a file.'
            )
        return plain_weights(path)
    published = VGG19_Weights.IMAGENET1K_V1
    try:
        return published.get_state_dict(progress=True, check_hash=True)
    except (OSError, RuntimeError, EOFError, pickle.UnpicklingError) as error:
        name = published.url.rpartition("/")[2]
        raise GanzooError(
            f"The ImageNet weights of VGG-19 cannot be downloaded ({error}). Give a local copy, {name}, by its path, "
            'or "random" for random features.'
        ) from error
