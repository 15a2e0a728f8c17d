"""The seams of the contract: phases, optimizers, schedules, a shared forward pass, frozen networks, published settings."""

from typing import Annotated, Any, ClassVar

import pytest
import torch
from pydantic import ValidationError
from torch import nn
from torch.optim import SGD

from ganzoo import DataSpec, Frozen, GanzooError, GeneratorPart, Options, Phase, Trainer, needs, recipe
from ganzoo.clock import Clock
from ganzoo.loop import Engine
from ganzoo.options import TrainOptions, options_of
from ganzoo.runtime import Runtime
from ganzoo.trainer import Batch, Carry, Terms

SPEC = DataSpec(("a", "b"), {"a": 3, "b": 3}, 8)


class Two(Trainer):
    """Two numbers, `x` and `y`; what each phase does is given from outside."""

    def __init__(self, make_phases: Any) -> None:
        super().__init__(Options(), SPEC)
        self.x, self.y = nn.Parameter(torch.tensor(1.0)), nn.Parameter(torch.tensor(1.0))
        self.make_phases = make_phases

    def phases(self) -> list[Phase]:
        return self.make_phases(self)

    def translate(self, images: torch.Tensor, source: str, target: str) -> torch.Tensor:
        return images


def engine(make_phases: Any, trainer: type[Two] = Two, **train: Any) -> Engine:
    options = TrainOptions(**({"images": 100, "device": "cpu"} | train))
    return Engine(trainer(make_phases), options, Runtime(options, 1), Clock())


def values(made: Engine) -> tuple[float, float]:
    return made.trainer.x.item(), made.trainer.y.item()


def test_all_optimizers_of_a_phase_are_stepped_after_one_backward():
    def phases(model):
        return [
            Phase("both", [SGD([model.x], 0.1), SGD([model.y], 0.2)], lambda b, c: {"t": model.x * 2 + model.y * 3})
        ]

    made = engine(phases)
    made.step({})
    assert values(made) == pytest.approx((1 - 0.1 * 2, 1 - 0.2 * 3))


def test_two_phases_may_share_an_optimizer():
    def phases(model):
        shared = SGD([model.x], 0.1, momentum=0.5)
        return [Phase("one", shared, lambda b, c: {"t": model.x}), Phase("two", shared, lambda b, c: {"t": model.x})]

    made = engine(phases)
    made.step({})
    assert made.trainer.x.item() == pytest.approx(1 - 0.1 - 0.1 * 1.5)  # the second step goes on with the momentum
    state = made.state_dict()
    assert len(state["optimizers"]) == 1


def test_a_phase_trains_the_parameters_of_its_own_optimizers_only():
    def phases(model):
        return [Phase("x", SGD([model.x], 0.1), lambda b, c: {"t": model.x * model.y})]

    made = engine(phases)
    made.step({})
    assert values(made) == pytest.approx((0.9, 1.0))
    assert made.trainer.y.grad is None


def test_a_phase_may_have_its_own_schedule():
    def phases(model):
        warm_up = lambda images: min(1.0, images / 4)  # noqa: E731
        return [
            Phase("x", SGD([model.x], 1.0), lambda b, c: {"t": model.x}, schedule=warm_up),
            Phase("y", SGD([model.y], 1.0), lambda b, c: {"t": model.y}),
        ]

    made = engine(phases, images=8, constant=0.5)
    rates = []
    for _ in range(8):
        rates.append((made.lr()["x"], made.lr()["y"]))
        made.step({})
    assert [x for x, _ in rates] == [0, 0.25, 0.5, 0.75, 1, 1, 1, 1]
    assert [y for _, y in rates] == [1, 1, 1, 1, 1, 0.75, 0.5, 0.25]
    assert values(made) == pytest.approx((1 - sum(x for x, _ in rates), 1 - sum(y for _, y in rates)))


def test_carry_holds_any_nesting_and_is_detached():
    seen = []

    def phases(model):
        def first(batch: Batch, carry: Carry) -> Terms:
            carry["codes"] = {"a": [model.x * 2, (model.x * 3, "name")], "n": 4}
            return {"t": model.x}

        def second(batch: Batch, carry: Carry) -> Terms:
            seen.append(carry["codes"])
            return {"t": model.y}

        return [Phase("one", SGD([model.x], 0.1), first), Phase("two", SGD([model.y], 0.1), second)]

    engine(phases).step({})
    (codes,) = seen
    assert codes["n"] == 4 and codes["a"][1][1] == "name"
    assert codes["a"][0].item() == 2 and not codes["a"][0].requires_grad and not codes["a"][1][0].requires_grad


class Shared(Two):
    """As pix2pix: one forward pass of x, seen by the phase of y, then gone back through by the phase of x."""

    forwards: ClassVar[int] = 0

    def forward(self, batch: Batch) -> Carry:
        Shared.forwards += 1
        return {"fake": self.x * batch["a"]}


def test_one_forward_pass_serves_two_phases():
    def phases(model):
        def second(batch: Batch, carry: Carry) -> Terms:
            return {"t": (model.y * carry["fake"]).sum()}

        return [
            Phase("y", SGD([model.y], 0.1), lambda b, c: {"t": (model.y * c["fake"].detach()).sum()}),
            Phase("x", SGD([model.x], 0.1), second),
        ]

    Shared.forwards = 0
    made = engine(phases, Shared)
    made.step({"a": torch.tensor([2.0])})
    assert Shared.forwards == 1
    y = 1 - 0.1 * 2  # d/dy (y * 2x)
    assert values(made) == pytest.approx((1 - 0.1 * 2 * y, y))  # d/dx (y * 2x), with the y that was just updated


def test_clipping_is_of_the_whole_phase():
    def phases(model):
        return [
            Phase("both", [SGD([model.x], 1.0), SGD([model.y], 1.0)], lambda b, c: {"t": 3 * model.x + 4 * model.y})
        ]

    made = engine(phases, clip=1.0)
    made.step({})
    assert values(made) == pytest.approx((1 - 0.6, 1 - 0.8), abs=1e-5)  # (3, 4) scaled to norm 1


class Measured(Two):
    loads: ClassVar[int] = 0

    def __init__(self, make_phases: Any) -> None:
        super().__init__(make_phases)
        self.measure = Frozen(self.make_network)

    @staticmethod
    def make_network() -> nn.Module:
        Measured.loads += 1
        return nn.Sequential(nn.Linear(1, 1), nn.Dropout(0.9))


def test_a_frozen_network_is_moved_but_not_trained_saved_or_averaged():
    def phases(model):
        return [Phase("x", SGD([model.x], 0.1), lambda b, c: {"t": model.measure(model.x[None]).sum()})]

    Measured.loads = 0
    trainer = Measured(phases)
    assert Measured.loads == 0  # whoever only translates needs no weights of it
    made = engine(phases, Measured, precision="64", ema=10.0)
    assert Measured.loads == 1
    weight = made.trainer.measure.load()[0].weight
    assert weight.dtype == torch.float64 and not weight.requires_grad
    before = weight.clone()
    made.step({})
    assert torch.equal(weight, before) and made.trainer.x.item() != 1
    assert made.trainer.x.item() == pytest.approx(1 - 0.1 * weight.item())  # in eval mode: no dropout
    assert set(made.trainer.state_dict()) == {"x", "y"} and set(made.ema.state_dict()) == {"x", "y"}
    assert not any(p is weight for p in made.trainer.parameters()) and trainer.training


def test_what_a_model_does_is_seen_from_what_it_overrides():
    class Both(Two):
        def generate(self, count, label=None):
            return torch.zeros(count, 3, 8, 8)

    class Styled(Two):
        def sample_style(self, count, domain):
            return torch.randn(count, 4)

    plain, both, styled = (kind(lambda model: []) for kind in (Two, Both, Styled))
    assert (plain.translates, plain.generates, plain.has_styles) == (True, False, False)
    assert (both.translates, both.generates) == (True, True)
    assert (styled.has_styles, styled.samples_styles, styled.encodes_styles) == (True, True, False)
    with pytest.raises(GanzooError, match="generates no images"):
        plain.generate(1)


class TwoDefaults(Two):
    recipe_defaults: ClassVar = {"data.size": 64, "train.images": 500, "train.ema": 20.0}
    presets: ClassVar = {"large": {"data.size": 512, "options.lr": 0.5}}


def test_the_recipe_wins_over_the_preset_and_the_preset_over_the_model(monkeypatch):
    class Config(Options):
        lr: float = 0.1
        """learning rate"""

    monkeypatch.setattr(TwoDefaults, "Config", Config)
    monkeypatch.setattr(recipe, "_trainer", lambda document, report: TwoDefaults)
    tables = {"model": "two", "data": {"source": "folders"}}
    plain = recipe.parse(tables)
    assert (plain.data.size, plain.train.images, plain.train.ema, plain.options.lr) == (64, 500, 20.0, 0.1)
    large = recipe.parse(tables | {"preset": "large"})
    assert (large.data.size, large.train.images, large.options.lr) == (512, 500, 0.5)
    own = recipe.parse(tables | {"preset": "large", "data": {"source": "folders", "size": 32}}, changes=["train.ema=0"])
    assert (own.data.size, own.train.ema, own.options.lr) == (32, 0, 0.5)


def test_a_demanded_capability_is_checked_when_the_recipe_is_read():
    class Config(Options):
        generator: Annotated[GeneratorPart, needs("no_such_thing")] = "resnet"
        """a generator with something to offer"""

    class Fitting(Options):
        generator: Annotated[GeneratorPart, needs("forward")] = "resnet"
        """any generator"""

    with pytest.raises(ValidationError, match=r'the generator "unet" has no no_such_thing\(\), which this model needs'):
        Config(generator="unet")
    assert Fitting(generator={"name": "unet", "width": 8}).generator.has("forward")


def test_options_of_parts_are_checked_as_those_of_models_are():
    from ganzoo.nets.resnet import ResnetGenerator

    table = options_of(ResnetGenerator)
    assert all(field.description for field in table.model_fields.values())
    for wrong in ({"width": 0}, {"blocks": -1}, {"norm": "layer"}, {"widht": 8}):
        with pytest.raises(ValidationError):
            table(**wrong)

    class Config(Options):
        generator: GeneratorPart = "resnet"
        """a generator"""

    with pytest.raises(ValidationError, match=r'the generator "resnet": width: input should be greater than or equal'):
        Config(generator={"name": "resnet", "width": 0})
    with pytest.raises(ValidationError, match=r'has no option "widht". Did you mean "width"'):
        Config(generator={"name": "resnet", "widht": 8})
    with pytest.raises(ValidationError, match="write the name of a generator, or a table"):
        Config(generator={"width": 8})
