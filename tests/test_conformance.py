"""The kit refuses models that are spoiled, each in one way, with a message that names the cause."""

import pytest

from ganzoo.registry import registry
from ganzoo.testing import ConformanceError, check_model

MODEL = '''
import random

import torch
from torch import nn
from torch.nn.functional import l1_loss
from torch.optim import Adam

from ganzoo import DiscriminatorPart, GeneratorPart, Options, Phase, Trainer, Weight


class Sound(Trainer):
    """Pairs, an L1 loss and a discriminator: nothing is wrong with it."""

    class Config(Options):
        generator: GeneratorPart = {"name": "resnet", "width": 4, "blocks": 1}
        """draws"""
        discriminator: DiscriminatorPart = {"name": "patch", "width": 4, "layers": 1}
        """discriminates"""
        weight: Weight = 10.0
        """of the L1 loss"""

    data = "paired"

    def __init__(self, config, spec):
        super().__init__(config, spec)
        self.source, self.target = spec.domains
        self.G = config.generator.build(3, 3, spec.size)
        self.D = config.discriminator.build(3, spec.size)

    def phases(self):
        return [
            Phase("G", Adam(self.G.parameters(), 1e-3), self.generator_loss),
            Phase("D", Adam(self.D.parameters(), 1e-3), self.discriminator_loss),
        ]

    def generator_loss(self, batch, carry):
        fake = carry["fake"] = self.G(batch[self.source])
        return {"fool": -self.D(fake).mean(), "l1": self.config.weight * l1_loss(fake, batch[self.target])}

    def discriminator_loss(self, batch, carry):
        return {"judge": (self.D(carry["fake"]) - self.D(batch[self.target])).tanh().mean()}

    def translate(self, images, source, target):
        return self.G(images)

    def directions(self):
        return [(self.source, self.target)]


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
        return super().discriminator_loss(batch, {"fake": self.fake})


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
        return [Phase("G", phase.optimizer, phase.loss) for phase in super().phases()]


class Idle(Sound):
    def phases(self):
        return []


class Branching(Sound):
    """Looks into the image to decide what to do."""

    def translate(self, images, source, target):
        return self.G(images) if images.mean() > 0 else self.G(-images)
'''
SPOILED = {
    "Orphan": ("spare.weight", "every parameter to be trained", "never got a gradient"),
    "Writer": ("checkpoint", "a state that can be saved and loaded", "keepsakes.diary.lines is a set"),
    "Unbounded": ("translate(left to right)", "values in [-1, 1]", "end with a tanh"),
    "Cropping": ("translate(left to right)", "images of shape (2, 3, 32, 32); they are (2, 3, 32, 31)"),
    "Restless": ("translate(left to right)", "the same images for the same random seed"),
    "Wearing": ("translate(left to right)", "no lasting change, but G.layers.1.weight changed"),
    "Greedy": ("G.", 'both "G" and "D" move it', "overlapping=True"),
    "Meddler": ('phase "G"', "only its own parameters to move, but D."),
    "Forgetful": ("to the bit, after going on from a checkpoint", "things with a state_dict"),
    "Gambler": ("to the bit, after going on from a checkpoint", "not from Python or numpy"),
    "Deaf": ("the same weights when two processes share the batch", "self.clock.rand and randn"),
    "Loner": ("the same weights when two processes share the batch", "ganzoo.clock.everywhere"),
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
}


@pytest.fixture(scope="module", autouse=True)
def _installed(tmp_path_factory, plugin):
    """The sound model and all the spoiled ones as a stranger's package; and one whose package imports torch."""
    site = tmp_path_factory.mktemp("site")
    lines = [f'    register("{name.lower()}", "ganzoo_spoiled.model:{name}")\n' for name in ("Sound", *SPOILED)]
    hook = "from ganzoo import hookimpl\n\n\n@hookimpl\ndef register_models(register):\n"
    plugin(site, "spoiled", {"__init__": hook + "".join(lines), "model": MODEL})
    heavy = '    register("heavy", "ganzoo_heavy.model:Sound")\n'
    plugin(site, "heavy", {"__init__": "import torch\n" + hook + heavy, "model": MODEL})
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(site))
        registry.cache_clear()
        yield
    registry.cache_clear()


def test_the_sound_model_passes():
    check_model("sound")


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
