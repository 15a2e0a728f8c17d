"""StarGAN: one generator for all attributes (Choi et al. 2018, arXiv:1711.09020)."""

from typing import Annotated, ClassVar

import torch
from pydantic import Field
from torch import Tensor
from torch.nn import functional as F

from ganzoo import GanzooError
from ganzoo.attributes import all_targets, parse_target
from ganzoo.options import AdamOptions, Count, GeneratorPart, Layers, LossPart, NonNegative, Weight
from ganzoo.trainer import Batch, Carry, DataSpec, Phase, Terms, Trainer
from ganzoo_stargan.nets import StarGANDiscriminator


class StarGANOptions(AdamOptions):
    generator: GeneratorPart = "stargan"
    """the generator; it sees the labels as planes beside the image's channels"""
    residual: bool = False
    """the generator predicts a residual, a little smoothed, instead of the image: learns faster; not the paper's"""
    discriminator_width: Count = 64
    """channels of the discriminator's first layer, doubled by each"""
    discriminator_layers: Annotated[Layers, Field(ge=1)] = 6
    """layers of the discriminator, each halving the image"""
    loss: LossPart = "wgan-gp"
    """adversarial loss"""
    adversarial: Weight = 1.0
    """weight of the adversarial loss, for both networks"""
    classification: Weight = 1.0
    """classification weight: of reals for the discriminator, of fakes for the generator"""
    old_labels: Weight = 0.0
    """weight of classifying fakes by their original labels, for the discriminator, so that only a visible change counts
    as the new label; not the paper's"""
    reconstruction: Weight = 10.0
    """reconstruction weight (L1)"""
    noise: NonNegative = 0.0
    """standard deviation of noise over what the discriminator sees in training, against invisible changes that only its
    classifier takes for the label; not the paper's"""
    lr: NonNegative = 1e-4
    """learning rate of Adam"""
    discriminator_lr: NonNegative | None = None
    """that of the discriminator, if it is another"""
    discriminator_steps: Count = 5
    """the generator is updated in one step of this many, the discriminator in every one"""


class StarGAN(Trainer):
    """`G` translates an image to target labels; `D` tells reals from fakes and classifies their labels.

    Each label set (`DataSpec.label_sets`; by default one, of all labels) is learned from the images that know it.
    With several, G also sees which set is meant (the paper's mask vector), and an image that knows more than one is
    used for one of them, at random. A set that is one exclusive group has a softmax, any other a sigmoid for each
    label. An unknown label is 0 in G's input and is left out of the losses.
    """

    Config, data_kind, tileable = StarGANOptions, "labelled", False  # D classifies the image that is translated
    recipe_defaults: ClassVar = {
        "data.size": 128,
        "data.batch": 16,
        "data.interpolation": "bilinear",
        "train.images": 4_012_000,  # 20 epochs of CelebA's 200,600 faces for training
        "train.constant": 0.5,
    }
    presets: ClassVar = {"paper": {}, "official": {"train.images": 3_200_000, "train.constant": 1.0}}

    def __init__(self, config: StarGANOptions, spec: DataSpec) -> None:
        super().__init__(config, spec)
        if not spec.labels:
            raise GanzooError("StarGAN changes labels, but the data has none: name them with data.attributes.")
        self.sets = [[spec.labels.index(name) for name in names] for names in spec.label_sets or (spec.labels,)]
        self.softmax = [names in spec.groups for names in spec.label_sets or (spec.labels,)]
        set_of = [next(s for s, columns in enumerate(self.sets) if i in columns) for i in range(len(spec.labels))]
        self.register_buffer("set_of", torch.tensor(set_of), persistent=False)  # on the device, which waits for no list
        for s, columns in enumerate(self.sets):
            self.register_buffer(f"columns_{s}", torch.tensor(columns), persistent=False)
        channels, masks = spec.channels["image"], len(self.sets) if len(self.sets) > 1 else 0
        self.G = config.generator.build(channels + len(spec.labels) + masks, channels, spec.size)
        self.D = StarGANDiscriminator(
            channels,
            spec.size,
            classes=len(spec.labels),
            width=config.discriminator_width,
            layers=config.discriminator_layers,
        )
        self.gan = config.loss.build()

    def phases(self) -> list[Phase]:
        c = self.config
        opt_D = self.adam(self.D, lr=c.lr if c.discriminator_lr is None else c.discriminator_lr)
        return [
            Phase("D", opt_D, self.discriminator_loss),
            Phase("G", self.adam(self.G), self.generator_loss, lambda step: (step + 1) % c.discriminator_steps == 0),
        ]

    def discriminator_loss(self, batch: Batch, carry: Carry) -> Terms:
        c, real, labels = self.config, batch["image"], batch["label"]
        carry["mask"], carry["target"] = self.draw_targets(labels)
        fake = self.with_labels(real, carry["target"], carry["mask"])
        (on_real, classes), (on_fake, fake_classes) = self.noisy_D(real), self.noisy_D(fake)
        terms = self.gan.discriminator_terms(
            self.D, real, fake, self.clock, weight=c.adversarial, logits=(on_real, on_fake)
        )
        terms["cls_real"] = c.classification * self.classification(classes, labels)
        if c.old_labels:
            terms["cls_fake"] = c.old_labels * self.classification(fake_classes, self.within(labels, carry["mask"]))
        return terms

    def generator_loss(self, batch: Batch, carry: Carry) -> Terms:
        real, mask, target = batch["image"], carry["mask"], carry["target"]
        fake = self.with_labels(real, target, mask)
        logits, classes = self.noisy_D(fake)
        back = self.with_labels(fake, self.within(batch["label"], mask), mask)
        return {
            "G_adv": self.config.adversarial * self.gan.adversarial(logits),
            "cls_fake": self.config.classification * self.classification(classes, target),
            "rec": self.config.reconstruction * F.l1_loss(back, real),
        }

    def draw_targets(self, labels: Tensor) -> tuple[Tensor, Tensor]:
        """The set that each image is used for, (batch, sets) one-hot, and new labels: another image's of that set.

        Drawn over the images of all processes together. Labels outside the set are nan.
        """
        gathered = self.clock.all_gather(labels)
        known = torch.stack([(~gathered[:, columns].isnan()).float().mean(dim=1) for columns in self.columns], dim=1)
        if len(self.sets) > 1:
            shape = known.shape
            known = known + 1e-3 * self.clock.input(
                lambda: torch.rand(shape, generator=self.clock.shared), device=known.device
            )
        chosen = known.argmax(dim=1)
        count = len(gathered)
        shuffled = self.clock.input(lambda: torch.randperm(count, generator=self.clock.shared), device=known.device)
        rows, others = chosen.argsort(stable=True), shuffled[chosen[shuffled].argsort(stable=True)]  # set by set
        target = torch.empty_like(gathered).index_copy(0, rows, gathered[others])
        mask = (chosen[:, None] == torch.arange(len(self.sets), device=chosen.device)).to(gathered)
        return self.clock.local_rows(mask), self.clock.local_rows(self.within(target, mask))

    @property
    def columns(self) -> list[Tensor]:
        """Which labels are in each set."""
        return [self.get_buffer(f"columns_{s}") for s in range(len(self.sets))]

    def within(self, labels: Tensor, mask: Tensor) -> Tensor:
        """The labels of the set that each image is used for; the others become nan."""
        return labels.masked_fill(mask[:, self.get_buffer("set_of")] == 0, torch.nan)

    def with_labels(self, images: Tensor, labels: Tensor, mask: Tensor) -> Tensor:
        """G's image of `images` with these labels, (batch, labels) of 1, 0 and nan, of the sets in `mask`."""
        condition = torch.cat([labels.nan_to_num(0.0), mask], dim=1) if len(self.sets) > 1 else labels.nan_to_num(0.0)
        planes = condition[:, :, None, None].expand(-1, -1, *images.shape[2:])
        out = self.G(torch.cat([images, planes], dim=1))
        if not self.config.residual:
            return out
        padded = F.pad(out, (1, 1, 1, 1), mode="replicate")
        residual = F.avg_pool2d(F.avg_pool2d(padded, 2, 1), 2, 1)  # without checkerboard artefacts
        return (images + 2 * residual).clamp(-1, 1)

    def noisy_D(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """D of images in training: logits and class logits, of images with noise where the options ask for it."""
        if self.config.noise:
            images = images + self.config.noise * self.clock.randn(*images.shape, like=images)
        return self.D.classify(images)

    def classification(self, logits: Tensor, labels: Tensor) -> Tensor:
        """Cross-entropy of each softmax set, binary cross-entropy summed over other labels; mean over the images."""
        known, target = ~labels.isnan(), labels.nan_to_num(0.0)
        total = logits.new_zeros(len(logits))
        for columns, softmax in zip(self.columns, self.softmax, strict=True):
            there = known[:, columns].to(logits)
            if softmax:
                mistakes = F.cross_entropy(logits[:, columns], target[:, columns].argmax(dim=1), reduction="none")
                total = total + mistakes * there.prod(dim=1)
            else:
                mistakes = F.binary_cross_entropy_with_logits(logits[:, columns], target[:, columns], reduction="none")
                total = total + (mistakes * there).sum(dim=1)
        return total.mean()

    def read_labels(self, images: Tensor) -> Tensor:
        """(batch, channels, height, width) to the labels that D sees, (batch, labels) of 1 and 0."""
        square = (self.spec.size, self.spec.size)
        images = F.interpolate(images, square, mode="bilinear", antialias=True)  # of equal sizes: to the bit the same
        logits = self.D.classify(images)[1]
        labels = (logits > 0).to(images)
        for group in self.spec.groups:  # the likeliest at most; of a softmax set, the likeliest in any case
            columns = [self.spec.labels.index(name) for name in group]
            best = F.one_hot(logits[:, columns].argmax(dim=1), len(group)).to(images)
            labels[:, columns] = best if columns in self.sets else best * labels[:, columns]
        return labels

    def translate(self, images: Tensor, source: str, target: str) -> Tensor:
        """Labels that the target leaves open stay as D classifies them. Label sets are changed one after another."""
        labels, wanted = self.read_labels(images), parse_target(self.spec, target)
        for name, there in wanted.items():
            labels[:, self.spec.labels.index(name)] = float(there)
        for s, columns in enumerate(self.sets):
            if any(self.spec.labels[i] in wanted for i in columns):
                mask = F.one_hot(torch.full((images.shape[0],), s, device=images.device), len(self.sets)).to(images)
                images = self.with_labels(images, self.within(labels, mask), mask)
        return images

    def directions(self) -> list[tuple[str, str]]:
        return [("image", target) for target in all_targets(self.spec)]
