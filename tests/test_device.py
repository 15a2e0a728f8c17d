"""What a GPU would be kept waiting by, seen without one: every model's step on torch's meta device, operators counted."""

from contextlib import nullcontext
from functools import partial
from unittest import mock

import pytest
import torch
from ganzoo_testing import batch, engine, helpers

from ganzoo import loop
from ganzoo.bench import Operators, bare_step
from ganzoo.clock import Clock, Inputs
from ganzoo.data.kinds import load_kind
from ganzoo.graph import NothingFromOutside
from ganzoo.loop import Engine, Means
from ganzoo.networks import networks
from ganzoo.registry import registry
from ganzoo.runtime import Runtime

MODELS = [name for name in registry().names("model") if name != "style"]  # which reads an image's features at first
META = torch.device("meta")


class Compiled:
    """In the place of torch.compile: notes which layers are used by what was to be compiled, and which are not."""

    def __init__(self):
        self.depth, self.inside, self.outside = 0, set(), set()

    def __enter__(self):
        self.patch = mock.patch("torch.compile", self.compile)
        self.patch.start()
        return self

    def __exit__(self, *_):
        self.patch.stop()

    def compile(self, call):
        def run(*args, **kwargs):
            self.depth += 1
            try:
                return call(*args, **kwargs)
            finally:
                self.depth -= 1

        return run

    def watch(self, trainer):
        for network in networks(trainer):
            for module in network.modules():
                if list(module.parameters(recurse=False)):
                    module.register_forward_pre_hook(lambda used, _: self.note(used))

    def note(self, module):
        (self.inside if self.depth else self.outside).add(module)


@pytest.fixture(scope="module", params=MODELS)
def steps(request):
    """Of each model: the engine, and how many operators its steps take; those of a bare loop; what is not compiled.

    The meta device has no values, so what reads some, as `item` and `nonzero` do, raises there. In the end a step is
    taken as it would be captured, where to take a tensor from the CPU raises too.
    """
    recipe = helpers.parsed(request.param, {}, size=64, compile=True)
    kind = load_kind(recipe.data_kind)
    spec = kind.example_spec(64)
    runtime = Runtime(recipe.train, recipe.data.batch)
    with META:  # where initial weights cost nothing
        trainer = recipe.trainer(recipe.options, spec)
    with (
        mock.patch.object(Runtime, "device", META),
        mock.patch("torch.is_autocast_enabled", lambda *_: False),  # both know no meta device
        mock.patch("torch.autocast"),
        Compiled() as compiled,
    ):
        ours, means = Engine(trainer, recipe.train, runtime, Clock(0, recipe.data.batch)), Means()
        for stateful in trainer.stateful().values():
            stateful.size = 1  # a pool is full at once
        compiled.watch(trainer)
        counts = []  # the first time, in which optimizers make their state, is not taken

        def plain(images):
            bare_step(ours, images)
            ours.clock.advance()

        def whole(images):
            means.add(ours.step(images))

        for take in (plain, plain, whole):
            with Operators() as counted:
                for step in sorted({0, 1} | {next(s for s in range(1000) if phase.when(s)) for phase in ours.phases}):
                    ours.clock.set(step * recipe.data.batch)
                    take(runtime.to_device(kind.example(spec, step, recipe.data.batch)))
            counts.append(counted.count)
        inputs, ours.clock.static = Inputs(ours.clock, META, torch.float32), True
        images = runtime.to_device(kind.example(spec, 0, recipe.data.batch))
        for reading in (nullcontext(), NothingFromOutside()):
            with mock.patch.object(ours, "_set_lr"), inputs.recorded(), reading:
                ours._updates(images, ours.phases)
    return ours, counts, compiled


def test_no_step_reads_from_its_device_or_mixes_it_with_another(steps):
    ours, _, _ = steps
    assert {value.device for value in (*ours.trainer.parameters(), *ours.trainer.buffers())} == {META}


def test_the_engine_adds_hardly_an_operator(steps):
    _, (_, plain, engine), _ = steps
    assert 300 < engine <= 1.01 * plain


def test_every_parameter_is_used_in_compiled_code(steps):
    _, _, compiled = steps
    assert compiled.inside
    assert not compiled.outside


def test_a_value_that_is_read_is_seen():
    with pytest.raises(NotImplementedError, match="meta"):
        torch.zeros(3, device=META).tolist()
    with pytest.raises(RuntimeError, match="meta"):
        torch.zeros(3, device=META) + torch.zeros(3)


def test_what_measures_is_compiled_too():
    """The style's image is a parameter of no network, and VGG reads an image's features at first."""
    with Compiled() as compiled:
        ours = engine("style", {"features": "random", "feature_width": 1}, batch=1, compile=True)
        compiled.watch(ours.trainer)
        ours.step(batch(ours))
    assert compiled.inside
    assert not compiled.outside


def test_what_is_compiled_computes_the_same():
    options = {
        "generator": {"name": "resnet-antialiased", "width": 2, "blocks": 1},
        "discriminator": {"name": "patch", "width": 2, "layers": 1},
        "patches": 8,
        "projection": 8,
    }
    found = []
    for compiled in (False, True):
        with mock.patch("torch.compile", partial(torch.compile, backend="aot_eager")):  # no C++, which takes a minute
            ours = engine("cut", options, compile=compiled, precision="64")
        terms = ours.step(batch(ours)).terms
        gradients = {name: parameter.grad for name, parameter in ours.trainer.named_parameters()}
        found.append((list(ours.trainer.state_dict()), terms, gradients))
    (names, terms, gradients), (names_compiled, terms_compiled, gradients_compiled) = found
    assert names_compiled == names  # as checkpoints have them
    torch.testing.assert_close(terms_compiled, terms, rtol=1e-9, atol=1e-12)
    torch.testing.assert_close(gradients_compiled, gradients, rtol=1e-6, atol=1e-12)


def test_optimizers_are_one_operator_each():
    ours = engine("cyclegan", {"pool": 0}, size=64)
    ours.step(batch(ours))
    with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CPU]) as seen:
        ours.step(batch(ours, 1))
    assert {event.key: event.count for event in seen.key_averages() if "adam" in event.key} == {"aten::_fused_adam_": 2}


def test_what_a_model_chose_for_its_optimizers_stays():
    ours = engine("gan", {"optimizer": "sgd"})
    chosen = torch.optim.Adam([torch.zeros(2)], foreach=True)
    loop._fuse(chosen)
    assert chosen.param_groups[0]["fused"] is None
    assert [optimizer.param_groups[0]["fused"] for optimizer in ours.optimizers] == [True, True]


def test_a_checkpoint_says_what_optimizers_count_but_not_how_they_compute():
    """Some keep counters beside their settings."""
    ours, other = (engine("gan", {"optimizer": "sgd"}) for _ in range(2))
    group = ours.optimizers[0].param_groups[0]
    group |= {"steps": 5, "fused": False, "lr": 1.0}
    other.load_state_dict(ours.state_dict())
    restored = other.optimizers[0].param_groups[0]
    assert (restored["steps"], restored["fused"]) == (5, True) and restored["lr"] < 1
