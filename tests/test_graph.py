"""Captured steps without a GPU: a tape of a step's operators, done again on the same tensors, as a CUDA graph does."""

import copy
from contextlib import contextmanager, nullcontext
from unittest import mock

import pytest
import torch
from ganzoo_testing import batch, engine
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from ganzoo import GanzooError, ImagePool
from ganzoo.clock import Clock
from ganzoo.graph import FIRST, CapturedSteps, NothingFromOutside

RESNET, PATCH = {"name": "resnet", "width": 4, "blocks": 1}, {"name": "patch", "width": 4, "layers": 2}
LAZY = {"name": "lsgan", "penalty": {"name": "r1", "every": 2}}
MODELS = {  # small, and such that their steps differ: phases, full pools, weights that change, lazy penalties
    "cyclegan": {"generator": RESNET, "discriminator": PATCH, "pool": 5, "discriminator_steps": 2, "loss": LAZY},
    "combogan": {
        "width": 4,
        "encoder_blocks": 1,
        "decoder_blocks": 1,
        "discriminator": {"name": "two-stream", "width": 4, "layers": 3},
        "pool": 2,
        "latent_images": 20,
    },
    "cut": {
        "generator": {"name": "resnet-antialiased", "width": 4, "blocks": 1},
        "discriminator": {"name": "patch-antialiased", "width": 4, "layers": 2},
    },
    "pix2pix": {"generator": {"name": "unet", "width": 4, "norm": "batch", "dropout": 0.5}, "discriminator": PATCH},
    "discogan": {
        "generator": {"name": "disco", "width": 4},
        "discriminator": {"name": "disco", "width": 4},
        "early_images": 14,
    },
    "starganv2": {"width": 4, "max_width": 8, "hidden": 8, "style": 6, "latent": 5, "diversity_images": 40},
    "unit": {"width": 4, "blocks": 2, "discriminator": PATCH},
    "xgan": {"width": 4, "embedding": 16, "ramp": 30},
    "stargan": {
        "generator": {"name": "stargan", "width": 4, "blocks": 1},
        "discriminator_width": 4,
        "discriminator_layers": 3,
        "noise": 0.05,
    },
    "gan": {
        "generator_width": 4,
        "discriminator_width": 4,
        "latent": 8,
        "loss": "wgan-gp",
        "discriminator_norm": "none",
    },
    "cgan": {"generator_width": 4, "discriminator_width": 4, "latent": 8, "optimizer": "sgd"},
}
STEPS = {"cyclegan": 12, "discogan": 12, "combogan": 15}  # whose steps are of several kinds


class Tape(TorchDispatchMode):
    """Notes operators and what they were given, and does them again."""

    def __init__(self):
        super().__init__()
        self.noted = []

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        out = func(*args, **(kwargs or {}))
        self.noted.append((func, args, kwargs or {}, out))
        return out

    def replay(self):
        with torch.no_grad():
            for func, args, kwargs, out in self.noted:
                given = {t.untyped_storage()._cdata for t in tree_leaves((args, kwargs)) if isinstance(t, Tensor)}
                for old, new in zip(tree_leaves(out), tree_leaves(func(*args, **kwargs)), strict=True):
                    if isinstance(old, Tensor) and old.untyped_storage()._cdata not in given:
                        old.copy_(new)


class Tapes:
    """In the place of `graph.Graph`. What a step changes is put back, as to capture a graph computes nothing."""

    def __init__(self, ours):
        self.ours, self.captured = ours, 0

    def aside(self):
        return nullcontext()

    def kept(self):
        trainer = self.ours.trainer
        yield from (value.data for value in (*trainer.parameters(), *trainer.buffers()))
        for optimizer in self.ours.optimizers:
            yield from (t for t in tree_leaves(list(optimizer.state.values())) if isinstance(t, Tensor))
        yield from (pool._rows for pool in trainer.stateful().values() if pool._rows is not None)

    def capture(self, take):
        before, rng = [(value, value.clone()) for value in self.kept()], torch.get_rng_state()
        self.captured += 1
        with Tape() as tape:
            made = take()
        for value, old in before:
            value.copy_(old)
        torch.set_rng_state(rng)
        return made, tape.replay


@contextmanager
def taped(ours):
    with mock.patch("ganzoo.graph.Graph", lambda: Tapes(ours)):
        ours._take = CapturedSteps(ours._updates, ours.optimizers, ours.clock, torch.device("cpu"), torch.float64)
    yield ours._take.graph


def trained(name, capture):
    steps = STEPS.get(name, FIRST + 4)
    ours = engine(name, MODELS[name], size=64, precision="64", images=2 * steps, constant=0.3)
    found = []
    with taped(ours) if capture else nullcontext(Tapes(ours)) as tapes:
        for step in range(steps):
            found.append(ours.step(batch(ours, step)).terms)
    state = {"networks": ours.trainer.state_dict(), **ours.state_dict()}
    for optimizer in state["optimizers"]:
        optimizer.pop("param_groups")
    return tapes.captured, found, state


@pytest.mark.parametrize("name", MODELS)
def test_a_captured_step_trains_the_same(name):
    """To the bit in float64: pools, draws, weights and learning rates that change, phases that come and go."""
    _, plain_terms, plain = trained(name, capture=False)
    captured, terms, state = trained(name, capture=True)
    assert captured
    torch.testing.assert_close(terms, plain_terms, rtol=0, atol=0)
    torch.testing.assert_close(state, plain, rtol=0, atol=0)


def test_a_run_goes_on_captured_and_back():
    """A checkpoint says nothing of how steps are taken."""
    options, finals = MODELS["cyclegan"] | {"discriminator_steps": 1, "loss": "lsgan"}, []
    for captured in ((False, False), (True, False), (False, True)):
        state = networks = None
        for first, capture in zip((0, 6), captured, strict=True):
            ours = engine("cyclegan", options, size=64, precision="64")
            if state:
                ours.trainer.load_state_dict(networks)
                ours.load_state_dict(copy.deepcopy(state))
                ours.clock.set(first * ours.clock.batch)
            with taped(ours) if capture else nullcontext(Tapes(ours)) as tapes:
                for step in range(first, first + 6):
                    ours.step(batch(ours, step))
            assert tapes.captured == capture
            networks, state = ours.trainer.state_dict(), ours.state_dict()
        finals.append(networks)
    for other in finals[1:]:
        torch.testing.assert_close(other, finals[0], rtol=0, atol=0)


@pytest.mark.parametrize(("size", "count"), [(1, 1), (3, 1), (2, 4), (5, 3), (50, 2)])
def test_pools_that_keep_their_place_give_the_same(size, count):
    clocks, pools = [Clock(1, count) for _ in range(2)], [ImagePool(size) for _ in range(2)]
    clocks[1].static = True
    for step in range(40):
        given = torch.arange(float(count)).view(count, 1, 1, 1) + count * step
        plain, static = (pool(given, clock) for pool, clock in zip(pools, clocks, strict=True))
        assert torch.equal(plain, static)
        if step == 20:  # as in a run that goes on
            state = [image.clone() for image in pools[1].state_dict()["images"]]
            pools[1].load_state_dict({"images": state})
        for clock in clocks:
            clock.advance()
    held = [pool.state_dict()["images"] for pool in pools]
    assert len(held[0]) == min(size, 40 * count)
    torch.testing.assert_close(held[1], held[0], rtol=0, atol=0)


@pytest.mark.parametrize("look", ["images", "step", "shared"])
def test_a_model_that_looks_at_the_clock_is_told(look):
    """What was read once would stay what it was in every replay."""
    ours = engine("gan", MODELS["gan"], size=64)
    generate = ours.trainer.G.forward
    ours.trainer.G.forward = lambda *args: (getattr(ours.clock, look), generate(*args))[1]
    with taped(ours), pytest.raises(GanzooError, match=f"looks at clock.{look} in its step"):
        for step in range(FIRST + 1):
            ours.step(batch(ours, step))


def test_images_of_several_sizes_are_told():
    ours = engine("cyclegan", MODELS["cyclegan"], size=64)
    with taped(ours), pytest.raises(GanzooError, match=r"batches of one size: this one is \(2, 3, 32, 64\)"):
        for step in range(2):
            ours.step({name: images[:, :, 32 * step :] for name, images in batch(ours).items()})


def test_what_comes_from_the_cpu_is_told():
    with NothingFromOutside(), torch.device("meta"):
        torch.zeros(2) + 3
        with pytest.raises(GanzooError, match=r"tensor of shape \(4,\) from the CPU"):
            torch.zeros(4, device="cpu").to("meta")


def test_without_a_gpu_a_sentence_says_so():
    with pytest.raises(GanzooError, match=r"on one CUDA device, and the device is cpu: leave it out"):
        engine("gan", MODELS["gan"], size=64, compile="graph")


def test_an_optimizer_that_cannot_be_captured_is_named():
    ours = engine("style", {"features": "random", "feature_width": 1}, batch=1)
    with (
        pytest.raises(GanzooError, match=r"LBFGS cannot be captured as a CUDA graph. Leave train.compile"),
        taped(ours),
    ):
        pass
