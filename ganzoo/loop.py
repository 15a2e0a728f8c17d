"""Training: the only place in ganzoo that touches the gradients of a model."""

import math
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from functools import partial, reduce
from itertools import chain
from operator import add
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import LBFGS, Optimizer
from torch.utils._pytree import tree_map_only

from ganzoo.clock import Clock, moved
from ganzoo.errors import GanzooError
from ganzoo.graph import CapturedSteps
from ganzoo.networks import Recomputation, compile_networks
from ganzoo.options import TrainOptions
from ganzoo.runtime import Runtime
from ganzoo.trainer import Batch, Carry, Discriminator, Frozen, Phase, Terms, Trainer

TOGETHER = 64  # steps whose terms are added up at once
OWN = ("lr", "fused", "capturable")  # keys of an optimizer's groups that are the engine's, not a checkpoint's


@dataclass(frozen=True)
class Step:
    """One step, just taken."""

    images: int  # seen since the beginning
    terms: dict[str, Terms]  # phase -> term -> weighted value, still on the device


class Engine:
    """A trainer made ready to train: placed, its phases and optimizers set up."""

    def __init__(self, trainer: Trainer, train: TrainOptions, runtime: Runtime, clock: Clock) -> None:
        self.trainer, self.train_options, self.runtime, self.clock = trainer, train, runtime, clock
        trainer.clock = clock
        trainer.to(runtime.device, runtime.dtype)
        for module in trainer.modules():
            if isinstance(module, Frozen):
                module.load()
        self.phases = trainer.phases()
        self._parameters = {phase.name: phase.parameters() for phase in self.phases}
        self.optimizers = list({id(o): o for phase in self.phases for o in phase.stepped}.values())
        for optimizer in self.optimizers:
            _fuse(optimizer)
        self._base_lr = {id(o): [group["lr"] for group in o.param_groups] for o in self.optimizers}
        self.ema = EMA(trainer, train.ema)
        rows = clock.batch // runtime.world
        largest = train.micro_batch or rows
        self.parts = next(n for n in range(1, rows + 1) if rows % n == 0 and rows // n <= largest)
        """how many of equal size a process's rows of a batch are computed in"""
        if train.compile is True:
            compile_networks(trainer, train.checkpoint_activations)
        eager = train.checkpoint_activations and not train.compile
        self._recomputation = Recomputation(trainer, eager) if eager or self.parts > 1 else None
        self._take = self._captured() if train.compile == "graph" else self._updates

    def _captured(self) -> CapturedSteps:
        """The updates as CUDA graphs. Raises GanzooError where they cannot be captured."""
        train, runtime = self.train_options, self.runtime
        for wrong, found in {
            f"the device is {runtime.device.type}": runtime.device.type != "cuda",
            f"there are {runtime.world} processes": runtime.world > 1,
            "train.micro_batch computes a batch in parts": self.parts > 1,
            "train.checkpoint_activations is set": train.checkpoint_activations,
            'train.precision is "16-mixed"': runtime.scaler.is_enabled(),
        }.items():
            if found:
                raise GanzooError(f'train.compile = "graph" is for runs on one CUDA device, and {wrong}: leave it out.')
        return CapturedSteps(self._updates, self.optimizers, self.clock, runtime.device, runtime.dtype)

    def lr(self) -> dict[str, float]:
        """Learning rate of each phase's first parameters at the clock's time."""
        return {p.name: self._lr(p, self._base_lr[id(p.stepped[0])][0], self.clock.images) for p in self.phases}

    def _lr(self, phase: Phase, base: float, images: int) -> float:
        """By the phase's own schedule, or the recipe's: constant and then linear to zero."""
        if phase.schedule:
            return base * phase.schedule(images)
        total = self.train_options.images
        constant = self.train_options.constant * total
        if images <= constant or constant == total:  # the last batch may reach beyond the total
            return base
        return base * max(0.0, (total - images) / (total - constant))

    def step(self, batch: Batch) -> Step:
        """The forward pass that is shared, if there is one, and all phases of one step in their order."""
        self.clock.start_step()
        batch = self.runtime.to_device(batch)
        terms = self._take(batch, [phase for phase in self.phases if phase.when(self.clock.step)])
        self.clock.advance()
        self.ema.update(self.clock.batch, self.clock.images)
        return Step(self.clock.images, terms)

    def _updates(self, batch: Batch, phases: list[Phase]) -> dict[str, Terms]:
        for parameter in chain(*self._parameters.values()):
            parameter.requires_grad_(True)
        rows = {key: value.chunk(self.parts) for key, value in batch.items()} if self.parts > 1 else {}
        batches = [{key: chunks[i] for key, chunks in rows.items()} for i in range(self.parts)] if rows else [batch]
        shared = [self._shared(part) for part in self.clock.each_part(batches)]
        carries: list[Carry] = [{} for _ in batches]
        terms: dict[str, Terms] = {}
        for phase in phases:
            self._set_lr(phase)
            seen = [given | carry for given, carry in zip(shared, carries, strict=True)]
            try:
                terms[phase.name] = self.run_phase(phase, batches, seen)
            except Exception as error:
                error.add_note(f'in phase "{phase.name}"')
                raise
            carries = [_left(*both) for both in zip(seen, shared, strict=True)]
        return terms

    def _shared(self, batch: Batch) -> Carry:
        """What all phases share; a part's graph keeps no activations, as it lives while the others are computed."""
        recomputing = self._recomputation.switched(True) if self._recomputation and self.parts > 1 else nullcontext()
        with recomputing, self.runtime.fabric.autocast():
            given: Carry = self.trainer(batch)
            return given

    def _set_lr(self, phase: Phase) -> None:
        for optimizer in phase.stepped:
            for group, lr in zip(optimizer.param_groups, self._base_lr[id(optimizer)], strict=True):
                group["lr"] = self.clock.weight(partial(self._lr, phase, lr))

    def run_phase(self, phase: Phase, batches: list[Batch], carries: list[Carry]) -> Terms:
        """One update: minimises the sum of the phase's terms, means over the parts of a batch, over its parameters."""
        parameters = self._parameters[phase.name]
        found: list[Terms] = []

        def gradients() -> Tensor:
            found.clear()
            for optimizer in phase.stepped:
                optimizer.zero_grad()
            totals = []
            for batch, carry in self.clock.each_part(list(zip(batches, carries, strict=True))):
                with self.runtime.fabric.autocast():
                    terms = _checked(phase, phase.loss(batch, carry))
                total = reduce(add, terms.values())
                last = len(found) == self.parts - 1  # with it the gradients are whole, and travel
                with self.runtime.averaging(parameters if last else ()):
                    self.runtime.fabric.backward(total / self.parts if self.parts > 1 else total)
                totals.append(total.detach())
                found.append({name: value.detach() for name, value in terms.items()})
            if self.train_options.clip:
                self.runtime.clip(parameters, phase.stepped, self.train_options.clip)
            return torch.stack(totals).mean() if self.parts > 1 else totals[0]

        self.trainer.requires_grad_(False)
        for parameter in parameters:
            parameter.requires_grad_(True)
        if isinstance(phase.optimizers, LBFGS):  # asks for gradients several times a step
            phase.optimizers.step(gradients)
        else:
            gradients()
            self.runtime.step(phase.stepped)
        if self.parts == 1:
            return found[0]
        return {name: torch.stack([terms[name] for terms in found]).mean() for name in found[0]}

    def state_dict(self) -> dict[str, Any]:
        """Everything but the networks that the next step depends on."""
        return {
            "optimizers": [optimizer.state_dict() for optimizer in self.optimizers],
            "stateful": {name: item.state_dict() for name, item in self.trainer.stateful().items()},
            "precision": self.runtime.scaler.state_dict(),
            "ema": self.ema.state_dict(),
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Goes on from what `state_dict` gave."""
        for optimizer, saved in zip(self.optimizers, state["optimizers"], strict=True):
            ours = [{key: group[key] for key in OWN if key in group} for group in optimizer.param_groups]
            groups = [theirs | own for theirs, own in zip(saved["param_groups"], ours, strict=True)]
            optimizer.load_state_dict(saved | {"param_groups": groups})
        for name, item in self.trainer.stateful().items():
            item.load_state_dict(placed(state["stateful"][name], self.runtime.device))
        self.runtime.scaler.load_state_dict(state["precision"])
        self.ema.load_state_dict(state["ema"])


def _checked(phase: Phase, terms: Any) -> Terms:
    """What the loss of a phase gave, if it can be minimised. Raises GanzooError, for the author of the model."""
    wrong = None
    if not isinstance(terms, dict) or not terms:
        wrong = f"gives {terms!r}"
    else:
        for name, value in terms.items():
            if not isinstance(value, Tensor):
                wrong = f'gives {value!r} as "{name}"'
            elif value.ndim:
                wrong = f'gives a tensor of shape {tuple(value.shape)} as "{name}"'
    if not wrong and not any(value.requires_grad for value in terms.values()):
        wrong = "gives terms without a gradient"
    if wrong:
        raise GanzooError(
            f'The loss of phase "{phase.name}" {wrong}. It should give a dict of names and scalars, whose sum is '
            "minimised: its author must mend the model."
        )
    return terms


def _fuse(optimizer: Optimizer) -> None:
    """Lets one operator update all parameters, where torch has one and the model did not choose another way."""
    for group in optimizer.param_groups:
        choice = (group.get("fused", False), group.get("foreach"))
        if choice == (None, None) and all(p.device.type in ("cpu", "cuda") for p in group["params"]):
            group["fused"] = True


class EMA:
    """Exponential moving average of the weights of every network but the discriminators.

    `half_life`: after that many images seen, a weight of the past counts half; 0: no averaging. Early on it is
    shorter, a twentieth of the images seen, so that the first weights are soon forgotten (Karras et al. 2020).
    """

    def __init__(self, module: nn.Module, half_life: float) -> None:
        self.half_life = half_life
        others = tuple(f"{name}." for name, m in module.named_modules() if isinstance(m, Discriminator))
        averaged = module.named_parameters() if half_life else ()
        self.live = {name: value for name, value in averaged if not name.startswith(others)}
        self.shadow = {name: value.detach().clone() for name, value in self.live.items()}

    @torch.no_grad()
    def update(self, step: int, seen: int) -> None:
        """After a step of `step` images, `seen` in all."""
        if self.shadow:
            weight = 1 - 0.5 ** (step / min(self.half_life, seen / 20))
            torch._foreach_lerp_(list(self.shadow.values()), list(self.live.values()), weight)

    @contextmanager
    def used(self) -> Iterator[None]:
        """Inside, the module has the averaged weights."""
        self._swap()
        try:
            yield
        finally:
            self._swap()

    @torch.no_grad()
    def _swap(self) -> None:
        for name, shadow in self.shadow.items():
            live = self.live[name]
            live.data, self.shadow[name] = shadow, live.data

    def state_dict(self) -> dict[str, Tensor]:
        return self.shadow

    def load_state_dict(self, state: dict[str, Any]) -> None:
        for name, value in state.items():
            self.shadow[name].copy_(value)


def _left(seen: Carry, shared: Carry) -> Carry:
    """What a phase left for the next ones, without its graph."""
    left = {key: value for key, value in seen.items() if key not in shared or value is not shared[key]}
    carry: Carry = tree_map_only(Tensor, Tensor.detach, left)
    return carry


class Means:
    """Means of the terms since they were last cleared; kept on the device, so that no step waits for them."""

    def __init__(self) -> None:
        self.clear()

    def clear(self) -> None:
        self._sums: dict[str, dict[str, Tensor]] = {}
        self._steps: list[Step] = []  # not yet in the sums

    def add(self, step: Step) -> None:
        self._steps.append(step)
        if len(self._steps) == TOGETHER:
            self._add_up()

    @property
    def sums(self) -> dict[str, dict[str, Tensor]]:
        """phase -> names of the terms of a step, a line each -> (3, terms): sums, counts, images when last finite"""
        self._add_up()
        return self._sums

    @sums.setter
    def sums(self, sums: dict[str, dict[str, Tensor]]) -> None:
        self._sums, self._steps = sums, []

    @torch.no_grad()
    def _add_up(self) -> None:
        """Several steps at once: each operator is a launch on a GPU."""
        found: dict[tuple[str, str], list[tuple[int, Terms]]] = {}
        for step in self._steps:
            for phase, terms in step.terms.items():
                found.setdefault((phase, "\n".join(terms)), []).append((step.images, terms))
        for (phase, names), rows in found.items():
            values = torch.stack([value for _, terms in rows for value in terms.values()]).double()
            groups = self._sums.setdefault(phase, {})
            if names not in groups:
                groups[names] = values.new_zeros(3, len(values) // len(rows))
            sums, counts, finite_at = groups[names]
            running = sums + values.view(len(rows), -1).cumsum(0)
            images = moved(torch.tensor([[float(images)] for images, _ in rows], dtype=values.dtype), values.device)
            finite_at[:] = torch.where(running.isfinite(), images, finite_at).amax(0)
            sums[:] = running[-1]
            counts += len(rows)
        self._steps = []

    def read(self, runtime: Runtime, images: int) -> dict[str, dict[str, float]]:
        """phase -> term -> mean over the steps and processes. GanzooError names the first that was not finite."""
        groups = [(phase, names.split("\n"), rows) for phase, by in self.sums.items() for names, rows in by.items()]
        if not groups:
            return {}
        rows = runtime.mean(torch.cat([rows for _, _, rows in groups], dim=1)).T.tolist()
        found: dict[tuple[str, str], list[tuple[float, float, float]]] = {}
        for key, row in zip(((phase, name) for phase, names, _ in groups for name in names), rows, strict=True):
            found.setdefault(key, []).append(row)  # several where other terms of the phase are missing in some steps
        means: dict[str, dict[str, float]] = {}
        broken = []
        for (phase, name), several in found.items():
            total, count = (sum(column) for column in list(zip(*several, strict=True))[:2])
            means.setdefault(phase, {})[name] = total / count
            if not math.isfinite(total):
                broken.append((max(finite_at for *_, finite_at in several), phase, name, total / count))
        if broken:
            finite_at, phase, name, mean = min(broken, key=lambda one: one[0])
            raise GanzooError(
                f'The term "{name}" of phase "{phase}" is no longer a finite number ({mean}), since a step '
                f"between image {finite_at:,.0f} and image {images:,}. Lower options.lr, set train.clip, or use "
                'train.precision = "32".'
            )
        return means


def placed(state: Any, device: torch.device) -> Any:
    """Tensors in any nesting, on the device."""
    return tree_map_only(Tensor, lambda value: value.to(device), state)
