"""XGAN: translation through an embedding that two domains share (Royer et al. 2017, arXiv:1711.05139)."""

import math
from functools import partial
from itertools import pairwise
from typing import ClassVar, Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ganzoo import GanzooError
from ganzoo.losses import DISTANCES, Distance
from ganzoo.nets.layers import Norm, init_weights, needs_bias, norm_layer, reverse_gradient
from ganzoo.nets.vgg import vgg19
from ganzoo.options import AdamOptions, Count, Init, LossPart, Natural, NonNegative, Weight
from ganzoo.trainer import Batch, Carry, DataSpec, Discriminator, Frozen, Phase, Terms, Trainer

STRIDE = 16  # an image is this many times as high and wide as what reaches the fully connected layers
TEACHER_LAYER = "relu5_4"


class XGANOptions(AdamOptions):
    width: Count = 32
    """channels after the first convolution; all others in proportion, as the paper's table has them"""
    embedding: Count = 1024
    """length of the shared embedding"""
    normalise: bool = True
    """scale every embedding to a mean square of 1, so that no loss can be lowered by shrinking it"""
    norm: Norm = "none"
    """after the convolutions"""
    init: Init = "kaiming"
    """initial weights; gain 0.02 with normal and xavier"""
    loss: LossPart = "bce"
    """adversarial loss"""
    reconstruction: Weight = 1.0
    """weight of auto-encoding each domain, L2"""
    domain_adversarial: Weight = 1.0
    """weight of the domain classifier on the embedding"""
    ramp: Natural = 0
    """images over which gradient reversal grows from 0 to 1, 2/(1 + exp(-10 p)) - 1; 0: whole from the beginning"""
    semantic: Weight = 1.0
    """weight of the embedding staying the same when an image is translated, both ways"""
    semantic_distance: Distance = "l1"
    """between embeddings"""
    adversarial: Weight = 1.0
    """weight of the adversarial loss on translations; 0: no discriminator"""
    adversaries: Literal["second", "both"] = "second"
    """domains that have a discriminator: the paper's only the second one, cartoons"""
    teacher: Literal["none", "vgg19"] = "none"
    """fixed network that embeddings of the first domain are taught by; needs embedding = 1024"""
    teacher_weights: str = "imagenet"
    """weights of the teacher: imagenet (downloaded once), random, or the path of a local file"""
    teach: Weight = 1.0
    """weight of the distance to the teacher, where there is one"""
    lr: NonNegative = 1e-4
    """learning rate of Adam"""


def _convolution(channels: int, out: int, norm: Norm) -> list[nn.Module]:
    """Half the height and width."""
    convolution = nn.Conv2d(channels, out, 4, 2, 1, bias=needs_bias(norm))
    return [convolution, norm_layer(norm, out), nn.LeakyReLU(0.2)]


def _deconvolution(channels: int, out: int, norm: Norm) -> list[nn.Module]:
    """Twice the height and width."""
    convolution = nn.ConvTranspose2d(channels, out, 4, 2, 1, bias=needs_bias(norm))
    return [convolution, norm_layer(norm, out), nn.ReLU()]


class XGANDiscriminator(Discriminator):
    """Four convolutions and a linear layer: (batch, in_channels, size, size) to logits (batch, 1).

    Parameters at 64 px with width 16 and 3 channels: 42,353; 42,465 with batch norm.
    """

    def __init__(self, in_channels: int, size: int, *, width: int = 16, norm: Norm = "none") -> None:
        super().__init__()
        widths = pairwise((in_channels, width, 2 * width, 2 * width, 2 * width))
        convolutions = [layer for pair in widths for layer in _convolution(*pair, norm)]
        self.layers = nn.Sequential(*convolutions, nn.Flatten(), nn.Linear(2 * width * (size // STRIDE) ** 2, 1))

    def forward(self, image: Tensor) -> Tensor:
        return self.layers(image)


class XGAN(Trainer):
    """E[domain], then the shared encoder: an image's embedding. The shared decoder, then G[domain]: an image of it.

    D[domain] tells real images from translated ones; the classifier tells which domain an embedding is from.
    """

    Config, data_kind, fixed_size, tileable = XGANOptions, "unpaired", True, False
    recipe_defaults: ClassVar = {"data.size": 64, "train.images": 1_000_000}  # the paper leaves the length open

    def __init__(self, config: XGANOptions, spec: DataSpec) -> None:
        super().__init__(config, spec)
        if spec.size % STRIDE or spec.size < 2 * STRIDE:
            raise GanzooError(
                f"XGAN halves the image four times: set data.size to a multiple of {STRIDE} from {2 * STRIDE} on, "
                f"such as 64, the paper's; it is {spec.size}."
            )
        if config.teacher != "none" and config.embedding != 1024:
            raise GanzooError(f"The teacher gives 1024 numbers: set options.embedding = 1024, not {config.embedding}.")
        w, n, norm, side = config.width, config.embedding, config.norm, spec.size // STRIDE
        self.E = nn.ModuleDict(
            {
                d: nn.Sequential(*_convolution(spec.channels[d], w, norm), *_convolution(w, 2 * w, norm))
                for d in self.domains
            }
        )
        self.shared_encoder = nn.Sequential(
            *_convolution(2 * w, 4 * w, norm),
            *_convolution(4 * w, 8 * w, norm),
            nn.Flatten(),
            nn.Linear(8 * w * side**2, n),
            nn.LeakyReLU(0.2),
            nn.Linear(n, n),
        )
        self.shared_decoder = nn.Sequential(
            nn.Unflatten(1, (n, 1, 1)),
            nn.ConvTranspose2d(n, 16 * w, side, bias=needs_bias(norm)),
            norm_layer(norm, 16 * w),
            nn.ReLU(),
            *_deconvolution(16 * w, 8 * w, norm),
        )
        self.G = nn.ModuleDict(
            {
                d: nn.Sequential(
                    *_deconvolution(8 * w, 4 * w, norm),
                    *_deconvolution(4 * w, 2 * w, norm),
                    nn.ConvTranspose2d(2 * w, spec.channels[d], 4, 2, 1),
                    nn.Tanh(),
                )
                for d in self.domains
            }
        )
        self.classifier = nn.Sequential(
            nn.Linear(n, 256), nn.LeakyReLU(0.2), nn.Linear(256, 64), nn.LeakyReLU(0.2), nn.Linear(64, 1)
        )
        opposed = self.domains if config.adversaries == "both" else self.domains[1:]
        opposed = opposed if config.adversarial else ()
        self.D = nn.ModuleDict(
            {d: XGANDiscriminator(spec.channels[d], spec.size, width=max(1, w // 2), norm=norm) for d in opposed}
        )
        init_weights(self, config.init)
        self.gan = config.loss.build()
        self.distance = DISTANCES[config.semantic_distance]
        self.teacher = Frozen(partial(vgg19, config.teacher_weights)) if config.teacher == "vgg19" else None

    def phases(self) -> list[Phase]:
        G = self.adam(self.E, self.shared_encoder, self.shared_decoder, self.G, self.classifier)
        phases = [Phase("G", G, self.generator_loss)]
        return [*phases, Phase("D", self.adam(self.D), self.discriminator_loss)] if len(self.D) else phases

    def encode(self, images: Batch) -> Batch:
        """Images by domain, each (batch, channels, size, size), to their embeddings, each (batch, embedding).

        All go through the shared layers at once: quicker, and batch norm sees the domains mixed, as when translating.
        """
        code = self.shared_encoder(torch.cat([self.E[d](rows) for d, rows in images.items()]))
        code = _unit(code) if self.config.normalise else code
        return dict(zip(images, code.split([p.shape[0] for p in images.values()]), strict=True))

    def generator_loss(self, batch: Batch, carry: Carry) -> Terms:
        config, (first, second) = self.config, self.domains
        terms: Terms = {}
        codes = self.encode({d: batch[d] for d in self.domains})
        hidden = self.shared_decoder(torch.cat([codes[first], codes[second]]))
        own, fake = {}, {}
        own[first], fake[first] = self.G[first](hidden).chunk(2)
        fake[second], own[second] = self.G[second](hidden).chunk(2)
        again = self.encode(fake)
        for here, there in (self.domains, self.domains[::-1]):
            carry[there] = fake[there]
            terms[f"rec_{here}"] = config.reconstruction * F.mse_loss(own[here], batch[here])
            terms[f"sem_{here}"] = config.semantic * self.distance(again[there], codes[here])
            if there in self.D:
                terms[f"G_adv_{there}"] = config.adversarial * self.gan.adversarial(self.D[there](fake[there]))
        logits = {d: self.classifier(reverse_gradient(codes[d], self.reversal)) for d in self.domains}
        confusion = F.softplus(-logits[first]).mean() + F.softplus(logits[second]).mean()
        terms["dann"] = config.domain_adversarial * confusion
        if self.teacher:
            terms["teach"] = config.teach * F.l1_loss(codes[first], self.taught(batch[first]))
        return terms

    def discriminator_loss(self, batch: Batch, carry: Carry) -> Terms:
        terms: Terms = {}
        for domain, D in self.D.items():
            terms |= self.gan.discriminator_terms(D, batch[domain], carry[domain], self.clock, domain)
        return terms

    @property
    def reversal(self) -> float | Tensor:
        """How much of the classifier's gradient the encoders get, turned round (Ganin et al. 2016, section 5.2.2)."""
        if not self.config.ramp:
            return 1.0
        return self.clock.weight(lambda images: 2 / (1 + math.exp(-10 * min(1.0, images / self.config.ramp))) - 1)

    def taught(self, images: Tensor) -> Tensor:
        """What the teacher says of images: mean and maximum over places of its last layer, (batch, 1024)."""
        assert self.teacher
        with torch.no_grad():
            features = self.teacher(images, [TEACHER_LAYER])[TEACHER_LAYER].flatten(2)
            return _unit(torch.cat([features.mean(2), features.amax(2)], dim=1))

    def translate(self, images: Tensor, source: str, target: str) -> Tensor:
        """The embedding has one size, so other images are brought to the training size and back."""
        shape, square = images.shape[-2:], (self.spec.size, self.spec.size)
        images = F.interpolate(images, square, mode="bilinear", antialias=True)  # of equal sizes: to the bit the same
        fake = self.G[target](self.shared_decoder(self.encode({source: images})[source]))
        return F.interpolate(fake, shape, mode="bilinear", antialias=True)


def _unit(code: Tensor) -> Tensor:
    """Scaled to a mean square of 1."""
    return F.normalize(code) * math.sqrt(code.shape[1])
