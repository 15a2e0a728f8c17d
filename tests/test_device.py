"""What a GPU would be kept waiting by, seen without one: every model's step on torch's meta device, operators counted."""

from unittest import mock

import pytest
import torch
from ganzoo_testing import batch, engine, helpers
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_map_only

from ganzoo.clock import Clock
from ganzoo.data.kinds import load_kind
from ganzoo.loop import Engine, Means
from ganzoo.registry import registry
from ganzoo.runtime import Runtime

MODELS = [name for name in registry().names("model") if name != "style"]  # which reads an image's features at first
META = torch.device("meta")


@pytest.mark.parametrize("model", MODELS)
def test_no_step_reads_from_its_device_or_mixes_it_with_another(model):
    """The meta device has no values, so what reads some, as `item` and `nonzero` do, raises there."""
    recipe = helpers.parsed(model, {}, size=64)
    kind = load_kind(recipe.data_kind)
    spec = kind.example_spec(64)
    runtime = Runtime(recipe.train, recipe.data.batch)
    with META:  # where initial weights cost nothing
        trainer = recipe.trainer(recipe.options, spec)
    with (
        mock.patch.object(Runtime, "device", META),
        mock.patch("torch.is_autocast_enabled", lambda *_: False),  # both know no meta device
        mock.patch("torch.autocast"),
    ):
        ours = Engine(trainer, recipe.train, runtime, Clock(0, recipe.data.batch))
        for stateful in trainer.stateful().values():
            stateful.size = 1  # a pool is full at once
        means = Means()
        for step in sorted({0, 1} | {next(s for s in range(1000) if phase.when(s)) for phase in ours.phases}):
            ours.clock.set(step * recipe.data.batch)
            means.add(ours.step(kind.example(spec, step, recipe.data.batch)))
    assert {value.device for value in (*trainer.parameters(), *trainer.buffers())} == {META}


def test_a_value_that_is_read_is_seen():
    with pytest.raises(NotImplementedError, match="meta"):
        torch.zeros(3, device=META).tolist()
    with pytest.raises(RuntimeError, match="meta"):
        torch.zeros(3, device=META) + torch.zeros(3)


class Counted(TorchDispatchMode):
    """Counts the operators that compute something: views are free."""

    def __init__(self):
        super().__init__()
        self.count = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        self.count += not func.is_view and func is not torch.ops.aten.detach.default
        return func(*args, **(kwargs or {}))


def plain_step(ours, images):
    """The same updates without an engine: losses, gradients, optimizers."""
    for phase in ours.phases:
        for parameter in phase.parameters():
            parameter.requires_grad_(True)
    shared, carry = ours.trainer(images), {}
    for phase in ours.phases:
        if phase.when(ours.clock.step):
            for optimizer in phase.stepped:
                optimizer.zero_grad()
            ours.trainer.requires_grad_(False)
            for parameter in phase.parameters():
                parameter.requires_grad_(True)
            seen = shared | carry
            sum(phase.loss(images, seen).values()).backward()
            left = {key: value for key, value in seen.items() if value is not shared.get(key)}
            carry = tree_map_only(torch.Tensor, torch.Tensor.detach, left)
            for optimizer in phase.stepped:
                optimizer.step()
    ours.clock.advance()


NARROW = {"generator": {"name": "resnet", "width": 2, "blocks": 9}, "discriminator": {"name": "patch", "width": 2}}
COUNTED = {"cyclegan": NARROW, "cut": {"generator": {"name": "resnet-antialiased", "width": 2}}}


@pytest.mark.parametrize(("model", "options"), COUNTED.items(), ids=COUNTED)
def test_the_engine_adds_hardly_an_operator(model, options):
    counts = {}
    for name in ("plain", "engine"):
        ours, means = engine(model, options), Means()
        take = (lambda b, o=ours: plain_step(o, b)) if name == "plain" else lambda b, o=ours, m=means: m.add(o.step(b))
        batches = [batch(ours, step) for step in range(4)]
        take(batches[0])  # optimizers make their state
        with Counted() as counted:
            for images in batches[1:]:
                take(images)
        counts[name] = counted.count
    assert counts["plain"] > 900
    assert counts["engine"] <= 1.01 * counts["plain"], counts
