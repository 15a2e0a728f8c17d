"""Two auto-encoders that share their inner layers: UNIT (Liu et al. 2017, arXiv:1703.00848) and kin.

Written from the paper. Beside its variational form there is a plain one, and an adversary that keeps the codes of the
two domains alike (Ganin et al. 2016, arXiv:1505.07818; Lample et al. 2017, arXiv:1706.00409).
"""

from typing import Annotated, ClassVar, Literal

from pydantic import Field
from torch import Tensor, nn

from ganzoo import GanzooError
from ganzoo.losses import DISTANCES, CrossEntropy, Distance
from ganzoo.nets.layers import Norm, init_weights, needs_bias, norm_layer, reverse_gradient
from ganzoo.nets.resnet import ResidualBlock
from ganzoo.options import AdamOptions, Count, DiscriminatorPart, Init, Layers, LossPart, NonNegative, Weight
from ganzoo.trainer import Batch, Carry, DataSpec, Discriminator, Phase, Terms, Trainer


class UNITOptions(AdamOptions):
    width: Count = 64
    """channels after the first convolution"""
    blocks: Annotated[Layers, Field(ge=1)] = 4
    """residual blocks of an encoder, and of a decoder"""
    share_layers: Layers = 1
    """how many of these blocks both domains share: the last of the encoders, the first of the decoders"""
    kernel: Literal[3, 4] = 3
    """side of the strided convolutions: 3 in the paper, 4 in PyTorch-GAN"""
    norm: Norm = "instance"
    """after the convolutions"""
    init: Init = "normal"
    """initial weights, gain 0.02"""
    vae: bool = True
    """variational: the encoder gives the mean of a latent code, regularised towards the standard normal distribution"""
    latent_adversary: Literal["none", "critic", "reversal"] = "none"
    """what makes the codes of both domains alike: a domain critic trained against the encoders, or gradient reversal"""
    latent: Weight = 1.0
    """weight of the latent adversary, where there is one"""
    discriminator: DiscriminatorPart = "patch"
    """both discriminators of images"""
    loss: LossPart = "bce"
    """adversarial loss on images"""
    adversarial: Weight = 10.0
    """weight of the adversarial loss, for generators and discriminators (the paper's lambda 0)"""
    kl: Weight = 0.1
    """weight of the codes' distance to the standard normal distribution, with vae (lambda 1)"""
    reconstruction: Weight = 100.0
    """weight of auto-encoding each domain (lambda 2)"""
    cycle_kl: Weight = 0.1
    """the same as kl, within the cycle: of the image's and of its translation's codes (lambda 3)"""
    cycle: Weight = 100.0
    """cycle-consistency weight (lambda 4)"""
    distance: Distance = "l1"
    """between images"""
    lr: NonNegative = 1e-4
    """learning rate of Adam"""


class Critic(Discriminator):
    """Codes (batch, channels, height, width) to logits, one a place: which domain a code is from."""

    def __init__(self, in_channels: int, size: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Conv2d(in_channels, in_channels, 3, 2, 1),
            nn.LeakyReLU(0.2),
            nn.Conv2d(in_channels, in_channels, 3, 2, 1),
            nn.LeakyReLU(0.2),
            nn.Conv2d(in_channels, 1, 1),
        )

    def forward(self, image: Tensor) -> Tensor:
        return self.layers(image)


class UNIT(Trainer):
    """E[domain], then the shared blocks: codes of images. More shared blocks, then G[domain]: images of codes.

    D[domain] tells real images from translated ones, C the domains of codes. Codes are a quarter as high and wide as
    images, with 4 x width channels.
    """

    Config, data_kind, multiple = UNITOptions, "unpaired", 4
    recipe_defaults: ClassVar = {"data.size": 256, "data.batch": 1, "train.images": 1_000_000}
    presets: ClassVar = {
        "paper": {},
        "pytorch-gan": {"options.kernel": 4, "options.loss": "lsgan"},
        "shared-encoder": {"options.vae": False, "options.latent_adversary": "critic"},
    }

    def __init__(self, config: UNITOptions, spec: DataSpec) -> None:
        super().__init__(config, spec)
        if config.share_layers > config.blocks:
            raise GanzooError(
                f"There are {config.blocks} blocks, so {config.share_layers} cannot be shared: lower "
                "options.share_layers or raise options.blocks."
            )
        private, channels = config.blocks - config.share_layers, 4 * config.width

        def blocks(count: int) -> list[nn.Module]:
            return [ResidualBlock(channels, config.norm) for _ in range(count)]

        self.E = nn.ModuleDict(
            {d: nn.Sequential(*self._down(spec.channels[d]), *blocks(private)) for d in self.domains}
        )
        self.shared_encoder = nn.Sequential(*blocks(config.share_layers))
        self.shared_decoder = nn.Sequential(*blocks(config.share_layers))
        self.G = nn.ModuleDict({d: nn.Sequential(*blocks(private), *self._up(spec.channels[d])) for d in self.domains})
        self.D = nn.ModuleDict({d: config.discriminator.build(spec.channels[d], spec.size) for d in self.domains})
        if config.latent_adversary != "none":
            self.C = Critic(channels, spec.size // 4)
        init_weights(self, config.init)
        self.gan, self.latent_gan = config.loss.build(), CrossEntropy()
        self.distance = DISTANCES[config.distance]

    def _down(self, channels: int) -> list[nn.Module]:
        w, norm, kernel = self.config.width, self.config.norm, self.config.kernel
        bias = needs_bias(norm)
        layers = [nn.ReflectionPad2d(3), nn.Conv2d(channels, w, 7, bias=bias), norm_layer(norm, w), nn.LeakyReLU(0.2)]
        for c in (w, 2 * w):
            layers += [nn.Conv2d(c, 2 * c, kernel, 2, 1, bias=bias), norm_layer(norm, 2 * c), nn.LeakyReLU(0.2)]
        return layers

    def _up(self, channels: int) -> list[nn.Module]:
        w, norm, kernel = self.config.width, self.config.norm, self.config.kernel
        layers: list[nn.Module] = []
        for c in (4 * w, 2 * w):
            up = nn.ConvTranspose2d(c, c // 2, kernel, 2, 1, output_padding=4 - kernel, bias=needs_bias(norm))
            layers += [up, norm_layer(norm, c // 2), nn.LeakyReLU(0.2)]
        return [*layers, nn.ReflectionPad2d(3), nn.Conv2d(w, channels, 7), nn.Tanh()]

    def phases(self) -> list[Phase]:
        generator_nets = [self.E, self.shared_encoder, self.shared_decoder, self.G]
        adversary = self.config.latent_adversary
        if adversary == "reversal":
            generator_nets.append(self.C)
        phases = [
            Phase("G", self.adam(*generator_nets), self.generator_loss),
            Phase("D", self.adam(self.D), self.discriminator_loss),
        ]
        return [*phases, Phase("C", self.adam(self.C), self.critic_loss)] if adversary == "critic" else phases

    def encode(self, images: Tensor, domain: str) -> Tensor:
        """Images of a domain to their codes; with vae, to the means of their codes."""
        return self.shared_encoder(self.E[domain](images))

    def decode(self, code: Tensor, domain: str) -> Tensor:
        """Codes to images of a domain, in [-1, 1]."""
        return self.G[domain](self.shared_decoder(code))

    def draw(self, mean: Tensor) -> Tensor:
        """With vae a code sampled around its mean, variance 1; else the mean itself."""
        return mean + self.clock.randn(*mean.shape, like=mean) if self.config.vae else mean

    def generator_loss(self, batch: Batch, carry: Carry) -> Terms:
        config = self.config
        terms: Terms = {}
        means = {d: self.encode(batch[d], d) for d in self.domains}
        codes = {d: self.draw(means[d]) for d in self.domains}
        for here, there in (self.domains, self.domains[::-1]):
            real, code = batch[here], codes[here]
            carry[f"code_{here}"] = code
            terms[f"rec_{here}"] = config.reconstruction * self.distance(self.decode(code, here), real)
            fake = carry[there] = self.decode(code, there)
            terms[f"G_adv_{there}"] = config.adversarial * self.gan.adversarial(self.D[there](fake))
            mean_back = self.encode(fake, there)
            back = self.decode(self.draw(mean_back), here)
            terms[f"cycle_{here}"] = config.cycle * self.distance(back, real)
            if config.vae:
                terms[f"kl_{here}"] = (config.kl + config.cycle_kl) * _divergence(means[here])
                terms[f"cycle_kl_{here}"] = config.cycle_kl * _divergence(mean_back)
        first, second = (codes[d] for d in self.domains)
        if config.latent_adversary == "critic":  # each code is to be taken for the other domain's
            terms["G_adv_latent"] = config.latent * self.latent_gan.discriminator(self.C(second), self.C(first))
        elif config.latent_adversary == "reversal":
            first, second = (self.C(reverse_gradient(code)) for code in (first, second))
            terms["domain"] = config.latent * self.latent_gan.discriminator(first, second)
        return terms

    def discriminator_loss(self, batch: Batch, carry: Carry) -> Terms:
        terms: Terms = {}
        weight = self.config.adversarial
        for domain in self.domains:
            terms |= self.gan.discriminator_terms(
                self.D[domain], batch[domain], carry[domain], self.clock, domain, weight
            )
        return terms

    def critic_loss(self, batch: Batch, carry: Carry) -> Terms:
        first, second = (self.C(carry[f"code_{d}"]) for d in self.domains)
        return {"C": self.latent_gan.discriminator(first, second)}

    def translate(self, images: Tensor, source: str, target: str) -> Tensor:
        return self.decode(self.encode(images, source), target)


def _divergence(mean: Tensor) -> Tensor:
    """Kullback-Leibler divergence of N(mean, 1) from N(0, 1), averaged over all numbers of the codes."""
    return 0.5 * mean.square().mean()
