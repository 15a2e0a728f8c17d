"""What is checked while a model trains, in one run: its optimizers, each update, resume, bfloat16 and two processes."""

import tomllib
from dataclasses import replace
from functools import partial
from itertools import chain
from typing import Any

import torch
from torch import Tensor
from torch.nn.modules.dropout import _DropoutNd
from torch.nn.parameter import is_lazy
from torch.utils._pytree import tree_leaves

from ganzoo import checkpoint
from ganzoo import recipe as recipes
from ganzoo.loop import Engine
from ganzoo.trainer import Batch, Carry, DataSpec, Phase, Terms
from ganzoo_testing.case import Case
from ganzoo_testing.helpers import difference
from ganzoo_testing.processes import in_processes

STEPS = 3  # before a checkpoint; and those of phases that are rarer
FEWER = 2  # after it, and of what is repeated in bfloat16 and by two processes


def check_optimizers(case: Case) -> Engine:
    """All networks are built in `__init__`; optimizers hold registered parameters, each of them in one optimizer."""
    untouched = case.model()
    for key, value in chain(untouched.named_parameters(), untouched.named_buffers()):
        case.expect(
            not is_lazy(value),
            key,
            "a layer with its shape; this one is lazy, but optimizers and checkpoints need its parameters. Run the "
            "layers before it once in __init__, on torch.zeros(1, channels, spec.size, spec.size), to learn it",
        )
    engine = case.engine()
    _refuse_new(case, "phases()", set(untouched.state_dict()), engine)
    names = [phase.name for phase in engine.phases]
    expected = f"at least one phase, each with its own name; it gives {names}"
    case.expect(names and len(set(names)) == len(names), "phases()", expected)
    known = {id(parameter): key for key, parameter in engine.trainer.named_parameters()}
    owners: dict[int, tuple[Any, str]] = {}
    for phase in engine.phases:
        where = f'phase "{phase.name}"'
        once = len(set(map(id, phase.stepped))) == len(phase.stepped)
        case.expect(once, where, "each optimizer once; one is there twice, so it would step twice")
        for optimizer in phase.stepped:
            for own in map(id, chain(*(group["params"] for group in optimizer.param_groups))):
                case.expect(
                    own in known,
                    where,
                    "an optimizer of registered parameters only: keep networks as attributes or in an nn.ModuleDict, "
                    "not in a plain list or dict; what is in a Frozen is not trained",
                )
                owner, other = owners.setdefault(own, (optimizer, phase.name))
                case.expect(
                    owner is optimizer or case.overlapping,
                    known[own],
                    f'a parameter of one optimizer; one of phase "{other}" and one of phase "{phase.name}" both move '
                    "it, so that one undoes the other's work. Let both phases step the same optimizer, or, if that is "
                    "meant, say check_model(..., overlapping=True)",
                )
    return engine


class Watch:
    """Looks at every update of an engine."""

    def __init__(self, case: Case, engine: Engine) -> None:
        self.case, self.engine = case, engine
        self.untrained = dict(engine.trainer.named_parameters())  # none of them has had a gradient yet
        self.update = engine.run_phase
        self.shared: list[Tensor] = []  # of this step's `forward`
        self.call = ("", 0)  # the phase whose loss was called last, and how many calls there were
        vars(engine)["run_phase"] = self.run_phase

    def step(self, batch: Batch) -> None:
        self.shared.clear()
        names = set(self.engine.trainer.state_dict())
        self.engine.step(batch)
        _refuse_new(self.case, f"step {self.engine.clock.step - 1}", names, self.engine)

    def run_phase(self, phase: Phase, *given: Any) -> Terms:
        """As the engine's, which must change this phase's parameters only."""
        own = set(map(id, phase.parameters()))
        others = {key: value for key, value in self.engine.trainer.named_parameters() if id(value) not in own}
        before = {key: value.detach().clone() for key, value in others.items()}
        terms = self.update(replace(phase, loss=partial(self.loss, phase)), *given)
        for key, value in others.items():
            expected = f"only its own parameters to move, but {key} moved"
            self.case.expect(torch.equal(value, before[key]), f'phase "{phase.name}"', expected)
        for key in [k for k, value in self.untrained.items() if id(value) in own and value.grad is not None]:
            del self.untrained[key]
        return terms

    def loss(self, phase: Phase, batch: Batch, carry: Carry) -> Terms:
        """As the phase's, which must give finite scalars and leave the gradients to the engine."""
        where, expect = f'phase "{phase.name}"', self.case.expect
        self.call = (phase.name, self.call[1] + 1)
        self._watch_shared(carry)
        terms = phase.loss(batch, carry)
        expect(isinstance(terms, dict) and terms, where, f"a dict of one term or more; its loss gives {terms!r}")
        expect(
            all(parameter.grad is None for parameter in phase.parameters()),
            where,
            "a loss that returns its terms and leaves backward() to the engine; this one calls it itself",
        )
        for name, value in terms.items():
            found = f"of shape {tuple(value.shape)}" if isinstance(value, Tensor) else repr(value)
            scalar = isinstance(value, Tensor) and not value.ndim
            expect(scalar, f'{where}, term "{name}"', f"a scalar tensor, so a mean or a sum; it is {found}")
            expect(value.isfinite(), f'{where}, term "{name}"', f"a finite number; it is {value.item()}")
        expect(
            any(value.requires_grad for value in terms.values()),
            where,
            "terms that depend on its parameters; none has a gradient: look for a detach, an item or a no_grad between "
            "the networks and the terms",
        )
        return terms

    def _watch_shared(self, carry: Carry) -> None:
        """Looks who goes back through what `forward` gave: only one loss can, since the graph is gone then."""
        for value in tree_leaves(carry):
            if isinstance(value, Tensor) and value.grad_fn and not any(value is known for known in self.shared):
                self.shared.append(value)
                value.register_hook(partial(self._refuse_second, []))

    def _refuse_second(self, calls: list[tuple[str, int]], gradient: Tensor) -> None:
        calls.append(self.call)
        self.case.expect(
            calls[0] == self.call,
            "forward()",
            f'one loss that goes back through what it gives; "{calls[0][0]}" and "{self.call[0]}" both do. Detach it '
            "in the one that only looks at it (gan.discriminator_terms does), or compute it in each",
        )


def check_updates(case: Case, engine: Engine) -> list[int]:
    """Each phase gives finite scalars with a gradient and moves only its own parameters; no parameter is left out.

    Leaves a checkpoint on the way, and gives the steps that come after it.
    """
    watch = Watch(case, engine)
    before = case.moments(engine, 0, STEPS)
    after = case.moments(engine, before[-1] + 1, FEWER)
    case.run(engine, before, watch.step)
    with case.expecting("checkpoint", "a state that can be saved"):
        checkpoint.save(case.checkpoint, engine.trainer.state_dict(), engine.state_dict(), {})
    case.run(engine, after, watch.step)
    case.expect(
        not watch.untrained,
        next(iter(watch.untrained), ""),
        "every parameter to be trained by some phase; this one never got a gradient. Build only what the options use, "
        "and put a network that only measures into ganzoo.Frozen",
    )
    return after


def check_resume(case: Case, straight: Engine, after: list[int]) -> None:
    """A checkpoint gives back what was saved, and going on from it gives, to the bit, what never stopping gives."""
    torch.manual_seed(12345)  # nothing may depend on the random state that the process happens to have
    resumed = case.engine()
    weights, _ = checkpoint.load_networks(case.checkpoint)
    with case.expecting("checkpoint", "a state that can be loaded"):
        resumed.trainer.load_state_dict(weights)
        resumed.load_state_dict(checkpoint.load_state(case.checkpoint))
    case.expect_equal(resumed.trainer.state_dict(), weights, "the weights that were saved, after loading")
    case.run(resumed, after)
    case.expect_equal(
        straight.trainer.state_dict(),
        resumed.trainer.state_dict(),
        "the same weights, to the bit, after going on from a checkpoint; something is not in the checkpoint. State "
        "must live in parameters, buffers, or things with a state_dict; randomness must come from self.clock or torch, "
        "not from Python or numpy",
    )


def check_bf16(case: Case) -> None:
    """Trains under `train.precision = "bf16-mixed"`, to finite weights."""
    engine, how = case.engine(precision="bf16-mixed"), 'under train.precision = "bf16-mixed"'
    case.run(engine, case.moments(engine, 0, FEWER), how=f" {how}")
    for key, value in engine.trainer.state_dict().items():
        case.expect(value.isfinite().all(), key, f"finite weights {how}")


def check_processes(case: Case) -> None:
    """Two processes that share a batch give the weights of one, in float64 and without dropout."""
    alone, toml = _shared_steps(case, 1), case.recipe.to_toml()
    try:
        together = in_processes(_steps_of_one, case.name, toml, case.spec)[0]
    except RuntimeError as error:
        raise case.wrong("two processes", f"training without errors; it gives: {error}") from error
    for key, value in alone.items():
        apart = difference({key: value}, {key: together[key]})
        largest = value.double().abs().max().item() if value.numel() else 0.0
        case.expect(
            apart <= 1e-7 * max(1.0, largest),
            key,
            f"the same weights when two processes share the batch; they are {apart:.2g} apart. Draw with "
            "self.clock.rand and randn, compute statistics over the batch with ganzoo.clock.all_reduce_mean, "
            "shuffle self.clock.all_gather(rows), use ganzoo's BatchNorm, and let losses be means over the images",
        )


def _steps_of_one(name: str, toml: str, spec: DataSpec) -> dict[str, Tensor]:
    """What one of the two processes does."""
    return _shared_steps(Case("model", name, recipes.parse(tomllib.loads(toml)), spec), 2)


def _shared_steps(case: Case, processes: int) -> dict[str, Tensor]:
    """The weights after some steps, without dropout, and with no Adam that enlarges rounding."""
    engine = case.engine(precision="64", devices=processes)
    for group in (group for optimizer in engine.optimizers for group in optimizer.param_groups if "eps" in group):
        group["eps"] = 1e-3  # usually 1e-8: a gradient that is rounding alone would move its weight by the whole lr
    for module in engine.trainer.modules():
        if isinstance(module, _DropoutNd):
            module.p = 0.0
    case.run(engine, case.moments(engine, 0, FEWER))
    return engine.trainer.state_dict()


def _refuse_new(case: Case, where: str, names: set[str], engine: Engine) -> None:
    """What is added to the networks after `__init__` is in no optimizer, or missing when only weights are loaded."""
    for key in engine.trainer.state_dict():
        case.expect(
            key in names,
            where,
            f"no new networks; {key} appears here, too late for optimizers, checkpoints and translation. Build all "
            "networks in __init__; a forward pass of torch.zeros there tells shapes that are not known before",
        )
