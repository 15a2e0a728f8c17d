"""The kit refuses models that are spoiled, each in one way, with a message that names the cause."""

import pytest
from ganzoo_testing import ConformanceError, check_model

MODEL = '''
import random
from dataclasses import dataclass

import torch
from torch import nn
from torch.nn.functional import l1_loss
from torch.optim import Adam

from ganzoo import DiscriminatorPart, Frozen, GeneratorPart, LossPart, Natural, Options, Phase, Trainer, Weight


class Sound(Trainer):
    """Pairs, an L1 loss and a discriminator: nothing is wrong with it."""

    class Config(Options):
        generator: GeneratorPart = {"name": "resnet", "width": 4, "blocks": 1}
        """generator"""
        discriminator: DiscriminatorPart = {"name": "patch", "width": 4, "layers": 1}
        """discriminator"""
        loss: LossPart = "lsgan"
        """adversarial loss"""
        weight: Weight = 10.0
        """weight of the L1 loss"""

    data_kind = "paired"

    def __init__(self, config, spec):
        super().__init__(config, spec)
        self.source, self.target = spec.domains
        self.G = config.generator.build(3, 3, spec.size)
        self.D = config.discriminator.build(3, spec.size)
        self.gan = config.loss.build()

    def phases(self):
        return [
            Phase("G", Adam(self.G.parameters(), 1e-3), self.generator_loss),
            Phase("D", Adam(self.D.parameters(), 1e-3), self.discriminator_loss),
        ]

    def generator_loss(self, batch, carry):
        fake = carry["fake"] = self.G(batch[self.source])
        return {"G_adv": self.gan.adversarial(self.D(fake)), "l1": self.config.weight * l1_loss(fake, batch[self.target])}

    def discriminator_loss(self, batch, carry):
        return self.gan.discriminator_terms(self.D, batch[self.target], carry["fake"], self.clock)

    def translate(self, images, source, target):
        return self.G(images)

    def directions(self):
        return [(self.source, self.target)]


class Scales(nn.Module):
    """A discriminator of two scales."""

    def __init__(self):
        super().__init__()
        self.nets = nn.ModuleList(nn.Conv2d(3, 1, 4, 2) for _ in range(2))

    def forward(self, image):
        return [net(image[..., ::stride, ::stride]) for net, stride in zip(self.nets, (1, 2))]


class Rich(Sound):
    """All that the contract allows: nothing is wrong with it either."""

    class Config(Sound.Config):
        domains: Natural = 2
        """named as a parameter of the kit"""
        size: Natural = 3
        """and another"""

    def __init__(self, config, spec):
        super().__init__(config, spec)
        self.D = Scales()
        self.out = nn.Conv2d(3, 3, 1)
        self.code = nn.Linear(4, 3)
        self.rare = nn.Parameter(torch.zeros(1))
        self.rarer = nn.Parameter(torch.zeros(1))
        self.features = Frozen(lambda: nn.Conv2d(3, 8, 3))

    def phases(self):
        both = [Adam(self.G.parameters(), 1e-3), Adam([*self.out.parameters(), *self.code.parameters()], 1e-4)]
        critic = Adam(self.D.parameters(), 1e-3)
        return [
            Phase("D", critic, self.discriminator_loss, schedule=lambda images: min(1.0, images / 8)),
            Phase("G", both, self.generator_loss),
            Phase("R1", critic, self.penalty, lambda step: step % 16 == 0),
            Phase("late", Adam([self.rare], 1e-3), lambda batch, carry: {"late": self.rare.sum()}, lambda step: step > 900),
            Phase("by images", Adam([self.rarer], 1e-3), self.seldom, lambda step: self.clock.images > 5000),
        ]

    def forward(self, batch):
        fake = self.out(self.G(batch[self.source])).tanh()
        return {"fakes": {"all": [fake, (fake, "two of them")]}}

    def discriminator_loss(self, batch, carry):
        fake = carry["fakes"]["all"][0]
        carry["nested"] = [{"logits": self.D(batch[self.target])}]
        return self.gan.discriminator_terms(self.D, batch[self.target], fake, self.clock, self.target)

    def generator_loss(self, batch, carry):
        fake, real = carry["fakes"]["all"][0], batch[self.target]
        assert not any(logits.requires_grad for logits in carry["nested"][0]["logits"])
        features = l1_loss(self.features(fake), self.features(real))
        return {"G_adv": self.gan.adversarial(self.D(fake)), "features": features, "code": self.made(len(real)).mean()}

    def penalty(self, batch, carry):
        return {"r1": sum(logits.square().mean() for logits in self.D(batch[self.target]))}

    def seldom(self, batch, carry):
        return {"seldom": self.rarer.sum()}

    def made(self, count):
        colours = self.code(torch.ones(count, 4).to(self.rare))
        return colours[:, :, None, None].expand(-1, -1, self.spec.size, self.spec.size).tanh()

    def translate(self, images, source, target):
        return self.out(self.G(images)).tanh()

    def generate(self, count, label=None):
        return (self.made(count) + 0.1 * torch.randn(count, 1, 1, 1).to(self.rare)).clamp(-1, 1)


class Styled(Sound):
    """Styles at random and from references."""

    def __init__(self, config, spec):
        super().__init__(config, spec)
        self.E = nn.Conv2d(3, 2, spec.size)
        self.tint = nn.Linear(2, 3)

    def phases(self):
        G, D = super().phases()
        return [Phase("G", Adam([*self.G.parameters(), *self.E.parameters(), *self.tint.parameters()]), G.loss), D]

    def generator_loss(self, batch, carry):
        real = batch[self.target]
        carry["fake"] = fake = self.translate(batch[self.source], "", "", self.encode_style(real, ""))
        return {"l1": l1_loss(fake, real)}

    def sample_style(self, count, domain):
        return torch.randn(count, 2)

    def encode_style(self, images, domain):
        return self.E(images).flatten(1)

    def translate(self, images, source, target, style):
        return (self.G(images) + self.tint(style)[:, :, None, None]).tanh()


class Orphan(Sound):
    def __init__(self, config, spec):
        super().__init__(config, spec)
        self.spare = nn.Linear(2, 2)


class Unbounded(Sound):
    def translate(self, images, source, target):
        return 9 * self.G(images)


class Cropping(Sound):
    def translate(self, images, source, target):
        return self.G(images)[..., 1:]


class Restless(Sound):
    def translate(self, images, source, target):
        return self.G(images) * random.random()


class Wearing(Sound):
    def translate(self, images, source, target):
        self.G.layers[1].weight.data *= 0.99
        return self.G(images)


class Greedy(Sound):
    def phases(self):
        G, D = super().phases()
        return [G, Phase("D", Adam(self.parameters(), 1e-3), D.loss)]


class Meddler(Sound):
    def generator_loss(self, batch, carry):
        for parameter in self.D.parameters():
            parameter.data.clamp_(-0.01, 0.01)
        return super().generator_loss(batch, carry)


class Forgetful(Sound):
    warmth = 0.0

    def generator_loss(self, batch, carry):
        self.warmth += 0.1
        terms = super().generator_loss(batch, carry)
        return terms | {"l1": self.warmth * terms["l1"]}


class Gambler(Sound):
    def generator_loss(self, batch, carry):
        terms = super().generator_loss(batch, carry)
        return terms | {"l1": random.random() * terms["l1"]}


class Constant(Rich):
    """Has no noise, and does not say so."""

    def generate(self, count, label=None):
        return self.made(count)


class Deaf(Sound):
    """Draws noise of its own in every process."""

    def generator_loss(self, batch, carry):
        return super().generator_loss({k: v + torch.randn_like(v) for k, v in batch.items()}, carry)


class Loner(Sound):
    """Looks at the deviation of the images that this process happens to have."""

    def generator_loss(self, batch, carry):
        terms = super().generator_loss(batch, carry)
        return terms | {"spread": -carry["fake"].var(dim=0, correction=0).mean()}


class Hidden(Sound):
    def __init__(self, config, spec):
        super().__init__(config, spec)
        self.networks = [config.generator.build(3, 3, spec.size)]
        del self.G
        self.__dict__["G"] = self.networks[0]


class Freed(Sound):
    def generator_loss(self, batch, carry):
        terms = super().generator_loss(batch, carry)
        self.__dict__["fake"] = carry["fake"]
        return terms

    def discriminator_loss(self, batch, carry):
        return {"D": self.D(self.fake).mean()}


class Untold(Sound):
    def generator_loss(self, batch, carry):
        terms = super().generator_loss(batch, carry)
        return terms | {"l1": (self.G(batch[self.source]) - batch[self.target]).abs()}


class Diary:
    def __init__(self):
        self.lines = set()

    def state_dict(self):
        return {"lines": self.lines}

    def load_state_dict(self, state):
        self.lines = state["lines"]


class Writer(Sound):
    """Keeps what no checkpoint can hold."""

    def __init__(self, config, spec):
        super().__init__(config, spec)
        self.diary = Diary()


class Infinite(Sound):
    def generator_loss(self, batch, carry):
        terms = super().generator_loss(batch, carry)
        return terms | {"l1": terms["l1"] / (terms["l1"] - terms["l1"])}


class Wide(Sound):
    """Leaves torch, where bfloat16 is not known."""

    def discriminator_loss(self, batch, carry):
        logits = self.D(batch[self.target])
        logits.detach().numpy().max()
        return super().discriminator_loss(batch, carry)


class Mute(Sound):
    class Config(Sound.Config):
        strength: Weight = 1.0


class Rounded(Sound):
    class Config(Sound.Config):
        lengths: set[int] | list[int] = {1, 2}
        """in pixels"""


class Twins(Sound):
    def phases(self):
        return [Phase("G", phase.optimizers, phase.loss) for phase in super().phases()]


class Idle(Sound):
    def phases(self):
        return []


class Branching(Sound):
    """Looks into the image to decide what to do."""

    def translate(self, images, source, target):
        return self.G(images) if images.mean() > 0 else self.G(-images)


class Impatient(Sound):
    """Calls backward itself."""

    def discriminator_loss(self, batch, carry):
        terms = super().discriminator_loss(batch, carry)
        terms["D"].backward(retain_graph=True)
        return terms


class Selfish(Sound):
    """Does its whole update itself."""

    def phases(self):
        self.__dict__["own"] = Adam(self.D.parameters(), 1e-3)
        return [super().phases()[0], Phase("D", self.own, self.discriminator_loss)]

    def discriminator_loss(self, batch, carry):
        terms = super().discriminator_loss(batch, carry)
        terms["D"].backward()
        self.own.step()
        self.own.zero_grad()
        return {"D": terms["D"].detach()}


class Silent(Sound):
    def discriminator_loss(self, batch, carry):
        return {}


class Promising(Sound):
    """Says that it goes back, and does not."""

    def translate(self, images, source, target):
        return self.G(images) if target == self.target else images

    def directions(self):
        return [(self.source, self.target), (self.target, self.source)]


class Nowhere(Sound):
    def directions(self):
        return []


class Useless(Sound):
    translate = Trainer.translate


class Scribbling(Sound):
    def translate(self, images, source, target):
        return self.G(images.mul_(0.5))


class Growing(Sound):
    """Fades its generator in by the clock, which is at its beginning when a checkpoint is loaded."""

    def translate(self, images, source, target):
        alpha = min(1.0, self.clock.images / 1000)
        return alpha * self.G(images)


class Lazy(Sound):
    def __init__(self, config, spec):
        super().__init__(config, spec)
        self.head = nn.LazyLinear(1)


class Budding(Sound):
    """Builds a layer when it is first used."""

    def generator_loss(self, batch, carry):
        terms = super().generator_loss(batch, carry)
        if not hasattr(self, "head"):
            self.head = nn.Linear(3, 1).to(carry["fake"])
        return terms | {"head": self.head(carry["fake"].mean((2, 3))).mean()}


class Tardy(Sound):
    """Builds its discriminator where the optimizers are."""

    def phases(self):
        self.critic = nn.Conv2d(3, 1, 4)
        return super().phases()


class Never(Sound):
    def phases(self):
        G, D = super().phases()
        return [G, Phase("D", D.optimizers, D.loss, lambda step: step < 0)]


class Doubled(Sound):
    def phases(self):
        G, D = super().phases()
        return [Phase("G", [G.optimizers, G.optimizers], G.loss), D]


class Returning(Rich):
    """Both phases go back through the graph of forward()."""

    def discriminator_loss(self, batch, carry):
        on_fake = self.D(carry["fakes"]["all"][0])
        return super().discriminator_loss(batch, carry) | {"extra": on_fake[0].mean()}


class Single(Rich):
    """Takes logits for one tensor."""

    def generator_loss(self, batch, carry):
        return {"G_adv": self.gan.generator(self.D(carry["fakes"]["all"][0]))}


@dataclass
class Parcel:
    fake: torch.Tensor


class Boxed(Sound):
    """Leaves an object for the next phase."""

    def generator_loss(self, batch, carry):
        terms = super().generator_loss(batch, carry)
        carry["parcel"] = Parcel(carry.pop("fake"))
        return terms

    def discriminator_loss(self, batch, carry):
        return {"D": self.D(carry["parcel"].fake).mean()}


class Thawed(Sound):
    """Trains a network that only measures."""

    def __init__(self, config, spec):
        super().__init__(config, spec)
        self.features = Frozen(lambda: nn.Conv2d(3, 8, 3))

    def phases(self):
        G, D = super().phases()
        return [Phase("G", Adam([*self.G.parameters(), *self.features.load().parameters()], 1e-3), G.loss), D]


class Labels(Sound):
    """Tells the generator its target by constant planes, which the instance norm takes away."""

    data_kind = "labelled"

    def __init__(self, config, spec):
        super().__init__(config, type(spec)(("left", "right"), {}, spec.size))
        self.domains, self.spec = spec.domains, spec
        self.G = config.generator.build(6, 3, spec.size)

    def paint(self, images, labels):
        return self.G(torch.cat([images, labels[:, :, None, None].expand(-1, -1, *images.shape[2:])], 1))

    def generator_loss(self, batch, carry):
        carry["fake"] = self.paint(batch["image"], batch["label"])
        return {"G_adv": self.gan.adversarial(self.D(carry["fake"]))}

    def discriminator_loss(self, batch, carry):
        return self.gan.discriminator_terms(self.D, batch["image"], carry["fake"], self.clock)

    def translate(self, images, source, target):
        labels = torch.tensor([target == "black", target == "blond", target == "smiling"])
        return self.paint(images, labels.to(images).expand(images.shape[0], -1))

    def directions(self):
        return [("image", target) for target in ("black", "blond", "smiling", "no-smiling")]


class Monotone(Styled):
    def translate(self, images, source, target, style):
        return super().translate(images, source, target, style.mean(0, keepdim=True).expand_as(style))


class Wound(Styled):
    def sample_style(self, count, domain):
        return self.clock.randn(count, 2, like=self.tint.weight)


class Mixed(Styled):
    def sample_style(self, count, domain):
        return torch.randn(count, 2, 1)


class Lonely(Styled):
    def encode_style(self, images, domain):
        return self.E(images).flatten(1).mean(0, keepdim=True)
'''
SPOILED = {
    "Orphan": ("spare.weight", "every parameter to be trained", "never got a gradient", "ganzoo.Frozen"),
    "Writer": ("checkpoint", "a state that can be saved", "stateful.diary.lines is a set"),
    "Unbounded": ("translate(left to right)", "values in [-1, 1]", "end with a tanh"),
    "Cropping": ("translate(left to right)", "images of shape (2, 3, 32, 32); they are (2, 3, 32, 31)"),
    "Restless": ("translate(left to right)", "the same images for the same random seed"),
    "Wearing": ("translate(left to right)", "no lasting change, but G.layers.1.weight changed"),
    "Greedy": ("G.", 'one of phase "G" and one of phase "D" both move it', "overlapping=True"),
    "Meddler": ('phase "G"', "only its own parameters to move, but D."),
    "Forgetful": ("to the bit, after going on from a checkpoint", "things with a state_dict"),
    "Gambler": ("to the bit, after going on from a checkpoint", "not from Python or numpy"),
    "Deaf": ("the same weights when two processes share the batch", "self.clock.rand and randn"),
    "Loner": ("the same weights when two processes share the batch", "ganzoo.clock.all_reduce_mean"),
    "Hidden": ('phase "G"', "registered parameters only", "not in a plain list or dict"),
    "Freed": ("step 0", "backward through the graph a second time", "in `carry`"),
    "Untold": ('phase "G", term "l1"', "a scalar tensor", "(2, 3, 32, 32)"),
    "Infinite": ('phase "G", term "l1"', "a finite number; it is inf"),
    "Wide": ('train.precision = "bf16-mixed"', "a step without errors"),
    "Mute": ("Config.strength", "a string under the field"),
    "Rounded": ("Config.lengths", "survives being written as TOML", "{1, 2} became [1, 2]"),
    "Twins": ("phases()", "each with its own name", "['G', 'G']"),
    "Branching": ("export(left to right)", "a translate that torch.export can follow"),
    "Idle": ("phases()", "at least one phase"),
    "Impatient": ('phase "D"', "leaves backward() to the engine", "this one calls it itself"),
    "Selfish": ('phase "D"', "terms that depend on its parameters; none has a gradient"),
    "Silent": ('phase "D"', "a dict of one term or more", "{}"),
    "Promising": ("translate(right to left)", "it gives its input back", "leave the direction out of directions()"),
    "Nowhere": ("directions()", "at least one (source, target)"),
    "Useless": ("translate and generate", "one of them"),
    "Scribbling": ("translate(left to right)", "its input to stay as it is", "clone it"),
    "Growing": ("translate(left to right)", "only loads the weights", "self.clock is at its beginning"),
    "Lazy": ("head.weight", "this one is lazy", "torch.zeros(1, channels, spec.size, spec.size)"),
    "Budding": ("step 0", "no new networks; head.weight appears here", "in __init__"),
    "Tardy": ("phases()", "no new networks; critic.weight appears here", "in __init__"),
    "Never": ('phase "D"', "its `when` holds in no step up to 1,000,000"),
    "Doubled": ('phase "G"', "each optimizer once"),
    "Returning": ("forward()", 'one loss that goes back through what it gives; "D" and "G" both do', "Detach"),
    "Single": ("step 0", "Logits may be a list", "gan.adversarial(logits)"),
    "Boxed": ("step 0", "backward through the graph a second time", "nor in an object of your own"),
    "Thawed": ('phase "G"', "registered parameters only", "what is in a Frozen is not trained"),
    "Constant": ("generate", "other images for another random seed", "distinct_images"),
    "Labels": ("translate(image to blond)", "other images than translate(image to black) gives", "an instance norm"),
    "Monotone": (
        "translate(left to right) with styles",
        "another image for another style",
        "use style[i] for image i",
    ),
    "Wound": ("sample_style(3, right)", "from torch's global rng"),
    "Mixed": ("sample_style(3, right) and encode_style(right)", "styles of one shape", "(3, 2, 1)"),
    "Lonely": ("encode_style(right)", "(3, ...) finite numbers for 3 images", "(1, 2)"),
}


@pytest.fixture(scope="module", autouse=True)
def _installed(tmp_path_factory, plugin, known):
    """The sound model and all the spoiled ones as a stranger's package; and one whose package imports torch."""
    site = tmp_path_factory.mktemp("site")
    lines = [
        f'    register("{name.lower()}", "ganzoo_spoiled_models.model:{name}")\n'
        for name in ("Sound", "Rich", "Styled", *SPOILED)
    ]
    hook = "from ganzoo import hookimpl\n\n\n@hookimpl\ndef register_models(register):\n"
    plugin(site, "spoiled_models", {"__init__": hook + "".join(lines), "model": MODEL})
    heavy = '    register("heavy", "ganzoo_heavy.model:Sound")\n'
    plugin(site, "heavy", {"__init__": "import torch\n" + hook + heavy, "model": MODEL})
    known(site)


@pytest.mark.parametrize(("name", "options"), [("sound", {}), ("rich", {"domains": 1, "size": 5}), ("styled", {})])
def test_a_sound_model_passes(name, options):
    check_model(name, options)


@pytest.mark.parametrize("name", SPOILED)
def test_a_spoiled_model_is_refused(name):
    with pytest.raises(ConformanceError) as refusal:
        check_model(name.lower())
    assert str(refusal.value).startswith(f'model "{name.lower()}", ')
    for words in SPOILED[name]:
        assert words in str(refusal.value)


def test_what_is_meant_to_overlap_may():
    check_model("greedy", overlapping=True)


def test_a_package_that_imports_torch_is_refused():
    with pytest.raises(ConformanceError, match=r"package ganzoo_heavy: .* imports no torch"):
        check_model("heavy")
