"""ComboGAN: unpaired translation between any number of domains (Anoosheh et al. 2018, arXiv:1712.06909)."""

from itertools import permutations
from typing import ClassVar

from torch import Tensor, nn
from torch.nn import functional as F
from torch.optim import Adam

from ganzoo import GanzooError, ImagePool
from ganzoo.losses import DISTANCES, Distance
from ganzoo.nets.layers import Norm, init_weights
from ganzoo.options import AdversarialOptions, Count, DiscriminatorPart, Layers, Natural, Weight
from ganzoo.trainer import Batch, Carry, DataSpec, Phase, Terms, Trainer

from .nets import Decoder, Encoder


class ComboGANOptions(AdversarialOptions):
    width: Count = 64
    """channels of the encoders' first layer; their last has four times as many"""
    encoder_blocks: Layers = 4
    """residual blocks of each encoder"""
    decoder_blocks: Layers = 5
    """residual blocks of each decoder"""
    norm: Norm = "instance"
    """of encoders and decoders; without one they soon keep brightness and colours, but change a style less"""
    discriminator: DiscriminatorPart = "two-stream"
    """the discriminator of each domain"""
    cycle: Weight = 10.0
    """cycle-consistency weight"""
    identity: Weight = 0.0
    """weight of auto-encoding an image in its own domain, compared at half the size"""
    latent: Weight = 0.0
    """weight of a translation having the code of its source"""
    latent_images: Natural = 0
    """images seen while the weight of the codes rises from 0; the authors': the whole training"""
    forward: Weight = 0.0
    """weight of a translation resembling its source at half the size"""
    distance: Distance = "smooth-l1"
    """between images and between codes"""
    pool: Natural = 50
    """image-pool size of each discriminator; 0 disables it"""


def halved(images: Tensor) -> Tensor:
    return F.avg_pool2d(images, 3, stride=2)


def over_depths(losses: list[Tensor]) -> Tensor:
    """The losses of all depths with weights 1, 2, ... and one more for the last, as a mean over weights and depths.

    So the authors' code has it: beside the usual mean it is divided by the number of depths.
    """
    weights = [*range(1, len(losses)), len(losses) + 1]
    return sum(w * value for w, value in zip(weights, losses, strict=True)) / (sum(weights) * len(losses))


class ComboGAN(Trainer):
    """For each domain an encoder, a decoder and a discriminator. Each step trains those of two domains.

    Adam keeps moments and a count of steps for every parameter and passes over those without a gradient, so one
    optimizer serves as the authors' optimizer for each domain: it leaves alone what is not in the batch.
    """

    Config, data_kind, multiple = ComboGANOptions, "domains", 4
    recipe_defaults: ClassVar = {
        "data.size": 256,
        "data.batch": 1,
        "train.images": 720_000,  # 400 epochs of the largest of the Alps' four seasons, about 1,800 images
        "train.constant": 0.5,
    }

    def __init__(self, config: ComboGANOptions, spec: DataSpec) -> None:
        super().__init__(config, spec)
        channels = spec.channels
        if config.forward and len(set(channels.values())) > 1:
            raise GanzooError(
                f"The domains' images have {', '.join(f'{n} ({d})' for d, n in channels.items())} channels, so none "
                "can resemble all others: set options.forward = 0, or give all the same data.channels."
            )
        self.encoder, self.decoder, self.D = nn.ModuleDict(), nn.ModuleDict(), nn.ModuleDict()
        for domain in self.domains:
            self.encoder[domain] = Encoder(channels[domain], config.width, config.encoder_blocks, config.norm)
            self.decoder[domain] = Decoder(channels[domain], config.width, config.decoder_blocks, config.norm)
            self.D[domain] = config.discriminator.build(channels[domain], spec.size)
        init_weights(self, config.init)
        self.gan = config.loss.build()
        self.gan.over_scales = over_depths
        self.distance = DISTANCES[config.distance]
        self.pool = {domain: ImagePool(config.pool) for domain in self.domains}

    def phases(self) -> list[Phase]:
        def adam(*kinds: nn.ModuleDict) -> Adam:
            groups = [{"params": [p for nets in kinds for p in nets[d].parameters()]} for d in self.domains]
            return Adam(groups, self.config.lr, self.config.betas)

        return [
            Phase("G", adam(self.encoder, self.decoder), self.generator_loss),
            Phase("D", adam(self.D), self.discriminator_loss),
        ]

    def generator_loss(self, batch: Batch, carry: Carry) -> Terms:
        c = self.config
        terms: Terms = {}
        ramp = self.clock.weight(lambda images: min(1.0, images / c.latent_images)) if c.latent_images else 1.0
        for here, there in permutations(batch, 2):
            real = batch[here]
            code = self.encoder[here](real)
            fake = carry[there] = self.decoder[there](code)
            again = self.encoder[there](fake)
            terms[f"G_adv_{there}"] = c.adversarial * self.gan.adversarial(self.D[there](fake))
            terms[f"cycle_{here}"] = c.cycle * self.distance(self.decoder[here](again), real)
            if c.identity:
                same = self.decoder[here](code)
                terms[f"idt_{here}"] = c.identity * self.distance(halved(same), halved(real))
            if c.latent:
                terms[f"latent_{here}"] = ramp * c.latent * self.distance(again, code.detach())
            if c.forward:
                terms[f"forward_{here}"] = c.forward * self.distance(halved(fake), halved(real))
        return terms

    def discriminator_loss(self, batch: Batch, carry: Carry) -> Terms:
        terms: Terms = {}
        weight = self.config.discriminator_weight
        for domain, real in batch.items():
            fake = self.pool[domain](carry[domain], self.clock)
            terms |= self.gan.discriminator_terms(self.D[domain], real, fake, self.clock, domain, weight)
        return terms

    def translate(self, images: Tensor, source: str, target: str) -> Tensor:
        return self.decoder[target](self.encoder[source](images))
