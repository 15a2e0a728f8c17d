"""Training: the only place in ganzoo that touches requires_grad, zero_grad, backward and step."""

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.optim import LBFGS

from ganzoo.clock import Clock
from ganzoo.ema import EMA
from ganzoo.errors import GanzooError
from ganzoo.options import TrainOptions
from ganzoo.runtime import Runtime
from ganzoo.trainer import Batch, Carry, Discriminator, Generator, Phase, Terms, Trainer


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
        runtime.place(trainer)
        self.phases = trainer.phases()
        self._steppers = {phase.name: runtime.optimizer(phase.optimizer) for phase in self.phases}
        self._parameters = {
            phase.name: [p for group in phase.optimizer.param_groups for p in group["params"]] for phase in self.phases
        }
        self._base_lr = {phase.name: [g["lr"] for g in phase.optimizer.param_groups] for phase in self.phases}
        self.ema = EMA(trainer, train.ema)
        if train.compile:
            for network in trainer.modules():
                if isinstance(network, Generator | Discriminator):
                    network.compile()

    def lr(self) -> dict[str, float]:
        """Learning rate of each phase at the clock's time: constant, then linear to zero."""
        return {name: base[0] * self._factor() for name, base in self._base_lr.items()}

    def _factor(self) -> float:
        total = self.train_options.images
        constant = self.train_options.constant * total
        if self.clock.images <= constant or constant == total:  # the last batch may reach beyond the total
            return 1.0
        return max(0.0, (total - self.clock.images) / (total - constant))

    def step(self, batch: Batch) -> Step:
        """All phases of one step, in their order."""
        self.clock.start_step()
        factor, carry, terms = self._factor(), {}, {}
        for phase in self.phases:
            if phase.when(self.clock.step):
                for group, lr in zip(phase.optimizer.param_groups, self._base_lr[phase.name], strict=True):
                    group["lr"] = lr * factor
                terms[phase.name] = self.run_phase(phase, batch, carry)
                carry = {key: value.detach() for key, value in carry.items()}
        self.clock.advance()
        self.ema.update(self.clock.batch, self.clock.images)
        return Step(self.clock.images, terms)

    def run_phase(self, phase: Phase, batch: Batch, carry: Carry) -> Terms:
        """One update: this optimizer's parameters minimise the sum of the phase's terms."""
        stepper, parameters = self._steppers[phase.name], self._parameters[phase.name]
        terms: Terms = {}

        def gradients() -> Tensor:
            stepper.zero_grad()
            with self.runtime.autocast():
                terms.update(phase.loss(batch, carry))
            total = torch.stack(list(terms.values())).sum()
            self.runtime.backward(total)
            self.runtime.average_gradients(parameters)
            if self.train_options.clip:
                self.runtime.clip(self.trainer, stepper, self.train_options.clip)
            return total

        self.trainer.requires_grad_(False)
        for parameter in parameters:
            parameter.requires_grad_(True)
        if isinstance(phase.optimizer, LBFGS):  # asks for gradients several times a step
            stepper.step(gradients)
        else:
            gradients()
            stepper.step()
        return {name: value.detach() for name, value in terms.items()}

    def state_dict(self) -> dict[str, Any]:
        """Everything but the networks that the next step depends on."""
        return {
            "optimizers": {phase.name: phase.optimizer.state_dict() for phase in self.phases},
            "stateful": {name: item.state_dict() for name, item in self.trainer.stateful().items()},
            "precision": self.runtime.state_dict(),
            "ema": self.ema.state_dict(),
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        for phase in self.phases:
            phase.optimizer.load_state_dict(state["optimizers"][phase.name])
        for name, item in self.trainer.stateful().items():
            item.load_state_dict(_moved(state["stateful"][name], self.runtime.device))
        self.runtime.load_state_dict(state["precision"])
        self.ema.load_state_dict(state["ema"])


def train(engine: Engine, batches: Iterable[Batch]) -> Iterator[Step]:
    """Steps until the batches end; yields after each."""
    for batch in batches:
        yield engine.step(engine.runtime.to_device(batch))


class Means:
    """Means of the terms since they were last cleared; kept on the device, so that no step waits for them."""

    def __init__(self) -> None:
        self.clear()

    def add(self, tick: Step) -> None:
        for phase, values in tick.terms.items():
            sums, counts, sound = (kept.setdefault(phase, {}) for kept in (self.sums, self.counts, self.sound))
            for name, value in values.items():  # a term may be missing in some steps
                before = sums.get(name, torch.zeros_like(value, dtype=torch.float64))
                sums[name] = before + value.double()
                counts[name] = counts.get(name, 0) + 1
                fine = sums[name].isfinite().double() * tick.images
                sound[name] = torch.maximum(sound[name], fine) if name in sound else fine

    def read(self, runtime: Runtime, images: int) -> dict[str, dict[str, float]]:
        """phase -> term -> mean over the steps and processes. GanzooError names the first that was not finite."""
        names = [(phase, name) for phase, sums in self.sums.items() for name in sums]
        if not names:
            return {}
        means = torch.stack([self.sums[phase][name] / self.counts[phase][name] for phase, name in names])
        values = runtime.mean(means).tolist()
        if not all(map(math.isfinite, values)):
            sound = runtime.mean(torch.stack([self.sound[phase][name] for phase, name in names])).tolist()
            ill = [i for i, value in enumerate(values) if not math.isfinite(value)]
            first = min(ill, key=lambda i: sound[i])
            phase, name = names[first]
            raise GanzooError(
                f'The term "{name}" of phase "{phase}" is no longer a finite number ({values[first]}), since a step '
                f"between image {sound[first]:,.0f} and image {images:,}. Lower options.lr, set train.clip, or use "
                'train.precision = "32".'
            )
        found: dict[str, dict[str, float]] = {}
        for (phase, name), value in zip(names, values, strict=True):
            found.setdefault(phase, {})[name] = value
        return found

    def clear(self) -> None:
        self.sums: dict[str, dict[str, Tensor]] = {}
        self.counts: dict[str, dict[str, int]] = {}
        self.sound: dict[str, dict[str, Tensor]] = {}  # images seen when the sum was last finite

    def state_dict(self) -> dict[str, Any]:
        return {"sums": self.sums, "counts": self.counts, "sound": self.sound}

    def load_state_dict(self, state: dict[str, Any], device: torch.device) -> None:
        self.sums, self.counts, self.sound = (_moved(state[name], device) for name in ("sums", "counts", "sound"))


def _moved(state: Any, device: torch.device) -> Any:
    if isinstance(state, Tensor):
        return state.to(device)
    if isinstance(state, dict):
        return {key: _moved(value, device) for key, value in state.items()}
    return [_moved(value, device) for value in state] if isinstance(state, list) else state
