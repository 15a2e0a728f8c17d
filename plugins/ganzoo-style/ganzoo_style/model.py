"""Neural style transfer: pixels that keep one image's content and take another one's style.

Gatys, Ecker and Bethge 2016, "Image style transfer using convolutional neural networks", CVPR (first arXiv:1508.06576).
"""

import sys
from functools import partial
from typing import ClassVar, Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.optim import LBFGS, Adam

from ganzoo import GanzooError
from ganzoo.nets.vgg import LAYERS, vgg19
from ganzoo.options import Count, NonNegative, Options, Weight
from ganzoo.trainer import Batch, Carry, DataSpec, Frozen, Phase, Terms, Trainer

Layer = Literal[LAYERS]  # type: ignore[valid-type]
NOISE = 0.5  # standard deviation; from much less, L-BFGS leaps too far, since the losses are flat there
LEVELS = 255  # the published weights belong to features of images that go from 0 to 255


class StyleOptions(Options):
    content: Weight = 5.0
    """weight of keeping the content, for each layer"""
    style: Weight = 100.0
    """weight of taking the style, for each layer"""
    smooth: Weight = 1e-3
    """weight of total variation: half the squared differences of neighbouring pixels, 0 to 255, added up"""
    content_layers: tuple[Layer, ...] = ("relu4_2",)
    """layers of VGG-19 whose activations are kept"""
    style_layers: tuple[Layer, ...] = ("relu1_1", "relu2_1", "relu3_1", "relu4_1", "relu5_1")
    """layers of VGG-19 whose Gram matrices are taken over"""
    relative: bool = False
    """divide each layer's loss by the mean square of what it aims at; then one weight suits all layers and features"""
    features: str = "imagenet"
    """weights of VGG-19: imagenet (downloaded once), random, or the path of a local file"""
    feature_width: Count = 64
    """channels of the first layer of VGG-19; fewer only with random features"""
    pooling: Literal["max", "average"] = "max"
    """between the blocks of VGG-19"""
    init: Literal["noise", "content"] = "noise"
    """what the image is at the beginning: white noise, or the content image"""
    optimizer: Literal["lbfgs", "adam"] = "lbfgs"
    """L-BFGS without line search, one iteration a step; or Adam"""
    history: Count = 100
    """steps that L-BFGS remembers, each as large as two images in the checkpoint"""
    lr: NonNegative = 1.0
    """length of L-BFGS's steps, or learning rate of Adam"""


class Style(Trainer):
    """The image is `start`, nothing or the content image, and the trained `change` to it.

    Of the two domains of the data the first gives the content and the second the style, one image each.
    """

    Config, data_kind, fixed_size, distinct_images = StyleOptions, "single-pair", True, 1
    recipe_defaults: ClassVar = {"data.size": 512, "train.images": 1_000, "train.constant": 1.0}
    presets: ClassVar = {
        "neural-style": {},  # the defaults are those of jcjohnson/neural-style
        "adam": {"options.optimizer": "adam", "options.lr": 10 / 127.5},  # ten of 255 levels
        "average-pooling": {"options.pooling": "average", "options.smooth": 0.0},  # as the paper's own images
    }

    def __init__(self, config: StyleOptions, spec: DataSpec) -> None:
        super().__init__(config, spec)
        for domain in self.domains:
            if spec.channels[domain] not in (1, 3):
                raise GanzooError(f"VGG-19 sees grey and colour: set data.channels of {domain} to 3, or to 1 if grey.")
        if not config.content_layers and not config.style_layers:
            raise GanzooError("Name at least one layer in options.content_layers or options.style_layers.")
        shape = (1, spec.channels[self.domains[0]], spec.size, spec.size)
        self.start: Tensor
        self.register_buffer("start", torch.zeros(shape))
        self.change = nn.Parameter(torch.zeros(shape) if config.init == "content" else NOISE * torch.randn(shape))
        self.vgg = Frozen(partial(vgg19, config.features, config.pooling, config.feature_width))
        self._seen: Batch = {}  # the images that the targets are of
        self._targets: dict[str, Tensor] = {}

    def phases(self) -> list[Phase]:
        config = self.config
        if config.features == "random":
            print(
                "Content and style are measured with RANDOM features, not those of a trained network.", file=sys.stderr
            )
        if config.optimizer == "lbfgs":
            return [Phase("image", LBFGS([self.change], config.lr, 1, history_size=config.history), self.loss)]
        return [Phase("image", Adam([self.change], config.lr), self.loss)]

    def loss(self, batch: Batch, carry: Carry) -> Terms:
        config = self.config
        content, style = (batch[domain][:1] for domain in self.domains)
        if config.init == "content":
            self.start.copy_(content)
        self._set_targets(content, style)
        image = self.start + self.change
        features = self.vgg(image, (*config.content_layers, *config.style_layers))
        terms: Terms = {}
        for layer in config.content_layers:
            terms[f"content_{layer}"] = config.content * self._error(
                features[layer], self._targets[f"content_{layer}"], 2
            )
        for layer in config.style_layers:
            terms[f"style_{layer}"] = config.style * self._error(
                gram(features[layer]), self._targets[f"style_{layer}"], 4
            )
        if config.smooth:
            terms["smooth"] = config.smooth * total_variation(image * LEVELS / 2)
        return terms

    def _error(self, features: Tensor, target: Tensor, power: int) -> Tensor:
        """Mean squared error of features (power 2) or Gram matrices (power 4), in levels of 255 unless relative."""
        error = F.mse_loss(features, target)
        return error / target.square().mean() if self.config.relative else LEVELS**power * error

    def _set_targets(self, content: Tensor, style: Tensor) -> None:
        """Sets the targets; they are measured again only when the images are others."""
        if self._seen and all(
            torch.equal(seen, new) for seen, new in zip(self._seen.values(), (content, style), strict=True)
        ):
            return
        self._seen = {"content": content.clone(), "style": style.clone()}
        with torch.no_grad():
            kept, taken = self.vgg(content, self.config.content_layers), self.vgg(style, self.config.style_layers)
        self._targets = {f"content_{layer}": value for layer, value in kept.items()}
        self._targets |= {f"style_{layer}": gram(value) for layer, value in taken.items()}

    def generate(self, count: int, label: str | None = None) -> Tensor:
        """The image, `count` times."""
        return (self.start + self.change).clamp(-1, 1).expand(count, -1, -1, -1)

    def sample_columns(self, images: dict[str, Tensor], references: dict[str, Tensor]) -> dict[str, dict[str, Tensor]]:
        content, style = (images[domain] for domain in self.domains)
        return {"content": {"content": content, "style": style, "result": self.result(content)}}

    def result(self, content: Tensor) -> Tensor:
        """The image, also before the first step has made `content` its start."""
        start = content if self.config.init == "content" else self.start
        return (start + self.change).clamp(-1, 1)

    def own_metrics(self, test_images: dict[str, list[Tensor]]) -> dict[str, dict[str, float]]:
        """Relative squared errors, means over layers: of style, also for the untouched content, and of content."""
        content, style = (test_images[domain][0][None].to(self.change) for domain in self.domains)
        layers, taken = self.config.content_layers, self.config.style_layers
        with torch.no_grad():
            shown = (self.result(content), content, style)
            of_result, of_content, of_style = (self.vgg(image, (*layers, *taken)) for image in shown)
            metrics = {}
            if taken:
                grams = [[gram(found[layer]) for layer in taken] for found in (of_result, of_content, of_style)]
                metrics = {"style": _relative(grams[0], grams[2]), "style_identity": _relative(grams[1], grams[2])}
            if layers:
                metrics["content"] = _relative(
                    *([found[layer] for layer in layers] for found in (of_result, of_content))
                )
        return {"generated": metrics}


def gram(features: Tensor) -> Tensor:
    """(batch, channels, height, width) to inner products of channels, (batch, channels, channels).

    Divided by channels x height x width, as neural-style does. The paper divides its squared error
    instead; which of the two is used belongs to the weights.
    """
    rows = features.flatten(2)
    return rows @ rows.transpose(1, 2) / rows[0].numel()


def total_variation(image: Tensor) -> Tensor:
    """Half the squared differences of neighbours, across and down, added up."""
    across, down = image.diff(dim=3), image.diff(dim=2)
    return (across.square().sum() + down.square().sum()) / 2


def _relative(found: list[Tensor], targets: list[Tensor]) -> float:
    errors = [F.mse_loss(f, t) / t.square().mean() for f, t in zip(found, targets, strict=True)]
    return torch.stack(errors).mean().item()
